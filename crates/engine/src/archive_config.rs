//! Where archives go, as a configuration says it. What it may say is known to whoever keeps them.

use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{BuildContext, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::{ConfigMistake, ConfigValue, LocalArchive, read};

/// What stands under `archive:` in a configuration: the crate that keeps archives says what that may be.
///
/// # Behavior
/// - `build` looks at no store and no file but those that hold secrets.
pub trait ArchiveConfig: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Checks what was read, and says where archives go.
    ///
    /// # Errors
    /// Of kind [`Config`](crate::ErrorKind::Config), with what is wrong and what to write.
    fn build(self, cx: &BuildContext) -> Result<Archive>;
}

/// Where archives go when the command line does not say.
#[derive(Clone)]
#[non_exhaustive]
pub struct Archive {
    /// The local files and folders among the places. Absolute.
    pub local: Vec<PathBuf>,
    /// The canonical names of the other places, such as `s3.amazonaws.com/backups/shop`: as drivers would claim them.
    pub elsewhere: Vec<String>,
    settings: Option<Arc<dyn Any + Send + Sync>>,
}

impl Archive {
    /// Archives go to `to`: a file, or a folder that gets a file named after the set and the time.
    pub fn to(to: impl Into<PathBuf>) -> Self {
        Self { local: vec![to.into()], elsewhere: Vec::new(), settings: None }
    }

    /// Archives go to what `settings` say, of which these files and folders are local, and the others are called so.
    pub fn with_settings<S: Any + Send + Sync>(
        settings: S,
        local: Vec<PathBuf>,
        elsewhere: Vec<String>,
    ) -> Self {
        Self { local, elsewhere, settings: Some(Arc::new(settings)) }
    }

    /// The settings of whoever keeps archives, if they are of that type.
    pub fn settings<S: Any + Send + Sync>(&self) -> Option<&S> {
        self.settings.as_ref()?.downcast_ref()
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("local", &self.local)
            .field("elsewhere", &self.elsewhere)
            .finish_non_exhaustive()
    }
}

/// Reads what stands under `archive:`.
type ReadArchive = fn(&ConfigValue) -> Result<Option<BuildArchive>, Box<ConfigMistake>>;
/// Makes something of it.
pub(crate) type BuildArchive = Box<dyn FnOnce(&BuildContext) -> Result<Archive>>;

/// What a registry knows of `archive:`.
#[derive(Clone)]
pub(crate) struct ArchiveReader {
    pub(crate) read: ReadArchive,
    pub(crate) json_schema: fn(&mut SchemaGenerator) -> Schema,
    /// Its schema, on its own.
    pub(crate) options: Value,
}

impl ArchiveReader {
    pub(crate) fn of<C: ArchiveConfig>() -> Self {
        Self {
            read: read_archive::<C>,
            json_schema: |generator| generator.subschema_for::<C>(),
            options: SchemaGenerator::default().into_root_schema_for::<C>().to_value(),
        }
    }
}

/// Without anybody who keeps archives elsewhere, they go to a local file or folder.
impl Default for ArchiveReader {
    fn default() -> Self {
        Self::of::<LocalArchive>()
    }
}

#[derive(Deserialize)]
struct Only<C> {
    archive: Option<C>,
}

/// `value` is a mapping with the one key `archive`, so that a mistake is told with it.
fn read_archive<C: ArchiveConfig>(value: &ConfigValue) -> Result<Option<BuildArchive>, Box<ConfigMistake>> {
    let Only { archive }: Only<C> = read(value)?;
    Ok(archive.map(|archive| Box::new(move |cx: &BuildContext| archive.build(cx)) as BuildArchive))
}

/// The local ones of the places of archives.
pub(crate) fn local(archive: Option<&Archive>) -> impl Iterator<Item = &Path> {
    archive.into_iter().flat_map(|archive| archive.local.iter().map(PathBuf::as_path))
}
