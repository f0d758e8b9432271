//! Where a session is looked at: the frames as they go by are told to whoever taps it. Without a tap nothing here is
//! asked or held.

use crate::clock;
use crate::frame::{Control, Header, Pair, Side, Wire, apply_mask};
use crate::registry::tap::{Event, Passed, Tap};
use crate::relay::{By, Outcome};

/// The taps of a session, and where each direction is inside its frames.
pub(super) struct Tapped {
    taps: Vec<Tap>,
    lanes: Pair<Watched>,
}

/// One direction.
struct Watched {
    wire: Wire,
    /// Of the payload that is still to come.
    left: u64,
    /// The frame whose payload is being taken down.
    taking: Option<Taking>,
    /// What comes is no frame any more.
    is_over: bool,
}

struct Taking {
    frame: Passed,
    mask: Option<[u8; 4]>,
    payload: Vec<u8>,
    wanted: usize,
}

impl Tapped {
    /// `left`: what is still to come of the frame that either side is in; it began before anybody looked.
    pub(super) fn new(tap: Tap, left: Pair<u64>, deflate: bool) -> Tapped {
        let watched = |from: Side| Watched {
            wire: Wire { from, deflate },
            left: left[from],
            taking: None,
            is_over: false,
        };
        Tapped {
            taps: vec![tap],
            lanes: Pair { client: watched(Side::Client), backend: watched(Side::Backend) },
        }
    }

    pub(super) fn add(&mut self, tap: Tap) {
        self.taps.push(tap);
    }

    /// Whether anybody still looks.
    pub(super) fn is_wanted(&mut self) -> bool {
        self.taps.retain(|tap| !tap.is_over());
        !self.taps.is_empty()
    }

    /// These bytes of `from` went by: whole frames and parts of them, never a part of a header.
    pub(super) fn passed(&mut self, from: Side, bytes: &[u8]) {
        let wanted = self.taps.iter().map(Tap::payload).max().unwrap_or_default();
        let taps = &mut self.taps;
        self.lanes[from].walk(bytes, wanted, |frame| show(taps, &frame));
    }

    /// A frame of our own.
    pub(super) fn said(&mut self, to: Side, frame: &Control) {
        let passed = Passed {
            at: clock::since_1970(),
            from: By::Gateway,
            to,
            opcode: frame.opcode(),
            fin: true,
            compressed: false,
            size: frame.payload().len() as u64,
            payload: frame.payload().into(),
        };
        show(&mut self.taps, &passed);
    }

    pub(super) fn ended(&mut self, outcome: &Outcome) {
        let (by, cause, code) = (outcome.by, outcome.cause.word(), outcome.close.code);
        self.taps.iter_mut().for_each(|tap| tap.show(Event::Ended { by, cause, code }));
    }
}

/// To each as much of the payload as it asked for.
fn show(taps: &mut [Tap], frame: &Passed) {
    for tap in taps {
        let payload = &frame.payload[..frame.payload.len().min(tap.payload())];
        tap.show(Event::Frame(Passed { payload: payload.into(), ..frame.clone() }));
    }
}

impl Watched {
    fn walk(&mut self, mut bytes: &[u8], wanted: usize, mut show: impl FnMut(Passed)) {
        while !self.is_over && !bytes.is_empty() {
            if self.left == 0 {
                let Ok(Some(header)) = Header::parse(bytes, self.wire) else {
                    self.is_over = true;
                    return;
                };
                bytes = bytes.get(header.size..).unwrap_or_default();
                self.left = header.len;
                self.taking = Some(Taking::begin(&header, self.wire.from, wanted));
            }
            let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let (payload, rest) = bytes.split_at(here);
            self.left -= here as u64;
            bytes = rest;
            if let Some(taking) = &mut self.taking {
                taking.take(payload);
            }
            let is_complete = |taking: &mut Taking| taking.payload.len() >= taking.wanted || self.left == 0;
            if let Some(taking) = self.taking.take_if(is_complete) {
                show(taking.finish());
            }
        }
    }
}

