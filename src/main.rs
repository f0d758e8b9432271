//! The framegate program: arguments in, exit code out. Everything else is in the library.

use clap::Parser;
use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    framegate::cli::Cli::parse().execute()
}
