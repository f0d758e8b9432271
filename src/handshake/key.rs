//! `Sec-WebSocket-Key` and its `Accept` (RFC 6455 4.2.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key is the base64 of 16 bytes (4.1, item 7).
pub fn is_valid_key(key: &[u8]) -> bool {
    // The decoder wants room for all that so many letters might hold.
    let mut nonce = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut nonce) == Ok(16)
}

/// The key of a request of our own, from 16 random bytes.
pub fn new_key(random: u128) -> String {
    STANDARD.encode(random.to_ne_bytes())
}

/// What the server's answer to this key has to say.
pub fn accept_for(key: &[u8]) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    STANDARD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(accept_for(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_of_our_own_is_one() {
        assert!(is_valid_key(new_key(0).as_bytes()) && is_valid_key(new_key(u128::MAX).as_bytes()));
    }

    #[test]
    fn a_key_is_sixteen_bytes() {
        assert!(is_valid_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for bad in [
            &b""[..],
            b"dGhlIHNhbXBsZSBub25jZQ",
            b"dGhlIHNhbXBsZQ==",
            b"????????????????????????",
            b"dGhlIHNhbXBsZSBub25jZTEyMzQ=",
        ] {
            assert!(!is_valid_key(bad), "{bad:?}");
        }
    }
}