impl Taking {
    fn begin(header: &Header, from: Side, wanted: usize) -> Taking {
        let frame = Passed {
            at: clock::since_1970(),
            from: from.into(),
            to: !from,
            opcode: header.opcode,
            fin: header.fin,
            compressed: header.compressed,
            size: header.len,
            payload: Box::default(),
        };
        let wanted = wanted.min(usize::try_from(header.len).unwrap_or(usize::MAX));
        Taking { frame, mask: header.mask, payload: Vec::with_capacity(wanted), wanted }
    }

    fn take(&mut self, payload: &[u8]) {
        let missing = self.wanted - self.payload.len();
        self.payload.extend_from_slice(&payload[..missing.min(payload.len())]);
    }

    fn finish(mut self) -> Passed {
        if let Some(key) = self.mask {
            apply_mask(&mut self.payload, key, 0);
        }
        Passed { payload: self.payload.into(), ..self.frame }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Opcode;
    use crate::registry::tap::Looked;
    use tokio::sync::mpsc::Receiver;

    /// A text frame of `payload`; a client's is masked.
    fn frame(from: Side, first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        let mask: &[u8] = if from == Side::Client { &[1, 2, 3, 4] } else { &[] };
        let mask_bit = if mask.is_empty() { 0 } else { 0x80 };
        match payload.len() {
            short @ 0..126 => bytes.push(mask_bit | short as u8),
            long => {
                bytes.push(mask_bit | 126);
                bytes.extend((long as u16).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask.get(at % 4).unwrap_or(&0)));
        bytes
    }

    fn seen(looker: &mut Receiver<Looked>) -> Vec<(By, Opcode, bool, u64, Vec<u8>)> {
        let frames = std::iter::from_fn(|| looker.try_recv().ok()).filter_map(|looked| match looked.event {
            Event::Frame(frame) => {
                Some((frame.from, frame.opcode, frame.fin, frame.size, frame.payload.to_vec()))
            }
            Event::Ended { .. } => None,
        });
        frames.collect()
    }

    #[test]
    fn frames_are_seen_however_they_are_cut() {
        for from in Side::BOTH {
            let frames = [
                frame(from, 0x01, b"hello"),
                frame(from, 0x89, b""),
                frame(from, 0x80, &[7; 300]),
                frame(from, 0x82, b""),
            ];
            let expected = vec![
                (from.into(), Opcode::Text, false, 5, b"hell".to_vec()),
                (from.into(), Opcode::Ping, true, 0, vec![]),
                (from.into(), Opcode::Continuation, true, 300, vec![7; 4]),
                (from.into(), Opcode::Binary, true, 0, vec![]),
            ];
            let (tap, mut looker) = Tap::new(4);
            let mut tapped = Tapped::new(tap, Pair::default(), false);
            tapped.passed(from, &frames.concat());
            assert_eq!(seen(&mut looker), expected);
            // The relay never cuts a header.
            for frame in &frames {
                let header =
                    frame.len() - [5, 0, 300, 0][frames.iter().position(|one| one == frame).unwrap()];
                tapped.passed(from, &frame[..header]);
                frame[header..].chunks(1).for_each(|byte| tapped.passed(from, byte));
            }
            assert_eq!(seen(&mut looker), expected);
        }
    }

    #[test]
    fn a_frame_that_began_before_is_not_shown() {
        let (tap, mut looker) = Tap::new(0);
        let mut tapped = Tapped::new(tap, Pair { client: 3, backend: 0 }, false);
        tapped.passed(Side::Client, &[[9, 9, 9].to_vec(), frame(Side::Client, 0x81, b"x")].concat());
        assert_eq!(seen(&mut looker), [(By::Client, Opcode::Text, true, 1, vec![])]);
    }

    #[test]
    fn payload_is_for_whom_it_was_asked() {
        let (nothing, mut no_payload) = Tap::new(0);
        let (some, mut payload) = Tap::new(2);
        let mut tapped = Tapped::new(nothing, Pair::default(), false);
        tapped.add(some);
        tapped.passed(Side::Backend, &frame(Side::Backend, 0x81, b"secret"));
        assert_eq!(seen(&mut no_payload)[0].4, b"");
        assert_eq!(seen(&mut payload)[0].4, b"se");
        drop(payload);
        assert!(tapped.is_wanted());
        drop(no_payload);
        assert!(!tapped.is_wanted());
    }
}
