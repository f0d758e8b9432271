//! The framegate program: arguments in, exit code out. Everything else is in the library.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    framegate::cli::Cli::parse().execute()
}
