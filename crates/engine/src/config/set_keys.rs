//! The keys at the top of a file.

use std::borrow::Cow;
use std::path::PathBuf;

use dumprestore_driver::{BuildContext, NodePath};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::deserialize::read;
use super::hooks::WrittenHooks;
use super::interpolate::Variables;
use super::value::{Key, Kind, Span, Value};
use super::{Stopped, take};
use crate::{Archive, ArchiveConfig, BackupSet, Coherence, Compression, Parallel, Registry, SetBuilder};

/// The top of a configuration, without its nodes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetKeys {
    /// The version of this format.
    #[expect(dead_code, reason = "checked as it is read")]
    version: Version,
    /// The name of the set: ASCII letters, digits, `_` and `-`.
    name: String,
    /// Programs to run before, during and after dumps and restores of the whole set.
    #[serde(default)]
    hooks: Option<WrittenHooks>,
    /// How hard a dump tries to be coherent.
    #[serde(default)]
    coherence: Option<Coherence>,
    /// Whether this set may be restored at all. Nothing overrides a `false`.
    #[serde(default)]
    allow_restore: Option<bool>,
    /// The folder for lock, journal and previous states, which has to be there; by default `.dumprestore` beside this file, which is made.
    #[serde(default)]
    state: Option<PathBuf>,
    /// How many parts are read or loaded at once in all.
    #[serde(default)]
    parallel: Option<Parallel>,
    /// How parts are compressed.
    #[serde(default)]
    compression: Option<Compression>,
}

/// Where archives go, as long as nobody keeps them elsewhere.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Archive")]
pub(crate) struct LocalArchive {
    /// A file, or a folder that gets a file named after the set and the time.
    to: LocalPath,
}

impl ArchiveConfig for LocalArchive {
    fn build(self, cx: &BuildContext) -> dumprestore_driver::Result<Archive> {
        Ok(Archive::to(cx.path(&self.to.0)))
    }
}

/// A path, and not a URL.
struct LocalPath(PathBuf);

impl<'de> Deserialize<'de> for LocalPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = String::deserialize(deserializer)?;
        if path.is_empty() {
            return Err(D::Error::custom("a path can't be empty"));
        }
        if path.contains("://") {
            return Err(D::Error::custom(
                "archives go to a local file or folder, not to a URL\nhint: write a path, such as `backups/`",
            ));
        }
        Ok(Self(path.into()))
    }
}

impl JsonSchema for LocalPath {
    fn schema_name() -> Cow<'static, str> {
        "LocalPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// The one version of the format that there is.
struct Version;

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(D::Error::custom(format!(
                "version {other} of the configuration is not known\nhint: write `version: 1`, or use a newer dumprestore"
            ))),
        }
    }
}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": 1 })
    }
}

/// Reads all but the nodes. Gives back where the name stands, too.
pub(crate) fn read_set_keys<'v>(
    mut keys: Value,
    registry: &Registry,
    mut variables: Variables<'v>,
) -> Result<(SetBuilder, Span, Variables<'v>), Stopped> {
    variables.fill(&mut keys)?;
    let name = keys.get("name").map_or(keys.span, |name| name.span);
    let archive = take(&mut keys, "archive");
    let read: SetKeys = read(&keys).map_err(|mistake| mistake.with_known(&["set", "archive"]))?;
    let mut draft = BackupSet::builder(read.name).base(variables.base);
    // These belong to no node; their secrets only need the folder.
    let cx = BuildContext::new(
        NodePath::new("set").map_err(|error| Stopped::Failed(name, error))?,
        variables.base,
    );
    if let Some(hooks) = read.hooks {
        draft.hooks = hooks.build(&cx).map_err(|error| Stopped::at_key(&keys, "hooks", error))?;
    }
    if let Some((key, value)) = archive {
        draft.archive = read_archive(key, value, registry, &cx)?;
    }
    draft.coherence = read.coherence.unwrap_or_default();
    draft.forbid_restore = read.allow_restore == Some(false);
    draft.state = read.state;
    draft.parallel = read.parallel;
    draft.compression = read.compression;
    Ok((draft, name, variables))
}

fn read_archive(
    key: Key,
    value: Value,
    registry: &Registry,
    cx: &BuildContext,
) -> Result<Option<Archive>, Stopped> {
    let span = value.span;
    let only = Value { span, kind: Kind::Mapping(vec![(key, value)]) };
    let built = registry.read_archive(&only)?.map(|build| build(cx)).transpose();
    built.map_err(|error| Stopped::Failed(span, error))
}
