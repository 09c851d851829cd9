//! `plan`.

use clap::Args;
use dumprestore::Result;
use serde_json::json;

use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore plan
  dumprestore plan --mermaid     a picture for Markdown pages

A restore goes the exact other way. References without `keys:` only order; they are marked as not certified.";

/// Show the order in which nodes are dumped, and its exact reverse
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Plan {
    /// As a Mermaid flow chart
    #[arg(long)]
    mermaid: bool,
}

impl Plan {
    pub(crate) fn run(self, session: &Session) -> Result<Ended> {
        let plan = session.load()?.order_plan();
        if self.mermaid {
            let chart = plan.mermaid();
            session.console.print(&chart)?;
            return session.ended(Exit::Ok, &json!({ "mermaid": chart }));
        }
        session.console.print(&plan)?;
        session.ended(Exit::Ok, &plan)
    }
}
