//! Values in which variables stand, as files of others have them.

/// A text with variables in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable { name: String, default: Option<String> },
}

impl Template {
    /// A text that means nothing but itself.
    pub(super) fn literal(text: &str) -> Self {
        Self(vec![Piece::Text(text.to_owned())])
    }

    /// The value of a variable.
    pub(super) fn variable(name: &str) -> Self {
        Self(vec![Piece::Variable { name: name.to_owned(), default: None }])
    }

    /// A text with `$NAME`, `${NAME}`, `${NAME:-default}` and `$$` in it, as Compose reads them.
    pub(super) fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            plain.push_str(before);
            rest = match variable(after) {
                Some((variable, after)) => {
                    pieces.extend([Piece::Text(std::mem::take(&mut plain)), variable]);
                    after
                }
                None => {
                    plain.push('$');
                    after.strip_prefix('$').unwrap_or(after)
                }
            };
        }
        pieces.push(Piece::Text(plain + rest));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Self(pieces)
    }

    /// The variable that is all of it: a secret is never more, nor its default.
    pub(super) fn only_variable(&self) -> Option<&str> {
        match &self.0[..] {
            [Piece::Variable { name, .. }] => Some(name),
            _ => None,
        }
    }

    /// The value, if all variables are known to `known`, or have defaults.
    pub(super) fn value(&self, known: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let value = |piece: &Piece| match piece {
            Piece::Text(text) => Some(text.clone()),
            Piece::Variable { name, default } => {
                known(name).filter(|value| !value.is_empty()).or_else(|| default.clone())
            }
        };
        self.0.iter().map(value).collect()
    }

    /// As our configuration writes it, in libpq's `name='value'`.
    pub(super) fn parameter(&self, name: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
        match &self.0[..] {
            [Piece::Text(text)] if text.chars().all(plain) => format!("{name}={text}"),
            pieces => format!("{name}='{}'", pieces.iter().map(written).collect::<String>()),
        }
    }

    /// As our configuration writes it, as a part of a URL.
    pub(super) fn in_url(&self) -> String {
        match &self.0[..] {
            // An address of IPv6.
            [Piece::Text(text)] if text.parse::<std::net::Ipv6Addr>().is_ok() => format!("[{text}]"),
            pieces => pieces.iter().map(in_url).collect(),
        }
    }
}

fn in_url(piece: &Piece) -> String {
    let escaped = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
        let escape =
            |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        text.bytes().map(escape).collect::<String>()
    };
    match piece {
        Piece::Text(text) => escaped(text),
        Piece::Variable { name, default: None } => format!("${{{name}}}"),
        Piece::Variable { name, default: Some(default) } => format!("${{{name}:-{}}}", escaped(default)),
    }
}

fn written(piece: &Piece) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    match piece {
        Piece::Text(text) => quoted(text).replace("${", "$${"),
        Piece::Variable { name, default: None } => format!("${{{name}}}"),
        Piece::Variable { name, default: Some(default) } => format!("${{{name}:-{}}}", quoted(default)),
    }
}

/// The variable after a `$`, and what follows it.
fn variable(text: &str) -> Option<(Piece, &str)> {
    let Some(braced) = text.strip_prefix('{') else {
        let (name, rest) = name_of(text)?;
        return Some((Piece::Variable { name: name.to_owned(), default: None }, rest));
    };
    let (inside, rest) = braced.split_once('}')?;
    let (name, more) = name_of(inside)?;
    let default = more.strip_prefix(":-").or_else(|| more.strip_prefix('-')).map(str::to_owned);
    Some((Piece::Variable { name: name.to_owned(), default }, rest))
}

fn name_of(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0 && !text.starts_with(|c: char| c.is_ascii_digit())).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_ours_and_all_else_stays_text() {
        for (text, written) in [
            ("shop", "dbname=shop"),
            ("${DB}", "dbname='${DB}'"),
            ("$DB-x", "dbname='${DB}-x'"),
            ("${DB-shop}", "dbname='${DB:-shop}'"),
            ("${DB:?set it}", "dbname='${DB}'"),
            ("it's $$5 \\", "dbname='it\\'s $5 \\\\'"),
            ("$${x}", "dbname='$${x}'"),
            ("${", "dbname='$${'"),
        ] {
            assert_eq!(Template::parse(text).parameter("dbname"), written, "{text}");
        }
    }

    #[test]
    fn a_secret_is_a_variable_without_its_default_or_unknown() {
        assert_eq!(Template::parse("${P:-hunter2}").only_variable(), Some("P"));
        assert_eq!(Template::parse("hunter2").only_variable(), None);
        assert_eq!(Template::parse("${P}2").only_variable(), None);
    }
}
