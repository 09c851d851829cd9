//! An application on a server, and the faults that each of that kind is put through.

use std::path::Path;
use std::sync::Arc;

use crate::{Application, Dumps, Mortal, Outage, Scene, later};

/// An application whose data are at a server that can be killed.
pub trait Served: Application + Sized {
    /// Its server.
    type Server: Mortal;
    /// How many moments of a run are tried, if nothing is said.
    const FEW: u64;
    /// How much sooner the server dies within a step of a dump than within one of a restore.
    const SOONER: u32;
    /// Whether dumps go on where a server that was killed takes connections again at once: Redis gives all that it has in one
    /// stream, right after the cut.
    const OUTLIVES_RESTARTS: bool = false;

    /// A server that has what it was told when it comes back: of any other, all-or-nothing can't be asked.
    fn server() -> Arc<Self::Server>;
    /// A new one with that many things in it.
    fn create(folder: &Path, server: &Arc<Self::Server>, things: u32) -> Self;
    /// One that is to be restored into that folder.
    fn nothing(folder: &Path, server: &Arc<Self::Server>) -> Self;
}

const THINGS: u32 = 24;

/// An archive of an application on a server of its own, to be restored.
pub async fn served_scene<A: Served>() -> (Scene<A>, Arc<A::Server>) {
    let server = A::server();
    (Scene::new(A::FEW, |folder| A::create(folder, &server, THINGS)).await, server)
}

/// An application on a server of its own, to be dumped.
pub fn served_dumps<A: Served>() -> (Dumps<A>, Arc<A::Server>) {
    let server = A::server();
    (Dumps::new(A::FEW, |folder| A::create(folder, &server, THINGS)), server)
}

/// Has the server go at one moment after another of a restore.
pub async fn served_restores_black_out<A: Served>(outage: impl Fn(u64) -> Outage) {
    let (scene, server) = served_scene::<A>().await;
    crate::black_out_restores(&scene, &server, outage).await;
}

/// Has the server go at one moment after another of a dump. Tells how often there was no archive.
pub async fn served_dumps_black_out<A: Served>(outage: impl Fn(u64) -> Outage) -> u32 {
    let (dumps, server) = served_dumps::<A>();
    crate::black_out_dumps(&dumps, &server, outage, |folder| A::nothing(folder, &server)).await
}

/// Within a step of a dump.
pub fn sooner<A: Served>(moment: u64) -> Outage {
    Outage::Later(later(moment) / A::SOONER)
}

/// A failure, an interrupt, a `kill -9` of our process and a `kill -9` of the server, at every step of the dump and of the
/// restore of an application that is [`Served`]. `bystanders` are there while the process is killed.
#[macro_export]
macro_rules! fault_matrix {
    ($application:ty, bystanders: $bystanders:expr) => {
        const KILLED_RUN: &str = env!("CARGO_BIN_EXE_killed-run");

        $crate::failures_and_interrupts!(
            scene: $crate::served_scene::<$application>().await.0,
            dumps: $crate::served_dumps::<$application>().0
        );

        #[tokio::test(flavor = "multi_thread")]
        async fn a_kill_at_any_step_of_a_restore_leaves_all_old_or_all_new_whoever_is_there() {
            let (scene, _server) = $crate::served_scene::<$application>().await;
            scene.kill_restores(KILLED_RUN, $crate::at_once, $bystanders).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn a_kill_within_any_step_of_a_restore_leaves_all_old_or_all_new() {
            let (scene, _server) = $crate::served_scene::<$application>().await;
            scene.kill_restores(KILLED_RUN, $crate::later, |_| ()).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn a_server_that_is_killed_at_any_step_of_a_restore_and_stays_down_leaves_all_old_or_all_new() {
            $crate::served_restores_black_out::<$application>(|_| $crate::Outage::StaysDown).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn a_server_that_is_killed_at_any_step_of_a_restore_and_comes_back_leaves_all_old_or_all_new() {
            $crate::served_restores_black_out::<$application>(|_| $crate::Outage::ComesBack).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn a_server_that_is_killed_within_any_step_of_a_restore_leaves_all_old_or_all_new() {
            let within = |moment| $crate::Outage::Later($crate::later(moment));
            $crate::served_restores_black_out::<$application>(within).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn a_kill_at_any_step_of_a_dump_publishes_nothing_and_changes_nothing() {
            let (dumps, _server) = $crate::served_dumps::<$application>();
            dumps.kill(KILLED_RUN, $crate::at_once).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn a_kill_within_any_step_of_a_dump_publishes_nothing_and_changes_nothing() {
            let (dumps, _server) = $crate::served_dumps::<$application>();
            dumps.kill(KILLED_RUN, $crate::later).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn a_server_that_is_killed_at_any_step_of_a_dump_and_stays_down_leaves_no_archive_but_a_whole_one()
        {
            let failed = $crate::served_dumps_black_out::<$application>(|_| $crate::Outage::StaysDown).await;
            assert!(failed > 0, "the kills missed the dump");
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn a_server_that_is_killed_at_any_step_of_a_dump_and_comes_back_leaves_no_archive_but_a_whole_one()
        {
            let failed = $crate::served_dumps_black_out::<$application>(|_| $crate::Outage::ComesBack).await;
            let outlives = <$application as $crate::Served>::OUTLIVES_RESTARTS;
            assert!(failed > 0 || outlives, "the kills missed the dump");
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn a_server_that_is_killed_within_any_step_of_a_dump_leaves_no_archive_but_a_whole_one() {
            let failed = $crate::served_dumps_black_out::<$application>($crate::sooner::<$application>).await;
            assert!(failed > 0, "the kills missed the dump");
        }
    };
}
