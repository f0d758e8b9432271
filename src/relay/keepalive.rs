//! Heartbeats and pong book-keeping for one leg (RFC 6455 5.5.2 and 5.5.3).

use crate::frame::{Control, Opcode};
use crate::moment::Moment;
use std::time::Duration;

/// Our own pings carry this tag and a number, so that their pongs are told from those of the far end's pings.
const TAG: usize = 8;
const PAYLOAD: usize = TAG + 4;

#[derive(Debug)]
pub(super) struct Keepalive {
    tag: [u8; TAG],
    /// How long the leg may be quiet before we ask; jittered, so that sessions opened together do not ask together.
    quiet_limit: Option<Duration>,
    quiet_since: Moment,
    /// Since when we wait for a sign of life.
    asked: Option<Moment>,
    ping_due: bool,
    pings_sent: u32,
    /// When the latest of them went out.
    pinged: Moment,
    /// The one pong slot: while the leg cannot be written, only the latest ping is worth an answer (5.5.3).
    pong: Option<Box<Control>>,
    /// The far end's latest ping that went to this leg and is unanswered, and how many of ours had gone before it.
    relayed: Option<(Box<[u8]>, u32)>,
}

/// What a pong from this leg turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// Ours. With the payload of the far end's ping that it thereby settles, if there is one, and with the time that it
    /// took, if it is the latest.
    Ours { settled: Option<Box<[u8]>>, rtt: Option<Duration> },
    /// The far end's, or nobody's.
    Theirs,
}

impl Keepalive {
    pub(super) fn new(tag: u64, quiet_limit: Option<Duration>, now: Moment) -> Keepalive {
        Keepalive {
            tag: tag.to_be_bytes(),
            quiet_limit,
            quiet_since: now,
            asked: None,
            ping_due: false,
            pings_sent: 0,
            pinged: now,
            pong: None,
            relayed: None,
        }
    }

    /// A byte came from the leg: it lives.
    pub(super) fn heard(&mut self, now: Moment) {
        self.quiet_since = now;
        self.asked = None;
        self.ping_due = false;
    }

    pub(super) fn last_alive(&self) -> Moment {
        self.quiet_since
    }

    /// A blocked write moved on: somebody is reading.
    pub(super) fn progressed(&mut self, now: Moment) {
        self.asked = self.asked.map(|_| now);
        self.quiet_since = now;
    }

    /// Whether the leg's writes are blocked. A ping that is due may then never get out: the wait begins without it, and
    /// is called off when the ping can go after all.
    pub(super) fn stuck(&mut self, blocked: bool, now: Moment) {
        if self.ping_due {
            self.asked = blocked.then(|| self.asked.unwrap_or(now));
        }
    }

    /// For `span` the leg was not read, by our own choice: its silence then proves nothing.
    pub(super) fn excuse(&mut self, span: Duration, now: Moment) {
        self.asked = self.asked.map(|asked| (asked + span).min(now));
        self.quiet_since = (self.quiet_since + span).min(now);
    }

    /// When there is something to do: ask, or give up.
    pub(super) fn deadline(&self, pong_timeout: Option<Duration>) -> Option<Moment> {
        match self.asked {
            // Where silence is no fault, we go on asking all the same: it keeps middle boxes awake.
            Some(asked) => pong_timeout.or(self.quiet_limit).map(|wait| asked + wait),
            None if self.ping_due => None,
            None => self.quiet_limit.map(|limit| self.quiet_since + limit),
        }
    }

    /// Whether the leg has to be taken for dead. Where it was quiet for too long, a ping falls due instead; toward a
    /// leg whose writes are blocked the wait begins at once, for the ping itself may never get out.
    pub(super) fn is_dead(&mut self, pong_timeout: Option<Duration>, blocked: bool, now: Moment) -> bool {
        if self.deadline(pong_timeout).is_none_or(|deadline| deadline > now) {
            return false;
        }
        if self.asked.is_some() && pong_timeout.is_some() {
            return true;
        }
        self.ping_due = true;
        self.asked = blocked.then_some(now);
        false
    }

    pub(super) fn owe_pong(&mut self, payload: &[u8]) {
        let frame = Control::new(Opcode::Pong, payload);
        match &mut self.pong {
            Some(slot) => **slot = frame,
            slot => *slot = Some(Box::new(frame)),
        }
    }

    pub(super) fn wants_to_say(&self) -> bool {
        self.pong.is_some() || self.ping_due
    }

    /// Nothing is to be said, and no sign of life is waited for.
    pub(super) fn is_at_ease(&self) -> bool {
        !self.wants_to_say() && self.asked.is_none()
    }

    /// The frame of ours that goes to this leg next, at a boundary, while it can be written.
    pub(super) fn say(&mut self, now: Moment) -> Option<Control> {
        if let Some(pong) = self.pong.take() {
            return Some(*pong);
        }
        if !std::mem::take(&mut self.ping_due) {
            return None;
        }
        self.pings_sent = self.pings_sent.wrapping_add(1);
        self.asked = Some(now);
        self.pinged = now;
        let mut payload = [0; PAYLOAD];
        let (tag, number) = payload.split_at_mut(TAG);
        tag.copy_from_slice(&self.tag);
        number.copy_from_slice(&self.pings_sent.to_be_bytes());
        Some(Control::new(Opcode::Ping, &payload))
    }

    /// Nothing but a Close goes to this leg from here on.
    pub(super) fn hush(&mut self) {
        self.pong = None;
        self.ping_due = false;
    }

    /// The far end's ping passes to this leg.
    pub(super) fn relays_ping(&mut self, payload: &[u8]) {
        self.relayed = Some((payload.into(), self.pings_sent));
    }

