//! A [`BackupSet`] from a configuration file.
//!
//! The text becomes a tree that knows where everything stands (`read`); an outline of it is kept for the manifest
//! (`outline`); variables are filled in (`interpolate`); the tree is read as typed settings and options
//! (`deserialize`, `set_keys`, `node`); and the set is built. Whatever is wrong on the way is pointed at (`page`),
//! and what must not be seen is taken out of it (`scrub`).

mod deserialize;
mod hooks;
mod interpolate;
mod mistake;
mod node;
mod outline;
mod page;
mod read;
mod scrub;
mod secrets;
mod set_keys;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, NodePath, Result};

use self::interpolate::Variables;
use self::mistake::{Mistake, Subject, printable};
use self::node::NodeReader;
use self::outline::outline;
use self::page::Page;
use self::scrub::Scrubber;
use self::set_keys::read_set_keys;
use self::value::{Kind, Span, Value};
use crate::assemble::{Fault, Place};
use crate::{BackupSet, Registry};

pub(crate) use self::deserialize::{read, read_noting};
pub(crate) use self::mistake::Mistake as ConfigMistake;
pub(crate) use self::node::{NODE_KEYS, NodeKeys};
pub(crate) use self::set_keys::{LocalArchive, SetKeys};
pub(crate) use self::value::Value as ConfigValue;

/// Where variables come from. The library never looks at the environment of the process by itself.
pub trait Environment {
    /// The value of that variable, if it is set.
    fn var(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn var(&self, name: &str) -> Option<String> {
        self(name)
    }
}

impl Environment for BTreeMap<String, String> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}

/// Where a configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigOrigin {
    /// What the file is called in messages.
    pub file: String,
    /// The folder that relative paths start from. Has to be absolute.
    pub base: PathBuf,
}

impl ConfigOrigin {
    /// A file of that name, whose relative paths start from `base`.
    pub fn new(file: impl Into<String>, base: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), base: base.into() }
    }
}

/// What the caller puts in the place of what is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overrides {
    /// Other targets for some nodes: the option named by [`DriverConfig::TARGET`](crate::DriverConfig::TARGET)
    /// gets this value, in which no variable is replaced.
    pub targets: BTreeMap<NodePath, String>,
    /// The folder that a target which is a relative path starts from.
    pub base: PathBuf,
}

impl Overrides {
    /// Nothing is replaced.
    pub fn none() -> Self {
        Self::default()
    }

    /// These targets are replaced; relative paths among them start from `base`.
    pub fn targets(targets: BTreeMap<NodePath, String>, base: impl Into<PathBuf>) -> Self {
        Self { targets, base: base.into() }
    }
}

impl BackupSet {
    /// Reads a configuration file, and builds and checks the set. Nothing is connected to, and nothing touched.
    ///
    /// `${VARIABLE}` comes from `environment`; where only `VARIABLE_FILE` is set, from the file it names.
    ///
    /// # Errors
    /// Mostly [`ErrorKind::Config`](crate::ErrorKind::Config). The message names file, line and column, and shows the
    /// line, without values of variables and without secrets.
    pub fn from_yaml(
        text: impl AsRef<[u8]>,
        origin: &ConfigOrigin,
        registry: &Registry,
        environment: &dyn Environment,
        overrides: &Overrides,
    ) -> Result<BackupSet> {
        registry.check()?;
        let text = as_text(text.as_ref(), &origin.file)?;
        let mut scrubber = Scrubber::default();
        let mut page = Page::new(&origin.file, text);
        let document = page_of(text).map_err(|mistake| page.error(&mistake, Subject::Top, &scrubber))?;
        let outline = outline(&document, registry, &mut scrubber);
        page.hide(outline.secrets);
        let reading = Reading { base: &origin.base, registry, environment, overrides, page: &page };
        let read = reading.set(document, outline.config, &mut scrubber);
        read.map_err(|stopped| stopped.into_error(&page, &scrubber))
    }
}

