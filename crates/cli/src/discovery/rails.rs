//! Databases of servers in the `config/database.yml` of a Rails application.

use std::path::Path;

use super::server::{Family, Parts, ServerDatabase, name_in};
use super::template::Template;
use super::yaml::Yaml;
use super::{read_small, variable_of};

const FILE: &str = "config/database.yml";
/// The first of them that is there: what is worth a backup, most likely.
const SECTIONS: [&str; 3] = ["production", "staging", "development"];

/// `replaced`: a variable replaces what the file says of an application's only database.
pub(super) fn look(
    folder: &Path,
    known: &dyn Fn(&str) -> Option<String>,
    replaced: bool,
    unread: &mut Vec<String>,
) -> Vec<ServerDatabase> {
    let Some(text) = read_small(&folder.join(FILE)) else { return Vec::new() };
    let Some(yaml) = Yaml::parse(&without_ruby(&text)) else {
        unread.push(FILE.to_owned());
        return Vec::new();
    };
    let section = SECTIONS.iter().find_map(|name| Some((*name, yaml.get(name)?)));
    let Some((name, section)) = section else { return Vec::new() };
    let several: Vec<_> = section.entries().iter().filter(|(key, value)| is_database(key, value)).collect();
    if several.is_empty() {
        let place = format!("From `{name}` in `{FILE}`.");
        return database(section, "", place, known).into_iter().filter(|_| !replaced).collect();
    }
    let of_one =
        |(key, one): &&(String, Yaml)| database(one, key, format!("From `{name}.{key}` in `{FILE}`."), known);
    several.iter().filter_map(of_one).collect()
}

/// Whether an entry of a section is a database of its own, and not a copy of another.
fn is_database(key: &str, value: &Yaml) -> bool {
    let says_where = ["adapter", "database", "url"].iter().any(|key| value.get(key).is_some());
    key != "<<" && says_where && value.text_of("replica") != Some("true")
}

/// `name`: which of several it is.
fn database(
    section: &Yaml,
    name: &str,
    place: String,
    known: &dyn Fn(&str) -> Option<String>,
) -> Option<ServerDatabase> {
    let url = section.text_of("url").unwrap_or_default();
    let variable = Template::parse(url).only_variable().map(str::to_owned);
    if let Some(variable) = variable {
        let value = known(&variable).filter(|value| !value.is_empty());
        return Some(ServerDatabase {
            family: value.as_deref().map_or_else(|| of_adapter(section), Family::of_url)?,
            options: vec![("url", format!("${{{variable}}}"))],
            remarks: vec![place],
            name: value.as_deref().and_then(name_in),
        });
    }
    if let Some(family) = Family::of_url(url) {
        // It may hold a password.
        let variable = variable_of(name, "DATABASE_URL");
        let remark = format!("The URL stands there: have it in `{variable}` in the environment.");
        let options = vec![("url", format!("${{{variable}}}"))];
        return Some(ServerDatabase { family, options, remarks: vec![place, remark], name: name_in(url) });
    }
    let family = of_adapter(section)?;
    let part = |key: &str| section.text_of(key).map(Template::parse);
    let parts = Parts {
        host: part("host"),
        port: part("port"),
        user: part("username"),
        database: Some(part("database")?),
        socket: part("socket"),
    };
    let mut options = vec![("url", family.url(&parts))];
    let mut remarks = vec![place];
    options
        .extend(section.text_of("password").map(|value| ("password", password(value, name, &mut remarks))));
    let name = parts.database.and_then(|database| database.value(known));
    Some(ServerDatabase { family, options, remarks, name })
}

fn of_adapter(section: &Yaml) -> Option<Family> {
    Family::of_adapter(section.text_of("adapter")?)
}

/// A reference to the password: never itself.
fn password(value: &str, name: &str, remarks: &mut Vec<String>) -> String {
    let variable = Template::parse(value).only_variable().map(str::to_owned).unwrap_or_else(|| {
        let variable = variable_of(name, "DATABASE_PASSWORD");
        remarks.push(format!("The password stands there: have it in `{variable}` in the environment."));
        variable
    });
    format!("${{{variable}}}")
}

/// Ruby within the file: a variable of the environment that it reads becomes ours, and all else is left out.
fn without_ruby(text: &str) -> String {
    // A dollar in the file is nothing but that.
    let text = text.replace('$', "$$");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("<%") {
        let (ruby, after) = after.split_once("%>").unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(&environment_in(ruby).map(|name| format!("${{{name}}}")).unwrap_or_default());
        rest = after;
    }
    out + rest
}

fn environment_in(ruby: &str) -> Option<&str> {
    let (_, after) = ruby.split_once("ENV")?;
    let after = after.trim_start_matches(".fetch").trim_start_matches(['[', '(', ' ']);
    let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let name = after.get(1..)?.split(quote).next()?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_ruby_reads_become_ours() {
        for (ruby, ours) in [
            ("a: <%= ENV[\"A\"] %>", "a: ${A}"),
            ("a: <%= ENV.fetch('A') { 5 } %>x", "a: ${A}x"),
            ("a: <%= ENV.fetch(\"A\", 'b') %>", "a: ${A}"),
            ("<% 1.times do %>\na: $5", "\na: $$5"),
            ("a: <%= `whoami` %>", "a: "),
            ("a: <%= ENV[", "a: "),
        ] {
            assert_eq!(without_ruby(ruby), ours);
        }
    }
}
