//! What a caller reads who did not get what it asked for: what is wrong, and what to do instead.

use http::StatusCode;
use serde_json::{Map, Value};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub error: String,
    pub hint: String,
    /// What a program may want to know beside the words.
    pub more: Map<String, Value>,
    /// What the status asks for.
    pub header: Option<(&'static str, &'static str)>,
}

impl Problem {
    pub fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Problem {
        Problem { status, error: error.into(), hint: hint.into(), more: Map::new(), header: None }
    }

    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.more.insert(name.into(), value.into());
        self
    }

    pub fn to_json(&self) -> Value {
        let mut all = Map::new();
        all.insert("error".into(), self.error.as_str().into());
        if !self.hint.is_empty() {
            all.insert("hint".into(), self.hint.as_str().into());
        }
        all.extend(self.more.clone());
        Value::Object(all)
    }
}