fn as_text<'a>(text: &'a [u8], file: &str) -> Result<&'a str> {
    match std::str::from_utf8(text) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let before = &text[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            Err(Error::config(format!("{file}:{line}: this is not UTF-8 text"))
                .with_hint("save the file as UTF-8"))
        }
    }
}

fn page_of(text: &str) -> Result<Value, Box<Mistake>> {
    let document = read::read_document(text)?;
    match document.kind {
        Kind::Mapping(_) => Ok(document),
        _ => {
            Err(Mistake::at(document.span, "a configuration is a mapping")
                .with_hint("begin with `version: 1`"))
        }
    }
}

struct Reading<'a> {
    base: &'a Path,
    registry: &'a Registry,
    environment: &'a dyn Environment,
    overrides: &'a Overrides,
    page: &'a Page<'a>,
}

impl Reading<'_> {
    fn set(
        &self,
        document: Value,
        config: serde_json::Value,
        scrubber: &mut Scrubber,
    ) -> Result<BackupSet, Stopped> {
        let top = document.span;
        let mut keys = document;
        let nodes = take(&mut keys, "set")
            .ok_or_else(|| Mistake::missing(top, "set").with_hint("list what is to be dumped under `set`"));
        let variables =
            Variables { environment: self.environment, base: self.base, page: self.page, scrubber };
        let (mut draft, name, variables) = read_set_keys(keys, self.registry, variables)?;
        let (_, nodes) = nodes?;
        let set_span = nodes.span;
        let (registry, overrides) = (self.registry, self.overrides);
        let mut reader =
            NodeReader { registry, overrides, variables, written: Vec::new(), overridden: Vec::new() };
        draft.nodes = reader.nodes(nodes, None, true)?;
        draft.config = Some(config);
        let NodeReader { written, overridden, .. } = reader;
        if let Some(path) = overrides.targets.keys().find(|path| !overridden.contains(path)) {
            return Err(Stopped::Overrides(format!(
                "there is no enabled node `{path}` to give another target"
            )));
        }
        draft.build_or_fault().map_err(|fault| {
            if let Some(node) = fault.node.clone().filter(|_| self.is_of_override(&fault)) {
                return Stopped::Replaced(node, fault.error);
            }
            let span = match fault.place {
                Place::Set => set_span,
                Place::SetName => name,
                place => span_of(place, &written).unwrap_or(set_span),
            };
            Stopped::Fault(span_of_option(&fault, &written).unwrap_or(span), fault)
        })
    }
}

impl Reading<'_> {
    /// Whether a driver refuses what the caller put in the place of its target: the file is not to blame.
    fn is_of_override(&self, fault: &Fault) -> bool {
        let is_replaced = fault.node.as_ref().is_some_and(|node| self.overrides.targets.contains_key(node));
        let mut targets = self.registry.kinds().filter_map(|info| info.target);
        let message = fault.error.message();
        is_replaced
            && matches!(fault.place, Place::Driver(_))
            && targets.any(|target| message.contains(&format!("`{target}`")))
    }
}

/// Takes an entry out of a mapping.
fn take(value: &mut Value, key: &str) -> Option<(value::Key, Value)> {
    match &mut value.kind {
        Kind::Mapping(mapping) => {
            let at = mapping.iter().position(|(found, _)| found.text == key)?;
            Some(mapping.remove(at))
        }
        _ => None,
    }
}