    /// A pong came from this leg. A peer may answer only the latest of several pings (5.5.3): an answer to ours settles
    /// the far end's earlier one too, which would else wait for ever.
    pub(super) fn answered(&mut self, payload: &[u8], now: Moment) -> Answered {
        let number = payload.strip_prefix(&self.tag).and_then(|number| number.first_chunk::<4>());
        let Some(number) = number.filter(|_| payload.len() == PAYLOAD) else {
            if self.relayed.as_ref().is_some_and(|(relayed, _)| **relayed == *payload) {
                self.relayed = None;
            }
            return Answered::Theirs;
        };
        let number = u32::from_be_bytes(*number);
        let settled = self.relayed.take_if(|(_, sent_before)| *sent_before < number);
        let rtt = (number == self.pings_sent).then(|| now.since(self.pinged));
        Answered::Ours { settled: settled.map(|(payload, _)| payload), rtt }
    }

    /// What it was made with.
    pub(super) fn seed(&self) -> u64 {
        u64::from_be_bytes(self.tag)
    }

    /// The leg may be quiet for another span from now on. A ping that is due or unanswered is not called off.
    pub(super) fn ask_after(&mut self, quiet_limit: Option<Duration>) {
        self.quiet_limit = quiet_limit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(25));
    const PONG: Option<Duration> = Some(Duration::from_secs(20));

    fn at(secs: u64) -> Moment {
        Moment::from_millis(secs * 1000)
    }

    fn asked(keepalive: &mut Keepalive, now: Moment) -> Vec<u8> {
        assert!(!keepalive.is_dead(PONG, false, now));
        keepalive.say(now).expect("a ping is due").payload().to_vec()
    }

    #[test]
    fn asks_when_quiet_and_gives_up_when_unanswered() {
        let mut leg = Keepalive::new(7, LIMIT, at(0));
        assert_eq!(leg.deadline(PONG), Some(at(25)));
        assert!(!leg.is_dead(PONG, false, at(24)) && !leg.wants_to_say());
        asked(&mut leg, at(25));
        assert_eq!(leg.deadline(PONG), Some(at(45)));
        assert!(!leg.is_dead(PONG, false, at(44)));
        assert!(leg.is_dead(PONG, false, at(45)));
        leg.heard(at(44));
        assert_eq!(leg.deadline(PONG), Some(at(69)));
    }

    #[test]
    fn a_blocked_leg_is_waited_for_though_the_ping_cannot_go_out() {
        let mut leg = Keepalive::new(7, LIMIT, at(0));
        assert!(!leg.is_dead(PONG, true, at(25)));
        leg.progressed(at(40));
        assert!(!leg.is_dead(PONG, true, at(59)));
        assert!(leg.is_dead(PONG, true, at(60)));
    }

    #[test]
    fn silence_while_we_do_not_read_is_excused() {
        let mut leg = Keepalive::new(7, LIMIT, at(0));
        asked(&mut leg, at(25));
        leg.excuse(Duration::from_secs(15), at(42));
        assert!(!leg.is_dead(PONG, false, at(59)));
        assert!(leg.is_dead(PONG, false, at(60)));
    }

    #[test]
    fn an_excuse_never_reaches_into_the_future() {
        let mut leg = Keepalive::new(7, LIMIT, at(0));
        asked(&mut leg, at(25));
        leg.excuse(Duration::from_secs(40), at(45));
        assert_eq!(leg.deadline(PONG), Some(at(65)));
        leg.heard(at(60));
        leg.excuse(Duration::from_secs(40), at(70));
        assert_eq!(leg.deadline(PONG), Some(at(95)));
    }

    #[test]
    fn an_answer_to_ours_settles_the_earlier_one_of_the_far_end() {
        let mut leg = Keepalive::new(7, LIMIT, at(0));
        leg.relays_ping(b"theirs");
        let ours = asked(&mut leg, at(25));
        let rtt = Some(Duration::from_secs(2));
        let settled = Some(b"theirs".as_slice().into());
        assert_eq!(leg.answered(&ours, at(27)), Answered::Ours { settled, rtt });
        assert_eq!(leg.answered(&ours, at(27)), Answered::Ours { settled: None, rtt });
    }

    #[test]
    fn an_answer_to_ours_says_nothing_of_a_later_one() {
        let mut leg = Keepalive::new(7, LIMIT, at(0));
        let ours = asked(&mut leg, at(25));
        leg.relays_ping(b"theirs");
        let rtt = Some(Duration::from_secs(1));
        assert_eq!(leg.answered(&ours, at(26)), Answered::Ours { settled: None, rtt });
        assert_eq!(leg.answered(b"theirs", at(26)), Answered::Theirs);
        assert_eq!(leg.relayed, None);
    }

    #[test]
    fn only_the_answer_to_the_latest_is_timed() {
        let mut leg = Keepalive::new(7, LIMIT, at(0));
        let first = asked(&mut leg, at(25));
        leg.heard(at(26));
        let second = asked(&mut leg, at(51));
        assert_eq!(leg.answered(&first, at(52)), Answered::Ours { settled: None, rtt: None });
        let rtt = Some(Duration::from_secs(3));
        assert_eq!(leg.answered(&second, at(54)), Answered::Ours { settled: None, rtt });
    }

    #[test]
    fn only_the_whole_payload_is_ours() {
        let mut leg = Keepalive::new(7, LIMIT, at(0));
        let mut ours = asked(&mut leg, at(25));
        ours.push(0);
        assert_eq!(leg.answered(&ours, at(25)), Answered::Theirs);
        assert_eq!(leg.answered(&ours[..8], at(25)), Answered::Theirs);
        assert_eq!(leg.answered(b"", at(25)), Answered::Theirs);
    }
}
