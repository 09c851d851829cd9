//! Views.

use dumprestore_driver::Result;

use super::definition::{Shown, shown};
use crate::archived::View;
use crate::connect::{Session, code};
use crate::quote;

/// The server gave up waiting, or was told to stop: that says nothing of the view.
const OTHERWISE: [u16; 5] = [1205, 1317, 1053, 1969, 3024];

/// One view of the session's database.
pub(crate) async fn view(session: &mut Session, name: &str) -> Result<View> {
    let columns =
        Shown { create: 1, sql_mode: None, time_zone: None, charset: 2, collation: 3, of_database: None };
    let (create, made) = shown(session, "VIEW", name, &columns).await?;
    Ok(View { name: name.to_owned(), create, made, broken: false })
}

/// Whether it does not work: what it reads is not there, or may not be read.
pub(crate) async fn is_broken(session: &mut Session, name: &str) -> Result<bool> {
    match session.run(&format!("SELECT 1 FROM {} LIMIT 0", quote::name(name))).await {
        Ok(_) => Ok(false),
        Err(error) => match code(&error) {
            Some(code) if !OTHERWISE.contains(&code) => Ok(true),
            Some(_) => Ok(false),
            None => Err(error),
        },
    }
}
