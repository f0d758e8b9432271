//! RFC 6455 frames, one direction at a time: headers, masks, close payloads, control frames, and the [`Lane`] that
//! walks them. Sections 5 and 7 of the RFC live here and nowhere else.
//!
//! Nothing in this module owns a payload or keeps one: it is shown bytes and says what they are. What follows from a
//! broken rule is left to `relay`.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod close;
mod control;
mod header;
mod lane;
mod mask;
mod run;
mod utf8;
mod violation;

pub use close::Close;
pub use control::{Control, MAX_CONTROL_FRAME, MAX_CONTROL_PAYLOAD};
pub use header::{Header, Opcode, Wire};
pub use lane::{Kind, Lane, LaneRules, Opcodes, Piece};
pub use mask::apply_mask;
pub use run::{Passed, Run};
pub use utf8::Utf8Stream;
pub use violation::Violation;

use std::ops::Not;

/// The two peers of a session. Never "local" and "remote": the gateway sits between two remotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Client = 0,
    Backend = 1,
}

impl Side {
    pub const BOTH: [Side; 2] = [Side::Client, Side::Backend];

    pub const fn word(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Backend => "backend",
        }
    }
}

impl Not for Side {
    type Output = Side;

    fn not(self) -> Side {
        match self {
            Side::Client => Side::Backend,
            Side::Backend => Side::Client,
        }
    }
}

/// One value for each side, indexed by the side itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair<T> {
    pub client: T,
    pub backend: T,
}

impl<T> std::ops::Index<Side> for Pair<T> {
    type Output = T;

    fn index(&self, side: Side) -> &T {
        match side {
            Side::Client => &self.client,
            Side::Backend => &self.backend,
        }
    }
}

impl<T> std::ops::IndexMut<Side> for Pair<T> {
    fn index_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.client,
            Side::Backend => &mut self.backend,
        }
    }
}
