//! A `dumprestore` that knows feature flags, beside all that the stock one knows.

use std::process::ExitCode;

use dumprestore_cli::Cli;
use dumprestore_flags::FlagsConfig;

fn main() -> ExitCode {
    Cli::new().driver::<FlagsConfig>().run()
}
