//! A moment, as people write it.

use dumprestore_driver::{Error, Result};
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, time};
use time::{Date, OffsetDateTime, PrimitiveDateTime};

/// The moment that a text says: `2026-01-31` (the end of that day), `2026-01-31T12:30`, with seconds, with an offset, or
/// as in the names of archives, `20260131T123000Z`. In UTC where nothing else is said.
///
/// # Errors
/// If it says none.
pub fn parse_moment(text: &str) -> Result<OffsetDateTime> {
    let form = text.trim().replacen(' ', "T", 1);
    let form = form.as_str();
    let date = format_description!("[year]-[month]-[day]");
    let minutes = format_description!("[year]-[month]-[day]T[hour]:[minute]");
    let seconds = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let short = format_description!("[year][month][day]T[hour][minute][second]");
    let plain = form.strip_suffix('Z').unwrap_or(form);
    let read =
        |form: &[time::format_description::BorrowedFormatItem<'_>]| PrimitiveDateTime::parse(plain, form);
    if let Ok(moment) = OffsetDateTime::parse(form, &Rfc3339) {
        return Ok(moment);
    }
    if let Ok(day) = Date::parse(plain, date) {
        return Ok(day.with_time(time!(23:59:59.999_999_999)).assume_utc());
    }
    let moment = read(seconds).or_else(|_| read(minutes)).or_else(|_| read(short));
    moment.map(PrimitiveDateTime::assume_utc).map_err(|_| {
        Error::config(format!("`{}` is no time", text.escape_debug()))
            .with_hint("write `2026-01-31`, `2026-01-31T12:30` or `2026-01-31T12:30:00+01:00`; without an offset it is UTC")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn moments_are_read_as_people_write_them() {
        for (text, moment) in [
            ("2026-01-31", datetime!(2026-01-31 23:59:59.999_999_999 UTC)),
            ("2026-01-31T12:30", datetime!(2026-01-31 12:30:00 UTC)),
            ("2026-01-31 12:30", datetime!(2026-01-31 12:30:00 UTC)),
            ("2026-01-31T12:30:05", datetime!(2026-01-31 12:30:05 UTC)),
            ("2026-01-31T12:30:05Z", datetime!(2026-01-31 12:30:05 UTC)),
            ("2026-01-31T12:30:05+01:00", datetime!(2026-01-31 12:30:05 +01:00)),
            ("20260131T123005Z", datetime!(2026-01-31 12:30:05 UTC)),
        ] {
            assert_eq!(parse_moment(text).unwrap(), moment, "{text}");
        }
        for text in ["", "yesterday", "2026-02-30", "2026-01-31T25:00", "12:30"] {
            assert!(parse_moment(text).is_err(), "{text}");
        }
    }
}
