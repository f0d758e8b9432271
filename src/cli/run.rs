//! `framegate run`: the service.

use super::{config_file, fail, load, run_plan};
use crate::app::Setup;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Run {
    /// The configuration; by default ./framegate.toml, else /etc/framegate/framegate.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Run {
    pub fn execute(self) -> ExitCode {
        let file = match config_file(self.config) {
            Ok(file) => file,
            Err(why) => return fail(&why),
        };
        let loaded = match load(&file) {
            Ok(loaded) => loaded,
            Err(code) => return code,
        };
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        let (file, made_tls) = (Some(file), HashMap::new());
        run_plan(loaded.plan, |plan| Setup { plan, file, made_tls, on_ready: Box::new(|_| {}) })
    }
}
