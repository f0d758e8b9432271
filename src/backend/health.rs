//! Whether a server is to be tried: what probes say of it, and what clients' own connections do. Pure: `now` comes in.
//!
//! Two opinions, kept apart. A probe's verdict turns after `fall` failures or `rise` successes in a row. Besides, every
//! connection that fails, or dies as soon as it is open, ejects the server for a time that grows with each further
//! failure, until sessions hold again.

use crate::moment::Moment;
use std::fmt;
use std::time::Duration;

/// `[backend.health]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    pub kind: ProbeKind,
    /// What is asked for, where something is.
    pub path: String,
    pub interval: Duration,
    pub timeout: Duration,
    pub fall: u32,
    pub rise: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// A whole handshake, then a ping that is answered.
    WebSocket,
    /// A GET that is answered with 2xx or 3xx.
    Http,
    /// A connection that is taken.
    Tcp,
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProbeKind::WebSocket => "websocket",
            ProbeKind::Http => "http",
            ProbeKind::Tcp => "tcp",
        })
    }
}

impl Default for HealthSettings {
    fn default() -> HealthSettings {
        HealthSettings {
            kind: ProbeKind::WebSocket,
            path: "/".into(),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
            fall: 3,
            rise: 2,
        }
    }
}

/// The first ejection.
const FIRST_EJECTION: Duration = Duration::from_secs(1);

/// The longest one. After it the server is tried again, with one client's connection.
const LONGEST_EJECTION: Duration = Duration::from_secs(60);

/// How long that one client's connection may take before another one is sent.
const TRIAL: Duration = Duration::from_secs(5);

/// Sessions that die at once, in a row, before it counts as the server's failure: one may be the application's word.
const EARLY_DEATHS: u32 = 3;

/// A session that lived this long did not die at once.
pub const EARLY: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    probed: Probed,
    /// Failures in a row, as clients' connections met them.
    failures: u32,
    /// Sessions in a row that died at once.
    early_deaths: u32,
    /// When it took the first session that has not died at once since.
    good_since: Option<Moment>,
    ejected_until: Option<Moment>,
    /// It failed, and has answered nobody since.
    unproven: bool,
    /// After an ejection a client is on its way there, and this long nobody else is sent.
    on_trial_until: Option<Moment>,
    /// Since when it can be used again. `None`: it always could.
    up_since: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probed {
    /// So many failures in a row.
    Up(u32),
    /// So many successes in a row.
    Down(u32),
}

/// What changed, for the operator to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Probes say that it is back.
    Up,
    /// Probes say that it is gone.
    Down,
    /// It is left alone for so long.
    Ejected(Duration),
    /// It takes sessions again.
    Readmitted,
}

impl Health {
    /// Of a server that was there from the start: innocent, and at full strength.
    pub const fn known() -> Health {
        Health {
            probed: Probed::Up(0),
            failures: 0,
            early_deaths: 0,
            good_since: None,
            ejected_until: None,
            unproven: false,
            on_trial_until: None,
            up_since: None,
        }
    }

    /// Of a server that has just been added.
    pub const fn new(now: Moment) -> Health {
        Health { up_since: Some(now), ..Health::known() }
    }

    pub fn is_up(&self, now: Moment) -> bool {
        !self.is_down() && !self.is_ejected(now) && self.on_trial_until.is_none_or(|until| until <= now)
    }

    /// A client is sent there. After an ejection it is the only one for now: many might wait in vain.
    pub fn picked(&mut self, now: Moment) {
        if self.unproven && self.is_up(now) {
            self.on_trial_until = Some(now + TRIAL);
        }
    }

    /// It took a client's connection and answered, with whatever.
    pub fn answered(&mut self) {
        self.unproven = false;
        self.on_trial_until = None;
    }

    /// In the probes' opinion.
    pub const fn is_down(&self) -> bool {
        matches!(self.probed, Probed::Down(_))
    }

    fn is_ejected(&self, now: Moment) -> bool {
        self.ejected_until.is_some_and(|until| until > now)
    }

    /// When to start counting a slow start from.
    pub fn up_since(&self) -> Option<Moment> {
        self.up_since.max(self.ejected_until)
    }

