//! Dumps under live load, with references from lists of Redis to keys of another database of Redis, and from those to rows
//! of SQLite and to files: nothing dangles and nothing is torn in any restored copy; with certification switched off,
//! something is.
//!
//! `DUMPRESTORE_LOAD` says how many operations a second are asked for (300 by default), `DUMPRESTORE_DUMPS` how many dumps
//! are made (5 by default).

use std::path::Path;
use std::sync::Arc;

use dumprestore_testkit::{RedisServer, RedisVersion};
use dumprestore_tests::{Kiosk, Served, prove_coherent, show_incoherent};

const CUSTOMERS: u32 = 1500;

fn kiosk(folder: &Path) -> Kiosk {
    let server = Arc::new(RedisServer::start(RedisVersion::Redis7_0));
    Kiosk::create(&folder.join("kiosk"), &server, CUSTOMERS)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_dangles_and_nothing_is_torn_in_dumps_of_redis_under_live_load() -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    prove_coherent(&kiosk(folder.path()), folder.path()).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_certification_the_same_load_on_redis_shows_dangling_links() -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    show_incoherent(&kiosk(folder.path()), folder.path()).await;
    Ok(())
}
