//! UTF-8 checked as it streams (RFC 6455 8.1): state is the at most three bytes of a character that a chunk cut in
//! two. Masked bytes are looked at through the mask; only blocks that are not plain ASCII are unmasked, into a scratch
//! on the stack.

use super::mask::{apply_mask, rotated};
use simdutf8::compat::from_utf8;

const BLOCK: usize = 4096;

/// Up to this, looking whether a chunk is plain ASCII costs less than setting out to look at blocks.
const SHORT: usize = 256;

/// The unfinished character at the end of what was seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8Stream {
    carry: [u8; 3],
    carried: u8,
}

/// The bytes cannot become UTF-8, whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8;

impl Utf8Stream {
    pub const fn new() -> Utf8Stream {
        Utf8Stream { carry: [0; 3], carried: 0 }
    }

    /// No character is half-read: the text may end here.
    pub const fn is_complete(&self) -> bool {
        self.carried == 0
    }

    /// Whether `payload`, masked with `key`, is text from its first byte to its last.
    #[inline]
    pub fn is_text(payload: &[u8], key: Option<[u8; 4]>) -> bool {
        (payload.len() <= SHORT && is_ascii(payload, key, 0))
            || Utf8Stream::new().after(payload, key, 0).is_ok_and(|seen| seen.is_complete())
    }

    /// The state after `chunk`, which starts `phase` bytes into a payload masked with `key`. `self` is left as it was,
    /// so a chunk that is refused was never taken in.
    pub fn after(&self, chunk: &[u8], key: Option<[u8; 4]>, phase: u64) -> Result<Utf8Stream, NotUtf8> {
        let mut state = *self;
        let mut phase = phase;
        if chunk.len() <= SHORT && state.is_complete() && is_ascii(chunk, key, phase) {
            return Ok(state);
        }
        for block in chunk.chunks(BLOCK) {
            if !(state.is_complete() && is_ascii(block, key, phase)) {
                state = state.after_block(block, key, phase)?;
            }
            phase = phase.wrapping_add(block.len() as u64);
        }
        Ok(state)
    }

    fn after_block(&self, block: &[u8], key: Option<[u8; 4]>, phase: u64) -> Result<Utf8Stream, NotUtf8> {
        let mut scratch = [0u8; BLOCK + 3];
        let held = usize::from(self.carried);
        let filled = held.saturating_add(block.len());
        for (slot, byte) in scratch.iter_mut().zip(self.carry.iter().take(held)) {
            *slot = *byte;
        }
        if let Some(slots) = scratch.get_mut(held..filled) {
            slots.copy_from_slice(block);
            if let Some(key) = key {
                apply_mask(slots, key, phase);
            }
        }
        let text = scratch.get(..filled).unwrap_or_default();
        match from_utf8(text) {
            Ok(_) => Ok(Utf8Stream::new()),
            // `error_len` is `None` only when the text ends inside a character that is sound so far.
            Err(error) if error.error_len().is_none() => {
                let tail = text.get(error.valid_up_to()..).unwrap_or_default();
                let mut carry = [0; 3];
                for (slot, byte) in carry.iter_mut().zip(tail) {
                    *slot = *byte;
                }
                Ok(Utf8Stream { carry, carried: tail.len() as u8 })
            }
            Err(_) => Err(NotUtf8),
        }
    }
}

/// Whether every byte is ASCII under the mask: the high bits of `byte ^ key`, gathered without a store.
#[inline]
fn is_ascii(block: &[u8], key: Option<[u8; 4]>, phase: u64) -> bool {
    let Some(key) = key else {
        return block.is_ascii();
    };
    let [a, b, c, d] = rotated(key, phase);
    let word = u64::from_le_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = block.as_chunks::<8>();
    let seen = words.iter().fold(0, |seen, eight| seen | (u64::from_le_bytes(*eight) ^ word));
    let last = match block.last_chunk::<8>() {
        _ if tail.is_empty() => 0,
        // The last eight bytes hold the tail; the key turns with where they begin.
        Some(eight) => {
            u64::from_le_bytes(*eight) ^ word.rotate_right((tail.len() as u32 & 3).wrapping_mul(8))
        }
        None => {
            let bytes = tail.iter().rev().fold(0, |bytes, byte| bytes << 8 | u64::from(*byte));
            let outside = u64::MAX.unbounded_shl((tail.len() as u32).wrapping_mul(8));
            (bytes ^ word) & !outside
        }
    };
    (seen | last) & 0x8080_8080_8080_8080 == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdict(bytes: &[u8], cuts: &[usize], key: Option<[u8; 4]>) -> bool {
        let mut masked = bytes.to_vec();
        if let Some(key) = key {
            apply_mask(&mut masked, key, 0);
        }
        let mut state = Utf8Stream::new();
        let mut at = 0;
        for cut in cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]) {
            if cut < at {
                continue;
            }
            match state.after(&masked[at..cut], key, at as u64) {
                Ok(next) => state = next,
                Err(NotUtf8) => return false,
            }
            at = cut;
        }
        state.is_complete()
    }

    #[test]
    fn refuses_as_soon_as_it_is_certain() {
        // Autobahn 6.4: the bytes after F4 decide, not the end of the message.
        let start = Utf8Stream::new().after(&[0xCE, 0xBA, 0xF4], None, 0).unwrap();
        assert!(!start.is_complete());
        assert_eq!(start.after(&[0x90], None, 3), Err(NotUtf8));
        assert_eq!(Utf8Stream::new().after(&[0xED, 0xA0], None, 0), Err(NotUtf8));
        assert_eq!(Utf8Stream::new().after(&[0xC0], None, 0), Err(NotUtf8));
    }

    #[test]
    fn characters_across_a_block_edge() {
        for lead in BLOCK - 4..BLOCK + 4 {
            let text = format!("{}😀é", "a".repeat(lead));
            assert!(verdict(text.as_bytes(), &[], Some([9, 200, 3, 77])));
            assert!(!verdict(&text.as_bytes()[..text.len() - 1], &[], Some([9, 200, 3, 77])));
        }
    }

    proptest! {
        #[test]
        fn agrees_with_std_under_any_cuts(
            pieces in prop::collection::vec(prop_oneof!["[a-z]{0,9}", "[é-ÿ]{0,4}", "[一-龥]{0,3}", "[😀-😎]{0,2}"], 0..12),
            noise in prop::option::of((any::<usize>(), any::<u8>())),
            cuts in prop::collection::vec(0usize..64, 0..8),
            key in prop::option::of(any::<[u8; 4]>()),
        ) {
            let mut bytes = pieces.concat().into_bytes();
            if let (Some((at, byte)), false) = (noise, bytes.is_empty()) {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            let mut cuts = cuts;
            cuts.sort_unstable();
            prop_assert_eq!(verdict(&bytes, &cuts, key), std::str::from_utf8(&bytes).is_ok());
        }
    }
}
