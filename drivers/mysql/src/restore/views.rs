//! Views, which may read each other, and run with the rights of others.

use dumprestore_driver::{Error, Result};

use super::head::Changed;
use super::programs::Program;
use super::staged::AS_ANYBODY;
use crate::archived::View;
use crate::catalog;
use crate::connect::{Session, code};
use crate::quote;

/// A view that can't be made, and why.
pub(crate) type Failed<'a> = (&'a View, Error);

/// Makes views in a live database; gives those that can't be made. They may read others of `all`.
pub(crate) async fn make_views<'a>(
    session: &mut Session,
    database: &str,
    views: impl IntoIterator<Item = &'a View>,
    all: &'a [View],
) -> Result<Vec<Failed<'a>>> {
    let (_, failed) = in_rounds(session, database, views.into_iter().collect(), Changed::default()).await?;
    if failed.is_empty() {
        return Ok(failed);
    }
    // A view that another one reads may not work for its definer, who has no rights here, or not yet. Nothing can be made
    // that reads it until it runs as we do, for a moment.
    let mut lent: Vec<&View> = failed.into_iter().map(|(view, _)| view).collect();
    let wanted: Vec<String> = lent.iter().map(|view| view.name.clone()).collect();
    session.run(format!("USE {}", quote::name(database))).await?;
    for view in all.iter().filter(|view| !wanted.contains(&view.name)) {
        if catalog::is_broken(session, &view.name).await? {
            lent.push(view);
        }
    }
    let (made, mut failed) = in_rounds(session, database, lent, AS_ANYBODY).await?;
    for view in made.into_iter().rev() {
        let as_it_is = Changed { or_replace: true, ..Changed::default() };
        match Program::from(view).make(session, database, as_it_is).await {
            Err(error) if code(&error).is_some() && !session.is_gone() => {
                Program::from(view).drop(session, database).await?;
                failed.push((view, error));
            }
            other => other?,
        }
    }
    failed.retain(|(view, _)| wanted.contains(&view.name));
    Ok(failed)
}

/// Makes views in a staging database, where they run as whoever asks; gives those that can't be made.
pub(crate) async fn stage_views<'a>(
    session: &mut Session,
    database: &str,
    views: impl IntoIterator<Item = &'a View>,
) -> Result<Vec<Failed<'a>>> {
    in_rounds(session, database, views.into_iter().collect(), AS_ANYBODY).await.map(|(_, failed)| failed)
}

/// Makes them in an order in which that works, or in the place of what there is. Gives those that were made, in that order.
async fn in_rounds<'a>(
    session: &mut Session,
    database: &str,
    mut left: Vec<&'a View>,
    changed: Changed<'_>,
) -> Result<(Vec<&'a View>, Vec<Failed<'a>>)> {
    let changed = Changed { or_replace: true, ..changed };
    let mut made = Vec::new();
    loop {
        let mut failed = Vec::new();
        let before = left.len();
        for view in std::mem::take(&mut left) {
            match Program::from(view).make(session, database, changed).await {
                Ok(()) => made.push(view),
                Err(error) if code(&error).is_some() && !session.is_gone() => failed.push((view, error)),
                Err(error) => return Err(error),
            }
        }
        if failed.is_empty() || failed.len() == before {
            return Ok((made, failed));
        }
        left = failed.into_iter().map(|(view, _)| view).collect();
    }
}
