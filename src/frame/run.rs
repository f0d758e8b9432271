//! The usual case, many times over: whole messages of one frame each, one behind the other in what was read.
//!
//! A run only ever lets through. What is not plainly in order (a control frame, a fragment, a frame cut by the end of the
//! read, anything that breaks a rule) ends it, and is [`Lane::next`]'s to judge: the rules are told in one place, and
//! here is only when none of them has a say.

use super::{Kind, Lane, LaneRules, Side, Utf8Stream};

/// What a run let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    pub n: usize,
    pub text: Passed,
    pub binary: Passed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    pub messages: u64,
    /// Of payload.
    pub bytes: u64,
}

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const MASKED: u8 = 0x80;

impl Lane {
    /// The run at the start of `unread`; its `n` bytes are behind us then. The lane is between messages before and after
    /// it, so there is nothing to remember.
    #[inline]
    pub fn run(&self, unread: &[u8], rules: &LaneRules) -> Run {
        let between_messages = self.is_between_frames() && !self.is_inside_message();
        let begins = unread.first().is_some_and(|first| matches!(first & !RSV1 ^ FIN, TEXT | BINARY));
        if between_messages && begins { self.run_on(unread, rules) } else { Run::default() }
    }

    fn run_on(&self, unread: &[u8], rules: &LaneRules) -> Run {
        let mut run = Run::default();
        if rules.max_fragments == Some(0) {
            return run;
        }
        let wire = self.wire();
        let masked = if wire.from == Side::Client { MASKED } else { 0 };
        let longest =
            rules.max_frame_size.into_iter().chain(rules.max_message_size).min().unwrap_or(u64::MAX);
        let mut rest = unread;
        while let Some((&[first, second], tail)) = rest.split_first_chunk::<2>() {
            let compressed = first & RSV1 != 0;
            let kind = match first & !RSV1 ^ FIN {
                TEXT if rules.opcodes.text => Kind::Text,
                BINARY if rules.opcodes.binary => Kind::Binary,
                _ => break,
            };
            if second & MASKED != masked || (compressed && !wire.deflate) {
                break;
            }
            let Some((len, tail)) = short_len(second & !MASKED, tail) else {
                break;
            };
            let (key, tail) = match tail.split_first_chunk::<4>() {
                _ if masked == 0 => (None, tail),
                Some((key, tail)) => (Some(*key), tail),
                None => break,
            };
            let Some((payload, behind)) = tail.split_at_checked(len) else {
                break;
            };
            let checked = kind == Kind::Text && rules.validate_utf8 && !compressed;
            if len as u64 > longest || (checked && !Utf8Stream::is_text(payload, key)) {
                break;
            }
            let passed = match kind {
                Kind::Text => &mut run.text,
                Kind::Binary => &mut run.binary,
            };
            passed.messages = passed.messages.wrapping_add(1);
            passed.bytes = passed.bytes.wrapping_add(len as u64);
            rest = behind;
        }
        run.n = unread.len().saturating_sub(rest.len());
        run
    }
}

