//! A `dumprestore` that knows ledgers, beside all that the stock one knows.

use std::process::ExitCode;

use dumprestore_cli::Cli;
use dumprestore_ledger::LedgerConfig;

fn main() -> ExitCode {
    Cli::new().driver::<LedgerConfig>().run()
}
