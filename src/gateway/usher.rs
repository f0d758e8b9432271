//! Seats and rates along the way of a connection: as it is accepted, once its client is known, and at its request.

use super::answer::{log_turned_away, raw_refusal};
use super::{Connection, Gateway, Visit};
use crate::moment::Moment;
use crate::net::doorstep::Doorstep;
use crate::net::socket::Socket;
use crate::observe::sparing::Sparing;
use crate::policy::counts::{Counted, Counts, Key};
use crate::policy::crowd::Crowd;
use crate::refusal::Refused;
use crate::route::Route;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Instant;

/// What counting takes, for all connections of the process, whichever configuration is the running one.
pub struct Usher {
    counts: Arc<Counts>,
    since: Instant,
    doorstep: Doorstep,
    sparing: Sparing,
}

impl Default for Usher {
    fn default() -> Usher {
        Usher {
            counts: Arc::new(Counts::new(RandomState::new())),
            since: Instant::now(),
            doorstep: Doorstep::default(),
            sparing: Sparing::default(),
        }
    }
}

impl Usher {
    /// Seats that are taken. Without a connection there is none.
    pub fn seats(&self) -> u64 {
        self.counts.seats()
    }

    /// Tells the operator of refusals that got no line of their own. To be called now and then, and at the end.
    pub fn tell_what_was_left_out(&self) {
        self.sparing.tell();
    }

    /// Whether a refusal gets a line of its own.
    pub(super) fn may_log(&self, refused: &Refused) -> bool {
        let refusal = refused.refusal;
        !refusal.comes_in_floods() || self.sparing.may_write(refusal.cause_word())
    }

    fn now(&self) -> Moment {
        Moment::default() + self.since.elapsed()
    }

    /// What is asked of one client of a listener.
    fn admit(&self, crowd: &Crowd, client: Key, counted: &mut Vec<Counted>) -> Result<(), Refused> {
        crowd.keep_pace(client, &self.counts, || self.now())?;
        counted.extend(crowd.take_seat_of(client, &self.counts)?);
        Ok(())
    }
}

impl Gateway {
    /// A connection was accepted, from whomever it is: before anything is read from it, or paid for.
    pub fn enter(&self, connection: &mut Connection) -> Result<(), Refused> {
        let counts = &self.lasting.usher.counts;
        connection.counted.extend(self.crowd.take_seat(counts)?);
        connection.counted.extend(connection.crowd.take_seat(counts)?);
        Ok(())
    }

    /// `connection.peer` is known: what the listener asks of each client. To be called once. A trusted proxy's own
    /// address says nothing; for whom it speaks is known at the request, and asked there.
    pub fn admit(&self, connection: &mut Connection) -> Result<(), Refused> {
        if self.trusted.trusts(connection.peer) {
            return Ok(());
        }
        let Connection { crowd, peer, counted, .. } = connection;
        self.lasting.usher.admit(crowd, Key::of(*peer), counted)
    }

    /// Sends a connection away before its request. In the clear it gets a short answer; what may be left to do then is
    /// to be spawned. Under TLS an answer would cost the handshake that is to be saved: it just ends.
    pub fn turn_away(
        &self,
        connection: &Connection,
        socket: Socket,
        refused: &Refused,
    ) -> Option<impl Future<Output = ()> + use<>> {
        connection.open.refused(refused.refusal.cause_word());
        if self.lasting.usher.may_log(refused) {
            log_turned_away(connection, refused);
        }
        if connection.tls {
            return None;
        }
        self.lasting.usher.doorstep.answer(socket, &raw_refusal(refused))
    }

    /// The seats of a session: of its route and, where a trusted proxy speaks for the client, of the listener too.
    pub(super) fn seat(&self, visit: &Visit<'_>, route: &Route) -> Result<Vec<Counted>, Refused> {
        let (client, counts) = (Key::of(visit.seen.client), &self.lasting.usher.counts);
        let mut counted = Vec::new();
        if visit.seen.peer_is_trusted {
            self.lasting.usher.admit(&visit.connection.crowd, client, &mut counted)?;
        }
        route.crowd.keep_pace(client, counts, || self.lasting.usher.now())?;
        counted.extend(route.crowd.take_seat(counts)?);
        counted.extend(route.crowd.take_seat_of(client, counts)?);
        Ok(counted)
    }
}
