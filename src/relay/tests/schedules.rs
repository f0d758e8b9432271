//! Seeded schedules: random legal traffic both ways, cut, delayed, blocked and ended at random, against a model that
//! knows only what each peer said.
//!
//! The peers answer pings and Closes as real ones do. A seed that fails is a schedule that can be run again: its number
//! is in the message.

use super::frames::encode;
use super::*;
use std::collections::VecDeque;

const SEEDS: u64 = 3000;

/// A frame that a peer says.
#[derive(Clone, Debug)]
struct Said {
    first: u8,
    payload: Vec<u8>,
    wire: Vec<u8>,
}

/// One end of the session.
struct Peer {
    side: Side,
    todo: VecDeque<Said>,
    /// Whole frames in the order they were begun.
    said: Vec<Said>,
    /// Its data frames so far, byte for byte.
    data: Vec<u8>,
    /// The bytes of the last of `said` that are still to be sent.
    rest: Vec<u8>,
    /// Frames of its incoming stream that it has dealt with.
    seen: usize,
    /// It answers only the latest of the pings that it sees at once (RFC 6455 5.5.3).
    latest_only: bool,
    silent: bool,
}

/// How a schedule ends, if it does not just run dry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Dry,
    Close(Side),
    CloseBoth,
    Lost(Side, Lost),
    Order,
}

struct Schedule {
    seed: u64,
    rng: fastrand::Rng,
    sim: Sim,
    peers: Pair<Peer>,
    forward: bool,
    /// No leg is ever blocked and no frame ever cut.
    calm: bool,
    ending: Ending,
    /// How much data toward each side was already compared.
    checked: Pair<usize>,
}

#[test]
fn legal_traffic_passes_byte_for_byte_in_order_and_every_ending_follows_the_rules() {
    for seed in 0..SEEDS {
        let mut schedule = Schedule::new(seed);
        schedule.run();
        schedule.judge();
    }
}

