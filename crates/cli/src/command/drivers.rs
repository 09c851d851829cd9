//! `drivers`.

use clap::Args;
use dumprestore::{DriverInfo, Result};

use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore drivers

A driver of your own is a crate, and a binary of a few lines that adds it: see examples/custom-driver. The options of each driver stand in `dumprestore schema`.";

/// List the drivers that this binary knows
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Drivers {}

impl Drivers {
    pub(crate) fn run(self, session: &Session) -> Result<Ended> {
        let drivers: Vec<DriverInfo> = session.registry.kinds().collect();
        let width = drivers.iter().map(|driver| driver.kind.len()).max().unwrap_or(0);
        for driver in &drivers {
            session.console.print(format_args!("{:<width$}  {}", driver.kind, driver.about))?;
        }
        session.ended(Exit::Ok, &drivers)
    }
}
