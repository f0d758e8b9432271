//! One direction of a session, walked frame by frame. A lane remembers where it is inside a frame and inside a message
//! (a few integers and three bytes of UTF-8), never a payload.
//!
//! A lane is shown the unread bytes from their start and names the first piece of them. A piece that breaks a rule is
//! refused without a trace: the lane is then still where it was, so whatever was forwarded ends exactly there.

use super::{Header, Opcode, Side, Utf8Stream, Violation, Wire};

/// What a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Text,
    Binary,
}

/// Which kinds of message a route carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opcodes {
    pub text: bool,
    pub binary: bool,
}

/// The limits of one direction. `None` is "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneRules {
    pub max_frame_size: Option<u64>,
    pub max_message_size: Option<u64>,
    pub max_fragments: Option<u32>,
    pub opcodes: Opcodes,
    /// Text is checked as it streams; compressed text cannot be.
    pub validate_utf8: bool,
}

impl LaneRules {
    /// The RFC and nothing else.
    pub const UNLIMITED: LaneRules = LaneRules {
        max_frame_size: None,
        max_message_size: None,
        max_fragments: None,
        opcodes: Opcodes { text: true, binary: true },
        validate_utf8: true,
    };
}

/// The first piece of the unread bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The next frame's header, or a control frame, is not all here: show more.
    Partial,
    /// `n` bytes of a data frame, its header included where it starts here.
    Data { n: usize, payload: usize, kind: Kind, began_message: bool, ended_message: bool },
    /// A whole control frame. `header.size + header.len` bytes of the unread.
    Control(Header),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    kind: Kind,
    /// From its first byte on: compressed text is not text yet (RFC 7692 6.2), and rules that ask for it later come too
    /// late for this message.
    is_checked: bool,
    /// Payload bytes announced so far, this frame's included.
    size: u64,
    fragments: u32,
    utf8: Utf8Stream,
}

/// The payload that is still to come of the frame we are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    remaining: u64,
    fin: bool,
    mask: Option<[u8; 4]>,
    /// Of the mask. Its lowest two bits count.
    phase: u8,
}

#[derive(Clone, Debug)]
pub struct Lane {
    wire: Wire,
    message: Option<Message>,
    open: Option<Open>,
}

impl Lane {
    pub const fn new(from: Side, deflate: bool) -> Lane {
        Lane { wire: Wire { from, deflate }, message: None, open: None }
    }

    pub(super) const fn wire(&self) -> Wire {
        self.wire
    }

    /// The last byte shown ended a frame: a frame of our own may be put on this wire now (RFC 6455 5.4).
    pub const fn is_between_frames(&self) -> bool {
        self.open.is_none()
    }

    /// Payload that is still to come of the frame we are in.
    pub fn left_of_frame(&self) -> u64 {
        self.open.map_or(0, |open| open.remaining)
    }

    pub const fn has_deflate(&self) -> bool {
        self.wire.deflate
    }

    pub const fn is_inside_message(&self) -> bool {
        self.message.is_some()
    }

    /// How much of the frame we are in is let through whatever it is.
    pub fn unseen(&self, rules: &LaneRules) -> u64 {
        match (self.open, self.message) {
            (Some(open), Some(message)) if !message.is_checked_text(rules) => open.remaining,
            _ => 0,
        }
    }

    /// `n` bytes of what is [`Lane::unseen`] went by. `None`: there was no such thing.
    pub fn pass_unseen(&mut self, n: u64) -> Option<Piece> {
        let (mut open, message) = (self.open?, self.message?);
        open.remaining = open.remaining.checked_sub(n)?;
        open.phase = open.phase.wrapping_add(n as u8);
        let ended_frame = open.remaining == 0;
        let ended_message = ended_frame && open.fin;
        self.open = (!ended_frame).then_some(open);
        self.message = (!ended_message).then_some(message);
        let n = usize::try_from(n).ok()?;
        Some(Piece::Data { n, payload: n, kind: message.kind, began_message: false, ended_message })
    }

    /// The first piece of `unread`. After a [`Piece::Data`] its `n` bytes are behind us; a [`Piece::Control`] changes
    /// nothing here, its bytes are the caller's to pass by.
    #[inline]
    pub fn next(&mut self, unread: &[u8], rules: &LaneRules) -> Result<Piece, Violation> {
        if let (Some(open), Some(message)) = (self.open, self.message) {
            return if unread.is_empty() {
                Ok(Piece::Partial)
            } else {
                self.payload(open, message, unread, 0, false, rules)
            };
        }
        let Some(header) = Header::parse(unread, self.wire)? else {
            return Ok(Piece::Partial);
        };
        if header.opcode.is_control() {
            let whole = (header.size as u64).saturating_add(header.len);
            let here = unread.len() as u64 >= whole;
            return Ok(if here { Piece::Control(header) } else { Piece::Partial });
        }
        let (message, began) = self.join(&header, rules)?;
        let here = unread.len().saturating_sub(header.size) as u64;
        if began && header.fin && header.len <= here {
            return Lane::whole(&header, message, unread, rules);
        }
        let open = Open { remaining: header.len, fin: header.fin, mask: header.mask, phase: 0 };
        let payload = unread.get(header.size..).unwrap_or_default();
        self.payload(open, message, payload, header.size, began, rules)
    }