impl Schedule {
    fn new(seed: u64) -> Schedule {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (forward, calm, deflate) = (rng.bool(), rng.u8(0..4) == 0, rng.bool());
        let mut rules = if forward { forwarding() } else { still() };
        rules.timeouts.close = secs(100_000);
        rules.rates.control = None;
        rules.heartbeat.pong_timeout = Some(secs(100_000));
        for side in Side::BOTH {
            rules.heartbeat.ping_interval[side] = (rng.bool()).then(|| secs(rng.u64(1..10)));
        }
        let delay = |rate| Some(Limited { rate, action: RateAction::Delay });
        if rng.u8(0..4) == 0 {
            rules.rates.messages = delay(crate::meter::Rate::new(rng.u64(1..20), rng.u64(1..5)));
        }
        if rng.u8(0..4) == 0 {
            rules.rates.bytes = delay(crate::meter::Rate::new(rng.u64(100..5000), rng.u64(1..2000)));
        }
        let mut sim = Sim::with_seed(rules, deflate, seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        sim.mark = if calm { usize::MAX } else { rng.usize(0..500) };
        sim.passes_unseen = rng.bool();
        let ending = match rng.u8(0..8) {
            0 => Ending::Dry,
            1 | 2 => Ending::Close(side(&mut rng)),
            3 => Ending::CloseBoth,
            4 => Ending::Lost(side(&mut rng), Lost::Ended),
            5 => Ending::Lost(side(&mut rng), Lost::Broke),
            _ => Ending::Order,
        };
        let peers = Pair {
            client: Peer::new(&mut rng, Client, deflate),
            backend: Peer::new(&mut rng, Backend, deflate),
        };
        Schedule { seed, rng, sim, peers, forward, calm, ending, checked: Pair::default() }
    }

    fn run(&mut self) {
        for _ in 0..self.rng.usize(0..60) {
            self.move_once();
        }
        self.begin_to_end();
        for _ in 0..self.rng.usize(0..60) {
            self.move_once();
        }
        // Everything that blocked comes free, and time is left for all that was delayed.
        self.sim.chunk = usize::MAX;
        for side in Side::BOTH {
            self.sim.legs[side].room = usize::MAX;
        }
        self.turn();
        for _ in 0..2_000 {
            if self.is_quiet() {
                break;
            }
            for side in Side::BOTH {
                for _ in 0..5 {
                    self.say(side, usize::MAX);
                }
            }
            self.sim.advance(secs(1));
            self.turn();
        }
    }

    /// Everything was said and delivered.
    fn is_quiet(&self) -> bool {
        let said = |side: Side| {
            let (peer, leg) = (&self.peers[side], &self.sim.legs[side]);
            let nothing_left = peer.silent || (peer.todo.is_empty() && peer.rest.is_empty());
            nothing_left && leg.inbox.is_empty() && leg.queued.is_empty() && self.sim.leftover(side) == 0
        };
        self.sim.outcome().is_some() || (self.ending == Ending::Dry && said(Client) && said(Backend))
    }

    /// One thing that may happen, at random.
    fn move_once(&mut self) {
        let side = side(&mut self.rng);
        self.sim.chunk = match self.rng.u8(0..3) {
            _ if self.calm => usize::MAX,
            0 => 1,
            1 => self.rng.usize(1..20),
            _ => self.rng.usize(1..5_000),
        };
        match self.rng.u8(0..10) {
            0..6 => {
                let n = if self.calm { usize::MAX } else { self.rng.usize(1..300) };
                self.say(side, n);
            }
            6 if !self.calm => self.sim.legs[side].room = 0,
            7 if !self.calm => {
                let n = self.rng.usize(1..200);
                self.sim.legs[side].room = self.sim.legs[side].room.saturating_add(n);
            }
            8 if !self.calm => self.sim.legs[side].room = usize::MAX,
            _ => self.sim.advance(Duration::from_millis(self.rng.u64(0..1_500))),
        }
        self.turn();
        for side in Side::BOTH {
            let queued = self.sim.legs[side].queued.len();
            let bound = self.sim.mark.saturating_add(20_000);
            assert!(queued <= bound, "seed {}: {queued} bytes wait for the {}", self.seed, side.word());
        }
    }

    fn turn(&mut self) {
        self.sim.turn();
        for to in Side::BOTH {
            self.peers[to].hear(&mut self.rng, self.sim.frames(to));
            let (got, said) = (&self.sim.legs[to].got, &self.peers[!to].data);
            let same = said[self.checked[to]..].starts_with(&got.data(self.checked[to]));
            assert!(same, "seed {}: the {} got other data than was said", self.seed, to.word());
            self.checked[to] = got.data_len();
        }
    }

    /// The peer sends up to `n` bytes more, or one frame.
    fn say(&mut self, side: Side, n: usize) {
        let peer = &mut self.peers[side];
        if peer.silent {
            return;
        }
        if peer.rest.is_empty()
            && let Some(frame) = peer.todo.pop_front()
        {
            peer.rest.extend(&frame.wire);
            if frame.is_data() {
                peer.data.extend(&frame.wire);
            }
            peer.said.push(frame);
        }
        let n = n.min(peer.rest.len());
        self.sim.legs[side].inbox.extend(peer.rest.drain(..n));
    }

    fn begin_to_end(&mut self) {
        match self.ending {
            Ending::Dry => {}
            Ending::Close(side) => self.peers[side].close(&mut self.rng),
            Ending::CloseBoth => {
                for side in Side::BOTH {
                    self.peers[side].close(&mut self.rng);
                }
            }
            Ending::Lost(side, how) => {
                self.peers[side].silent = true;
                self.sim.legs[side].ends = Some(how);
            }
            Ending::Order => self.sim.relay.end(Order::Drain, 1012, self.sim.now),
        }
        self.turn();
    }

    /// What must hold in the end.
    fn judge(&self) {
        let seed = self.seed;
        for side in Side::BOTH {
            let why = format!("seed {seed} ({:?}), toward the {}", self.ending, side.word());
            self.judge_pongs(side, &why);
            self.judge_data(side, &why);
        }
        let outcome = self.sim.outcome().map(|outcome| (outcome.by, outcome.cause.word()));
        let expected = match self.ending {
            Ending::Dry => None,
            Ending::Close(side) => Some((By::from(side), "closed")),
            Ending::CloseBoth => outcome.filter(|(by, word)| *by != By::Gateway && *word == "closed"),
            Ending::Lost(Client, _) => Some((By::Client, "client_lost")),
            Ending::Lost(Backend, _) => Some((By::Backend, "backend_lost")),
            Ending::Order => Some((By::Gateway, "drain")),
        };
        assert_eq!(outcome, expected, "seed {seed}");
        assert_eq!(
            outcome.is_none(),
            self.ending == Ending::Dry,
            "seed {seed} ({:?}) does not end",
            self.ending
        );
    }

    /// Everything that could be delivered was, and behind it the right Close.
    fn judge_data(&self, to: Side, why: &str) {
        let (got, from) = (&self.sim.legs[to].got, &self.peers[!to]);
        let data = got.data(0);
        let all = data == from.data;
        let last = got.frames.last().filter(|last| last.opcode() == 8);
        let whole = got.tail().is_empty();
        match self.ending {
            Ending::Dry => assert!(all && whole && last.is_none(), "{why}: something was lost"),
            Ending::Close(_) | Ending::CloseBoth => {
                assert!(all && whole, "{why}: data ahead of a Close was lost");
                let said = from.said.last().expect("a Close");
                assert_eq!(last.map(|last| &got.bytes[last.wire.clone()]), Some(&said.wire[..]), "{why}");
            }
            Ending::Lost(lost, _) if lost == to => assert_eq!(last, None, "{why}"),
            Ending::Lost(lost, how) => {
                assert!(
                    how == Lost::Broke || data.starts_with(&self.whole_frames(lost)),
                    "{why}: lost frames"
                );
                let word = if lost == Client { "client_lost" } else { "backend_lost" };
                let code: u16 = if to == Client { 1012 } else { 1001 };
                let told = whole.then(|| [&code.to_be_bytes()[..], word.as_bytes()].concat());
                assert_eq!(last.map(|last| last.payload.clone()), told, "{why}");
            }
            Ending::Order => {
                let code: u16 = if to == Client { 1012 } else { 1001 };
                let told = [&code.to_be_bytes()[..], b"drain"].concat();
                assert_eq!(last.map(|last| &last.payload), Some(&told), "{why}");
                assert!(to == Client || all, "{why}: what the client had under way was lost");
            }
        }
    }

    /// The data frames of a peer that stopped for good, without the one that it may have stopped in.
    fn whole_frames(&self, side: Side) -> Vec<u8> {
        let peer = &self.peers[side];
        let whole = peer.said.len() - usize::from(!peer.rest.is_empty());
        peer.said[..whole]
            .iter()
            .filter(|frame| frame.is_data())
            .flat_map(|frame| frame.wire.clone())
            .collect()
    }

    /// Every ping is answered once at most, in order, the last one surely; no pong comes from nowhere.
    fn judge_pongs(&self, to: Side, why: &str) {
        let got = &self.sim.legs[to].got;
        let asked = &self.peers[to].said;
        let asked: Vec<&[u8]> =
            asked.iter().filter(|said| said.first == 0x89).map(|said| &said.payload[..]).collect();
        let pongs = got.payloads(10);
        if self.forward {
            return self.judge_forwarded(to, why);
        }
        let mut left = asked.iter();
        assert!(
            pongs.iter().all(|pong| left.any(|asked| asked == pong)),
            "{why}: a pong out of order or from nowhere"
        );
        if self.ending == Ending::Dry {
            assert_eq!(
                pongs.last().map(|pong| &pong[..]),
                asked.last().copied(),
                "{why}: the latest ping has no answer"
            );
            assert!(!self.calm || pongs.len() == asked.len(), "{why}: a ping without a pong");
        }
        let pings = got.payloads(9);
        assert!(pings.iter().all(|ping| ping.len() == 12), "{why}: a ping passed");
    }

    /// Control frames pass in order, except our own pings and their pongs; a pong may be added that settles a ping.
    fn judge_forwarded(&self, to: Side, why: &str) {
        let got = &self.sim.legs[to].got;
        let tag = got.payloads(9).into_iter().chain(self.sim.legs[!to].got.payloads(9));
        let ours: Vec<Vec<u8>> = tag.filter(|ping| ping.len() == 12).collect();
        let said = self.peers[!to].said.iter().filter(|said| matches!(said.first, 0x89 | 0x8A));
        let mut said = said.filter(|said| !ours.contains(&said.payload)).peekable();
        for frame in got.frames.iter().filter(|frame| matches!(frame.first, 0x89 | 0x8A)) {
            if frame.first == 0x89 && ours.contains(&frame.payload) {
                continue;
            }
            let next = said.next_if(|said| said.first == frame.first && said.payload == frame.payload);
            let settles = frame.first == 0x8A
                && self.peers[!to].latest_only
                && self.peers[to].said.iter().any(|said| said.first == 0x89 && said.payload == frame.payload);
            assert!(next.is_some() || settles, "{why}: {frame:?} from nowhere, next was {:?}", said.peek());
        }
        assert!(self.ending != Ending::Dry || said.peek().is_none(), "{why}: a control frame was lost");
    }
}

impl Said {
    fn new(from: Side, key: [u8; 4], first: u8, payload: Vec<u8>) -> Said {
        let wire = encode(first, &payload, (from == Client).then_some(key));
        Said { first, payload, wire }
    }

