//! A frame's header (RFC 6455 5.2): read strictly, refused at the first byte that is already wrong.

use super::{MAX_CONTROL_PAYLOAD, Side, Violation};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    #[inline]
    const fn parse(bits: u8) -> Option<Opcode> {
        match bits {
            0x0 => Some(Opcode::Continuation),
            0x1 => Some(Opcode::Text),
            0x2 => Some(Opcode::Binary),
            0x8 => Some(Opcode::Close),
            0x9 => Some(Opcode::Ping),
            0xA => Some(Opcode::Pong),
            _ => None,
        }
    }

    pub const fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xA,
        }
    }

    pub const fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// What the handshake settled about the frames of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Who sends: a client masks every frame, a backend none (RFC 6455 5.1).
    pub from: Side,
    /// permessage-deflate was agreed in the 101, so RSV1 has a meaning (RFC 7692 6).
    pub deflate: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub fin: bool,
    pub compressed: bool,
    pub opcode: Opcode,
    pub mask: Option<[u8; 4]>,
    /// Bytes of the header itself, 2 to 14.
    pub size: usize,
    /// Bytes of payload that follow.
    pub len: u64,
}

impl Header {
    /// The longest header: two bytes, a 64-bit length, a mask.
    pub const MAX_SIZE: usize = 14;

    /// Reads the header at the start of `bytes`; `None` when it is not all there yet. What the bytes at hand already
    /// prove wrong is refused without waiting for the rest.
    #[inline]
    pub fn parse(bytes: &[u8], wire: Wire) -> Result<Option<Header>, Violation> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let (fin, compressed, opcode) = first_byte(first, wire.deflate)?;
        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        let masked = second & 0x80 != 0;
        match (wire.from, masked) {
            (Side::Client, false) => return Err(Violation::Unmasked),
            (Side::Backend, true) => return Err(Violation::Masked),
            _ => {}
        }
        let short_len = second & 0x7F;
        if opcode.is_control() && usize::from(short_len) > MAX_CONTROL_PAYLOAD {
            return Err(Violation::ControlSize);
        }
        let Some((len, len_size, rest)) = extended_len(short_len, rest)? else {
            return Ok(None);
        };
        let mask = match (masked, rest.first_chunk::<4>()) {
            (false, _) => None,
            (true, Some(key)) => Some(*key),
            (true, None) => return Ok(None),
        };
        let size = if masked { len_size.saturating_add(6) } else { len_size.saturating_add(2) };
        Ok(Some(Header { fin, compressed, opcode, mask, size, len }))
    }
}

#[inline]
fn first_byte(byte: u8, deflate: bool) -> Result<(bool, bool, Opcode), Violation> {
    let fin = byte & 0x80 != 0;
    let rsv1 = byte & 0x40 != 0;
    if byte & 0x30 != 0 || (rsv1 && !deflate) {
        return Err(Violation::ReservedBits);
    }
    let opcode = Opcode::parse(byte & 0x0F).ok_or(Violation::ReservedOpcode)?;
    // RFC 7692 6.1: only the first frame of a data message carries RSV1.
    if rsv1 && !matches!(opcode, Opcode::Text | Opcode::Binary) {
        return Err(Violation::ReservedBits);
    }
    if opcode.is_control() && !fin {
        return Err(Violation::ControlFragmented);
    }
    Ok((fin, rsv1, opcode))
}

/// The payload length, the bytes its extension took, and what follows it.
type Length<'a> = (u64, usize, &'a [u8]);