    /// What a probe found.
    pub fn probed(&mut self, answered: bool, settings: &HealthSettings, now: Moment) -> Option<Change> {
        match (self.probed, answered) {
            (Probed::Up(_), true) => self.probed = Probed::Up(0),
            (Probed::Up(failures), false) if failures.saturating_add(1) < settings.fall => {
                self.probed = Probed::Up(failures + 1);
            }
            (Probed::Up(_), false) => {
                self.probed = Probed::Down(0);
                return Some(Change::Down);
            }
            (Probed::Down(_), false) => self.probed = Probed::Down(0),
            (Probed::Down(successes), true) if successes.saturating_add(1) < settings.rise => {
                self.probed = Probed::Down(successes + 1);
            }
            (Probed::Down(_), true) => {
                *self = Health::new(now);
                return Some(Change::Up);
            }
        }
        None
    }

    /// Nobody probes it any more: what probes said last would stand for ever.
    pub fn forget_probes(&mut self) {
        self.probed = Probed::Up(0);
    }

    /// It answered a client with a 101.
    pub fn opened(&mut self, now: Moment) -> Option<Change> {
        self.answered();
        let is_back = self.good_since.is_none() && self.failures > 0;
        self.good_since.get_or_insert(now);
        is_back.then_some(Change::Readmitted)
    }

    /// A client's connection could not be made, or its handshake failed in a way that is the server's fault.
    pub fn failed(&mut self, now: Moment) -> Option<Change> {
        // Connections that were under way together failed for one reason: the first of them counts.
        if self.is_ejected(now) {
            return None;
        }
        self.end_of_good(now);
        // Plain requests say nothing of a server that serves them: there it is time that makes up for a failure.
        if self.ejected_until.is_some_and(|until| now.since(until) >= LONGEST_EJECTION) {
            self.failures = 0;
        }
        let span = FIRST_EJECTION.saturating_mul(1 << self.failures.min(16)).min(LONGEST_EJECTION);
        self.failures = self.failures.saturating_add(1);
        self.early_deaths = 0;
        self.unproven = true;
        self.on_trial_until = None;
        self.ejected_until = Some(now + span);
        Some(Change::Ejected(span))
    }

    /// Sessions held until now: what was before that is made up for.
    fn end_of_good(&mut self, now: Moment) {
        if self.good_since.take().is_some_and(|since| now.since(since) >= EARLY) {
            self.failures = 0;
        }
    }