    const fn is_data(&self) -> bool {
        self.first & 0x0F < 8
    }
}

impl Peer {
    fn new(rng: &mut fastrand::Rng, side: Side, deflate: bool) -> Peer {
        let mut todo = VecDeque::new();
        let mut pings = 0u32;
        for _ in 0..rng.usize(0..8) {
            message(rng, side, deflate, &mut todo, &mut pings);
        }
        let latest_only = rng.bool();
        Peer { side, todo, said: vec![], data: vec![], rest: vec![], seen: 0, latest_only, silent: false }
    }

    /// Answers what came in, as a real peer does.
    fn hear(&mut self, rng: &mut fastrand::Rng, frames: &[decoder::Got]) {
        let new = &frames[self.seen..];
        self.seen = frames.len();
        let latest = new.iter().rposition(|frame| frame.opcode() == 9);
        for (at, frame) in new.iter().enumerate() {
            match frame.opcode() {
                9 if !self.latest_only || Some(at) == latest => self.answer(rng, frame.payload.clone()),
                8 => self.close(rng),
                _ => {}
            }
        }
    }

    /// Ahead of what it still has to say, behind the pongs that it owes already; never behind its Close.
    fn answer(&mut self, rng: &mut fastrand::Rng, payload: Vec<u8>) {
        if self.has_closed() {
            return;
        }
        let at = self.todo.iter().take_while(|said| said.first == 0x8A).count();
        self.todo.insert(at, Said::new(self.side, rng.u32(..).to_be_bytes(), 0x8A, payload));
    }

