//! Why a command did not do what it was told, and what that makes of the exit code.

use super::terminal::clean;
use serde_json::Value;
use std::fmt;
use std::process::ExitCode;

#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// Whoever reads what is written has read enough: no failure to anybody.
    Closed,
    /// It did not come about.
    Failed { why: String, hint: String },
    /// The gateway was asked, and said no.
    Refused { status: u16, told: Value },
}

impl Failure {
    pub fn new(why: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure::Failed { why: why.into(), hint: hint.into() }
    }

    /// In the manner of every problem of this program; `whom` is one of several that it was about. A hint may have several
    /// lines.
    pub fn about(&self, whom: &str) -> String {
        let (why, hint) = match self {
            Failure::Closed => ("nobody reads any more", ""),
            Failure::Failed { why, hint } => (why.as_str(), hint.as_str()),
            Failure::Refused { told, .. } => {
                let text = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default();
                (text("error"), text("hint"))
            }
        };
        let whom = if whom.is_empty() { String::new() } else { format!("{whom}: ") };
        let mut text = format!("framegate: {whom}{}", clean(why));
        for (number, line) in hint.lines().enumerate() {
            text += if number == 0 { "\n  hint: " } else { "\n    " };
            text += &clean(line);
        }
        let numbers = self.numbers();
        if numbers.is_empty() { text } else { format!("{text}: {}", numbers.join(", ")) }
    }

    /// Of the sessions that may be meant.
    fn numbers(&self) -> Vec<String> {
        let Failure::Refused { told, .. } = self else { return Vec::new() };
        let numbers = told.get("numbers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        numbers.iter().filter_map(Value::as_u64).map(|number| number.to_string()).collect()
    }

    /// 400 is the word for a question that makes no sense, which is the fault of whoever asks.
    pub fn code(&self) -> ExitCode {
        match self {
            Failure::Closed => ExitCode::SUCCESS,
            Failure::Refused { status: 400, .. } => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.about(""))
    }
}

/// Says why, where there is something to say.
pub fn conclude(result: Result<ExitCode, Failure>) -> ExitCode {
    result.unwrap_or_else(|failure| {
        if failure != Failure::Closed {
            eprintln!("{failure}");
        }
        failure.code()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_said() {
        let failed = |hint: &str| Failure::new("no\x1b[2J", hint).to_string();
        assert_eq!(failed(""), "framegate: no\\u{1b}[2J");
        assert_eq!(
            failed("add:\n[admin]\u{9b}"),
            "framegate: no\\u{1b}[2J\n  hint: add:\n    [admin]\\u{9b}"
        );
        let refused = |told| Failure::Refused { status: 404, told }.to_string();
        assert_eq!(refused(json!({ "error": "none", "hint": "look" })), "framegate: none\n  hint: look");
        assert_eq!(refused(json!({ "error": "none" })), "framegate: none");
        let several = json!({ "error": "two", "hint": "name one of these numbers", "numbers": [2, 3] });
        assert_eq!(refused(several), "framegate: two\n  hint: name one of these numbers: 2, 3");
    }
}
