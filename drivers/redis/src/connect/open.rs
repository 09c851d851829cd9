//! From a target to a connection that is logged in.

use std::io;
use std::time::Instant;

use dumprestore_driver::{Cancel, Result};
use rustls::StreamOwned;

use super::place::{Address, Place};
use super::stream::Stream;
use super::target::Target;
use super::wire::Wire;
use super::{fault, login, sentinel};

/// Connects and logs in.
///
/// # Errors
/// If the server can't be reached, or lets nobody in.
pub(super) fn enter(target: &Target, cancel: &Cancel) -> Result<Wire> {
    let deadline = target.connect_timeout.map(|limit| Instant::now() + limit);
    let target = match &target.place {
        Place::Sentinels { sentinels, primary } => {
            sentinel::primary_of(target, sentinels, primary, deadline, cancel)?
        }
        _ => target.clone(),
    };
    let mut wire = Wire::over(connect(&target, deadline)?, target.clone(), deadline, cancel.clone());
    login::log_in(&mut wire, &target.login)?;
    login::introduce(&mut wire, target.index())?;
    wire.is_in();
    Ok(wire)
}

/// The same at a sentinel, which has a login of its own.
pub(super) fn enter_sentinel(
    target: &Target,
    address: &Address,
    deadline: Option<Instant>,
    cancel: &Cancel,
) -> Result<Wire> {
    let target = target.node(&address.host, address.port);
    let mut wire = Wire::over(connect(&target, deadline)?, target.clone(), deadline, cancel.clone());
    login::log_in(&mut wire, &target.sentinel_login)?;
    Ok(wire)
}

fn connect(target: &Target, deadline: Option<Instant>) -> Result<Stream> {
    let failed = |error: io::Error| fault::of_login(error, target);
    let address = match &target.place {
        Place::Tcp(address) => address,
        Place::Socket(path) => return Stream::socket(path).map_err(failed),
        // Resolved by then.
        Place::Sentinels { .. } => return Err(failed(io::ErrorKind::Unsupported.into())),
    };
    let stream = Stream::tcp(address, deadline).map_err(failed)?;
    match &target.protection {
        None => Ok(Stream::Tcp(stream)),
        Some(protection) => {
            let connection = protection.connection(&address.host)?;
            Ok(Stream::Tls(Box::new(StreamOwned::new(connection, stream))))
        }
    }
}
