//! Views.

use dumprestore_driver::Result;

use super::definition::{Shown, shown};
use super::own_names::without_own;
use crate::archived::{Sql, View};
use crate::connect::{Session, code};
use crate::quote;

/// The server gave up waiting, or was told to stop, or the table was changed: that says nothing of the view. Nor does it
/// that this login may not read it.
const OTHERWISE: [u16; 9] = [1205, 1213, 1412, 1142, 1143, 1317, 1053, 1969, 3024];

/// One view of the session's database.
pub(crate) async fn view(session: &mut Session, name: &str) -> Result<View> {
    let columns =
        Shown { create: 1, sql_mode: None, time_zone: None, charset: 2, collation: 3, of_database: None };
    let (mut create, made) = shown(session, "VIEW", name, &columns).await?;
    if session.server().is_mariadb() {
        let own = session.rows("SELECT DATABASE()").await?;
        if let Some(own) = own.first() {
            create = Sql::new(without_own(create.as_bytes(), own.text(0)?));
        }
    }
    Ok(View { name: name.to_owned(), create, made, broken: false, of_nothing: false })
}

/// Whether it does not work: what it reads is not there, or may not be read.
pub(crate) async fn is_broken(session: &mut Session, name: &str) -> Result<bool> {
    Ok(why_broken(session, name).await?.is_some())
}

/// The server's number of the error that there is if it is used.
pub(crate) async fn why_broken(session: &mut Session, name: &str) -> Result<Option<u16>> {
    let select = quote::literal(&format!("SELECT 1 FROM {}", quote::name(name)));
    // To select no row of it would still run the functions that it calls, and some of them write.
    match session.run(&format!("PREPARE dumprestore_view FROM {select}")).await {
        Ok(_) => session.run("DEALLOCATE PREPARE dumprestore_view").await.map(|_| None),
        Err(error) => match code(&error) {
            Some(code) => Ok(Some(code).filter(|code| !OTHERWISE.contains(code))),
            None => Err(error),
        },
    }
}
