//! `framegate kick`: sessions that have to go.

use super::admin_client::AdminClient;
use super::at::At;
use super::consent::ask;
use super::failure::{Failure, conclude};
use super::figures::of;
use super::filter::{Filter, duration, session};
use super::terminal::{json, print};
use super::told::number;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whom").required(true).multiple(true)
    .args(["id", "route", "server", "address", "min_age", "all"]))]
pub struct Kick {
    /// Sessions, by their numbers or by the ids of their requests
    #[arg(value_parser = session, conflicts_with_all = ["Filter", "all"])]
    id: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Everybody
    #[arg(long, conflicts_with = "Filter")]
    all: bool,
    /// The close code that clients get: 1000, 1001, 1008, 1011 to 1013, 3000 to 4999. 1012, service restart, makes them
    /// come back
    #[arg(long, value_name = "CODE", default_value = "1012")]
    code: u16,
    /// Spread evenly over this time, instead of all at once: 10s, 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    over: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

const PATH: &str = "/kick";

impl Kick {
    pub fn execute(self) -> ExitCode {
        conclude(self.run())
    }

    fn run(self) -> Result<ExitCode, Failure> {
        let Kick { id, filter, all, code, over, yes, json: is_json, at } = self;
        let client = AdminClient::new(at)?;
        let with = |mut body: Map<String, Value>| {
            body.insert("code".into(), code.into());
            body.extend(over.as_ref().map(|over| ("over".to_string(), over.as_str().into())));
            Value::Object(body)
        };
        let (mut kicked, mut last, several) = (0, None, id.len() > 1);
        if id.is_empty() {
            ask(yes, || question(&client, &filter, code))?;
            let whom = if all { Map::from_iter([("all".into(), true.into())]) } else { filter.body() };
            kicked = kicked_of(&client.post(PATH, &with(whom))?);
        }
        for id in id {
            // The others are meant all the same.
            match client.post(PATH, &with(Map::from_iter([("id".into(), id.as_str().into())]))) {
                Ok(told) => kicked += kicked_of(&told),
                Err(failure) if several => {
                    eprintln!("{}", failure.about(&id));
                    last = Some(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        let over = over.map_or(String::new(), |over| format!(", over {over}"));
        let words = format!("kicked {}{over}\n", of(kicked, "session"));
        print(&if is_json { json(&json!({ "kicked": kicked })) } else { words })?;
        Ok(last.map_or(ExitCode::SUCCESS, |failure| failure.code()))
    }
}

fn kicked_of(told: &Value) -> u64 {
    number(told, "/kicked").unwrap_or_default()
}

fn question(client: &AdminClient, filter: &Filter, code: u16) -> Result<String, Failure> {
    let page = client.get(&format!("/sessions?limit=1{}", filter.query()))?;
    let sessions = of(number(&page, "/total").unwrap_or_default(), "session");
    Ok(format!("Kick {sessions}{} with code {code}?", super::terminal::clean(&filter.shown())))
}
