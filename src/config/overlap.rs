//! Routes that get in each other's way.
//!
//! The most specific route wins, so a broader one never hides a narrower one; only between routes that are equally
//! specific for the same handshakes does the order of the file decide. There, each (host, path, headers, subprotocol)
//! belongs to the first route that names it, and a route with nothing of its own can never be chosen.

use super::error::Complaint;
use super::source::{Place, Source};
use crate::route::{HostPattern, Matcher, PathPattern};
use http::header::{HeaderName, HeaderValue};

/// One combination that a route matches. No host: any.
#[derive(Clone, PartialEq)]
struct Spot {
    host: Option<HostPattern>,
    path: PathPattern,
    headers: Vec<(HeaderName, HeaderValue)>,
    subprotocol: Option<String>,
}

#[derive(Default)]
pub struct Taken {
    spots: Vec<(Spot, Owner)>,
}

#[derive(Clone, PartialEq)]
struct Owner {
    name: String,
    line: usize,
}

impl Taken {
    /// Reports a route whose spots are all taken by earlier ones, and warns of one that has lost some.
    pub fn claim(&mut self, source: &Source<'_>, name: &str, matcher: &Matcher, at: &Place) {
        let spots = spots(matcher);
        let mut lost: Vec<(Spot, Owner)> = Vec::new();
        let mut own = Vec::new();
        for spot in spots {
            match self.spots.iter().find(|(taken, _)| *taken == spot) {
                Some((_, owner)) => lost.push((spot, owner.clone())),
                None => own.push((spot, Owner { name: name.into(), line: source.line(at) })),
            }
        }
        let Some((first, owner)) = lost.first() else {
            self.spots.extend(own);
            return;
        };
        let Owner { name: other, line } = owner;
        let hint = "tell them apart by host, path, match_headers or match_subprotocol, or remove one";
        if !own.is_empty() {
            let host = first.host.as_ref().map_or_else(String::new, ToString::to_string);
            let complaint =
                Complaint::new(format!("for host {host} route {other:?} (line {line}) is chosen instead"));
            source.warning(at, complaint.hint(hint));
        } else if lost.iter().all(|(_, another)| another == owner) && self.count(owner) == lost.len() {
            let complaint =
                Complaint::new(format!("matches exactly what route {other:?} (line {line}) matches"));
            source.problem(at, complaint.hint(hint));
        } else {
            let complaint =
                Complaint::new(format!("can never be chosen: route {other:?} (line {line}) comes before it"));
            source.problem(at, complaint.hint(hint));
        }
        self.spots.extend(own);
    }

    fn count(&self, owner: &Owner) -> usize {
        self.spots.iter().filter(|(_, another)| another == owner).count()
    }
}

fn spots(matcher: &Matcher) -> Vec<Spot> {
    let spot = |host: Option<HostPattern>| Spot {
        host,
        path: matcher.path.clone(),
        headers: matcher.headers.clone(),
        subprotocol: matcher.subprotocol.clone(),
    };
    if matcher.hosts.is_empty() {
        return vec![spot(None)];
    }
    matcher.hosts.iter().cloned().map(|host| spot(Some(host))).collect()
}
