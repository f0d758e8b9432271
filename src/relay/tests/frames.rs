//! Frames as test data: written once, encoded for whichever wire they are on.

use super::super::*;

/// The mask of what a client sends.
pub const THEIR_KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// The mask of what the gateway itself says to a backend: so a test tells the one from the other.
pub const OUR_KEY: [u8; 4] = [0xA1, 0x5E, 0x09, 0xC4];

/// Marks our pings. All its 16-bit quarters are alike and about half of full: the jitter it gives is next to none.
pub const SEED: u64 = 0x7FFF_7FFF_7FFF_7FFF;

/// A frame, or a part of one.
#[derive(Clone, Debug)]
pub struct Bytes {
    first: u8,
    payload: Vec<u8>,
    key: [u8; 4],
    from: usize,
    to: usize,
    raw: bool,
}

impl Bytes {
    /// The first `n` bytes of its wire form only.
    pub fn head(mut self, n: usize) -> Bytes {
        self.to = n;
        self
    }

    /// Its wire form from byte `n` on.
    pub fn tail(mut self, n: usize) -> Bytes {
        self.from = n;
        self
    }

    /// Without FIN: the message goes on.
    pub fn open(mut self) -> Bytes {
        self.first &= 0x7F;
        self
    }

    /// With RSV1.
    pub fn compressed(mut self) -> Bytes {
        self.first |= 0x40;
        self
    }

    /// Said by the gateway, not by a peer.
    pub fn ours(mut self) -> Bytes {
        self.key = OUR_KEY;
        self
    }

    pub const fn is_data(&self) -> bool {
        self.first & 0x0F < 8
    }

    pub fn on_the_wire_from(&self, from: Side) -> Vec<u8> {
        if self.raw {
            return self.payload.clone();
        }
        let masked = from == Side::Client;
        let whole = encode(self.first, &self.payload, masked.then_some(self.key));
        whole[self.from..self.to.min(whole.len())].to_vec()
    }

    pub fn on_the_wire_to(&self, to: Side) -> Vec<u8> {
        self.on_the_wire_from(!to)
    }
}

pub fn encode(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    let mut wire = vec![first];
    match payload.len() {
        len @ 0..126 => wire.push(mask_bit | len as u8),
        len @ 126..0x1_0000 => {
            wire.push(mask_bit | 126);
            wire.extend((len as u16).to_be_bytes());
        }
        len => {
            wire.push(mask_bit | 127);
            wire.extend((len as u64).to_be_bytes());
        }
    }
    match key {
        None => wire.extend(payload),
        Some(key) => {
            wire.extend(key);
            wire.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
    }
    wire
}

/// `first` is the frame's first byte: FIN, the reserved bits, the opcode.
pub fn frame(first: u8, payload: &[u8]) -> Bytes {
    Bytes { first, payload: payload.to_vec(), key: THEIR_KEY, from: 0, to: usize::MAX, raw: false }
}

/// Bytes as they are, whichever way they go.
pub fn raw(bytes: &[u8]) -> Bytes {
    Bytes { raw: true, ..frame(0, bytes) }
}

pub fn text(text: &str) -> Bytes {
    frame(0x81, text.as_bytes())
}

pub fn binary(payload: &[u8]) -> Bytes {
    frame(0x82, payload)
}

/// The end of a message.
pub fn continuation(payload: &[u8]) -> Bytes {
    frame(0x80, payload)
}

pub fn ping(payload: &[u8]) -> Bytes {
    frame(0x89, payload)
}

pub fn pong(payload: &[u8]) -> Bytes {
    frame(0x8A, payload)
}

pub fn close(code: u16, reason: &str) -> Bytes {
    frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

pub fn empty_close() -> Bytes {
    frame(0x88, b"")
}

/// The payload of our own ping number `n`.
pub fn beat(n: u32) -> Vec<u8> {
    [&SEED.to_be_bytes()[..], &n.to_be_bytes()].concat()
}
