//! How this process gets its memory.

/// Has the C library give large blocks back as soon as they are free. By itself it keeps them, for each thread apart, once
/// some were freed: what dumps and restores gather for stores comes to tens of megabytes then that nobody uses.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "it has no safe wrapper")]
pub(crate) fn give_back_large_blocks() {
    const LARGE_BYTES: libc::c_int = 512 << 10;
    // SAFETY: it takes two numbers, and locks what it changes. Where it is refused, all stays as it was.
    let _taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back_large_blocks() {}