    /// A message in one frame that is all here, as most are: there is nothing to remember.
    #[inline]
    fn whole(
        header: &Header,
        message: Message,
        unread: &[u8],
        rules: &LaneRules,
    ) -> Result<Piece, Violation> {
        let payload = header.len as usize; // it is here, so it fits
        let n = header.size.saturating_add(payload);
        if message.is_checked_text(rules) {
            let text = unread.get(header.size..n).unwrap_or_default();
            let seen = message.utf8.after(text, header.mask, 0).map_err(|_| Violation::Utf8)?;
            if !seen.is_complete() {
                return Err(Violation::Utf8);
            }
        }
        Ok(Piece::Data { n, payload, kind: message.kind, began_message: true, ended_message: true })
    }

    /// The message this frame belongs to, with the frame counted in: decided before one byte of its payload moves.
    #[inline]
    fn join(&self, header: &Header, rules: &LaneRules) -> Result<(Message, bool), Violation> {
        let (mut message, began) = match (self.message, header.opcode) {
            (Some(message), Opcode::Continuation) => (message, false),
            (Some(_), _) => return Err(Violation::Interleaved),
            (None, Opcode::Text) => {
                (Message::start(Kind::Text, rules.validate_utf8 && !header.compressed), true)
            }
            (None, Opcode::Binary) => (Message::start(Kind::Binary, false), true),
            (None, _) => return Err(Violation::Continuation),
        };
        let allowed = match message.kind {
            Kind::Text => rules.opcodes.text,
            Kind::Binary => rules.opcodes.binary,
        };
        if !allowed {
            return Err(Violation::OpcodeRefused);
        }
        message.size = message.size.saturating_add(header.len);
        message.fragments = message.fragments.saturating_add(1);
        if rules.max_frame_size.is_some_and(|max| header.len > max) {
            return Err(Violation::FrameSize);
        }
        if rules.max_message_size.is_some_and(|max| message.size > max) {
            return Err(Violation::MessageSize);
        }
        if rules.max_fragments.is_some_and(|max| message.fragments > max) {
            return Err(Violation::Fragments);
        }
        Ok((message, began))
    }

    fn payload(
        &mut self,
        mut open: Open,
        mut message: Message,
        unread: &[u8],
        header_size: usize,
        began_message: bool,
        rules: &LaneRules,
    ) -> Result<Piece, Violation> {
        let take = usize::try_from(open.remaining).unwrap_or(usize::MAX).min(unread.len());
        open.remaining = open.remaining.saturating_sub(take as u64);
        let ended_frame = open.remaining == 0;
        let ended_message = ended_frame && open.fin;
        if message.is_checked_text(rules) {
            let chunk = unread.get(..take).unwrap_or_default();
            message.utf8 =
                message.utf8.after(chunk, open.mask, open.phase.into()).map_err(|_| Violation::Utf8)?;
            if ended_message && !message.utf8.is_complete() {
                return Err(Violation::Utf8);
            }
        }
        open.phase = open.phase.wrapping_add(take as u8);
        self.open = (!ended_frame).then_some(open);
        self.message = (!ended_message).then_some(message);
        let n = header_size.saturating_add(take);
        Ok(Piece::Data { n, payload: take, kind: message.kind, began_message, ended_message })
    }
}

impl Message {
    const fn start(kind: Kind, is_checked: bool) -> Message {
        let utf8 = Utf8Stream::new();
        Message { kind, is_checked, size: 0, fragments: 0, utf8 }
    }

