//! `framegate man`: manual pages, from the definition of the command line itself.

use super::Cli;
use super::failure::{Failure, conclude};
use super::terminal::print;
use clap::{Command, CommandFactory};
use clap_mangen::Man as Page;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Man {
    /// The page of this command; by default that of the program
    #[arg(conflicts_with = "dir")]
    command: Option<String>,
    /// Write all pages into this directory, as framegate.1, framegate-run.1 and so on
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub fn execute(self) -> ExitCode {
        conclude(self.run().map(|()| ExitCode::SUCCESS))
    }

    fn run(self) -> Result<(), Failure> {
        let Man { command, dir } = self;
        if let Some(dir) = dir {
            return clap_mangen::generate_to(built(), &dir).map_err(|error| {
                Failure::new(format!("cannot write to {}: {error}", dir.display()), "it has to be there")
            });
        }
        let page = match command {
            None => built(),
            Some(name) => built().find_subcommand(&name).cloned().ok_or_else(|| {
                Failure::new(format!("there is no command {name:?}"), "framegate --help lists them")
            })?,
        };
        print(&text(page)?)
    }
}

/// With what commands have from each other. A command goes by the name of `framegate-status` then.
fn built() -> Command {
    let mut cli = Cli::command();
    cli.build();
    cli
}

fn text(command: Command) -> Result<String, Failure> {
    let mut page = Vec::new();
    let rendered = Page::new(command).render(&mut page);
    rendered.map_err(|error| Failure::new(format!("the page cannot be made: {error}"), ""))?;
    String::from_utf8(page).map_err(|error| Failure::new(format!("the page is no text: {error}"), ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_and_each_command_have_a_page() {
        let page = text(built()).unwrap();
        for command in Cli::command().get_subcommands() {
            let name = command.get_name().to_string();
            assert!(page.contains(&name), "{name}");
            let page = text(built().find_subcommand(&name).unwrap().clone()).unwrap();
            assert!(page.starts_with(".ie") && page.contains(&format!(".TH framegate-{name} 1")), "{page}");
        }
    }
}
