//! Counting for all policies: how many hold a seat at a time, and how fast they came.
//!
//! [`Counts::enter`] and [`Counts::spend`] are all that the rest of the program knows of it. This one counts for one
//! gateway, in memory and for all of its threads; a store that several gateways share will stand behind the same two.
//! Both tables are bounded: seats by the connections that there are, rates by a size that never changes.

mod rates;
mod seats;

use crate::meter::Rate;
use crate::moment::Moment;
use rates::RateTable;
use seats::SeatTable;
use std::fmt;
use std::hash::RandomState;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whose limit it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Process,
    /// By name, as the others: what is counted outlives a change of their order.
    Listener(Arc<str>),
    Route(Arc<str>),
}

/// Who is counted together under a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Everyone,
    V4(u32),
    /// The upper half of the address. A site is given a /64 at the least (RFC 6177 2) and picks the lower half as it
    /// likes, so what differs only there may be one and the same client.
    V6(u64),
    /// A proxy on a unix socket that does not say for whom it speaks. All of it counts as one: a limit that nobody could
    /// exceed would be none.
    Nameless,
}

/// All counters of a gateway.
#[derive(Debug)]
pub struct Counts {
    seats: SeatTable,
    rates: RateTable,
}

/// A seat that is taken. It is given back when this is dropped, whatever the reason.
#[derive(Debug)]
#[must_use = "the seat is given back when this is dropped"]
pub struct Counted {
    counts: Arc<Counts>,
    place: Place,
}

/// No seat is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What has a count of its own.
type Place = (Scope, Key);

impl Counts {
    /// Nobody can choose addresses that get in each other's way without knowing `seed`.
    pub fn new(seed: RandomState) -> Counts {
        Counts { seats: SeatTable::new(seed.clone()), rates: RateTable::new(seed) }
    }

    /// Takes one of `cap` seats.
    pub fn enter(self: &Arc<Counts>, scope: &Scope, key: Key, cap: u32) -> Result<Counted, Full> {
        let place = (scope.clone(), key);
        self.seats.enter(&place, cap)?;
        Ok(Counted { counts: self.clone(), place })
    }

    /// Comes once more at this rate; too early, it is told how long to wait, and what it tried costs it nothing.
    pub fn spend(&self, scope: &Scope, key: Key, rate: Rate, now: Moment) -> Result<(), Duration> {
        self.rates.spend(&(scope.clone(), key), rate, now)
    }

    /// How many seats are taken, of all scopes together.
    pub fn seats(&self) -> u64 {
        self.seats.taken()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counts.seats.leave(&self.place);
    }
}

impl Key {
    pub fn of(client: Option<IpAddr>) -> Key {
        match client.map(|address| address.to_canonical()) {
            None => Key::Nameless,
            Some(IpAddr::V4(address)) => Key::V4(address.to_bits()),
            // The shift leaves 64 bits.
            Some(IpAddr::V6(address)) => Key::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Key::Everyone => f.write_str("everyone"),
            Key::V4(bits) => Ipv4Addr::from_bits(bits).fmt(f),
            Key::V6(upper) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(upper) << 64)),
            Key::Nameless => f.write_str("a client without an address"),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Process => f.write_str("the process"),
            Scope::Listener(name) => write!(f, "listener {name}"),
            Scope::Route(name) => write!(f, "route {name}"),
        }
    }
}

/// A panic while the lock was held left nothing half done: every critical section here is a few plain assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> Key {
        Key::of(Some(address.parse().unwrap()))
    }

    #[test]
    fn who_counts_as_one() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("2001:db8::1", "2001:db8::2", true),
            ("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("2001:db8::1", "2001:db9::1", false),
            // What the two would be if the halves were mixed up.
            ("::c000:201", "192.0.2.1", false),
            ("::1", "::2", true),
        ] {
            assert_eq!(key(one) == key(other), same, "{one} and {other}");
        }
        assert_eq!(Key::of(None), Key::Nameless);
    }

    #[test]
    fn shown_to_the_operator() {
        assert_eq!(key("::ffff:192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(key("2001:db8:0:7:1:2:3:4").to_string(), "2001:db8:0:7::/64");
        assert_eq!(Scope::Listener("public".into()).to_string(), "listener public");
    }

    #[test]
    fn a_session_pays_little_for_a_seat() {
        assert!(size_of::<Counted>() <= 48, "{}", size_of::<Counted>());
    }
}
