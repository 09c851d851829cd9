//! How archives are named.

use std::borrow::Cow;
use std::fmt;

use dumprestore_driver::{Error, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::place::is_archive_name;

/// The name of an archive below its place, with `{set}`, `{utc}`, `{date}` and `{profile}` to be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

/// What is filled in.
#[derive(Debug, Clone, Copy)]
pub struct Naming<'a> {
    /// The name of the set.
    pub set: &'a str,
    /// What kind of dump it is: `full`, `part`, or what the user says.
    pub profile: &'a str,
    /// When it began.
    pub moment: OffsetDateTime,
}

const KNOWN: [&str; 4] = ["set", "utc", "date", "profile"];

impl Default for Template {
    fn default() -> Self {
        Self("{set}-{utc}.zip".to_owned())
    }
}

impl Template {
    /// Checks a template.
    ///
    /// # Errors
    /// If names made by it would not be those of archives, would leave their place, or would all be the same.
    pub fn parse(text: &str) -> Result<Self> {
        let mut rest = text;
        while let Some((_, behind)) = rest.split_once('{') {
            let (variable, after) =
                behind.split_once('}').ok_or_else(|| wrong(text, "a `{` has no `}` behind it"))?;
            if !KNOWN.contains(&variable) {
                return Err(wrong(text, &format!("`{{{variable}}}` is not known")));
            }
            rest = after;
        }
        if !text.contains("{utc}") {
            return Err(wrong(text, "without `{utc}` the second archive would be called like the first"));
        }
        let template = Self(text.to_owned());
        let sample = Naming { set: "set", profile: "full", moment: OffsetDateTime::UNIX_EPOCH };
        let name = template.render(&sample);
        let odd = |part: &str| part.is_empty() || part.starts_with('.') || part.trim() != part;
        if name.split('/').any(odd) || name.chars().any(|c| c.is_control() || matches!(c, '\\' | '?' | '#')) {
            return Err(wrong(text, "it is not the name of a file below a folder"));
        }
        if !is_archive_name(&name) || name.ends_with(".age") {
            return Err(wrong(text, "it does not end in `.zip`"));
        }
        if name.split('/').next() == Some(crate::shelf::BEFORE_RESTORE) {
            return Err(wrong(text, "that folder is for dumps that are made before restores"));
        }
        Ok(template)
    }

    /// The name of an archive.
    pub fn render(&self, naming: &Naming<'_>) -> String {
        let moment = naming.moment.to_offset(time::UtcOffset::UTC);
        let utc = format_description!("[year][month][day]T[hour][minute][second]Z");
        let date = format_description!("[year]-[month]-[day]");
        // A time has all of these.
        let (utc, date) = (moment.format(utc).unwrap_or_default(), moment.format(date).unwrap_or_default());
        self.0
            .replace("{set}", naming.set)
            .replace("{utc}", &utc)
            .replace("{date}", &date)
            .replace("{profile}", naming.profile)
    }

    /// Whether it makes that name for archives of that set, whatever their time and profile: encrypted or not, and with the
    /// number of one whose name was taken.
    pub(crate) fn makes(&self, set: &str, name: &str) -> bool {
        let Some(pattern) = self.0.strip_suffix(".zip") else { return false };
        let stem = name.strip_suffix(".age").unwrap_or(name).strip_suffix(".zip");
        stem.is_some_and(|stem| {
            let first = stem.rsplit_once('-').filter(|(_, nth)| is_number(nth)).map(|(first, _)| first);
            fits(pattern, set, stem) || first.is_some_and(|first| fits(pattern, set, first))
        })
    }

    /// When the dump of an archive of that set began, if this template makes the name and one moment stands in it.
    pub(crate) fn moment_of(&self, set: &str, name: &str) -> Option<OffsetDateTime> {
        const SHAPE: &[u8] = b"00000000T000000Z";
        let is_one = |text: &&[u8]| {
            let fits = |(shape, byte): (&u8, &u8)| {
                if *shape == b'0' { byte.is_ascii_digit() } else { shape == byte }
            };
            SHAPE.iter().zip(*text).all(fits)
        };
        let mut found = name.as_bytes().windows(SHAPE.len()).filter(is_one);
        let (first, more) = (found.next()?, found.next());
        let moment = std::str::from_utf8(first).ok().filter(|_| more.is_none() && self.makes(set, name))?;
        crate::shelf::parse_moment(moment).ok()
    }

    /// How many folders lie between a place and its archives.
    pub(crate) fn depth(&self) -> usize {
        self.0.matches('/').count()
    }
}

/// Whether `pattern` is that text once its variables are filled in.
fn fits(pattern: &str, set: &str, text: &str) -> bool {
    let Some((literal, rest)) = pattern.split_once('{') else { return pattern == text };
    let (Some(text), Some((variable, rest))) = (text.strip_prefix(literal), rest.split_once('}')) else {
        return false;
    };
    let shaped = |shape: &str| {
        let (head, tail) = text.split_at_checked(shape.len())?;
        let same =
            |(shape, byte): (u8, u8)| if shape == b'0' { byte.is_ascii_digit() } else { shape == byte };
        shape.bytes().zip(head.bytes()).all(same).then_some(tail)
    };
    match variable {
        "set" => text.strip_prefix(set).is_some_and(|text| fits(rest, set, text)),
        "utc" => shaped("00000000T000000Z").is_some_and(|text| fits(rest, set, text)),
        "date" => shaped("0000-00-00").is_some_and(|text| fits(rest, set, text)),
        // It has any length, but is within one name.
        _ => {
            let end = text.find('/').unwrap_or(text.len());
            let ends = text[..end].char_indices().map(|(at, char)| at + char.len_utf8());
            ends.into_iter().any(|end| fits(rest, set, &text[end..]))
        }
    }
}

