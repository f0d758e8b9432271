//! `framegate drain`: the sessions of a part come back elsewhere, at a chosen pace; or the whole process goes away.

use super::admin_client::AdminClient;
use super::at::At;
use super::consent::ask;
use super::failure::{Failure, conclude};
use super::figures::{of, span};
use super::terminal::{json, print};
use super::told::number;
use serde_json::{Map, Value};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["route", "server", "all"]))]
pub struct Drain {
    /// The sessions of this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// The sessions with this server, written as `framegate status` has it
    #[arg(long, value_name = "SERVER")]
    server: Option<String>,
    /// So many sessions a second: 50/s, 0.5/s. By default they are spread over shutdown.close_spread
    #[arg(long, value_name = "N/s", value_parser = pace, conflicts_with = "all")]
    pace: Option<f64>,
    /// Everything, and then the process ends: as SIGTERM does
    #[arg(long, conflicts_with_all = ["route", "server"])]
    all: bool,
    /// Do not ask before everything is drained
    #[arg(long, short)]
    yes: bool,
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

impl Drain {
    pub fn execute(self) -> ExitCode {
        conclude(self.run())
    }

    fn run(self) -> Result<ExitCode, Failure> {
        let Drain { route, server, pace, all, yes, json: is_json, at } = self;
        let client = AdminClient::new(at)?;
        let mut body = Map::new();
        if all {
            body.insert("all".into(), true.into());
            ask(yes, || Ok("Drain everything and end the gateway?".into()))?;
        }
        body.extend(route.map(|route| ("route".into(), route.into())));
        body.extend(server.map(|server| ("server".into(), server.into())));
        body.extend(pace.map(|pace| ("pace".into(), pace.into())));
        let told = client.post("/drain", &Value::Object(body))?;
        print(&if is_json { json(&told) } else { words(&told, all) }).map(|()| ExitCode::SUCCESS)
    }
}

fn words(told: &Value, all: bool) -> String {
    let sessions = of(number(told, "/draining").unwrap_or_default(), "session");
    let over = number(told, "/over_ms")
        .filter(|millis| *millis > 0)
        .map_or("now".into(), |millis| format!("over {}", span(millis)));
    let then = if all { "; then the gateway ends" } else { "" };
    format!("draining {sessions}, {over}{then}\n")
}

fn pace(text: &str) -> Result<f64, String> {
    let pace = text.strip_suffix("/s").unwrap_or(text).parse::<f64>().ok();
    pace.filter(|pace| pace.is_finite() && *pace > 0.0)
        .ok_or_else(|| "sessions a second: 50/s, or 0.5/s".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paces() {
        for (text, expected) in [
            ("50/s", Some(50.0)),
            ("50", Some(50.0)),
            ("0.5/s", Some(0.5)),
            ("0/s", None),
            ("-1/s", None),
            ("inf/s", None),
            ("NaN", None),
            ("50/m", None),
            ("/s", None),
        ] {
            assert_eq!(pace(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_said() {
        for (told, all, expected) in [
            (json!({ "draining": 1234, "over_ms": 24_680 }), false, "draining 1234 sessions, over 24s\n"),
            (json!({ "draining": 1, "over_ms": 0 }), false, "draining 1 session, now\n"),
            (
                json!({ "draining": 0, "over_ms": 15_000 }),
                true,
                "draining 0 sessions, over 15s; then the gateway ends\n",
            ),
        ] {
            assert_eq!(words(&told, all), expected);
        }
    }
}
