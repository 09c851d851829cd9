//! The drivers that a configuration may name.

use std::fmt;
use std::io::Write;

use dumprestore_driver::{ArchivedNode, DriverConfig, Error, Result, Selection};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::archive_config::{ArchiveConfig, ArchiveReader, BuildArchive};
use crate::builder::BuildDriver;
use crate::config::{ConfigMistake, ConfigValue, NODE_KEYS, read_noting};
use crate::option_schema::OptionSchema;

/// The drivers that a configuration may name: a value, which the caller puts together.
#[derive(Clone, Default)]
pub struct Registry {
    drivers: Vec<Entry>,
    archives: ArchiveReader,
}

/// A driver that can be named in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct DriverInfo {
    /// The name under `driver:`.
    pub kind: &'static str,
    /// One line that says what it dumps.
    pub about: &'static str,
    /// The option that says where the data lives, if a node can be restored elsewhere.
    pub target: Option<&'static str>,
}

/// Reads the options of a node; tells as well whether keys nobody knows may have got lost.
type ReadOptions = fn(&ConfigValue) -> Result<(BuildDriver, bool), Box<ConfigMistake>>;

/// Writes an archived node as SQL.
pub(crate) type ExportSql = fn(&dyn ArchivedNode, &Selection, &mut (dyn Write + Send)) -> Result<()>;

#[derive(Clone)]
struct Entry {
    info: DriverInfo,
    export_sql: ExportSql,
    read: ReadOptions,
    json_schema: fn(&mut SchemaGenerator) -> Schema,
    /// The schema of its options, on its own.
    options: Value,
}

impl Registry {
    /// Without any driver.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with one more driver. That two drivers have one name, or that an option is called like a key of
    /// every node, is the programmer's mistake; it comes to light when the first set is built.
    pub fn with<C: DriverConfig>(mut self) -> Self {
        self.drivers.push(Entry {
            info: DriverInfo { kind: C::KIND, about: C::ABOUT, target: C::TARGET },
            export_sql: C::export_sql,
            read: read_config::<C>,
            json_schema: <C as JsonSchema>::json_schema,
            options: SchemaGenerator::default().into_root_schema_for::<C>().to_value(),
        });
        self
    }

    /// The same, with what may stand under `archive:`. Without it, that is a local file or folder.
    pub fn with_archives<C: ArchiveConfig>(mut self) -> Self {
        self.archives = ArchiveReader::of::<C>();
        self
    }

    /// What there is, in the order in which it was put in.
    pub fn kinds(&self) -> impl Iterator<Item = DriverInfo> + '_ {
        self.drivers.iter().map(|entry| entry.info)
    }

    /// The JSON Schema of a whole configuration file, with the options of all these drivers.
    pub fn schema(&self) -> Value {
        let drivers = self.drivers.iter().map(|entry| (entry.info, entry.json_schema));
        crate::config_schema::config_schema(drivers, self.archives.json_schema)
    }

    /// Refuses a registry that its programmer got wrong.
    pub(crate) fn check(&self) -> Result<()> {
        for (at, entry) in self.drivers.iter().enumerate() {
            let kind = entry.info.kind;
            if self.drivers[..at].iter().any(|other| other.info.kind == kind) {
                return Err(Error::defect(format!("two drivers are called `{kind}`")));
            }
            let schema = OptionSchema::of(&entry.options);
            if let Some(key) = NODE_KEYS.into_iter().find(|key| schema.has(key)) {
                return Err(Error::defect(format!(
                    "the driver `{kind}` has an option `{key}`, which every node has"
                )));
            }
        }
        Ok(())
    }

    /// The schema of that driver's options.
    pub(crate) fn options(&self, kind: &str) -> Option<OptionSchema<'_>> {
        self.entry(kind).map(|entry| OptionSchema::of(&entry.options))
    }

    /// The schema of what stands under `archive:`.
    pub(crate) fn archive_options(&self) -> OptionSchema<'_> {
        OptionSchema::of(&self.archives.options)
    }

    /// Reads a mapping with the one key `archive`.
    pub(crate) fn read_archive(
        &self,
        value: &ConfigValue,
    ) -> Result<Option<BuildArchive>, Box<ConfigMistake>> {
        (self.archives.read)(value)
    }

    /// Reads the options of a node with that driver.
    pub(crate) fn read(&self, kind: &str, options: &ConfigValue) -> Result<BuildDriver, Box<ConfigMistake>> {
        let Some(entry) = self.entry(kind) else {
            return Err(ConfigMistake::at(options.span, format!("there is no driver `{kind}`")));
        };
        let schema = OptionSchema::of(&entry.options);
        let unknown = || {
            let mut keys = options.mapping().into_iter().flatten().map(|(key, _)| key);
            let key = keys.find(|key| !schema.is_open() && !schema.has(&key.text))?;
            Some(ConfigMistake::unknown(key.span, &key.text, schema.keys()))
        };
        match (entry.read)(options) {
            Ok((build, keys_unchecked)) => unknown().filter(|_| keys_unchecked).map_or(Ok(build), Err),
            // Of options that were put together from several structures it is not told which one is wrong.
            Err(mistake) if mistake.is_somewhere_in(options.span) => Err(unknown().unwrap_or(mistake)),
            Err(mistake) => Err(mistake),
        }
    }

    /// How a node of that driver becomes SQL.
    pub(crate) fn exporter(&self, kind: &str) -> Option<ExportSql> {
        self.entry(kind).map(|entry| entry.export_sql)
    }

    fn entry(&self, kind: &str) -> Option<&Entry> {
        self.drivers.iter().find(|entry| entry.info.kind == kind)
    }
}

fn read_config<C: DriverConfig>(options: &ConfigValue) -> Result<(BuildDriver, bool), Box<ConfigMistake>> {
    let read = read_noting::<C>(options)?;
    let build: BuildDriver = Box::new(move |cx| read.value.build(cx));
    Ok((build, read.keys_unchecked))
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds().map(|info| info.kind)).finish()
    }
}