    /// A session is over that had `lived` so long. `lost`: the server ended it without a Close.
    pub fn ended(&mut self, lost: bool, lived: Duration, now: Moment) -> Option<Change> {
        if !lost || lived >= EARLY {
            self.early_deaths = 0;
            return None;
        }
        self.end_of_good(now);
        self.early_deaths = self.early_deaths.saturating_add(1);
        if self.early_deaths < EARLY_DEATHS { None } else { self.failed(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_millis(100_000);

    fn at(secs: f64) -> Moment {
        START + Duration::from_secs_f64(secs)
    }

    #[test]
    fn probes_turn_the_verdict_after_so_many_in_a_row() {
        let settings = HealthSettings { fall: 3, rise: 2, ..HealthSettings::default() };
        let mut health = Health::known();
        let mut seen = String::new();
        for (at, answered) in "++--+---+-+-++--+".chars().enumerate() {
            let change = health.probed(answered == '+', &settings, START + Duration::from_secs(at as u64));
            seen.push(match change {
                Some(Change::Down) => 'D',
                Some(Change::Up) => 'U',
                _ => {
                    if health.is_up(START) {
                        '.'
                    } else {
                        ' '
                    }
                }
            });
        }
        assert_eq!(seen, ".......D     U...");
        assert_eq!(health.up_since(), Some(at(13.0)), "a slow start begins there");
    }

    #[test]
    fn failures_in_a_row_eject_for_twice_as_long_up_to_a_minute() {
        let mut health = Health::known();
        let mut now = START;
        for secs in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let span = Duration::from_secs(secs);
            assert!(health.is_up(now));
            assert_eq!(health.failed(now), Some(Change::Ejected(span)));
            assert!(!health.is_up(now) && !health.is_up(now + span.mul_f64(0.999)));
            now = now + span;
            assert!(health.is_up(now), "after {secs} s");
        }
        assert_eq!(health.opened(now), Some(Change::Readmitted));
        assert_eq!(health.opened(now), None);
        assert_eq!(health.failed(now + EARLY), Some(Change::Ejected(FIRST_EJECTION)), "it had held");
    }

    #[test]
    fn a_handshake_that_works_is_no_cure_for_sessions_that_do_not() {
        let mut health = Health::known();
        let mut now = START;
        for secs in [1, 2, 4] {
            for death in 1..=EARLY_DEATHS {
                health.opened(now);
                let change = health.ended(true, Duration::from_millis(10), now);
                let ejected = Change::Ejected(Duration::from_secs(secs));
                assert_eq!(change, (death == EARLY_DEATHS).then_some(ejected));
            }
            now = now + Duration::from_secs(secs);
        }
    }

    #[test]
    fn a_failure_is_made_up_for() {
        let mut health = Health::known();
        health.failed(START);
        assert_eq!(health.failed(at(61.0)), Some(Change::Ejected(FIRST_EJECTION)), "by time, a minute of it");
        assert_eq!(health.failed(at(121.0)), Some(Change::Ejected(2 * FIRST_EJECTION)), "not less");
        assert_eq!(health.opened(at(124.0)), Some(Change::Readmitted));
        // One that dies early is the application's word, not the end of an ejection.
        assert_eq!(health.ended(true, Duration::ZERO, at(130.0)), None);
        assert_eq!(health.opened(at(130.0)), None);
        assert_eq!(health.failed(at(130.5)), Some(Change::Ejected(FIRST_EJECTION)), "by sessions that held");
    }

    #[test]
    fn after_an_ejection_one_client_finds_out_for_all() {
        let mut health = Health::known();
        health.picked(START);
        assert!(health.is_up(START), "nothing is known against it");
        health.failed(START);
        health.picked(at(0.5));
        assert!(health.is_up(at(1.0)), "one that was sent there for want of a better is no trial");
        health.picked(at(1.0));
        assert!(!health.is_up(at(1.1)) && !health.is_up(at(5.9)));
        assert!(health.is_up(at(6.0)), "that client may have gone away");
        health.picked(at(6.0));
        assert_eq!(health.failed(at(7.0)), Some(Change::Ejected(2 * FIRST_EJECTION)));
        assert!(health.is_up(at(9.0)));
        health.picked(at(9.0));
        health.answered();
        health.picked(at(9.0));
        assert!(health.is_up(at(9.0)));
    }

    #[test]
    fn a_volley_that_fails_at_once_counts_once() {
        let mut health = Health::known();
        assert!(health.failed(START).is_some());
        for _ in 0..100 {
            assert_eq!(health.failed(at(0.5)), None);
        }
        assert!(health.is_up(at(1.0)));
    }

    #[test]
    fn three_sessions_that_die_at_once_are_a_failure_and_old_ones_are_not() {
        let mut health = Health::known();
        let early = Duration::from_millis(999);
        let dies = |health: &mut Health, lived| health.ended(true, lived, START);
        assert_eq!(dies(&mut health, early), None);
        assert_eq!(dies(&mut health, early), None);
        assert_eq!(health.ended(false, early, START), None, "a session that ended in order, however short");
        assert_eq!(dies(&mut health, early), None);
        assert_eq!(dies(&mut health, EARLY), None);
        assert_eq!(dies(&mut health, early), None);
        assert_eq!(dies(&mut health, early), None);
        assert_eq!(dies(&mut health, early), Some(Change::Ejected(FIRST_EJECTION)));
        assert!(!health.is_up(START));
    }

    #[test]
    fn one_that_comes_back_from_an_ejection_starts_slowly_and_one_that_was_always_there_does_not() {
        assert_eq!(Health::known().up_since(), None);
        assert_eq!(Health::new(START).up_since(), Some(START));
        let mut health = Health::known();
        health.failed(START);
        assert_eq!(health.up_since(), Some(at(1.0)));
    }

    #[test]
    fn what_probes_say_and_what_clients_meet_are_two_things() {
        let settings = HealthSettings { fall: 1, rise: 1, ..HealthSettings::default() };
        let mut health = Health::known();
        health.failed(START);
        assert_eq!(health.probed(true, &settings, START), None, "a probe that passes readmits nobody early");
        assert!(!health.is_up(START));
        assert_eq!(health.probed(false, &settings, at(2.0)), Some(Change::Down));
        assert!(!health.is_up(at(100.0)), "and time does not cure what a probe finds");
        assert_eq!(health.probed(true, &settings, at(101.0)), Some(Change::Up));
        assert!(health.is_up(at(101.0)));
    }
}
