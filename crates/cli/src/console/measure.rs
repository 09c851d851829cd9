//! Numbers as people read them.

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};

/// `1.50 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// `12,345`.
pub(crate) fn count(count: u64) -> String {
    HumanCount(count).to_string()
}

/// `1 part`, `12,345 parts`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `just now`, `5 minutes ago`, `3 hours ago`, `12 days ago`.
pub(crate) fn ago(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    match minutes {
        0 => "just now".to_owned(),
        1..120 => format!("{} ago", counted(minutes, "minute")),
        120..2880 => format!("{} ago", counted(minutes / 60, "hour")),
        _ => format!("{} ago", counted(minutes / 1440, "day")),
    }
}

/// `<1 ms`, `3 ms`, `0.42 s`, `12.3 s`, `5 min 7 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        _ if seconds < 0.001 => "<1 ms".to_owned(),
        _ if seconds < 0.1 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 10.0 => format!("{seconds:.2} s"),
        _ if seconds < 120.0 => format!("{seconds:.1} s"),
        _ => format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}
