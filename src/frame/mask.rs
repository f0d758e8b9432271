//! Masking (RFC 6455 5.3). The gateway never unmasks what it forwards; this serves the control frames it reads and
//! makes, and the UTF-8 check's scratch.

/// XORs `bytes` with `key`, `phase` bytes into the masked payload. Applied twice it is the identity.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // i is masked to 0..=3 and cannot overflow
pub fn apply_mask(bytes: &mut [u8], key: [u8; 4], phase: u64) {
    let key = rotated(key, phase);
    let word = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        if let Some(eight) = chunk.first_chunk_mut::<8>() {
            *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
        }
    }
    // Eight is a multiple of four, so the remainder starts in phase again.
    for (i, byte) in chunks.into_remainder().iter_mut().enumerate() {
        *byte ^= key[i & 3];
    }
}

/// The key as it applies from `phase` bytes into the payload on.
pub(super) fn rotated(mut key: [u8; 4], phase: u64) -> [u8; 4] {
    key.rotate_left((phase & 3) as usize);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_byte_for_byte_from_any_phase() {
        let key = [0x12, 0x34, 0x56, 0x78];
        for phase in 0..9u64 {
            for len in 0..40usize {
                let plain: Vec<u8> = (0..len as u8).collect();
                let mut masked = plain.clone();
                apply_mask(&mut masked, key, phase);
                let expected: Vec<u8> =
                    plain.iter().enumerate().map(|(i, byte)| byte ^ key[(i + phase as usize) % 4]).collect();
                assert_eq!(masked, expected, "phase {phase} len {len}");
            }
        }
    }
}
