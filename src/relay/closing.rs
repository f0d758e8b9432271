//! What may still be heard from a peer and what may still be said to it, from the open session to the last frame (RFC
//! 6455 section 7).

use crate::frame::{Close, Side, Violation};

/// What we still take from a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    Open,
    /// It sent its Close: nothing after that counts (RFC 6455 5.5.1).
    Closed,
    /// It broke a rule or fell silent: its bytes are read and thrown away, so that its socket does not fill and reset
    /// before it has read our Close.
    Deaf,
    /// Its stream ended.
    Gone,
}

/// What may still be put on the wire to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Saying {
    Open,
    /// This Close follows once the other peer has said its last: nothing that is under way to us gets lost.
    Deferred(Close),
    /// This Close goes out at the next frame boundary.
    Due(Close),
    /// A Close went out: nothing may follow it.
    Done,
    /// Nothing can be said any more: the stream is broken, or stands inside a frame that will never end.
    Cut,
}

impl Saying {
    pub(super) const fn takes_frames(&self) -> bool {
        matches!(self, Saying::Open | Saying::Deferred(_))
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self, Saying::Done | Saying::Cut)
    }

    /// Schedules a Close unless the last word was already said.
    pub(super) fn close_with(&mut self, close: Close) {
        if self.takes_frames() {
            *self = Saying::Due(close);
        }
    }
}

/// What a peer is told when the other one broke a rule. 1001 lets a server release the session quietly; 1011 tells a
/// client that it was not its doing.
pub(super) fn to_the_innocent(side: Side, violation: Violation) -> Close {
    let code = match side {
        Side::Client => 1011,
        Side::Backend => 1001,
    };
    Close::new(code, violation.cause_word())
}

/// What a peer is told when the other one is gone or is no longer served. Reconnecting clients such as graphql-ws take
/// 1011 for fatal and give up, so a client hears 1012; 1012 to 1014 are never sent to a backend.
pub(super) fn to_the_bereft(side: Side, word: &str) -> Close {
    let code = match side {
        Side::Client => 1012,
        Side::Backend => 1001,
    };
    Close::new(code, word)
}
