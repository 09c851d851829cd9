//! Threads that may block, as the engine gives them to drivers.

use tokio::runtime::Handle;

/// Does `work` on all items at once, each on a thread of its own, and gives the answers in the order of the items.
pub(crate) fn side_by_side<T: Send, R: Send>(items: Vec<T>, work: impl AsyncFn(T) -> R + Sync) -> Vec<R> {
    let runtime = Handle::current();
    let (work, runtime) = (&work, &runtime);
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                items.into_iter().map(|item| scope.spawn(move || runtime.block_on(work(item)))).collect();
            threads.into_iter().map(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
        })
    })
}

/// Does one thing on a thread that may block.
pub(crate) fn aside<R: Send>(work: impl AsyncFn() -> R + Sync) -> R {
    side_by_side(vec![()], async |()| work().await).remove(0)
}
