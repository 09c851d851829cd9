//! `${VARIABLE}` in values.
//!
//! Variables are replaced after parsing, so that no value can become YAML; and never in keys.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::mistake::Mistake;
use super::scrub::Scrubber;
use super::value::{Kind, Scalar, Span, Typed, Value};
use super::{Environment, page::Page};

/// What a file named by `VARIABLE_FILE` may hold.
const LONGEST_VARIABLE_FILE: u64 = 64 * 1024;

/// A piece of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// It stands for itself.
    Text(&'a str),
    /// `${name}` or `${name:-default}`, with how it is written.
    Variable { name: &'a str, default: Option<&'a str>, written: &'a str },
}

/// What is wrong with a template: the bad piece and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadTemplate<'a> {
    written: &'a str,
    why: &'static str,
}

/// Takes a template apart. `$${` is a literal `${`; every other `$` stands for itself.
pub(crate) fn pieces(template: &str) -> Result<Vec<Piece<'_>>, BadTemplate<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(dollar) = rest.find("${") {
        if rest[..dollar].ends_with('$') {
            pieces.push(Piece::Text(&rest[..dollar - 1]));
            pieces.push(Piece::Text("${"));
            rest = &rest[dollar + 2..];
            continue;
        }
        pieces.push(Piece::Text(&rest[..dollar]));
        let (variable, after) = variable(&rest[dollar..])?;
        pieces.push(variable);
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| *piece != Piece::Text(""));
    Ok(pieces)
}

fn variable(text: &str) -> Result<(Piece<'_>, &str), BadTemplate<'_>> {
    let Some(end) = text.find('}') else {
        return Err(BadTemplate { written: "${", why: "a `${` is never closed" });
    };
    let (written, after) = text.split_at(end + 1);
    let inside = &written[2..end];
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if default.is_some_and(|default| default.contains("${")) {
        return Err(BadTemplate { written, why: "a default can't hold another variable" });
    }
    let fine = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !fine {
        return Err(BadTemplate { written, why: "this is not the name of a variable" });
    }
    Ok((Piece::Variable { name, default, written }, after))
}

/// Fills in variables, and remembers what must not be shown for it.
pub(crate) struct Variables<'a> {
    pub(crate) environment: &'a dyn Environment,
    pub(crate) base: &'a Path,
    pub(crate) page: &'a Page<'a>,
    pub(crate) scrubber: &'a mut Scrubber,
}

impl Variables<'_> {
    /// Fills in everything in `value`.
    pub(crate) fn fill(&mut self, value: &mut Value) -> Result<(), Box<Mistake>> {
        match &mut value.kind {
            Kind::Scalar(scalar) => self.fill_scalar(scalar, value.span),
            Kind::List(list) => list.iter_mut().try_for_each(|value| self.fill(value)),
            Kind::Mapping(mapping) => mapping.iter_mut().try_for_each(|(_, value)| self.fill(value)),
        }
    }

    fn fill_scalar(&mut self, scalar: &mut Scalar, span: Span) -> Result<(), Box<Mistake>> {
        if !scalar.text.contains("${") || scalar.template.is_some() {
            return Ok(());
        }
        let template = std::mem::take(&mut scalar.text);
        let pieces = pieces(&template).map_err(|bad| {
            Mistake::at(self.page.find(bad.written, span), bad.why)
                .with_hint("write `${NAME}` or `${NAME:-default}`, or `$${` for a literal `${`")
        })?;
        let (mut filled, mut foreign) = (false, false);
        for piece in pieces {
            match piece {
                Piece::Text(text) => scalar.text.push_str(text),
                Piece::Variable { name, default, written } => {
                    filled = true;
                    match self.value(name, default.is_some(), self.page.find(written, span))? {
                        Some(value) => {
                            foreign = true;
                            self.scrubber.hide(&value, &format!("${{{name}}}"));
                            scalar.text.push_str(&value);
                        }
                        None => scalar.text.push_str(default.unwrap_or_default()),
                    }
                }
            }
        }
        if foreign {
            self.scrubber.hide(&scalar.text, &template);
        }
        scalar.template = filled.then_some(template);
        if let (true, Some(template)) = (foreign, &scalar.template) {
            self.hide_number(scalar.typed(), template);
        }
        Ok(())
    }

    /// Messages show a number as it is, not as it is spelt.
    fn hide_number(&mut self, typed: Typed<'_>, template: &str) {
        let number = match typed {
            Typed::Unsigned(number) => number.to_string(),
            Typed::Signed(number) => number.to_string(),
            Typed::Float(number) => number.to_string(),
            Typed::Null | Typed::Bool(_) | Typed::Text(_) => return,
        };
        self.scrubber.hide(&number, template);
    }

    /// The variable's value; none if its default is to be used.
    fn value(&self, name: &str, has_default: bool, span: Span) -> Result<Option<String>, Box<Mistake>> {
        let value = match self.environment.var(name) {
            Some(value) => Some(value),
            None => match self.environment.var(&format!("{name}_FILE")) {
                Some(file) => Some(self.file_value(name, &file, span)?),
                None => None,
            },
        };
        match value {
            Some(value) if !(has_default && value.is_empty()) => Ok(Some(value)),
            _ if has_default => Ok(None),
            _ => Err(Mistake::at(span, format!("the variable `{name}` is not set")).with_hint(format!(
                "set it, put its value into a file named by `{name}_FILE`, or write `${{{name}:-default}}`"
            ))),
        }
    }

    fn file_value(&self, name: &str, file: &str, span: Span) -> Result<String, Box<Mistake>> {
        let fail = |why: &str| Mistake::at(span, format!("the file that `{name}_FILE` names {why}"));
        let mut value = String::new();
        let read = File::open(self.base.join(file))
            .and_then(|file| file.take(LONGEST_VARIABLE_FILE + 1).read_to_string(&mut value))
            .map_err(|error| fail(&format!("can't be read: {error}")))?;
        if read as u64 > LONGEST_VARIABLE_FILE {
            return Err(fail("is longer than 64 KiB"));
        }
        let text = value.strip_suffix('\n').unwrap_or(&value);
        Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::Piece::{Text, Variable};
    use super::*;

    #[test]
    fn a_template_comes_apart_into_text_and_variables() {
        let a = Variable { name: "A", default: None, written: "${A}" };
        let b = Variable { name: "B", default: Some("x:-$y"), written: "${B:-x:-$y}" };
        for (template, expected) in [
            ("", vec![]),
            ("pa$$word$", vec![Text("pa$$word$")]),
            ("${A}", vec![a]),
            ("u:${A}@h/${B:-x:-$y}", vec![Text("u:"), a, Text("@h/"), b]),
            ("$${A}", vec![Text("${"), Text("A}")]),
            ("é$${é${A}", vec![Text("é"), Text("${"), Text("é"), a]),
        ] {
            assert_eq!(pieces(template), Ok(expected), "{template}");
        }
    }

    #[test]
    fn a_bad_template_is_refused_with_the_piece_that_is_bad() {
        for (template, written) in [
            ("a${B", "${"),
            ("${}", "${}"),
            ("${1A}", "${1A}"),
            ("${A-b}", "${A-b}"),
            ("${A:?b}", "${A:?b}"),
            ("${A:-${B}}", "${A:-${B}"),
        ] {
            assert_eq!(pieces(template).map_err(|bad| bad.written), Err(written), "{template}");
        }
    }
}
