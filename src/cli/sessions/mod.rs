//! `framegate sessions`: who is connected, and what passes.

mod rows;

use super::admin_client::AdminClient;
use super::at::At;
use super::failure::{Failure, conclude};
use super::figures::of;
use super::filter::{Filter, session};
use super::terminal::{Screen, json, json_line, print, watch};
use super::told::number;
use super::watching::Watching;
use rows::{Rows, detail};
use serde_json::Value;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = HEADS)]
pub struct Sessions {
    /// One session in detail: by its number, or by the id of its request
    #[arg(value_parser = session, conflicts_with_all = ["Filter", "limit", "all"])]
    id: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// So many at the most, the oldest first
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Every session, however many there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Every column, and nothing is cut
    #[arg(long)]
    wide: bool,
    #[command(flatten)]
    watching: Watching,
    /// For programs: one array, or one object for one session; with --watch one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

const HEADS: &str = "IN and OUT count the bytes in messages from the client and to it, MSGS the messages; PING is how long \
                     the client's last pong took, WAITING what is still to be sent.";

/// Sessions that are asked for at once.
const PAGE: u64 = 500;

/// What is looked at, again and again perhaps.
struct View {
    client: AdminClient,
    id: Option<String>,
    filter: Filter,
    /// `None`: all of them.
    limit: Option<u64>,
    wide: bool,
}

impl Sessions {
    pub fn execute(self) -> ExitCode {
        conclude(self.run())
    }

    fn run(self) -> Result<ExitCode, Failure> {
        let Sessions { id, filter, limit, all, wide, watching, json: is_json, at } = self;
        let view = View { client: AdminClient::new(at)?, id, filter, limit: (!all).then_some(limit), wide };
        match watching.every() {
            Some(every) if is_json => Err(watch(every, |_| Ok(json_line(&view.value()?)))),
            Some(every) => Err(watch(every, |screen| {
                let (text, note) = view.text(screen)?;
                Ok(if note.is_empty() { text } else { format!("{text}{note}\n") })
            })),
            None if is_json => view.print_json().map(|()| ExitCode::SUCCESS),
            None => {
                let (text, note) = view.text(Screen::look())?;
                print(&text)?;
                // Not among the rows, which may go on to a program.
                if !note.is_empty() {
                    eprintln!("{note}");
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl View {
    /// What a terminal shows, and what is to be said of it.
    fn text(&self, screen: Screen) -> Result<(String, String), Failure> {
        let room = (!self.wide).then_some(screen.width);
        if let Some(id) = &self.id {
            return Ok((detail(&self.one(id)?, room), String::new()));
        }
        let mut rows = Rows::default();
        let total = self.each(|session| {
            rows.add(session);
            Ok(())
        })?;
        let note = match (rows.count(), total) {
            (0, _) => format!("no session{}", self.filter.shown()),
            (shown, total) if shown < total && self.limit == Some(shown) => {
                format!("{shown} of {}; --all shows every one", of(total, "session"))
            }
            _ => String::new(),
        };
        Ok((if rows.count() == 0 { String::new() } else { rows.table().render(room) }, note))
    }

    fn value(&self) -> Result<Value, Failure> {
        if let Some(id) = &self.id {
            return self.one(id);
        }
        let mut sessions = Vec::new();
        self.each(|session| {
            sessions.push(session.clone());
            Ok(())
        })?;
        Ok(sessions.into())
    }

    /// Written as it comes: nobody has to hold a hundred thousand sessions.
    fn print_json(&self) -> Result<(), Failure> {
        if let Some(id) = &self.id {
            return print(&json(&self.one(id)?));
        }
        let mut before = "[\n";
        self.each(|session| {
            let line = json_line(session);
            print(&format!("{before}{}", line.trim_end()))?;
            before = ",\n";
            Ok(())
        })?;
        print(if before == "[\n" { "[]\n" } else { "\n]\n" })
    }

    fn one(&self, id: &str) -> Result<Value, Failure> {
        self.client.get(&format!("/sessions/{id}"))
    }

    /// Page by page. How many there are in all.
    fn each(&self, mut take: impl FnMut(&Value) -> Result<(), Failure>) -> Result<u64, Failure> {
        let (mut after, mut left) = (0, self.limit.unwrap_or(u64::MAX));
        let query = self.filter.query();
        loop {
            let page =
                self.client.get(&format!("/sessions?limit={}&after={after}{query}", left.min(PAGE)))?;
            let sessions = page.get("sessions").and_then(Value::as_array).ok_or_else(strange)?;
            for session in sessions {
                take(session)?;
            }
            left = left.saturating_sub(sessions.len() as u64);
            // Who goes on from where it stands would never come to an end.
            match number(&page, "/next").filter(|next| *next > after && left > 0) {
                Some(next) => after = next,
                None => return Ok(number(&page, "/total").unwrap_or_default()),
            }
        }
    }
}

fn strange() -> Failure {
    Failure::new("the gateway's answer holds no sessions", "is it of the same version as this program?")
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{JSON, answer, says};
    use super::*;
    use serde_json::json;

    fn page(numbers: std::ops::RangeInclusive<u64>, next: Option<u64>) -> Vec<u8> {
        let sessions: Vec<Value> =
            numbers.map(|number| json!({ "number": number, "route": "chat" })).collect();
        answer(JSON, &json!({ "total": 1234, "next": next, "sessions": sessions }).to_string())
    }

    fn view(client: AdminClient, limit: Option<u64>) -> View {
        View { client, id: None, filter: Filter::default(), limit, wide: false }
    }

    const SCREEN: Screen = Screen { width: 80, height: None };

    fn asked(requests: &[String]) -> Vec<&str> {
        requests.iter().map(|request| request.split(' ').nth(1).unwrap()).collect()
    }

    #[test]
    fn page_by_page_up_to_the_limit() {
        let (client, served) = says([page(1..=500, Some(500)), page(501..=520, Some(520))]);
        let (text, note) = view(client, Some(520)).text(SCREEN).unwrap();
        assert_eq!(
            (text.lines().count(), note.as_str()),
            (521, "520 of 1234 sessions; --all shows every one")
        );
        assert_eq!(
            asked(&served.join().unwrap()),
            ["/sessions?limit=500&after=0", "/sessions?limit=20&after=500"]
        );
    }

    #[test]
    fn page_by_page_to_the_end() {
        let (client, served) = says([page(1..=500, Some(500)), page(700..=900, None)]);
        let value = view(client, None).value().unwrap();
        assert_eq!(value.as_array().unwrap().len(), 701);
        assert_eq!(
            asked(&served.join().unwrap()),
            ["/sessions?limit=500&after=0", "/sessions?limit=500&after=500"]
        );
        // A gateway that sends us in circles.
        let (client, served) = says([page(1..=3, Some(3)), page(1..=3, Some(3))]);
        assert_eq!(view(client, None).value().unwrap().as_array().unwrap().len(), 6);
        served.join().unwrap();
    }

    #[test]
    fn nobody() {
        let (client, served) = says([answer(JSON, r#"{"total":0,"next":null,"sessions":[]}"#)]);
        assert_eq!(view(client, Some(100)).text(SCREEN), Ok((String::new(), "no session".into())));
        served.join().unwrap();
        let (client, served) = says([answer(JSON, "{}")]);
        assert!(view(client, Some(100)).text(SCREEN).is_err());
        served.join().unwrap();
    }
}
