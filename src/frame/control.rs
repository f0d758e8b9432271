//! A control frame that we originate: small enough to live on the stack, encoded only when it is put on a wire.

use super::{Opcode, apply_mask};

/// RFC 6455 5.5.
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// The longest control frame on the wire: two bytes, a mask, the payload.
pub const MAX_CONTROL_FRAME: usize = 6 + MAX_CONTROL_PAYLOAD;

#[derive(Clone, PartialEq, Eq)]
pub struct Control {
    opcode: Opcode,
    len: u8,
    payload: [u8; MAX_CONTROL_PAYLOAD],
}

impl Control {
    /// Payload past 125 bytes is cut: no caller has more, and a control frame cannot carry it.
    pub fn new(opcode: Opcode, payload: &[u8]) -> Control {
        debug_assert!(opcode.is_control() && payload.len() <= MAX_CONTROL_PAYLOAD);
        let mut held = [0; MAX_CONTROL_PAYLOAD];
        let mut len = 0u8;
        for (slot, byte) in held.iter_mut().zip(payload) {
            *slot = *byte;
            len = len.saturating_add(1);
        }
        Control { opcode, len, payload: held }
    }

    pub const fn opcode(&self) -> Opcode {
        self.opcode
    }

    pub fn payload(&self) -> &[u8] {
        self.payload.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Appends the frame as it goes on the wire: masked with `key` toward a backend, plain toward a client (RFC 6455
    /// 5.1). The driver draws a fresh key for each frame.
    pub fn encode(&self, key: Option<[u8; 4]>, out: &mut Vec<u8>) {
        out.push(0x80 | self.opcode.bits());
        match key {
            None => {
                out.push(self.len);
                out.extend_from_slice(self.payload());
            }
            Some(key) => {
                out.push(0x80 | self.len);
                out.extend_from_slice(&key);
                let mut masked = self.payload;
                apply_mask(&mut masked, key, 0);
                out.extend_from_slice(masked.get(..usize::from(self.len)).unwrap_or_default());
            }
        }
    }
}

impl std::fmt::Debug for Control {
    /// Never the payload: a debug line is a log line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}({} bytes)", self.opcode, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Header, Side, Wire};
    use super::*;

    #[test]
    fn encodes_for_either_side() {
        let ping = Control::new(Opcode::Ping, b"beat");
        let mut plain = Vec::new();
        ping.encode(None, &mut plain);
        assert_eq!(plain, [&[0x89, 4][..], b"beat"].concat());

        let mut masked = Vec::new();
        ping.encode(Some([1, 2, 3, 4]), &mut masked);
        let header = Header::parse(&masked, Wire { from: Side::Client, deflate: false }).unwrap().unwrap();
        assert_eq!((header.opcode, header.len, header.mask), (Opcode::Ping, 4, Some([1, 2, 3, 4])));
        let mut payload = masked[header.size..].to_vec();
        apply_mask(&mut payload, [1, 2, 3, 4], 0);
        assert_eq!(payload, b"beat");
    }

    #[test]
    fn the_longest_fits() {
        let mut out = Vec::new();
        Control::new(Opcode::Pong, &[7; 125]).encode(Some([0; 4]), &mut out);
        assert_eq!(out.len(), MAX_CONTROL_FRAME);
    }
}
