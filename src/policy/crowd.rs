//! How many may be there at a time, in all and of one client, and how fast one client may come: of the process, of a
//! listener, of a route. The counting itself is in `counts`.

use super::counts::{Counted, Counts, Full, Key, Scope};
use crate::meter::Rate;
use crate::moment::Moment;
use crate::refusal::{Refusal, Refused};
use std::sync::Arc;
use std::time::Duration;

/// What is counted together, and under which limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowd {
    pub scope: Scope,
    pub limits: CrowdLimits,
}

/// `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrowdLimits {
    pub max_connections: Option<u32>,
    pub max_connections_per_ip: Option<u32>,
    /// Of one client.
    pub handshakes: Option<Rate>,
}

impl Crowd {
    /// Everybody's.
    pub fn of_the_process(max_connections: Option<u32>) -> Crowd {
        let limits = CrowdLimits { max_connections, ..CrowdLimits::default() };
        Crowd { scope: Scope::Process, limits }
    }
}

/// One more of the crowd. `Ok(None)`: nobody counts.
type Verdict = Result<Option<Counted>, Refused>;

impl Crowd {
    /// A seat among all.
    pub fn take_seat(&self, counts: &Arc<Counts>) -> Verdict {
        let Some(cap) = self.limits.max_connections else { return Ok(None) };
        counts.enter(&self.scope, Key::Everyone, cap).map(Some).map_err(|Full| {
            let refusal = match self.scope {
                Scope::Process => Refusal::ProcessFull,
                Scope::Listener(_) => Refusal::ListenerFull,
                Scope::Route(_) => Refusal::RouteFull,
            };
            refusal.because(format!("{} has its max_connections, {cap}", self.scope))
        })
    }

    /// A seat among those of one client.
    pub fn take_seat_of(&self, client: Key, counts: &Arc<Counts>) -> Verdict {
        let Some(cap) = self.limits.max_connections_per_ip else { return Ok(None) };
        counts.enter(&self.scope, client, cap).map(Some).map_err(|Full| {
            let detail = format!("{client} has the max_connections_per_ip of {}, {cap}", self.scope);
            Refusal::AddressFull.because(detail)
        })
    }

    /// A client comes once more. Who is too fast is told when to come again. Without a rate nobody asks what time it is.
    pub fn keep_pace(
        &self,
        client: Key,
        counts: &Counts,
        now: impl FnOnce() -> Moment,
    ) -> Result<(), Refused> {
        let Some(rate) = self.limits.handshakes else { return Ok(()) };
        counts.spend(&self.scope, client, rate, now()).map_err(|wait| {
            let key =
                if matches!(self.scope, Scope::Route(_)) { "rate.handshakes" } else { "handshakes_per_ip" };
            let detail = format!("{client} is faster than the {key} of {}: {rate}", self.scope);
            Refusal::HandshakeRate.because(detail).retry_after(whole_seconds(wait))
        })
    }
}

/// `Retry-After` knows no fractions (RFC 9110 10.2.3); a client that comes too early would be refused again.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::RandomState;
    use std::net::IpAddr;

    fn counts() -> Arc<Counts> {
        Arc::new(Counts::new(RandomState::new()))
    }

    fn key(address: &str) -> Key {
        Key::of(address.parse::<IpAddr>().ok())
    }

    fn scopes() -> [Scope; 3] {
        [Scope::Process, Scope::Listener("public".into()), Scope::Route("chat".into())]
    }

    fn limits(max: u32, per_ip: u32, handshakes: Rate) -> CrowdLimits {
        CrowdLimits {
            max_connections: Some(max),
            max_connections_per_ip: Some(per_ip),
            handshakes: Some(handshakes),
        }
    }

    #[test]
    fn without_limits_nobody_counts() {
        let counts = counts();
        for scope in scopes() {
            let crowd = Crowd { scope, limits: CrowdLimits::default() };
            for _ in 0..1000 {
                assert!(crowd.take_seat(&counts).unwrap().is_none());
                assert!(crowd.take_seat_of(Key::V4(1), &counts).unwrap().is_none());
                crowd.keep_pace(Key::V4(1), &counts, Moment::default).unwrap();
            }
        }
        assert_eq!(counts.seats(), 0);
    }

    #[test]
    fn every_refusal_has_its_cause_and_names_the_limit() {
        let table = [
            (Refusal::ProcessFull, "the process has its max_connections, 2"),
            (Refusal::ListenerFull, "listener public has its max_connections, 2"),
            (Refusal::RouteFull, "route chat has its max_connections, 2"),
        ];
        let of_client = [
            ("192.0.2.1 has the max_connections_per_ip of the process, 1", ""),
            (
                "192.0.2.1 has the max_connections_per_ip of listener public, 1",
                "192.0.2.1 is faster than the handshakes_per_ip of listener public: 10 a second, 3 at once",
            ),
            (
                "192.0.2.1 has the max_connections_per_ip of route chat, 1",
                "192.0.2.1 is faster than the rate.handshakes of route chat: 10 a second, 3 at once",
            ),
        ];
        let counts = counts();
        let (client, now) = (key("192.0.2.1"), Moment::from_millis(5));
        for ((scope, (refusal, detail)), (per_ip, rate)) in scopes().into_iter().zip(table).zip(of_client) {
            let crowd = Crowd { scope, limits: limits(2, 1, Rate::new(10, 3)) };
            let seats = [crowd.take_seat(&counts), crowd.take_seat(&counts)].map(Result::unwrap);
            assert_eq!(crowd.take_seat(&counts).unwrap_err(), refusal.because(detail));
            let own = crowd.take_seat_of(client, &counts).unwrap();
            let refused = crowd.take_seat_of(client, &counts).unwrap_err();
            assert_eq!(refused, Refusal::AddressFull.because(per_ip));
            assert!(crowd.take_seat_of(key("192.0.2.2"), &counts).is_ok(), "another client");
            (0..3).for_each(|_| crowd.keep_pace(client, &counts, || now).unwrap());
            let refused = crowd.keep_pace(client, &counts, || now).unwrap_err();
            assert_eq!((refused.refusal, refused.retry_after), (Refusal::HandshakeRate, Some(1)));
            assert!(rate.is_empty() || refused.detail == rate, "{}", refused.detail);
            drop((seats, own));
            assert!(crowd.take_seat(&counts).is_ok() && crowd.take_seat_of(client, &counts).is_ok());
        }
        assert_eq!(counts.seats(), 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let counts = counts();
        let crowd = Crowd { scope: Scope::Route("chat".into()), limits: limits(100, 2, Rate::new(1, 2)) };
        let now = Moment::from_millis(5);
        let mut seats = Vec::new();
        for host in ["2001:db8::1", "2001:db8::ffff:0:0:1"] {
            crowd.keep_pace(key(host), &counts, || now).unwrap();
            seats.extend(crowd.take_seat_of(key(host), &counts).unwrap());
        }
        let third = key("2001:db8::2:3");
        let refused = crowd.take_seat_of(third, &counts).unwrap_err();
        assert!(refused.detail.starts_with("2001:db8::/64 has"), "{}", refused.detail);
        assert_eq!(crowd.keep_pace(third, &counts, || now).unwrap_err().refusal, Refusal::HandshakeRate);
        let neighbour = key("2001:db8:0:1::1");
        assert!(crowd.keep_pace(neighbour, &counts, || now).is_ok());
        assert!(crowd.take_seat_of(neighbour, &counts).is_ok());
    }

    #[test]
    fn retry_after_is_never_too_early() {
        for (millis, seconds) in [(1, 1), (999, 1), (1000, 1), (1001, 2), (60_000, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }
}
