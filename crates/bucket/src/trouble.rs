//! What can go wrong on the way to a server.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

/// What went wrong on the way to a server, as the cause within an error of OpenDAL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Its name is not known, or the network has no way to it, or nobody listens there.
    Unreachable(String),
    /// It could not prove who it is, or does not speak TLS.
    Tls(String),
    /// It stood still for so long.
    Stalled(Duration),
    /// The connection ended early.
    Broken(String),
}

impl Trouble {
    /// What an error of the HTTP client means. It is told without its URL.
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        let causes: Vec<&dyn StdError> =
            std::iter::successors(error.source(), |&cause| cause.source()).collect();
        let last = causes.last().map_or_else(|| "no reason given".to_owned(), ToString::to_string);
        let tls = causes.iter().find_map(|cause| rustls_error(*cause));
        match tls {
            Some(why) => Self::Tls(why),
            None if error.is_connect() => Self::Unreachable(last),
            None => Self::Broken(last),
        }
    }

    /// Whether it is worth another try.
    pub(crate) fn may_pass(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }
}

/// Errors of TLS travel inside errors of input and output, which show what is in them not as their source but as themselves.
fn rustls_error(cause: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return Some(error.to_string());
    }
    rustls_error(cause.downcast_ref::<io::Error>()?.get_ref()?)
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "can't connect: {why}"),
            Self::Tls(why) => write!(f, "no encrypted connection: {why}"),
            Self::Stalled(time) => write!(f, "the server stood still for {} s", time.as_secs_f64()),
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
        }
    }
}

impl StdError for Trouble {}
