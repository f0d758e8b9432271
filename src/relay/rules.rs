//! What a route asks of its sessions: limits, rates, heartbeat, deadlines. Shared by all sessions of the route.

use crate::frame::{LaneRules, Opcodes, Pair};
use crate::meter::Rate;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The frames each side may send.
    pub limits: Pair<LaneRules>,
    pub rates: Rates,
    pub heartbeat: Heartbeat,
    pub timeouts: Timeouts,
}

/// What a client may send in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    pub messages: Option<Limited>,
    pub bytes: Option<Limited>,
    pub control: Option<Limited>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limited {
    pub rate: Rate,
    pub action: RateAction,
}

/// What follows when a rate is exceeded. Dropping is not among them: nothing accepted is ever lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateAction {
    /// Stop reading until the rate allows more.
    Delay,
    /// Close with 1008.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heartbeat {
    pub mode: HeartbeatMode,
    /// A side that was quiet for this long gets a ping from us. `None`: it never does.
    pub ping_interval: Pair<Option<Duration>>,
    /// How long a pinged side may stay silent. `None`: for ever.
    pub pong_timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatMode {
    /// Pings are answered here, whoever sends them.
    Answer,
    /// Pings and pongs pass through, except those of our own heartbeat.
    Forward,
}

/// `None` is "none": that deadline does not exist.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// No byte either way.
    pub idle: Option<Duration>,
    /// No data frame either way.
    pub data_idle: Option<Duration>,
    /// The client's first message.
    pub first_message: Option<Duration>,
    /// From the start of a client's message to its end.
    pub message: Option<Duration>,
    /// A blocked write with no progress.
    pub write: Option<Duration>,
    /// The closing handshake. Always bounded: a session that is over must end.
    pub close: Duration,
    pub max_connection_age: Option<Duration>,
    /// The part of the age by which it varies, 0 to 1.
    pub max_connection_age_jitter: f64,
}

impl Default for Rules {
    fn default() -> Rules {
        let secs = Duration::from_secs;
        let opcodes = Opcodes { text: true, binary: true };
        let client = LaneRules {
            max_frame_size: None,
            max_message_size: Some(16 << 20),
            max_fragments: Some(4096),
            opcodes,
            validate_utf8: true,
        };
        let backend = LaneRules { max_message_size: None, max_fragments: None, ..client };
        Rules {
            limits: Pair { client, backend },
            rates: Rates {
                messages: None,
                bytes: None,
                control: Some(Limited { rate: Rate::new(10, 50), action: RateAction::Close }),
            },
            heartbeat: Heartbeat {
                mode: HeartbeatMode::Answer,
                ping_interval: Pair { client: Some(secs(25)), backend: Some(secs(25)) },
                pong_timeout: Some(secs(20)),
            },
            timeouts: Timeouts {
                idle: Some(secs(300)),
                data_idle: None,
                first_message: None,
                message: Some(secs(60)),
                write: Some(secs(30)),
                close: secs(5),
                max_connection_age: None,
                max_connection_age_jitter: 0.1,
            },
        }
    }
}
