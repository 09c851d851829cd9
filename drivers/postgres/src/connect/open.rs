//! From a target to a session: each of its servers, in turn.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dumprestore_driver::{Error, ErrorKind, Result};
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};

use super::Connection;
use super::fault::{fault, unreached};
use super::route::{Refusal, Route};
use super::target::{Endpoint, Place, SessionAttrs, Target, number};
use super::tls::Mode;

/// Opens a session of the target's database. Its `application_name` tells the server's administrator what it is for.
///
/// # Errors
/// If none of the servers lets us in: the error is that of the last, and says how many were tried.
pub(crate) async fn connect(target: &Target, purpose: &str) -> Result<Connection> {
    if target.session_attrs == SessionAttrs::PreferStandby {
        if let Ok(standby) = connect_as(target, purpose, SessionAttrs::Standby).await {
            return Ok(standby);
        }
        return connect_as(target, purpose, SessionAttrs::Any).await;
    }
    connect_as(target, purpose, target.session_attrs).await
}

async fn connect_as(target: &Target, purpose: &str, attrs: SessionAttrs) -> Result<Connection> {
    let mut failed = None;
    for endpoint in in_order(target) {
        let addresses = match addresses(target, endpoint).await {
            Ok(addresses) => addresses,
            Err(error) => {
                failed = Some(error);
                continue;
            }
        };
        for at in addresses {
            match connect_to(&target.at(at.clone()), &at, purpose, attrs).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = Some(error.with_context("server", endpoint)),
            }
        }
    }
    let error = failed.unwrap_or_else(|| Error::config("`url` names no server"));
    Err(match target.endpoints.len() {
        0 | 1 => error,
        tried => error.with_context("servers tried", tried),
    })
}

/// The server, at each of the addresses that its name stands for: further sessions of a run need the very same one.
async fn addresses(target: &Target, endpoint: &Endpoint) -> Result<Vec<Endpoint>> {
    let Place::Tcp { host, address: None } = &endpoint.place else { return Ok(vec![endpoint.clone()]) };
    let failed = |error: std::io::Error| {
        Error::config(format!("can't find the address of the server `{host}`"))
            .with_context("database", &target.database)
            .with_source(error)
            .with_hint("check the name of the server in `url`")
    };
    let found = tokio::net::lookup_host((host.as_str(), endpoint.port)).await.map_err(failed)?;
    let at = |address: std::net::SocketAddr| Endpoint {
        place: Place::Tcp { host: host.clone(), address: Some(address.ip()) },
        port: endpoint.port,
    };
    Ok(found.map(at).collect())
}

/// The servers, from any of them on where the load is to be balanced.
fn in_order(target: &Target) -> impl Iterator<Item = &Endpoint> {
    let count = target.endpoints.len();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let first = match target.shuffled {
        true => since.subsec_nanos() as usize % count.max(1),
        false => 0,
    };
    target.endpoints.iter().cycle().skip(first).take(count)
}

async fn connect_to(
    target: &Target,
    endpoint: &Endpoint,
    purpose: &str,
    attrs: SessionAttrs,
) -> Result<Connection> {
    let attempt = async {
        let connection = connect_secured(target, endpoint, purpose).await?;
        check_attrs(&connection, attrs).await?;
        Ok(connection)
    };
    let Some(limit) = target.connect_timeout else { return attempt.await };
    tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| Err(too_slow(limit)))
}

fn too_slow(limit: Duration) -> Error {
    Error::environment(format!("a server has not answered for {} s", limit.as_secs()))
        .with_hint("is it to be reached from here? `connect_timeout` in `url` gives it longer")
}

/// With TLS or without it, as `sslmode` has it.
async fn connect_secured(target: &Target, endpoint: &Endpoint, purpose: &str) -> Result<Connection> {
    let protection = match endpoint.is_socket() {
        true => target.protection.without(),
        false => target.protection.clone(),
    };
    let tls = protection.connector()?;
    let (first, second) = match protection.mode {
        Mode::Disable => (SslMode::Disable, None),
        Mode::Allow => (SslMode::Disable, Some(SslMode::Require)),
        Mode::Prefer => (SslMode::Prefer, Some(SslMode::Disable)),
        Mode::Require | Mode::VerifyCa | Mode::VerifyFull => (SslMode::Require, None),
    };
    let config = config_of(target, endpoint, purpose)?;
    let route = |mode| Route::new(endpoint, &config, mode, &tls);
    match (route(first).open().await, second) {
        (Err(error), Some(second)) if error.may_differ() => {
            match route(second).open().await {
                Ok(opened) => Connection::begin(opened, target.clone()).await,
                // What stood in the way of the usual kind of connection says more.
                Err(_) => Err(refused(error, target)),
            }
        }
        (Err(error), _) => Err(refused(error, target)),
        (Ok(opened), _) => Connection::begin(opened, target.clone()).await,
    }
}

