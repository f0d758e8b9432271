//! The command line: one file a subcommand. Exit codes: 0 done, 1 refused or failed with a reason, 2 wrong usage.

mod admin_client;
mod at;
mod check;
mod completions;
mod consent;
mod demo;
mod drain;
mod explain;
mod failure;
mod figures;
mod filter;
mod kick;
mod man;
mod proxy;
mod reload;
mod run;
#[cfg(test)]
mod scripted;
mod sessions;
mod status;
mod table;
mod tap;
mod terminal;
mod told;
mod watching;

use crate::app::{self, End, Setup};
use crate::config::{ConfigError, Loaded, Plan};
use crate::observe::log;
use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// A WebSocket reverse proxy that reads every frame: it ends TLS, checks Origin, enforces limits, answers pings and says
/// who ended a connection and why.
#[derive(Debug, Parser)]
#[command(name = "framegate", version, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try it: an embedded backend, a page to open, a certificate made on the fly
    Demo(demo::Demo),
    /// Put it in front of one server, without a file
    Proxy(proxy::Proxy),
    /// Run the service
    Run(run::Run),
    /// Show every problem of a configuration file
    Check(check::Check),
    /// Say what a request would get, and which line of the configuration decided
    Explain(explain::Explain),
    /// Show how a running gateway is
    Status(status::Status),
    /// List the sessions of a running gateway, or show one
    Sessions(sessions::Sessions),
    /// End sessions, with a code of your choice
    Kick(kick::Kick),
    /// Send a part of the sessions elsewhere at a chosen pace, or drain the whole gateway
    Drain(drain::Drain),
    /// Watch the frames of one session as they pass
    Tap(tap::Tap),
    /// Have a running gateway read its configuration again: all or nothing
    Reload(reload::Reload),
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// Print the manual
    Man(man::Man),
}

impl Cli {
    pub fn execute(self) -> ExitCode {
        match self.command {
            Command::Demo(demo) => demo.execute(),
            Command::Proxy(proxy) => proxy.execute(),
            Command::Run(run) => run.execute(),
            Command::Check(check) => check.execute(),
            Command::Explain(explain) => explain.execute(),
            Command::Status(status) => status.execute(),
            Command::Sessions(sessions) => sessions.execute(),
            Command::Kick(kick) => kick.execute(),
            Command::Drain(drain) => drain.execute(),
            Command::Tap(tap) => tap.execute(),
            Command::Reload(reload) => reload.execute(),
            Command::Completions(completions) => completions.execute(),
            Command::Man(man) => man.execute(),
        }
    }
}

/// `./framegate.toml`, else the system's.
const DEFAULT_FILES: [&str; 2] = ["framegate.toml", "/etc/framegate/framegate.toml"];

/// The named file, or the first default one that is there.
fn config_file(named: Option<PathBuf>) -> Result<PathBuf, String> {
    named.or_else(|| DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.exists())).ok_or_else(|| {
        format!("no configuration: neither {} nor {} is there; name one", DEFAULT_FILES[0], DEFAULT_FILES[1])
    })
}

/// Loads a file; every problem goes to stderr. `Err` is the exit code.
fn load(path: &std::path::Path) -> Result<Loaded, ExitCode> {
    crate::config::load(path, &environment).map_err(|problems| report(&problems, path))
}

fn report(problems: &[ConfigError], path: &std::path::Path) -> ExitCode {
    say(&in_words(problems, path));
    ExitCode::FAILURE
}

fn in_words(problems: &[ConfigError], path: &std::path::Path) -> String {
    let mut words: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    let count = problems.len();
    words += &format!("{count} problem{} in {}", if count == 1 { "" } else { "s" }, path.display());
    words
}

/// In one piece: the process that this one replaces may be writing too.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Starts logging and runs until the end.
fn run_plan(plan: Plan, rest: impl FnOnce(Plan) -> Setup) -> ExitCode {
    if let Err(why) = log::start(&plan.log, environment("FRAMEGATE_LOG").as_deref()) {
        return fail(&why);
    }
    match app::run(rest(plan)) {
        Ok(End::Drained) => ExitCode::SUCCESS,
        Ok(End::Stopped | End::TurnedBack) => ExitCode::FAILURE,
        Err(why) => fail(&why),
    }
}

fn fail(why: &str) -> ExitCode {
    say(&format!("framegate: {why}"));
    ExitCode::FAILURE
}
