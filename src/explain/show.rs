//! An explanation in letters: aligned for people, JSON for programs.

use super::answer::{Decided, Explanation, Place, Row, Verdict};
use crate::observe::log::printable;
use serde_json::{Value, json};
use std::fmt;

/// What a value longer than this is followed by stands where it stands.
const WIDEST: usize = 60;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: &str| text.chars().count();
        let topics = self.rows.iter().map(|row| width(&row.topic)).max().unwrap_or_default();
        let values = self.rows.iter().map(|row| width(&row.value)).filter(|width| *width <= WIDEST).max();
        for Row { topic, value, decided, .. } in &self.rows {
            let value = printable(value);
            let place = decided.as_ref().map_or(String::new(), |decided| show_decided(decided, topic));
            let line =
                format!("{topic:topics$}  {value:values$}  {place}", values = values.unwrap_or_default());
            writeln!(f, "{}", line.trim_end())?;
        }
        if !self.rows.is_empty() {
            writeln!(f)?;
        }
        writeln!(f, "{}", printable(&self.verdict.to_string()))
    }
}

/// The key is named where the topic is another word.
fn show_decided(decided: &Decided, topic: &str) -> String {
    let place = match &decided.place {
        Place::Own(line) => line.to_string(),
        Place::Inherited(line) => format!("{line} in [defaults]"),
        Place::Default => "default".into(),
    };
    if decided.key == topic { place } else { format!("{place} {}", decided.key) }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Admitted { server, path, provided } => {
                let provided: String = provided.iter().map(|one| format!(", if {one}")).collect();
                write!(f, "admitted{provided}: {server} is asked for {path}")
            }
            Verdict::Redirected => f.write_str("redirected: 308, to the same URL with https://"),
            Verdict::Unheard(why) => write!(f, "not heard: {why}"),
            Verdict::Refused { refused, close } => {
                let refusal = refused.refusal;
                writeln!(f, "refused: {} {}", refusal.status().as_u16(), refusal.cause_word())?;
                writeln!(f, "  because: {}", refused.detail)?;
                match close {
                    Some(code) => write!(f, "  the client reads: Close {code}, {}", refusal.public_word()),
                    None => write!(f, "  the client reads: {}", refusal.public_text()),
                }
            }
        }
    }
}

impl Explanation {
    pub fn is_admitted(&self) -> bool {
        matches!(self.verdict, Verdict::Admitted { .. })
    }

    pub fn to_json(&self) -> Value {
        let mut all = match &self.verdict {
            Verdict::Admitted { server, path, provided } => {
                json!({ "verdict": "admitted", "server": server, "path": path, "provided": provided })
            }
            Verdict::Redirected => json!({ "verdict": "redirected", "status": 308 }),
            Verdict::Unheard(why) => json!({ "verdict": "unheard", "detail": why }),
            Verdict::Refused { refused, close } => {
                let (refusal, detail) = (refused.refusal, &refused.detail);
                let (status, cause) = (refusal.status().as_u16(), refusal.cause_word());
                json!({ "verdict": "refused", "status": status, "cause": cause, "detail": detail, "close": close })
            }
        };
        all["decisions"] = self.rows.iter().map(row_json).collect();
        all
    }
}

fn row_json(row: &Row) -> Value {
    let Row { topic, name, value, decided } = row;
    let (key, source, line) = match decided {
        None => (None, None, None),
        Some(Decided { key, place }) => match place {
            Place::Own(line) => (Some(key), Some("file"), Some(line)),
            Place::Inherited(line) => (Some(key), Some("defaults"), Some(line)),
            Place::Default => (Some(key), Some("default"), None),
        },
    };
    let file = line.map(|line| line.file.display().to_string());
    let line = line.map(|line| line.number);
    let mut all =
        json!({ "topic": topic, "value": value, "key": key, "source": source, "file": file, "line": line });
    if let Some(name) = name {
        all["name"] = name.as_str().into();
    }
    all
}
