//! `framegate reload`: the gateway reads its configuration again, all or nothing.

use super::admin_client::AdminClient;
use super::at::At;
use super::failure::{Failure, conclude};
use super::figures::of;
use super::terminal::{clean, json, print};
use super::told::{list, number, texts};
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Reload {
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

const UNPROCESSABLE: u16 = 422;

impl Reload {
    pub fn execute(self) -> ExitCode {
        conclude(self.run())
    }

    fn run(self) -> Result<ExitCode, Failure> {
        let Reload { json: is_json, at } = self;
        match AdminClient::new(at)?.post("/reload", &json!({})) {
            Ok(told) => {
                eprint!("{}", warnings(&told));
                print(&if is_json { json(&told) } else { changes(&told) })?;
                Ok(ExitCode::SUCCESS)
            }
            Err(Failure::Refused { status: UNPROCESSABLE, told }) => {
                if is_json {
                    print(&json(&told))?;
                } else {
                    eprint!("{}", problems(&told));
                }
                Ok(ExitCode::FAILURE)
            }
            Err(failure) => Err(failure),
        }
    }
}

fn changes(told: &Value) -> String {
    let generation =
        number(told, "/generation").map_or(String::new(), |number| format!(", generation {number}"));
    let mut text = format!("reloaded{generation}\n");
    let parts = [
        ("listeners added", "/listeners/added"),
        ("listeners removed", "/listeners/removed"),
        ("routes added", "/routes/added"),
        ("routes removed", "/routes/removed"),
        ("routes changed", "/routes/changed"),
    ];
    let parts = parts.map(|(what, at)| (what, texts(told, at)));
    for (what, names) in parts.iter().filter(|(_, names)| !names.is_empty()) {
        text += &format!("  {what}: {names}\n");
    }
    if parts.iter().all(|(_, names)| names.is_empty()) {
        text += "  the same listeners and routes as before\n";
    }
    let sessions = |at: &str| number(told, at).filter(|count| *count > 0).map(|count| of(count, "session"));
    if let Some(told) = sessions("/sessions/told") {
        text += &format!("  {told} under other rules from now on\n");
    }
    if let Some(ended) = sessions("/sessions/ended") {
        text += &format!("  {ended} told to come back, for the route or the server is gone\n");
    }
    text
}

/// As `framegate run` has them when it starts.
fn warnings(told: &Value) -> String {
    let warnings = list(told, "/warnings").iter().filter_map(Value::as_str);
    warnings.map(|warning| format!("warning: {}\n", lines(warning))).collect()
}

/// As `framegate check` has them, and what became of it.
fn problems(told: &Value) -> String {
    let problems: Vec<&str> = list(told, "/problems").iter().filter_map(Value::as_str).collect();
    let count = of(problems.len() as u64, "problem");
    let problems: String = problems.iter().map(|problem| lines(problem) + "\n").collect();
    format!("{problems}{count}: not reloaded, the running configuration stands\n")
}

/// A hint stands in a line of its own.
fn lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed() {
        let told = json!({
            "generation": 3, "listeners": { "added": ["new"], "removed": [] },
            "routes": { "added": [], "removed": ["old", "\x1b[2J"], "changed": ["chat"] },
            "sessions": { "told": 12, "ended": 1 }, "warnings": ["a.toml:1:1: workers: takes a start\n  hint: start it"],
        });
        let expected = "\
reloaded, generation 3
  listeners added: new
  routes removed: old, \\u{1b}[2J
  routes changed: chat
  12 sessions under other rules from now on
  1 session told to come back, for the route or the server is gone
";
        assert_eq!(changes(&told), expected);
        assert_eq!(warnings(&told), "warning: a.toml:1:1: workers: takes a start\n  hint: start it\n");
        let told = json!({ "generation": 4, "sessions": { "told": 0, "ended": 0 } });
        assert_eq!(changes(&told), "reloaded, generation 4\n  the same listeners and routes as before\n");
        assert_eq!(warnings(&told), "");
    }

    #[test]
    fn what_is_wrong() {
        let told = json!({ "error": "no", "problems": ["a.toml:3:7: log.level: unknown\n  hint: \x1b[2J", "a.toml:4:1: b"] });
        let expected = "\
a.toml:3:7: log.level: unknown
  hint: \\u{1b}[2J
a.toml:4:1: b
2 problems: not reloaded, the running configuration stands
";
        assert_eq!(problems(&told), expected);
    }
}
