//! Lines about callers that were refused. Who tries tokens must not fill the disk: beyond so many a second they are counted.

use crate::observe::log::printable;
use crate::observe::sparing::Sparing;

#[derive(Debug, Default)]
pub struct Refusals(Sparing);

/// What is logged of a path: the rest is a caller's own words.
const SHOWN: usize = 80;

impl Refusals {
    /// `what` is one word, `asked` the method and path, `why` for the operator.
    pub fn tell(&self, peer: &str, what: &'static str, asked: &str, why: &str) {
        self.0.tell_as(LEFT_OUT);
        if self.0.may_write(what) {
            let (asked, why) = (shown(asked), printable(why));
            tracing::warn!(peer, cause = what, asked = asked.as_str(), why = &*why, "admin request refused");
        }
    }

    /// To be called at the end.
    pub fn tell_what_was_left_out(&self) {
        self.0.tell_as(LEFT_OUT);
    }
}

const LEFT_OUT: &str = "admin requests refused that have no line of their own";

fn shown(asked: &str) -> String {
    let cut: String = asked.chars().take(SHOWN).collect();
    let end = if cut.len() < asked.len() { "…" } else { "" };
    format!("{}{end}", printable(&cut))
}
