//! `framegate run`: the service.

use super::{config_file, environment, fail, in_words, run_plan, say};
use crate::app::Setup;
use crate::config::{self, Loaded};
use crate::net::handover::Inherited;
use crate::net::handover::predecessor::Predecessor;
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
        let inherited = match Inherited::take() {
            Ok(inherited) => inherited,
            Err(why) => return fail(&why),
        };
        let (file, loaded) = match self.load() {
            Ok(loaded) => loaded,
            Err(why) => return refuse(&why, inherited.predecessor.as_ref()),
        };
        for warning in &loaded.warnings {
            say(&format!("warning: {warning}"));
        }
        let (file, made_tls) = (Some(file), HashMap::new());
        run_plan(loaded.plan, |plan| Setup { plan, file, made_tls, inherited, on_ready: Box::new(|_| {}) })
    }
    fn load(self) -> Result<(PathBuf, Loaded), String> {
        let file = config_file(self.config).map_err(|why| format!("framegate: {why}"))?;
        match config::load(&file, &environment) {
            Ok(loaded) => Ok((file, loaded)),
            Err(problems) => Err(in_words(&problems, &file)),
        }
    }
}

/// What this process cannot do, the one that started it goes on doing: it is told why, and says so.
fn refuse(why: &str, predecessor: Option<&Predecessor>) -> ExitCode {
    match predecessor {
        Some(predecessor) => predecessor.refuse(why),
        None => say(why),
    }
    ExitCode::FAILURE
}
