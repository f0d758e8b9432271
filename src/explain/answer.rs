//! What is told: rows in the order in which the gateway would find them out, and what came of it.

use crate::config::Line;
use crate::refusal::Refused;

/// The answer: what was found out, in the order in which the gateway would, and what came of it.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub rows: Vec<Row>,
    pub verdict: Verdict,
}

#[derive(Clone, Debug)]
pub struct Row {
    pub topic: String,
    /// Of a listener, a route or a backend.
    pub name: Option<String>,
    pub value: String,
    /// `None`: no key of the file has a say in it.
    pub decided: Option<Decided>,
}

/// The key that decided.
#[derive(Clone, Debug)]
pub struct Decided {
    pub key: String,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub enum Place {
    Own(Line),
    /// In `[defaults]`.
    Inherited(Line),
    /// Nowhere in the file.
    Default,
}

#[derive(Clone, Debug)]
pub enum Verdict {
    /// Which server is asked, and for what, as a log line would show it; if all this holds, which only a running gateway
    /// can find out.
    Admitted { server: String, path: String, provided: Vec<String> },
    /// To the same URL with `https://`.
    Redirected,
    /// `close`: the code of the Close by which the client is told, instead of the status.
    Refused { refused: Refused, close: Option<u16> },
    /// Nothing takes the connection.
    Unheard(String),
}
