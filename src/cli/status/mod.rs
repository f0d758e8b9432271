//! `framegate status`: how a running gateway is.

mod page;

use super::admin_client::AdminClient;
use super::at::At;
use super::failure::{Failure, conclude};
use super::terminal::{Screen, json, json_line, print, watch};
use super::watching::Watching;
use page::{Before, page};
use serde_json::Value;
use std::process::ExitCode;
use std::time::Instant;

#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    watching: Watching,
    /// For programs; with --watch an object a line
    #[arg(long)]
    json: bool,
    /// Nothing is cut, however wide it gets
    #[arg(long)]
    wide: bool,
}

const PATH: &str = "/status";

impl Status {
    pub fn execute(self) -> ExitCode {
        conclude(self.run())
    }

    fn run(self) -> Result<ExitCode, Failure> {
        let Status { at, watching, json: is_json, wide } = self;
        let client = AdminClient::new(at)?;
        let room = |screen: Screen| (!wide).then_some(screen.width);
        let Some(every) = watching.every() else {
            let told = client.get(PATH)?;
            let text = if is_json { json(&told) } else { page(&told, None, room(Screen::look())) };
            return print(&text).map(|()| ExitCode::SUCCESS);
        };
        let mut last: Option<(Instant, Value)> = None;
        Err(watch(every, |screen| {
            let (now, told) = (Instant::now(), client.get(PATH)?);
            if is_json {
                return Ok(json_line(&told));
            }
            let before = last.as_ref().map(|(at, told)| Before { told, seconds: (now - *at).as_secs_f64() });
            let text = page(&told, before, room(screen));
            last = Some((now, told));
            Ok(text)
        }))
    }
}
