//! Views, triggers and routines of a staging database.
//!
//! A definer need have no rights on any database but the live one. So in a staging database these are ours, and views run
//! as whoever asks; they are taken from there as they are to be.

use dumprestore_driver::Result;

use super::head::{self, Changed, Kind};
use super::programs::Program;
use crate::archived::{Made, Routine, Sql, Trigger, View};
use crate::config::Definers;
use crate::quote;

/// As a thing can be made and used by whoever may do so itself.
pub(crate) const AS_ANYBODY: Changed<'static> = Changed {
    or_replace: false,
    without_definer: true,
    status: None,
    definer: None,
    security: Some(b"INVOKER"),
    name: None,
    table: None,
};

/// What can be staged.
pub(crate) trait Stageable: Clone {
    fn program(&self) -> Program<'_>;
    fn set(&mut self, create: Sql, made: Made);

    /// As a staging database shows it, to belong to whom another one belongs, and to run as whom that runs.
    fn of_live(&self, other: &Self, definers: Definers) -> Result<Self> {
        let (shown, other) = (self.program(), other.program());
        let definer = head::definer(shown.kind, other.create).filter(|_| definers == Definers::Keep);
        let security = head::security(other.create).or(Some(b"DEFINER")).filter(|_| shown.kind == Kind::View);
        let changed = Changed { definer, security, ..Changed::default() };
        let create = head::statement(shown.kind, shown.create, changed)?;
        let of = if definer.is_some() { other.made } else { shown.made };
        let made = Made { definer: of.definer.clone(), ..shown.made.clone() };
        let mut taken = self.clone();
        taken.set(Sql::new(create), made);
        Ok(taken)
    }

    /// Whether it is in a staging database what `noted` was made as there: a view perhaps under another name, a
    /// trigger of a table that was renamed.
    fn is_staged(&self, noted: &Self) -> bool {
        let (shown, noted) = (self.program(), noted.program());
        let name = quote::name(shown.name);
        let is_view = shown.kind == Kind::View;
        let changed = Changed {
            definer: head::definer(shown.kind, shown.create),
            security: AS_ANYBODY.security,
            name: Some(name.as_bytes()).filter(|_| is_view),
            table: head::table(shown.create).filter(|_| shown.kind == Kind::Trigger),
            ..Changed::default()
        };
        let said = |create, changed| head::statement(shown.kind, create, changed);
        (is_view || shown.is_named_as(&noted))
            && matches!(
                (said(noted.create, changed), said(shown.create, Changed::default())),
                (Ok(one), Ok(other)) if one == other
            )
    }
}

impl Stageable for View {
    fn program(&self) -> Program<'_> {
        Program::from(self)
    }

    fn set(&mut self, create: Sql, made: Made) {
        (self.create, self.made) = (create, made);
    }
}

impl Stageable for Trigger {
    fn program(&self) -> Program<'_> {
        Program::from(self)
    }

    fn set(&mut self, create: Sql, made: Made) {
        (self.create, self.made) = (create, made);
    }
}

impl Stageable for Routine {
    fn program(&self) -> Program<'_> {
        Program::from(self)
    }

    fn set(&mut self, create: Sql, made: Made) {
        (self.create, self.made) = (create, made);
    }
}

/// What a staging database shows of what was just made there, as it is to be.
pub(crate) fn noted<T: Stageable>(shown: Vec<T>, archived: &[T], definers: Definers) -> Result<Vec<T>> {
    let named_as = |one: &T, other: &T| one.program().is_named_as(&other.program());
    like(shown, |one| archived.iter().find(|other| named_as(one, other)), definers)
}

/// The same later: like what was noted, unless it was changed since.
pub(crate) fn taken<T: Stageable>(shown: Vec<T>, noted: &[T]) -> Result<Vec<T>> {
    like(shown, |one| noted.iter().find(|noted| one.is_staged(noted)), Definers::Keep)
}

fn like<'a, T: Stageable + 'a>(
    shown: Vec<T>,
    which: impl Fn(&T) -> Option<&'a T>,
    definers: Definers,
) -> Result<Vec<T>> {
    let as_which = |one: T| match which(&one) {
        Some(other) => one.of_live(other, definers),
        None => Ok(one),
    };
    shown.into_iter().map(as_which).collect()
}
