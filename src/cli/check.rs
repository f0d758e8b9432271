//! `framegate check`: every problem of a file at once, with its place and what to write instead.

use super::{config_file, fail, load};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Check {
    /// The configuration; by default ./framegate.toml, else /etc/framegate/framegate.toml
    file: Option<PathBuf>,
}

impl Check {
    pub fn execute(self) -> ExitCode {
        let path = match config_file(self.file) {
            Ok(path) => path,
            Err(why) => return fail(&why),
        };
        let loaded = match load(&path) {
            Ok(loaded) => loaded,
            Err(code) => return code,
        };
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        let plan = &loaded.plan;
        println!(
            "{}: good ({} listeners, {} routes, {} backends)",
            path.display(),
            plan.listeners.len(),
            plan.routes.len(),
            plan.backends.len()
        );
        ExitCode::SUCCESS
    }
}