/// A length of the two short forms, and what follows it. Frames of 64 KiB and more are seldom whole in a read.
#[inline]
fn short_len(short: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    match short {
        0..=125 => Some((usize::from(short), rest)),
        126 => {
            let (bytes, rest) = rest.split_first_chunk::<2>()?;
            let len = u16::from_be_bytes(*bytes);
            // RFC 6455 5.2: the shortest form there is.
            (len > 125).then_some((usize::from(len), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Opcodes, Piece, apply_mask};
    use super::*;
    use proptest::prelude::*;

    const RULES: LaneRules = LaneRules::UNLIMITED;

    fn run(bytes: &[u8], rules: LaneRules) -> usize {
        Lane::new(Side::Backend, false).run(bytes, &rules).n
    }

    #[test]
    fn whole_messages_pass_up_to_the_first_that_is_not_plain() {
        let plain = [0x81, 1, b'a', 0x82, 2, 0, 255, 0x81, 0];
        for odd in [
            &[0x89, 0][..],            // a ping
            &[0x01, 0],                // a fragment
            &[0x80, 0],                // a continuation of nothing
            &[0xC1, 0],                // RSV1 without deflate
            &[0xA1, 0],                // RSV2
            &[0x83, 0],                // an opcode nobody knows
            &[0x81, 0x80, 1, 2, 3, 4], // masked, from a backend
            &[0x81, 2, b'a'],          // cut
            &[0x81, 1, 0xC3],          // not UTF-8
            &[0x81, 126, 0, 1, b'a'],  // not the shortest form
            &[0x81],
            &[],
        ] {
            let lane = Lane::new(Side::Backend, false);
            let found = lane.run(&[&plain, odd].concat(), &RULES);
            let text = Passed { messages: 2, bytes: 1 };
            assert_eq!(found, Run { n: 9, text, binary: Passed { messages: 1, bytes: 2 } }, "{odd:02x?}");
        }
    }

    #[test]
    fn every_limit_ends_it() {
        let bytes = [0x82, 3, 1, 2, 3];
        assert_eq!(run(&bytes, RULES), 5);
        assert_eq!(run(&bytes, LaneRules { max_frame_size: Some(2), ..RULES }), 0);
        assert_eq!(run(&bytes, LaneRules { max_message_size: Some(2), ..RULES }), 0);
        assert_eq!(run(&bytes, LaneRules { max_fragments: Some(0), ..RULES }), 0);
        assert_eq!(run(&bytes, LaneRules { opcodes: Opcodes { text: true, binary: false }, ..RULES }), 0);
        assert_eq!(run(&[0x81, 0], LaneRules { opcodes: Opcodes { text: false, binary: true }, ..RULES }), 0);
        assert_eq!(run(&[0x81, 1, 0xC3], LaneRules { validate_utf8: false, ..RULES }), 3);
    }

    #[test]
    fn none_inside_a_frame_or_a_message() {
        for open in [&[0x01, 1, b'a'][..], &[0x82, 9, 1]] {
            let mut lane = Lane::new(Side::Backend, false);
            lane.next(open, &RULES).unwrap();
            assert_eq!(lane.run(&[0x82, 0, 0x82, 0], &RULES), Run::default());
        }
    }

    /// One frame, sound or not.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let first = prop_oneof![
            6 => prop::sample::select(vec![0x81u8, 0x82, 0xC1]),
            1 => any::<u8>(),
        ];
        let payload = prop_oneof!["[a-z]{0,140}", "[é-ÿ]{0,9}"].prop_map(String::into_bytes);
        let noise = prop::option::weighted(0.1, (any::<prop::sample::Index>(), any::<u8>()));
        (first, payload, any::<[u8; 4]>(), noise).prop_map(|(first, mut payload, key, noise)| {
            let mut bytes = vec![first];
            match payload.len() {
                short @ 0..126 => bytes.push(MASKED | short as u8),
                long => bytes.extend([MASKED | 126, (long >> 8) as u8, long as u8]),
            }
            bytes.extend(key);
            apply_mask(&mut payload, key, 0);
            bytes.extend(payload);
            if let Some((at, byte)) = noise {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    }

    proptest! {
        /// Whatever a run lets through, `next` lets through, and counts the same.
        #[test]
        fn lets_nothing_through_that_the_rules_would_stop(
            frames in prop::collection::vec(frame(), 0..8),
            cut in any::<prop::sample::Index>(),
            deflate: bool,
            max in prop::option::of(0u64..150),
            text: bool,
        ) {
            let mut bytes = frames.concat();
            bytes.truncate(cut.index(bytes.len() + 1));
            let rules = LaneRules { max_frame_size: max, opcodes: Opcodes { text, binary: true }, ..RULES };
            let mut lane = Lane::new(Side::Client, deflate);
            let run = lane.run(&bytes, &rules);
            let (mut at, mut counted) = (0, Run { n: run.n, ..Run::default() });
            while at < run.n {
                match lane.next(&bytes[at..], &rules) {
                    Ok(Piece::Data { n, payload, kind, began_message: true, ended_message: true }) => {
                        let passed =
                            if kind == Kind::Text { &mut counted.text } else { &mut counted.binary };
                        passed.messages += 1;
                        passed.bytes += payload as u64;
                        at += n;
                    }
                    other => prop_assert!(false, "{other:?} at {at} of a run of {}", run.n),
                }
            }
            prop_assert_eq!((at, counted), (run.n, run));
        }
    }
}
