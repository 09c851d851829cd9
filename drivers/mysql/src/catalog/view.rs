//! Views.

use dumprestore_driver::Result;

use super::definition::{Shown, shown};
use crate::archived::View;
use crate::connect::{Session, code};
use crate::quote;

/// The server gave up waiting, or was told to stop, or the table was changed: that says nothing of the view. Nor does it
/// that this login may not read it.
const OTHERWISE: [u16; 9] = [1205, 1213, 1412, 1142, 1143, 1317, 1053, 1969, 3024];

/// One view of the session's database.
pub(crate) async fn view(session: &mut Session, name: &str) -> Result<View> {
    let columns =
        Shown { create: 1, sql_mode: None, time_zone: None, charset: 2, collation: 3, of_database: None };
    let (create, made) = shown(session, "VIEW", name, &columns).await?;
    Ok(View { name: name.to_owned(), create, made, broken: false, of_nothing: false })
}

/// Whether it does not work: what it reads is not there, or may not be read.
pub(crate) async fn is_broken(session: &mut Session, name: &str) -> Result<bool> {
    let select = quote::literal(&format!("SELECT 1 FROM {}", quote::name(name)));
    // To select no row of it would still run the functions that it calls, and some of them write.
    match session.run(&format!("PREPARE dumprestore_view FROM {select}")).await {
        Ok(_) => session.run("DEALLOCATE PREPARE dumprestore_view").await.map(|_| false),
        Err(error) => match code(&error) {
            Some(code) if !OTHERWISE.contains(&code) => Ok(true),
            Some(_) => Ok(false),
            None => Err(error),
        },
    }
}
