//! A driver of one's own in about a hundred lines: the feature flags of an application, one JSON object per line.
//!
//! The application replaces the file by a rename, so an opened file is of one moment. One that writes in place can be
//! caught at it: a line that is not whole fails the dump, before anybody relies on it.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind::NotFound, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{
    BuildContext, Claim, Driver, DriverConfig, Error, Inspection, OneStream, OneStreamDriver, PartReader,
    PartWriter, Problem, Result, async_trait,
};
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};
use tempfile::Builder;

/// In bytes. Longer lines are refused, so that memory stays bounded whatever file this is pointed at.
const LONGEST_LINE: u64 = 1 << 20;

/// The options of a `flags` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlagsConfig {
    /// The file with the flags: one JSON object per line.
    path: PathBuf,
}

impl DriverConfig for FlagsConfig {
    const KIND: &'static str = "flags";
    const ABOUT: &'static str = "feature flags in a file, one JSON object per line";
    const TARGET: Option<&'static str> = Some("path");

    fn build(self, cx: &BuildContext) -> Result<Arc<dyn Driver>> {
        if self.path.file_name().is_none() {
            return Err(Error::config("`path` must name a file").with_context("path", self.path.display()));
        }
        OneStreamDriver::boxed(Flags(cx.path(&self.path)))
    }
}

struct Flags(PathBuf);

#[async_trait]
impl OneStream for Flags {
    const KIND: &'static str = FlagsConfig::KIND;
    const PART: &'static str = "flags";

    fn target(&self) -> String {
        self.0.display().to_string()
    }

    async fn inspect(&self) -> Result<Inspection> {
        let mut inspection = Inspection::default();
        inspection.claims.push(Claim::Path(self.resolved().await));
        match tokio::fs::metadata(&self.0).await {
            Ok(meta) if meta.is_file() => inspection.size = Some(meta.len()),
            Ok(_) => inspection.problems.push(Problem::error("this is not a file").with_hint("check `path`")),
            Err(error) if error.kind() == NotFound => {
                inspection.problems.push(Problem::no_dump("there are no flags").with_hint("check `path`"));
            }
            Err(error) => return Err(self.failed("look at the flags", error)),
        }
        Ok(inspection)
    }

    async fn dump(&self, out: &mut PartWriter<'_>) -> Result<()> {
        let file = File::open(&self.0).map_err(|error| self.failed("open the flags", error))?;
        let (mut file, mut out) = (BufReader::new(file), BufWriter::with_capacity(64 * 1024, out));
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = (&mut file).take(LONGEST_LINE).read_until(b'\n', &mut line);
            if read.map_err(|error| self.failed("read the flags", error))? == 0 {
                break;
            }
            serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(&line).map_err(|error| {
                Error::environment(format!("line {number} is not a whole JSON object of at most 1 MiB"))
                    .with_context("path", self.0.display())
                    .with_hint("dump again if the flags are just being written, else mend that line")
                    .with_source(error)
            })?;
            out.write_all(&line).map_err(|error| self.failed("dump the flags", error))?;
        }
        out.flush().map_err(|error| self.failed("dump the flags", error))
    }

    async fn restore(&self, from: &mut PartReader<'_>) -> Result<()> {
        replace(&self.resolved().await, from).map_err(|error| self.failed("restore the flags", error))
    }
}

impl Flags {
    /// The file itself: a rename must not replace a link to it.
    async fn resolved(&self) -> PathBuf {
        tokio::fs::canonicalize(&self.0).await.unwrap_or_else(|_| self.0.clone())
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        Error::io(format!("can't {what}"), error).with_context("path", self.0.display())
    }
}

/// All or nothing: written beside, brought to disk, and only then renamed. `from` fails at its end if it is damaged.
fn replace(live: &Path, from: &mut impl Read) -> io::Result<()> {
    let folder = live.parent().unwrap_or(Path::new("/"));
    let old = match live.metadata() {
        Err(error) if error.kind() == NotFound => None,
        old => Some(old?),
    };
    let rights = old.as_ref().map_or(Permissions::from_mode(0o666), Metadata::permissions);
    let mut new = Builder::new().prefix(".flags-").permissions(rights.clone()).tempfile_in(folder)?;
    io::copy(from, &mut new)?;
    if let Some(old) = old {
        fchown(&new, Some(old.uid()), Some(old.gid()))?;
        new.as_file().set_permissions(rights)?;
    }
    new.as_file().sync_all()?;
    new.persist(live)?;
    File::open(folder)?.sync_all()
}
