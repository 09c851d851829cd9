//! How many keys a database must have, as its mark says.

use dumprestore_driver::Result;

use super::line::{Count, Line};
use super::mark::Fields;

/// What was noted of the keys of one restore in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) count: Count,
    /// Of those that don't expire: as many may go, for fields of them do.
    pub(super) fading: u64,
}

impl Noted {
    /// What is noted in the database that was entered, if it was counted.
    pub(super) fn of(line: &mut Line, fields: &Fields) -> Result<Option<Self>> {
        let lasting = Fields::number(line, &fields.lasting())?;
        let expiring = Fields::number(line, &fields.expiring())?;
        let fading = Fields::number(line, &fields.fading())?.unwrap_or(0);
        Ok(lasting
            .zip(expiring)
            .map(|(lasting, expiring)| Self { count: Count { lasting, expiring }, fading }))
    }

    /// Whether there are as many keys, the mark not counted: no more, and none less but what may go by itself.
    pub(super) fn fits(self, there: Count) -> bool {
        there.lasting <= self.count.lasting
            && there.lasting.saturating_add(self.fading) >= self.count.lasting
            && there.expiring <= self.count.expiring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_expires_may_be_missing_and_nothing_may_be_more() {
        let noted = Noted { count: Count { lasting: 5, expiring: 3 }, fading: 2 };
        let fits = |lasting, expiring| noted.fits(Count { lasting, expiring });
        assert!(fits(5, 3) && fits(5, 0) && fits(3, 1));
        assert!(!fits(6, 3) && !fits(5, 4) && !fits(2, 3));
    }
}
