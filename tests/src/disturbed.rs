//! What every application is put through, wherever its data are.

/// A failure, and an interrupt, at every step of the restore of a [`Scene`](crate::Scene) and of the dump of
/// [`Dumps`](crate::Dumps), each of which `scene` and `dumps` give anew.
#[macro_export]
macro_rules! failures_and_interrupts {
    (scene: $scene:expr, dumps: $dumps:expr) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn a_failure_at_any_step_of_a_restore_leaves_all_old_or_all_new() {
            $scene.disturb_restores(::dumprestore_testkit::Fault::Fail).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn an_interrupt_at_any_step_of_a_restore_leaves_all_old_or_all_new() {
            $scene.disturb_restores(::dumprestore_testkit::Fault::Cancel).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn a_failure_at_any_step_of_a_dump_publishes_nothing_and_changes_nothing() {
            $dumps.disturb(::dumprestore_testkit::Fault::Fail).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn an_interrupt_at_any_step_of_a_dump_publishes_nothing_and_changes_nothing() {
            $dumps.disturb(::dumprestore_testkit::Fault::Cancel).await;
        }
    };
}
