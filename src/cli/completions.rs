//! `framegate completions`: what a shell has to know, from the definition of the command line itself.

use super::Cli;
use super::failure::{Failure, conclude};
use super::terminal::print;
use clap::{CommandFactory, ValueEnum};
use clap_complete::{Shell as Known, generate};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Completions {
    /// Whose script
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    pub fn execute(self) -> ExitCode {
        conclude(script(self.shell).and_then(|script| print(&script)).map(|()| ExitCode::SUCCESS))
    }
}

fn script(shell: Shell) -> Result<String, Failure> {
    let known = match shell {
        Shell::Bash => Known::Bash,
        Shell::Zsh => Known::Zsh,
        Shell::Fish => Known::Fish,
    };
    let mut script = Vec::new();
    generate(known, &mut Cli::command(), "framegate", &mut script);
    String::from_utf8(script).map_err(|error| Failure::new(format!("the script is no text: {error}"), ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_every_script() {
        for shell in Shell::value_variants() {
            let script = script(*shell).unwrap();
            for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(script.contains(command.get_name()), "{shell:?} {}", command.get_name());
            }
            assert!(script.contains("min-age"), "{shell:?}");
        }
    }
}
