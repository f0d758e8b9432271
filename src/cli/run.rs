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
        let loaded = match config_file(self.config).map_err(|why| fail(&why)).and_then(|path| load(&path)) {
            Ok(loaded) => loaded,
            Err(code) => return code,
        };
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        run_plan(loaded.plan, |plan| Setup { plan, made_tls: HashMap::new(), on_ready: Box::new(|_| {}) })
    }
}