    /// Its Close, behind all it has to say or behind what it had begun.
    fn close(&mut self, rng: &mut fastrand::Rng) {
        if self.has_closed() || self.todo.iter().any(|said| said.first == 0x88) {
            return;
        }
        if rng.bool() {
            self.todo.clear();
        }
        let codes = [&b""[..], b"\x03\xE8", b"\x03\xE9bye", "\u{f}\u{a1}\u{e9}".as_bytes()];
        let payload = match rng.usize(..4) {
            3 => [&4001u16.to_be_bytes()[..], "é".as_bytes()].concat(),
            n => codes[n].to_vec(),
        };
        self.todo.push_back(Said::new(self.side, rng.u32(..).to_be_bytes(), 0x88, payload));
    }

    fn has_closed(&self) -> bool {
        self.said.last().is_some_and(|said| said.first == 0x88)
    }
}

/// A message in some fragments, with control frames before, between and behind them.
fn message(rng: &mut fastrand::Rng, side: Side, deflate: bool, todo: &mut VecDeque<Said>, pings: &mut u32) {
    let (is_text, compressed) = (rng.bool(), deflate && rng.bool());
    let mut payload = if is_text && !compressed { words(rng) } else { noise(rng) };
    let fragments = rng.usize(1..5);
    for n in 1..=fragments {
        let kind = if is_text { 1 } else { 2 };
        let opcode = if n == 1 { kind | (u8::from(compressed) << 6) } else { 0 };
        let fin = if n == fragments { 0x80 } else { 0 };
        let size = if n == fragments { payload.len() } else { rng.usize(0..=payload.len()) };
        let fragment = payload.drain(..size).collect();
        while rng.u8(0..3) == 0 {
            *pings += 1;
            let first = if rng.bool() { 0x89 } else { 0x8A };
            let payload = [&[side as u8][..], &pings.to_be_bytes()].concat();
            todo.push_back(Said::new(side, rng.u32(..).to_be_bytes(), first, payload));
        }
        todo.push_back(Said::new(side, rng.u32(..).to_be_bytes(), fin | opcode, fragment));
    }
}

/// Text whose characters take one to four bytes, so that frames and reads cut them.
fn words(rng: &mut fastrand::Rng) -> Vec<u8> {
    let len = size(rng) / 2;
    (0..len)
        .map(|_| *rng.choice(&['a', 'é', '字', '😀']).expect("not empty"))
        .collect::<String>()
        .into_bytes()
}

fn noise(rng: &mut fastrand::Rng) -> Vec<u8> {
    let len = size(rng);
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

/// All the places where a length changes its form, and what lies between.
fn size(rng: &mut fastrand::Rng) -> usize {
    match rng.u8(0..32) {
        0 => *rng.choice(&[125, 126, 127]).expect("not empty"),
        1 if rng.u8(0..8) == 0 => rng.usize(65_530..65_545),
        2..6 => rng.usize(0..2_000),
        _ => rng.usize(0..60),
    }
}

fn side(rng: &mut fastrand::Rng) -> Side {
    if rng.bool() { Client } else { Backend }
}