#[inline]
fn extended_len(short: u8, rest: &[u8]) -> Result<Option<Length<'_>>, Violation> {
    match short {
        126 => {
            let Some((bytes, rest)) = rest.split_first_chunk::<2>() else {
                return Ok(None);
            };
            let len = u64::from(u16::from_be_bytes(*bytes));
            if len < 126 { Err(Violation::LengthEncoding) } else { Ok(Some((len, 2, rest))) }
        }
        127 => {
            // The top bit is in the first byte: no need to wait for the other seven.
            if rest.first().is_some_and(|byte| byte & 0x80 != 0) {
                return Err(Violation::LengthSign);
            }
            let Some((bytes, rest)) = rest.split_first_chunk::<8>() else {
                return Ok(None);
            };
            let len = u64::from_be_bytes(*bytes);
            if len <= u64::from(u16::MAX) { Err(Violation::LengthEncoding) } else { Ok(Some((len, 8, rest))) }
        }
        len => Ok(Some((u64::from(len), 0, rest))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Wire = Wire { from: Side::Client, deflate: false };
    const BACKEND: Wire = Wire { from: Side::Backend, deflate: false };
    const DEFLATE: Wire = Wire { from: Side::Backend, deflate: true };

    fn whole(bytes: &[u8], wire: Wire) -> Header {
        Header::parse(bytes, wire).unwrap().unwrap()
    }

    #[test]
    fn reads_each_length_form() {
        let tiny = whole(&[0x81, 0x05], BACKEND);
        assert_eq!((tiny.size, tiny.len, tiny.fin, tiny.opcode), (2, 5, true, Opcode::Text));
        let medium = whole(&[0x02, 126, 0x01, 0x00], BACKEND);
        assert_eq!((medium.size, medium.len, medium.fin, medium.opcode), (4, 256, false, Opcode::Binary));
        let large = whole(&[0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0], BACKEND);
        assert_eq!((large.size, large.len), (10, 1 << 32));
        let masked = whole(&[0x82, 0x80 | 126, 0, 126, 1, 2, 3, 4], CLIENT);
        assert_eq!((masked.size, masked.len, masked.mask), (8, 126, Some([1, 2, 3, 4])));
        let longest = whole(&[0x82, 0xFF, 0x7F, 255, 255, 255, 255, 255, 255, 255, 9, 9, 9, 9], CLIENT);
        assert_eq!((longest.size, longest.len), (Header::MAX_SIZE, u64::MAX >> 1));
    }

    #[test]
    fn waits_for_every_byte_of_a_header() {
        let bytes = [0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 9, 9, 9, 9];
        for cut in 0..bytes.len() {
            assert_eq!(Header::parse(&bytes[..cut], CLIENT), Ok(None), "cut at {cut}");
        }
        assert!(Header::parse(&bytes, CLIENT).unwrap().is_some());
    }

    #[test]
    fn refuses_at_the_first_wrong_byte() {
        let table: &[(&[u8], Wire, Violation)] = &[
            (&[0x81, 0x05], CLIENT, Violation::Unmasked),
            (&[0x81, 0x85], BACKEND, Violation::Masked),
            (&[0xC1], CLIENT, Violation::ReservedBits),
            (&[0xA1], CLIENT, Violation::ReservedBits),
            (&[0x91], CLIENT, Violation::ReservedBits),
            (&[0xA1], DEFLATE, Violation::ReservedBits),
            (&[0x91], DEFLATE, Violation::ReservedBits),
            (&[0xC0], DEFLATE, Violation::ReservedBits),
            (&[0xC8], DEFLATE, Violation::ReservedBits),
            (&[0xC9], DEFLATE, Violation::ReservedBits),
            (&[0x83], CLIENT, Violation::ReservedOpcode),
            (&[0x84], CLIENT, Violation::ReservedOpcode),
            (&[0x85], CLIENT, Violation::ReservedOpcode),
            (&[0x86], CLIENT, Violation::ReservedOpcode),
            (&[0x87], CLIENT, Violation::ReservedOpcode),
            (&[0x8B], CLIENT, Violation::ReservedOpcode),
            (&[0x8C], CLIENT, Violation::ReservedOpcode),
            (&[0x8D], CLIENT, Violation::ReservedOpcode),
            (&[0x8E], CLIENT, Violation::ReservedOpcode),
            (&[0x8F], CLIENT, Violation::ReservedOpcode),
            (&[0x08], CLIENT, Violation::ControlFragmented),
            (&[0x09], CLIENT, Violation::ControlFragmented),
            (&[0x0A], CLIENT, Violation::ControlFragmented),
            (&[0x88, 0xFE], CLIENT, Violation::ControlSize),
            (&[0x89, 0xFF], CLIENT, Violation::ControlSize),
            (&[0x8A, 126], BACKEND, Violation::ControlSize),
            (&[0x82, 126, 0, 125], BACKEND, Violation::LengthEncoding),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255], BACKEND, Violation::LengthEncoding),
            (&[0x82, 127, 0x80], BACKEND, Violation::LengthSign),
            (&[0x82, 127, 0xFF], BACKEND, Violation::LengthSign),
        ];
        for (bytes, wire, expected) in table {
            assert_eq!(Header::parse(bytes, *wire), Err(*expected), "{bytes:02x?} on {wire:?}");
        }
    }

    #[test]
    fn rsv1_is_legal_on_the_first_frame_once_deflate_is_agreed() {
        assert!(whole(&[0xC1, 0x00], DEFLATE).compressed);
        assert!(whole(&[0x42, 0x00], DEFLATE).compressed);
        assert!(!whole(&[0x81, 0x00], DEFLATE).compressed);
    }
}