fn refused(refusal: Refusal, target: &Target) -> Error {
    let what = format!("can't connect to the database `{}` as `{}`", target.database, target.user);
    let made = match refusal {
        Refusal::Unreached(error) => unreached(error, what),
        refusal if refusal.wants_password() => {
            Error::config(format!("the server wants a password of `{}`, and none is given", target.user))
                .with_hint("give it in `url`, as `password`, as `PGPASSWORD`, or in `.pgpass`")
        }
        Refusal::Refused(error) => fault(error, what),
    };
    match target.passfile_problem() {
        Some(problem) if made.kind() == ErrorKind::Config => made.with_hint(problem),
        _ => made,
    }
}

fn config_of(target: &Target, endpoint: &Endpoint, purpose: &str) -> Result<tokio_postgres::Config> {
    let mut config = tokio_postgres::Config::new();
    let parameters = &target.parameters;
    config.user(&target.user).dbname(&target.database).port(endpoint.port);
    config.application_name(match parameters.get("application_name") {
        Some(name) => format!("{name}: {purpose}"),
        None => format!("dumprestore: {purpose}"),
    });
    match &endpoint.place {
        Place::Socket(folder) => config.host_path(socket_path(folder)),
        Place::Tcp { host, .. } => config.host(host),
    };
    if let Place::Tcp { address: Some(address), .. } = &endpoint.place {
        config.hostaddr(*address);
    }
    if let Some(password) = target.password(endpoint) {
        config.password(password.expose());
    }
    if let Some(options) = parameters.get("options") {
        config.options(options);
    }
    config.channel_binding(match parameters.get("channel_binding") {
        Some("require") => ChannelBinding::Require,
        Some("disable") => ChannelBinding::Disable,
        _ => ChannelBinding::Prefer,
    });
    if parameters.get("sslnegotiation") == Some("direct") {
        config.ssl_negotiation(SslNegotiation::Direct);
    }
    keep_alive(&mut config, target)?;
    Ok(config)
}

/// A database may be silent for long while it builds an index: what lies between must not forget the connection.
fn keep_alive(config: &mut tokio_postgres::Config, target: &Target) -> Result<()> {
    let seconds = |name: &str| -> Result<Option<Duration>> {
        let value = number(&target.parameters, name)?.filter(|seconds| *seconds > 0);
        Ok(value.map(|seconds| Duration::from_secs(seconds.unsigned_abs())))
    };
    config.keepalives(number(&target.parameters, "keepalives")?.unwrap_or(1) != 0);
    config.keepalives_idle(seconds("keepalives_idle")?.unwrap_or(Duration::from_secs(60)));
    config.keepalives_interval(seconds("keepalives_interval")?.unwrap_or(Duration::from_secs(15)));
    if let Some(count) =
        number(&target.parameters, "keepalives_count")?.and_then(|count| u32::try_from(count).ok())
    {
        config.keepalives_retries(count);
    }
    if let Some(limit) = number(&target.parameters, "tcp_user_timeout")?.filter(|limit| *limit > 0) {
        config.tcp_user_timeout(Duration::from_millis(limit.unsigned_abs()));
    }
    Ok(())
}

/// An abstract socket is written with `@`, and begins with a zero byte.
pub(super) fn socket_path(folder: &Path) -> PathBuf {
    match folder.as_os_str().as_bytes() {
        [b'@', rest @ ..] => {
            let mut name = vec![0];
            name.extend_from_slice(rest);
            OsString::from_vec(name).into()
        }
        _ => folder.to_owned(),
    }
}

async fn check_attrs(connection: &Connection, attrs: SessionAttrs) -> Result<()> {
    let asked = "SELECT pg_catalog.pg_is_in_recovery(), \
        pg_catalog.current_setting('transaction_read_only') = 'on' OR pg_catalog.pg_is_in_recovery()";
    if attrs == SessionAttrs::Any {
        return Ok(());
    }
    let row = connection
        .query_one(asked, &[])
        .await
        .map_err(|error| connection.fault(error, "can't ask a server what it is"))?;
    let (standby, read_only): (bool, bool) = (row.get(0), row.get(1));
    let (fits, is) = match attrs {
        SessionAttrs::ReadWrite => (!read_only, "read-only"),
        SessionAttrs::ReadOnly => (read_only, "not read-only"),
        SessionAttrs::Primary => (!standby, "a standby"),
        SessionAttrs::Standby => (standby, "no standby"),
        SessionAttrs::Any | SessionAttrs::PreferStandby => return Ok(()),
    };
    if fits {
        return Ok(());
    }
    Err(Error::environment(format!("the server is {is}"))
        .with_hint("`target_session_attrs` says which will do"))
}
