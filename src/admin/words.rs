//! Words of a request, read one by one. What is left over at the end was not understood.

use super::problem::Problem;
use crate::config::Complaint;
use http::StatusCode;
use serde_json::{Map, Value};

/// The object in a request's body.
pub struct Words(Map<String, Value>);

impl Words {
    pub fn read(body: &[u8]) -> Result<Words, Problem> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(words)) => Ok(Words(words)),
            _ => Err(bad("the body is not a JSON object", "such as {} or {\"route\": \"chat\"}")),
        }
    }

    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    pub fn take_text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(bad(format!("{name} is not a string"), "write it in quotes")),
        }
    }

    pub fn take_flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(true)) => Ok(true),
            Some(_) => {
                Err(bad(format!("{name} is not true"), format!("write \"{name}\": true, or leave it out")))
            }
        }
    }

    /// `known`: the words that may be there.
    pub fn end(self, known: &str) -> Result<(), Problem> {
        self.0.keys().next().map_or(Ok(()), |word| Err(unknown(word, known)))
    }
}

/// All decimal digits, and not too many.
pub fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

pub fn unknown(word: &str, known: &str) -> Problem {
    bad(format!("{word:?} is not known here"), format!("what may be there: {known}"))
}

/// What the readers of the configuration's values have to say of this word.
pub fn about(name: &'static str) -> impl Fn(Complaint) -> Problem {
    move |complaint| bad(format!("{name}: {}", complaint.problem), complaint.hint.unwrap_or_default())
}

pub fn bad(error: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, error, hint)
}
