//! The `dumprestore` binary: the stock drivers, and nothing else. One with drivers of your own is as short.

use std::process::ExitCode;

fn main() -> ExitCode {
    dumprestore_cli::Cli::new().run()
}
