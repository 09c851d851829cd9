//! Archived nodes as SQL.

use std::io::Write;

use dumprestore_archive::Status;
use dumprestore_driver::{Error, Result, Selection};

use crate::archived::Section;
use crate::{OpenArchive, Registry};

impl Registry {
    /// Writes a node of an archive as one SQL script that the store's own client accepts. Needs no configuration and
    /// no server. Blocks.
    ///
    /// # Errors
    /// If there is no such node in the archive, if nothing of it was dumped, or if its driver has no SQL. What was
    /// written until then is no script.
    pub fn export_sql(
        &self,
        archive: &OpenArchive,
        node: &str,
        selection: &Selection,
        out: &mut (dyn Write + Send),
    ) -> Result<()> {
        let nodes = &archive.archive().manifest().nodes;
        let Some(at) = nodes.iter().position(|archived| archived.path == node) else {
            return Err(Error::config(format!("the archive has no node `{}`", node.escape_debug())));
        };
        let section = Section::new(&archive.archive, at)?;
        let path = dumprestore_driver::ArchivedNode::path(&section).clone();
        if nodes[at].status == Status::Failed {
            return Err(Error::archive("this node failed when it was dumped: there is nothing to export")
                .with_node(&path));
        }
        let export = self.exporter(&nodes[at].driver).ok_or_else(|| {
            Error::unsupported(format!("there is no driver `{}`", nodes[at].driver.escape_debug()))
                .with_node(&path)
        })?;
        export(&section, selection, out).map_err(|error| error.with_node(&path))?;
        section.sound()
    }
}
