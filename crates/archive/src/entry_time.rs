//! The time that stands in every zip header: a wall clock without a zone, in steps of two seconds.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// The modification time of all entries, as zip keeps it: from 1980 to 2107, even seconds, no zone.
///
/// In the manifest it reads `2026-11-21T08:30:04`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryTime {
    /// 7 bits of years since 1980, 4 of the month, 5 of the day.
    pub(crate) date: u16,
    /// 5 bits of hours, 6 of minutes, 5 of half the seconds.
    pub(crate) time: u16,
}

const FIRST: EntryTime = EntryTime { date: 1 << 5 | 1, time: 0 };
const LAST: EntryTime = EntryTime { date: 127 << 9 | 12 << 5 | 31, time: 23 << 11 | 59 << 5 | 29 };

/// The wall clock of the given offset; what zip cannot express becomes its first or last moment.
impl From<OffsetDateTime> for EntryTime {
    fn from(at: OffsetDateTime) -> Self {
        Self::of(at.date(), at.time())
    }
}

impl EntryTime {
    fn of(date: Date, time: Time) -> Self {
        match date.year() {
            ..1980 => FIRST,
            2108.. => LAST,
            year => {
                let years = u16::try_from(year - 1980).unwrap_or_default();
                let month = u16::from(u8::from(date.month()));
                Self {
                    date: years << 9 | month << 5 | u16::from(date.day()),
                    time: u16::from(time.hour()) << 11
                        | u16::from(time.minute()) << 5
                        | u16::from(time.second() / 2),
                }
            }
        }
    }
}

impl fmt::Display for EntryTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.date, self.time);
        let (year, month, day) = (1980 + (date >> 9), date >> 5 & 15, date & 31);
        let (hour, minute, second) = (time >> 11, time >> 5 & 63, (time & 31) * 2);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

impl FromStr for EntryTime {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "a time such as 2026-11-21T08:30:04, from 1980 to 2107, with even seconds";
        let parsed = parse(text).map(|at| Self::of(at.date(), at.time())).ok_or(WANTED)?;
        if parsed.to_string() == text { Ok(parsed) } else { Err(WANTED) }
    }
}

fn parse(text: &str) -> Option<PrimitiveDateTime> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.split('-');
    let mut time = time.split(':');
    let year = date.next()?.parse().ok()?;
    let month = Month::try_from(date.next()?.parse::<u8>().ok()?).ok()?;
    let date = Date::from_calendar_date(year, month, date.next()?.parse().ok()?).ok()?;
    let (hour, minute) = (time.next()?.parse().ok()?, time.next()?.parse().ok()?);
    Some(PrimitiveDateTime::new(date, Time::from_hms(hour, minute, time.next()?.parse().ok()?).ok()?))
}

impl Serialize for EntryTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
