//! `schema`.

use clap::Args;
use dumprestore::{Error, Result};

use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore schema > dumprestore.schema.json

With this as its first line, editors complete and check the configuration:
  # yaml-language-server: $schema=dumprestore.schema.json";

/// Print the JSON Schema of the configuration
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self, session: &Session) -> Result<Ended> {
        let schema = session.registry.schema();
        let text = serde_json::to_string_pretty(&schema)
            .map_err(|error| Error::defect("the schema is not JSON").with_source(error))?;
        session.console.print(text)?;
        session.ended(Exit::Ok, &schema)
    }
}