/// What [`numbered`] puts behind a name that was taken.
fn is_number(text: &str) -> bool {
    (1..=2).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && !text.starts_with('0')
        && text != "1"
}

/// The name of the `nth` archive of that name, counted from 1: all but the first have a number.
pub(crate) fn numbered(name: &str, nth: u32) -> String {
    let end = crate::place::ENDS.iter().rev().find(|end| name.ends_with(**end));
    match (nth, end) {
        (1, _) | (_, None) => name.to_owned(),
        (_, Some(end)) => format!("{}-{nth}{end}", &name[..name.len() - end.len()]),
    }
}

fn wrong(text: &str, why: &str) -> Error {
    Error::config(format!("`{}` can't name archives: {why}", text.escape_debug())).with_hint(
        "write it like `{set}/{utc}.{profile}.zip`; there are `{set}`, `{utc}`, `{date}` and `{profile}`",
    )
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| {
            let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            serde::de::Error::custom(format!("{}{hint}", error.message()))
        })
    }
}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "NameTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "examples": ["{set}/{utc}.{profile}.zip"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn names_are_made_of_set_time_and_profile_and_sort_by_time() {
        let naming = Naming { set: "shop", profile: "full", moment: datetime!(2026-01-31 23:59:59 +01:00) };
        let name = |text| Template::parse(text).unwrap().render(&naming);
        assert_eq!(Template::default().render(&naming), "shop-20260131T225959Z.zip");
        assert_eq!(name("{set}/{date}/{utc}.{profile}.zip"), "shop/2026-01-31/20260131T225959Z.full.zip");
        assert_eq!(Template::parse("{set}/{utc}.zip").unwrap().depth(), 1);
    }

    #[test]
    fn a_name_is_of_a_set_only_if_the_template_could_have_made_it_for_that_set_and_at_that_depth() {
        let naming = Naming { set: "shop", profile: "a-b.c", moment: datetime!(2026-01-31 23:59:59 UTC) };
        for template in
            ["{set}-{utc}.zip", "{set}/{utc}.{profile}.zip", "{date}/{profile}-{set}-{utc}.zip", "{utc}.zip"]
        {
            let parsed = Template::parse(template).unwrap();
            let name = parsed.render(&naming);
            for nth in [1, 2, 99] {
                for end in ["", ".age"] {
                    let name = numbered(&format!("{name}{end}"), nth);
                    assert!(parsed.makes("shop", &name), "{template}: {name}");
                    for other in [format!("staging/{name}"), format!("{name}.bak"), name.replace("T", "t")] {
                        assert!(!parsed.makes("shop", &other), "{template}: {other}");
                    }
                }
            }
        }
        let names = [
            "shop-eu-20260131T225959Z.zip",
            "shop.zip",
            "shop-20260131T225959Z-1.zip",
            "shop-20260131T225959Z-copy.zip",
            "shop-20260131T22595Z.zip",
            "eshop-20260131T225959Z.zip",
            "legal-hold/shop-20260131T225959Z.zip",
        ];
        for name in names {
            assert!(!Template::default().makes("shop", name), "{name}");
        }
    }

    #[test]
    fn the_moment_in_a_name_is_told_of_names_that_the_template_makes_only() {
        let template = Template::parse("{set}/{utc}.{profile}.zip").unwrap();
        let moment = Some(datetime!(2026-01-31 22:59:59 UTC));
        for name in ["shop/20260131T225959Z.full.zip", "shop/20260131T225959Z.full-2.zip.age"] {
            assert_eq!(template.moment_of("shop", name), moment, "{name}");
        }
        for name in ["eu/20260131T225959Z.full.zip", "shop/20260131T225959Z.20260131T225959Z.zip", "shop.zip"]
        {
            assert_eq!(template.moment_of("shop", name), None, "{name}");
        }
    }

    #[test]
    fn a_template_that_would_lose_archives_is_refused() {
        for (text, why) in [
            ("shop.zip", "{utc}"),
            ("{set}-{utc}", ".zip"),
            ("{set}-{utc}.zip.age", ".zip"),
            ("../{utc}.zip", "below a folder"),
            ("/{utc}.zip", "below a folder"),
            ("{set}//{utc}.zip", "below a folder"),
            ("{utc}.zip?x.zip", "below a folder"),
            ("{host}-{utc}.zip", "`{host}` is not known"),
            ("{utc}-{.zip", "no `}`"),
            ("before-restore/{utc}.zip", "before restores"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert!(error.message().contains(why), "`{text}`: {error}");
        }
    }

    #[test]
    fn a_number_goes_before_the_end_of_a_name() {
        assert_eq!(numbered("a/b.zip", 1), "a/b.zip");
        assert_eq!(numbered("a/b.zip", 2), "a/b-2.zip");
        assert_eq!(numbered("a/b.zip.age", 3), "a/b-3.zip.age");
    }
}
