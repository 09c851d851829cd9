//! Hours, days, weeks, months and years of UTC.

use std::fmt;

use serde::Serialize;
use time::{OffsetDateTime, UtcOffset};

/// How long a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rhythm {
    /// From a full hour to the next.
    Hourly,
    /// From midnight to midnight.
    Daily,
    /// From Monday to Sunday.
    Weekly,
    /// A month of the calendar.
    Monthly,
    /// A year of the calendar.
    Yearly,
}

impl Rhythm {
    pub(crate) const ALL: [Self; 5] = [Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    fn name(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }
}

impl fmt::Display for Rhythm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of the period of UTC that a moment lies in, such as `2026-01-31`, `2026-W05` or `2026-01`.
pub(crate) fn period(rhythm: Rhythm, moment: OffsetDateTime) -> String {
    let utc = moment.to_offset(UtcOffset::UTC);
    let (year, month, day) = (utc.year(), u8::from(utc.month()), utc.day());
    match rhythm {
        Rhythm::Hourly => format!("{year:04}-{month:02}-{day:02}T{:02}", utc.hour()),
        Rhythm::Daily => format!("{year:04}-{month:02}-{day:02}"),
        Rhythm::Weekly => {
            let (year, week, _) = utc.to_iso_week_date();
            format!("{year:04}-W{week:02}")
        }
        Rhythm::Monthly => format!("{year:04}-{month:02}"),
        Rhythm::Yearly => format!("{year:04}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_week_belongs_to_the_year_of_its_thursday() {
        for (moment, week) in [
            (datetime!(2026-01-01 00:00 UTC), "2026-W01"),
            (datetime!(2025-12-29 00:00 UTC), "2026-W01"),
            (datetime!(2025-12-28 23:59:59 UTC), "2025-W52"),
            (datetime!(2027-01-03 12:00 UTC), "2026-W53"),
            (datetime!(2027-01-04 00:00 UTC), "2027-W01"),
        ] {
            assert_eq!(period(Rhythm::Weekly, moment), week, "{moment}");
        }
    }

    #[test]
    fn periods_are_those_of_utc_whatever_the_offset_of_the_moment() {
        let moment = datetime!(2026-02-01 00:30 +2);
        assert_eq!(
            Rhythm::ALL.map(|rhythm| period(rhythm, moment)),
            ["2026-01-31T22", "2026-01-31", "2026-W05", "2026-01", "2026"]
        );
    }
}
