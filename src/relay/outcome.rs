//! How a session ended: who, why, and with which words.

use crate::frame::{Close, Side, Violation};
use std::time::Duration;

/// Who ended the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Client,
    Backend,
    Gateway,
}

impl By {
    pub const fn word(self) -> &'static str {
        match self {
            By::Client => "client",
            By::Backend => "backend",
            By::Gateway => "gateway",
        }
    }
}

impl From<Side> for By {
    fn from(side: Side) -> By {
        match side {
            Side::Client => By::Client,
            Side::Backend => By::Backend,
        }
    }
}

/// Why a session ended. Each has one word, which the log line and the metrics share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A peer's own Close.
    Closed,
    /// A peer broke the RFC or a limit.
    Violation(Violation),
    ClientLost,
    BackendLost,
    PongTimeout,
    Idle,
    DataIdle,
    FirstMessage,
    WriteTimeout,
    Age,
    Order(Order),
    /// A defect of ours: the session's task panicked or was dropped before its end.
    Broken,
}

/// An end that comes from outside the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    Drain,
    Reload,
    BackendDown,
    Kick,
    /// The token that admitted the client ran out.
    TokenExpired,
}

impl Cause {
    pub const fn word(self) -> &'static str {
        match self {
            Cause::Closed => "closed",
            Cause::Violation(violation) => violation.cause_word(),
            Cause::ClientLost => "client_lost",
            Cause::BackendLost => "backend_lost",
            Cause::PongTimeout => "timeout.pong",
            Cause::Idle => "timeout.idle",
            Cause::DataIdle => "timeout.data_idle",
            Cause::FirstMessage => "timeout.first_message",
            Cause::WriteTimeout => "timeout.write",
            Cause::Age => "age",
            Cause::Order(Order::Drain) => "drain",
            Cause::Order(Order::Reload) => "reload",
            Cause::Order(Order::BackendDown) => "backend_down",
            Cause::Order(Order::Kick) => "kick",
            Cause::Order(Order::TokenExpired) => "auth.expired",
            Cause::Broken => "broken",
        }
    }

    pub(super) const fn lost(side: Side) -> Cause {
        match side {
            Side::Client => Cause::ClientLost,
            Side::Backend => Cause::BackendLost,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub by: By,
    pub cause: Cause,
    /// The peer it was about: who broke the rule, fell silent or went away.
    pub about: Option<Side>,
    /// A peer's own Close as it was said; otherwise what we told the peer it was about, or else the client.
    pub close: Close,
    /// How old the session was when its end began: the closing handshake is not its life.
    pub lived: Duration,
}

impl Outcome {
    /// The peer whose stream is dropped as it is: it does not take what is queued for it, and never will.
    pub fn abandoned(&self) -> Option<Side> {
        self.about.filter(|_| self.cause == Cause::WriteTimeout)
    }
}
