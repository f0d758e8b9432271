//! Lines about callers that were refused. Who tries tokens must not fill the disk: beyond so many a second they are counted.

use crate::observe::log::printable;
use crate::observe::sparing::Sparing;

#[derive(Debug, Default)]
pub struct Refusals(Sparing);

/// What is logged of a path: the rest is a caller's own words.
const SHOWN: usize = 80;

/// And of the reason, which may repeat them.
const SHOWN_WHY: usize = 400;

impl Refusals {
    /// `what` is one word, `asked` the method and path, `why` for the operator.
    pub fn tell(&self, peer: &str, what: &'static str, asked: &str, why: &str) {
        self.0.tell_as(LEFT_OUT);
        if self.0.may_write(what) {
            let (asked, why) = (shown(asked, SHOWN), shown(why, SHOWN_WHY));
            let (asked, why) = (asked.as_str(), why.as_str());
            tracing::warn!(peer, cause = what, asked, why, "admin request refused");
        }
    }

    /// To be called at the end.
    pub fn tell_what_was_left_out(&self) {
        self.0.tell_as(LEFT_OUT);
    }
}

const LEFT_OUT: &str = "admin requests refused that have no line of their own";

/// Fit for a line: so many characters at the most.
fn shown(text: &str, most: usize) -> String {
    let cut: String = text.chars().take(most).collect();
    let end = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{end}", printable(&cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_fills_the_log_with_their_own_words() {
        assert_eq!(shown("short", 80), "short");
        assert_eq!(shown(&"é".repeat(81), 80), "é".repeat(80) + "…");
    }
}