    const fn is_checked_text(&self, rules: &LaneRules) -> bool {
        self.is_checked && rules.validate_utf8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: LaneRules = LaneRules::UNLIMITED;

    /// Walks `bytes` in one go and says how many were let through, and what stopped the walk.
    fn walk(bytes: &[u8], rules: &LaneRules, deflate: bool) -> (usize, Option<Violation>) {
        let mut lane = Lane::new(Side::Backend, deflate);
        let mut at = 0;
        loop {
            match lane.next(&bytes[at..], rules) {
                Ok(Piece::Partial) => return (at, None),
                Ok(Piece::Data { n, .. }) => at += n,
                Ok(Piece::Control(header)) => at += header.size + header.len as usize,
                Err(violation) => return (at, Some(violation)),
            }
        }
    }

    fn check(bytes: &[u8], rules: LaneRules, expected: (usize, Option<Violation>)) {
        assert_eq!(walk(bytes, &rules, false), expected, "{bytes:02x?}");
    }

    #[test]
    fn the_order_of_a_message() {
        check(&[0x01, 1, b'a', 0x80, 1, b'b'], RULES, (6, None));
        check(&[0x01, 1, b'a', 0x89, 0, 0x80, 1, b'b'], RULES, (8, None));
        check(&[0x80, 1, b'b'], RULES, (0, Some(Violation::Continuation)));
        check(&[0x00, 1, b'b'], RULES, (0, Some(Violation::Continuation)));
        check(&[0x01, 1, b'a', 0x81, 1, b'b'], RULES, (3, Some(Violation::Interleaved)));
        check(&[0x02, 0, 0x02, 0], RULES, (2, Some(Violation::Interleaved)));
        check(&[0x81, 0, 0x80, 0], RULES, (2, Some(Violation::Continuation)));
    }

    #[test]
    fn limits_are_decided_at_the_header() {
        let frame = LaneRules { max_frame_size: Some(4), ..RULES };
        check(&[0x82, 4, 1, 2, 3, 4], frame, (6, None));
        check(&[0x82, 5], frame, (0, Some(Violation::FrameSize)));
        let message = LaneRules { max_message_size: Some(4), ..RULES };
        check(&[0x02, 3, 1, 2, 3, 0x80, 1, 4], message, (8, None));
        check(&[0x02, 3, 1, 2, 3, 0x80, 2], message, (5, Some(Violation::MessageSize)));
        check(
            &[0x82, 127, 0x7F, 255, 255, 255, 255, 255, 255, 255],
            message,
            (0, Some(Violation::MessageSize)),
        );
        let fragments = LaneRules { max_fragments: Some(2), ..RULES };
        check(&[0x02, 0, 0x00, 0, 0x80, 0], fragments, (4, Some(Violation::Fragments)));
        check(&[0x02, 0, 0x80, 0, 0x02, 0, 0x80, 0], fragments, (8, None));
        let text = LaneRules { opcodes: Opcodes { text: true, binary: false }, ..RULES };
        check(&[0x81, 0, 0x82, 0], text, (2, Some(Violation::OpcodeRefused)));
        let binary = LaneRules { opcodes: Opcodes { text: false, binary: true }, ..RULES };
        check(&[0x82, 0, 0x81, 0], binary, (2, Some(Violation::OpcodeRefused)));
    }

    #[test]
    fn sizes_of_a_message_never_wrap() {
        let message = LaneRules { max_message_size: Some(u64::MAX - 1), ..RULES };
        let mut lane = Lane::new(Side::Backend, false);
        lane.message = Some(Message { size: u64::MAX - 3, ..Message::start(Kind::Binary, false) });
        assert_eq!(lane.next(&[0x80, 100], &message), Err(Violation::MessageSize));
    }

    #[test]
    fn text_is_checked_across_frames_and_at_its_end() {
        check(&[0x01, 1, 0xC3, 0x80, 1, 0xA9], RULES, (6, None));
        check(&[0x01, 1, 0xC3, 0x80, 1, 0x28], RULES, (3, Some(Violation::Utf8)));
        check(&[0x81, 1, 0xC3], RULES, (0, Some(Violation::Utf8)));
        check(&[0x82, 1, 0xC3], RULES, (3, None));
        check(&[0x81, 1, 0xC3], LaneRules { validate_utf8: false, ..RULES }, (3, None));
        // Compressed text is not text yet (RFC 7692 6.2).
        assert_eq!(walk(&[0xC1, 1, 0xC3], &RULES, true), (3, None));
        // RSV1 on a continuation (RFC 7692 6.1).
        assert_eq!(walk(&[0x41, 0, 0xC0, 0], &RULES, true), (2, Some(Violation::ReservedBits)));
    }

    #[test]
    fn a_refused_chunk_leaves_no_trace() {
        let mut lane = Lane::new(Side::Backend, false);
        assert_eq!(lane.next(&[0x81, 2, 0xC0, 0xAF], &RULES), Err(Violation::Utf8));
        assert!(lane.is_between_frames() && !lane.is_inside_message());
        // A header that went out earlier cannot be taken back: then we are inside a frame.
        lane.next(&[0x81, 2, b'a'], &RULES).unwrap();
        assert_eq!(lane.next(&[0xC0], &RULES), Err(Violation::Utf8));
        assert!(!lane.is_between_frames());
    }

    #[test]
    fn every_cut_gives_the_same_walk() {
        let mut bytes = vec![0x01, 126, 0, 200];
        bytes.extend([b'x'; 199]);
        bytes.extend([0xC3, 0x89, 2, 1, 2, 0x80, 1, 0xA9, 0x82, 0, 0x88, 2, 3, 232]);
        for first in 0..=bytes.len() {
            let mut lane = Lane::new(Side::Backend, false);
            let (mut at, mut controls, mut ended) = (0, 0, 0);
            for shown in [first, bytes.len()] {
                loop {
                    match lane.next(&bytes[at..shown], &RULES).unwrap() {
                        Piece::Partial => break,
                        Piece::Data { n, ended_message, .. } => {
                            at += n;
                            ended += usize::from(ended_message);
                        }
                        Piece::Control(header) => {
                            at += header.size + header.len as usize;
                            controls += 1;
                        }
                    }
                }
            }
            assert_eq!((at, controls, ended), (bytes.len(), 2, 2), "cut at {first}");
        }
    }
}
