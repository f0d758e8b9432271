//! Things of which there may be only one, each remembered with the line that has it.

use super::error::Complaint;
use super::source::{Place, Source};

pub struct Unique<K> {
    what: &'static str,
    seen: Vec<(K, usize)>,
}

impl<K: PartialEq> Unique<K> {
    pub fn new(what: &'static str) -> Unique<K> {
        Unique { what, seen: Vec::new() }
    }

    pub fn has(&self, key: &K) -> bool {
        self.seen.iter().any(|(seen, _)| seen == key)
    }

    /// Reports a key that an earlier line has already.
    pub fn claim(&mut self, source: &Source<'_>, key: K, at: &Place) {
        if let Some((_, line)) = self.seen.iter().find(|(seen, _)| *seen == key) {
            let complaint = Complaint::new(format!("line {line} has the same {}", self.what));
            source.problem(
                at,
                complaint.hint(format!("a {} may be there once: change or remove one", self.what)),
            );
            return;
        }
        self.seen.push((key, source.line(at)));
    }
}
