//! What a server says against a request.

use std::fmt;

use http::Response;
use opendal::{Buffer, Error, ErrorKind};
use serde::Deserialize;

use super::xml;

/// What a server says against a request.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// The call, as S3 names it.
    pub(crate) call: &'static str,
    pub(crate) status: u16,
    /// As S3 names it; empty if the server does not say.
    pub(crate) code: String,
    pub(crate) message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Refusal {
    pub(crate) fn of(call: &'static str, answer: &Response<Buffer>) -> Self {
        let body =
            xml::read::<Body>(answer.body()).unwrap_or(Body { code: String::new(), message: String::new() });
        Self { call, status: answer.status().as_u16(), code: body.code, message: body.message }
    }

    /// The refusal that is the cause of `error`, if it is one.
    pub(crate) fn within(error: &Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }

    /// Whether it says that there is nothing of what was asked for, or that the server knows no such thing.
    pub(crate) fn is_about_nothing(&self, codes: &[&str]) -> bool {
        codes.contains(&self.code.as_str())
    }

    /// Whether the server does not know this call.
    pub(crate) fn is_unknown_call(&self) -> bool {
        matches!(self.status, 405 | 501)
            || matches!(self.code.as_str(), "NotImplemented" | "MethodNotAllowed")
    }

    pub(crate) fn is_forbidden(&self) -> bool {
        self.status == 403
            && matches!(self.code.as_str(), "" | "AccessDenied" | "Forbidden" | "AllAccessDisabled")
    }

    pub(crate) fn into_error(self) -> Error {
        let kind = match self.status {
            403 => ErrorKind::PermissionDenied,
            404 => ErrorKind::NotFound,
            412 => ErrorKind::ConditionNotMatch,
            429 => ErrorKind::RateLimited,
            _ => ErrorKind::Unexpected,
        };
        Error::new(kind, "refused").set_source(self)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code.as_str() {
            "" => write!(f, "status {}", self.status),
            code => write!(f, "`{code}`: {}", self.message),
        }
    }
}

impl std::error::Error for Refusal {}