/// Where that place of the draft was written.
fn span_of(place: Place, written: &[Value]) -> Option<Span> {
    let node = |at: usize| written.get(at);
    let entry = |at: usize, key: &str, nth: usize| {
        let value = node(at)?.get(key)?;
        value.list().map_or(Some(value), |list| list.get(nth))
    };
    let of_reference = |at, nth, key: &str| {
        let reference: &Value = entry(at, "references", nth)?;
        Some(reference.get(key).unwrap_or(reference).span)
    };
    match place {
        Place::Set | Place::SetName => None,
        Place::Node(at) => Some(node(at)?.get("name").or(node(at))?.span),
        Place::Driver(at) => Some(node(at)?.get("driver").or(node(at))?.span),
        Place::Hooks(at) => Some(node(at)?.get("hooks").or(node(at))?.span),
        Place::After(at, nth) => entry(at, "after", nth).map(|value| value.span),
        Place::Reference(at, nth) => of_reference(at, nth, "to"),
        Place::Keys(at, nth) => of_reference(at, nth, "keys"),
        Place::Within(at, nth) => of_reference(at, nth, "in"),
    }
}

/// A driver that refuses its options names the one at fault: that is where to point.
fn span_of_option(fault: &Fault, written: &[Value]) -> Option<Span> {
    let Place::Driver(at) = fault.place else { return None };
    let options = written.get(at)?.mapping()?.iter().filter(|(key, _)| !NODE_KEYS.contains(&&*key.text));
    let named = |key: &str| fault.error.message().contains(&format!("`{key}`"));
    let mut named = options.filter(|(key, _)| named(&key.text));
    match (named.next(), named.next()) {
        (Some((_, value)), None) => Some(value.span),
        _ => None,
    }
}

/// Why reading a file came to an end.
enum Stopped {
    Mistake(Box<Mistake>),
    /// In the options of a driver of that kind.
    Options(Box<Mistake>, String),
    /// In a node without a driver.
    Group(Box<Mistake>),
    /// In what the caller put in the place of what is written.
    Overrides(String),
    /// A driver refused what the caller put in the place of its target.
    Replaced(NodePath, Error),
    /// Something that was read could not be made use of.
    Failed(Span, Error),
    Fault(Span, Box<Fault>),
}

impl From<Box<Mistake>> for Stopped {
    fn from(mistake: Box<Mistake>) -> Self {
        Self::Mistake(mistake)
    }
}

impl Stopped {
    fn at_key(value: &Value, key: &str, error: Error) -> Self {
        Self::Failed(value.get(key).unwrap_or(value).span, error)
    }

    fn into_error(self, page: &Page<'_>, scrubber: &Scrubber) -> Error {
        match self {
            Self::Mistake(mistake) => page.error(&mistake, Subject::Top, scrubber),
            Self::Options(mistake, kind) => page.error(&mistake, Subject::Driver(&kind), scrubber),
            Self::Group(mistake) => page.error(&mistake, Subject::Group, scrubber),
            Self::Overrides(message) => Error::config(message),
            Self::Replaced(node, error) => replaced(&node, &error, scrubber),
            Self::Failed(span, error) => pointed_at(page, span, error, scrubber),
            Self::Fault(span, fault) => {
                let Fault { node, error, .. } = *fault;
                let error = match node {
                    Some(node) => error.with_node(&node),
                    None => error,
                };
                pointed_at(page, span, error, scrubber)
            }
        }
    }
}

/// The same error, with its place and the line.
fn replaced(node: &NodePath, error: &Error, scrubber: &Scrubber) -> Error {
    let message = printable(&scrubber.clean(&error.to_string()));
    let refused = Error::new(error.kind(), format!("the target given with `--map` is refused: {message}"));
    match error.hint() {
        Some(hint) => refused.with_hint(printable(&scrubber.clean(hint))),
        None => refused,
    }
    .with_node(node)
}

fn pointed_at(page: &Page<'_>, span: Span, error: Error, scrubber: &Scrubber) -> Error {
    // A message of several lines goes on below the line that is shown.
    let message = scrubber.clean(&error.to_string());
    let mut lines = message.lines().map(printable);
    let mut message = page.pointed_at(span, &lines.next().unwrap_or_default());
    for line in lines {
        message.push('\n');
        message.push_str(&line);
    }
    let pointed = Error::new(error.kind(), message);
    match error.hint() {
        Some(hint) => pointed.with_hint(printable(&scrubber.clean(hint))),
        None => pointed,
    }
}
