//! The header of the PROXY protocol as bytes, both versions read and the second written: no socket and no clock. Numbers
//! of sections are those of HAProxy's `doc/proxy-protocol.txt`.
//!
//! A header is read without knowing its length, and behind it comes what belongs to TLS or HTTP. So [`examine`] is shown
//! what came so far and says how much more is the header's for certain: who reads no more than that can never take a
//! byte that is not its own.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What begins version 2 (2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// What begins version 1 (2.1).
const WORD: &[u8] = b"PROXY ";
/// No header of either version is shorter.
const SHORTEST: usize = b"PROXY UNKNOWN\r\n".len();
/// The longest line that a sender may write (2.1).
const LONGEST_LINE: usize = 107;
/// Signature, version and command, family and protocol, length.
const FIXED: usize = 16;
/// Version 2 could announce 64 KiB. Senders stay below 536 bytes (2), and those that add certificates' names and the like
/// below this.
const LONGEST: usize = 4096;

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// At least so many bytes more are the header's.
    Needs(usize),
    /// It ended with the last byte.
    Whole(Told),
}

/// What a whole header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Client(SocketAddr),
    /// `UNKNOWN`, LOCAL, or a family without an IP address: the connection's own address is all there is to know (2.1,
    /// 2.2).
    Nobody,
}

/// Why bytes are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Missing,
    LongLine,
    Family,
    Fields,
    Address,
    Port,
    Version(u8),
    Command(u8),
    FamilyAndProtocol(u8),
    TooLong(usize),
    NoRoomForAddresses(usize),
    Extension,
    Checksum,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Missing => {
                f.write_str("the connection begins with something other than a PROXY header")
            }
            Malformed::LongLine => write!(f, "the PROXY line does not end within {LONGEST_LINE} bytes"),
            Malformed::Family => f.write_str("the PROXY line names neither TCP4, TCP6 nor UNKNOWN"),
            Malformed::Fields => f.write_str("the PROXY line is not two addresses and two ports"),
            Malformed::Address => f.write_str("the PROXY line has an address that is not of its family"),
            Malformed::Port => f.write_str("the PROXY line has a port that is not one"),
            Malformed::Version(version) => write!(f, "the PROXY header is of version {version}, not 2"),
            Malformed::Command(command) => write!(f, "the PROXY header has the unknown command {command}"),
            Malformed::FamilyAndProtocol(byte) => {
                write!(f, "the PROXY header has the unknown family and protocol {byte:#04x}")
            }
            Malformed::TooLong(length) => {
                write!(f, "the PROXY header has {length} bytes, more than {LONGEST}")
            }
            Malformed::NoRoomForAddresses(length) => {
                write!(f, "the PROXY header has {length} bytes for its addresses, fewer than they take")
            }
            Malformed::Extension => f.write_str("an extension of the PROXY header reaches beyond its end"),
            Malformed::Checksum => f.write_str("the checksum of the PROXY header is not that of its bytes"),
        }
    }
}

/// Looks at what came so far, which is no more than was asked for. What cannot become a header is told at once: whoever
/// sent it should notice (2.1).
pub fn examine(so_far: &[u8]) -> Result<Progress, Malformed> {
    if may_become(so_far, &SIGNATURE) && !so_far.is_empty() {
        return version_2(so_far);
    }
    if may_become(so_far, WORD) {
        return version_1(so_far);
    }
    Err(Malformed::Missing)
}

/// Whether the bytes begin with `word`, or are its beginning.
fn may_become(bytes: &[u8], word: &[u8]) -> bool {
    bytes.iter().zip(word).all(|(byte, expected)| byte == expected)
}

fn version_1(so_far: &[u8]) -> Result<Progress, Malformed> {
    if let Some(line) = so_far.strip_suffix(b"\r\n") {
        return line_told(line.get(WORD.len()..).ok_or(Malformed::Fields)?).map(Progress::Whole);
    }
    let needs = SHORTEST.saturating_sub(so_far.len()).max(least_of_line(so_far)?);
    if so_far.len() + needs > LONGEST_LINE {
        return Err(Malformed::LongLine);
    }
    Ok(Progress::Needs(needs))
}

/// How many bytes a line that has come this far goes on for at the least.
fn least_of_line(so_far: &[u8]) -> Result<usize, Malformed> {
    let of_crlf = if so_far.ends_with(b"\r") { 1 } else { 2 };
    let rest = so_far.get(WORD.len()..).unwrap_or_default();
    // Whatever stands behind UNKNOWN is passed over, even a single CR (2.1).
    if may_become(rest, b"UNKNOWN") {
        return Ok(of_crlf);
    }
    if !may_become(rest, b"TCP4 ") && !may_become(rest, b"TCP6 ") {
        return Err(Malformed::Family);
    }
    if rest.iter().rev().skip(1).any(|byte| matches!(byte, b'\r' | b'\n')) || rest.ends_with(b"\n") {
        return Err(Malformed::Fields);
    }
    if of_crlf == 1 {
        return Ok(of_crlf);
    }
    // The family, two addresses, two ports: each that is still to come is a space and a character.
    let fields = rest.iter().filter(|byte| **byte == b' ').count();
    let to_come = 4_usize.checked_sub(fields).ok_or(Malformed::Fields)?;
    Ok(2 * to_come + usize::from(rest.ends_with(b" ")) + of_crlf)
}

/// The line between `PROXY ` and its CRLF.
fn line_told(line: &[u8]) -> Result<Told, Malformed> {
    let line = match line.strip_prefix(b"UNKNOWN") {
        Some(b"" | [b' ', ..]) => return Ok(Told::Nobody),
        _ => std::str::from_utf8(line).map_err(|_| Malformed::Fields)?,
    };
    let fields: Vec<&str> = line.split(' ').collect();
    let [family, source, destination, source_port, destination_port] = fields[..] else {
        let has_family = line.starts_with("TCP4 ") || line.starts_with("TCP6 ");
        return Err(if has_family { Malformed::Fields } else { Malformed::Family });
    };
    let read: fn(&str) -> Option<IpAddr> = match family {
        "TCP4" => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return Err(Malformed::Family),
    };
    let (source, _) = read(source).zip(read(destination)).ok_or(Malformed::Address)?;
    let (port, _) = port(source_port).zip(port(destination_port)).ok_or(Malformed::Port)?;
    Ok(client(source, port))
}

/// Digits, and no zero in front (2.1).
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| digits)
}

fn client(address: IpAddr, port: u16) -> Told {
    Told::Client(SocketAddr::new(address.to_canonical(), port))
}

fn version_2(so_far: &[u8]) -> Result<Progress, Malformed> {
    let local = match so_far.get(SIGNATURE.len()) {
        Some(byte) if byte >> 4 != 2 => return Err(Malformed::Version(byte >> 4)),
        Some(byte) => match byte & 0xF {
            0 => true,
            1 => false,
            command => return Err(Malformed::Command(command)),
        },
        None => false,
    };
    let &[.., family, high, low] = so_far.get(..FIXED).unwrap_or_default() else {
        return Ok(Progress::Needs(FIXED - so_far.len()));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let whole = FIXED + length;
    if whole > LONGEST {
        return Err(Malformed::TooLong(whole));
    }
    // The family of a LOCAL header is ignored, with everything behind it (2.2).
    let addresses = if local { 0 } else { size_of_addresses(family)? };
    if length < addresses {
        return Err(Malformed::NoRoomForAddresses(length));
    }
    if so_far.len() < whole {
        return Ok(Progress::Needs(whole - so_far.len()));
    }
    if local || addresses == 0 {
        return Ok(Progress::Whole(Told::Nobody));
    }
    check_extensions(so_far, FIXED + addresses)?;
    Ok(Progress::Whole(source(family, &so_far[FIXED..]).unwrap_or(Told::Nobody)))
}

/// What the addresses of this family take. 0: nobody knows what they are, and the whole block is skipped.
fn size_of_addresses(family_and_protocol: u8) -> Result<usize, Malformed> {
    match (family_and_protocol >> 4, family_and_protocol & 0xF) {
        (0, 0..=2) | (1..=3, 0) => Ok(0),
        (1, 1 | 2) => Ok(2 * (4 + 2)),
        (2, 1 | 2) => Ok(2 * (16 + 2)),
        (3, 1 | 2) => Ok(2 * 108),
        _ => Err(Malformed::FamilyAndProtocol(family_and_protocol)),
    }
}

/// Addresses come first, the source before the destination, and then their ports in the same order. A client of a unix
/// socket has no address.
fn source(family_and_protocol: u8, block: &[u8]) -> Option<Told> {
    let (address, ports): (IpAddr, _) = match family_and_protocol >> 4 {
        1 => (<[u8; 4]>::try_from(block.get(..4)?).ok()?.into(), block.get(8..10)?),
        2 => (<[u8; 16]>::try_from(block.get(..16)?).ok()?.into(), block.get(32..34)?),
        _ => return None,
    };
    Some(client(address, u16::from_be_bytes(ports.try_into().ok()?)))
}

/// Type, two bytes of length, value (2.2). They are skipped, except for a checksum of the whole header (2.2.3).
fn check_extensions(header: &[u8], mut at: usize) -> Result<(), Malformed> {
    const CRC32C: u8 = 3;
    let mut checked = false;
    while at < header.len() {
        let &[kind, high, low, ref rest @ ..] = &header[at..] else {
            return Err(Malformed::Extension);
        };
        let value = rest.get(..usize::from(u16::from_be_bytes([high, low]))).ok_or(Malformed::Extension)?;
        let value_at = at + 3;
        at = value_at + value.len();
        if kind == CRC32C {
            // Once: each costs a walk over the header, and one is all that can be right.
            let sum = <[u8; 4]>::try_from(value).ok().filter(|_| !checked).ok_or(Malformed::Checksum)?;
            let zeroed = header[..value_at].iter().chain(&[0; 4]).chain(&header[at..]);
            if crc32c(zeroed.copied()) != u32::from_be_bytes(sum) {
                return Err(Malformed::Checksum);
            }
            checked = true;
        }
    }
    Ok(())
}

/// RFC 4960 appendix B, bit by bit: a header is short.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0x82F6_3B78;
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            if sum & 1 == 1 { (sum >> 1) ^ REVERSED_POLYNOMIAL } else { sum >> 1 }
        })
    })
}

/// A header of version 2 that says on whose behalf a connection is made. Without a client, LOCAL: made for ourselves, or
/// for one that has no address.
pub fn write(client: Option<SocketAddr>, listener: Option<SocketAddr>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some(client) = client else {
        header.extend([0x20, 0x00, 0, 0]);
        return header;
    };
    let unknown = |address: IpAddr| match address {
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let listener = listener.unwrap_or_else(|| unknown(client.ip()));
    let ports = [client.port().to_be_bytes(), listener.port().to_be_bytes()].concat();
    let addresses = match (client.ip(), listener.ip()) {
        (IpAddr::V4(client), IpAddr::V4(listener)) => {
            header.extend([0x21, 0x11, 0, 12]);
            [client.octets(), listener.octets()].concat()
        }
        // One family stands for both: the client may have come to us through a proxy that spoke the other one.
        (client, listener) => {
            header.extend([0x21, 0x21, 0, 36]);
            [as_v6(client).octets(), as_v6(listener).octets()].concat()
        }
    };
    header.extend(addresses);
    header.extend(ports);
    header
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Shows it the bytes as a reader would that gets at most `most` at a time; what was read when it was over.
    fn read(bytes: &[u8], most: usize) -> (Result<Progress, Malformed>, usize) {
        let mut have = 0;
        loop {
            match examine(&bytes[..have]) {
                Ok(Progress::Needs(0)) => panic!("needs nothing and is not whole"),
                Ok(Progress::Needs(_)) if have == bytes.len() => return (Ok(Progress::Needs(0)), have),
                Ok(Progress::Needs(needs)) => have = bytes.len().min(have + needs.min(most)),
                over => return (over, have),
            }
        }
    }

    /// These bytes are a header, whatever the pieces they come in and whatever is glued to them.
    fn check(header: &[u8], expected: Result<Told, Malformed>) {
        for glued in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", b"\r\n", b"PROXY ", b" 1\r\n"] {
            let bytes = [header, glued].concat();
            let shown = bytes[..bytes.len().min(200)].escape_ascii();
            for most in 1..=header.len().min(40) {
                let (told, used) = read(&bytes, most);
                assert_eq!(told, expected.map(Progress::Whole), "{shown}");
                assert!(expected.is_err() || used == header.len(), "{used} of {shown}");
            }
        }
    }

    fn told(address: &str) -> Result<Told, Malformed> {
        Ok(Told::Client(address.parse().unwrap()))
    }

    /// A header of version 2 whose length is what follows.
    fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, block].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0xC0, 0x01, 0x01, 0xBB];

    #[test]
    fn lines() {
        check(b"PROXY TCP4 192.0.2.7 10.0.0.1 49153 443\r\n", told("192.0.2.7:49153"));
        check(b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", told("255.255.255.255:65535"));
        check(b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", told("0.0.0.0:0"));
        check(b"PROXY TCP6 2001:db8::1 ::1 49153 443\r\n", told("[2001:db8::1]:49153"));
        check(b"PROXY TCP6 :: :: 0 0\r\n", told("[::]:0"));
        let long = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let line = format!("PROXY TCP6 {long} {long} 65535 65535\r\n");
        check(line.as_bytes(), told(&format!("[{long}]:65535")));
        check(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", told("192.0.2.7:1"));
        check(b"PROXY UNKNOWN\r\n", Ok(Told::Nobody));
        check(b"PROXY UNKNOWN what \r ever \xFF\r\n", Ok(Told::Nobody));
        let line = format!("PROXY UNKNOWN {long} {long} 65535 65535\r\n");
        assert_eq!(line.len(), LONGEST_LINE);
        check(line.as_bytes(), Ok(Told::Nobody));
    }

    #[test]
    fn what_is_no_line() {
        for (line, expected) in [
            ("GET / HTTP/1.1\r\n", Malformed::Missing),
            ("\x16\x03\x01\x02\x00\x01\x00\x01", Malformed::Missing),
            ("proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Malformed::Missing),
            ("PROXYTCP4 1.1.1.1 2.2.2.2 1 2\r\n", Malformed::Missing),
            ("PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Malformed::Family),
            ("PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n", Malformed::Family),
            ("PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", Malformed::Family),
            ("PROXY UNKNOWNS\r\n", Malformed::Family),
            ("PROXY TCP4\r\n     ", Malformed::Family),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", Malformed::Fields),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", Malformed::Fields),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", Malformed::Fields),
            ("PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n", Malformed::Fields),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n    ", Malformed::Fields),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r   ", Malformed::Fields),
            ("PROXY TCP4 1.1.1.1\r\n2.2.2.2 1 2\r\n", Malformed::Fields),
            ("PROXY TCP4 ::1 ::2 1 2\r\n", Malformed::Address),
            ("PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", Malformed::Address),
            ("PROXY TCP4 1.1.1.1 ::2 1 2\r\n", Malformed::Address),
            ("PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n", Malformed::Address),
            ("PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n", Malformed::Address),
            ("PROXY TCP4 1.1.1 2.2.2.2 11 2\r\n", Malformed::Address),
            ("PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n", Malformed::Address),
            ("PROXY TCP6 [::1] ::2 1 2\r\n", Malformed::Address),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n", Malformed::Port),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", Malformed::Port),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", Malformed::Port),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 1 -2\r\n", Malformed::Port),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 a 2\r\n", Malformed::Port),
            (&format!("PROXY TCP4 {}", "1".repeat(200)), Malformed::LongLine),
            (&format!("PROXY UNKNOWN {}\r\n", "1".repeat(92)), Malformed::LongLine),
        ] {
            check(line.as_bytes(), Err(expected));
        }
    }

    #[test]
    fn binary_headers() {
        check(&binary(0x21, 0x11, &V4), told("192.0.2.7:49153"));
        check(&binary(0x21, 0x12, &V4), told("192.0.2.7:49153"));
        let v6 = [&[0x20, 1, 0xD, 0xB8][..], &[0; 11], &[1], &[0; 15], &[1], &[0, 80, 1, 0xBB]].concat();
        check(&binary(0x21, 0x21, &v6), told("[2001:db8::1]:80"));
        let mapped = [&[0; 10][..], &[0xFF, 0xFF, 192, 0, 2, 7], &[0; 16], &[0, 80, 0, 81]].concat();
        check(&binary(0x21, 0x21, &mapped), told("192.0.2.7:80"));
        for (command, family, block) in [
            (0x20, 0x00, &b""[..]),
            (0x20, 0x11, &V4[..]),
            // Of a LOCAL header nothing counts but its length (2.2).
            (0x20, 0xFF, b"whatever"),
            (0x21, 0x00, b""),
            (0x21, 0x00, b"whatever"),
            (0x21, 0x10, b""),
            (0x21, 0x31, &[0; 216]),
            (0x21, 0x32, &[b'x'; 216]),
        ] {
            check(&binary(command, family, block), Ok(Told::Nobody));
        }
    }

    #[test]
    fn what_is_no_binary_header() {
        for (command, family, block, expected) in [
            (0x11, 0x11, &V4[..], Malformed::Version(1)),
            (0x31, 0x11, &V4, Malformed::Version(3)),
            (0x22, 0x11, &V4, Malformed::Command(2)),
            (0x2F, 0x00, b"", Malformed::Command(15)),
            (0x21, 0x41, &V4, Malformed::FamilyAndProtocol(0x41)),
            (0x21, 0x13, &V4, Malformed::FamilyAndProtocol(0x13)),
            (0x21, 0x03, b"", Malformed::FamilyAndProtocol(0x03)),
            (0x21, 0x11, &V4[..11], Malformed::NoRoomForAddresses(11)),
            (0x21, 0x11, b"", Malformed::NoRoomForAddresses(0)),
            (0x21, 0x21, &V4, Malformed::NoRoomForAddresses(12)),
            (0x21, 0x31, &[0; 215], Malformed::NoRoomForAddresses(215)),
            (0x21, 0x11, &[0; LONGEST - FIXED + 1], Malformed::TooLong(LONGEST + 1)),
            (0x20, 0x00, &[0; 65_535], Malformed::TooLong(65_551)),
        ] {
            check(&binary(command, family, block), Err(expected));
        }
        let mut broken = binary(0x21, 0x11, &V4);
        broken[7] = b'q';
        check(&broken, Err(Malformed::Missing));
    }

    /// An IPv4 header with these extensions; a checksum of zeros is replaced by the right one.
    fn extended(extensions: &[u8], with_sum_at: Option<usize>) -> Vec<u8> {
        let mut header = binary(0x21, 0x11, &[&V4, extensions].concat());
        if let Some(at) = with_sum_at {
            let sum = crc32c(header.iter().copied()).to_be_bytes();
            let at = FIXED + V4.len() + at;
            header[at..at + 4].copy_from_slice(&sum);
        }
        header
    }

    #[test]
    fn extensions_are_skipped_within_bounds() {
        let good = told("192.0.2.7:49153");
        check(&extended(&[4, 0, 0], None), good);
        check(&extended(&[0xE0, 0, 2, 1, 2, 2, 0, 3, b'a', b'.', b'b'], None), good);
        let most = [&[4, 0x0F, 0xE1][..], &[0; 0xFE1]].concat();
        assert_eq!(FIXED + 12 + most.len(), LONGEST);
        check(&extended(&most, None), good);
        for bad in [&[4][..], &[4, 0], &[4, 0, 1], &[4, 0, 0, 4], &[4, 0xFF, 0xFF, 0], &[4, 0, 1, 0, 9, 0]] {
            check(&extended(bad, None), Err(Malformed::Extension));
        }
    }

    #[test]
    fn a_checksum_is_checked() {
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xE306_9283);
        let good = told("192.0.2.7:49153");
        check(&extended(&[3, 0, 4, 0, 0, 0, 0], Some(3)), good);
        check(&extended(&[4, 0, 1, 9, 3, 0, 4, 0, 0, 0, 0, 2, 0, 1, b'a'], Some(7)), good);
        let bad = Err(Malformed::Checksum);
        check(&extended(&[3, 0, 4, 0, 0, 0, 0], None), bad);
        check(&extended(&[3, 0, 3, 0, 0, 0], None), bad);
        check(&extended(&[3, 0, 4, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0], Some(3)), bad);
        let sound = extended(&[3, 0, 4, 0, 0, 0, 0], Some(3));
        for at in [FIXED, FIXED + 5, FIXED + 11, FIXED + 16] {
            let mut changed = sound.clone();
            changed[at] ^= 1;
            check(&changed, bad);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let check_written = |client: &str, listener: Option<&str>, family: u8| {
            let header = write(Some(client.parse().unwrap()), listener.map(|at| at.parse().unwrap()));
            assert_eq!(header[13], family, "{client} {listener:?}");
            check(&header, told(client));
            header
        };
        let header = check_written("192.0.2.7:49153", Some("10.0.0.1:443"), 0x11);
        assert_eq!(header, binary(0x21, 0x11, &V4));
        check_written("[2001:db8::1]:1", Some("[::1]:443"), 0x21);
        check_written("192.0.2.7:0", None, 0x11);
        check_written("[2001:db8::1]:0", None, 0x21);
        let mixed = check_written("[2001:db8::1]:1", Some("10.0.0.1:443"), 0x21);
        assert_eq!(&mixed[FIXED + 26..], [0xFF, 0xFF, 10, 0, 0, 1, 0, 1, 1, 0xBB]);
        check_written("192.0.2.7:1", Some("[::1]:443"), 0x21);
        assert_eq!(write(None, Some("10.0.0.1:443".parse().unwrap())), binary(0x20, 0x00, b""));
        check(&write(None, None), Ok(Told::Nobody));
    }

    proptest! {
        /// Whatever comes, a byte is asked for only while no header can be shorter, and never without end.
        #[test]
        fn nothing_is_asked_for_in_vain(
            start in prop_oneof![
                Just(b"PROXY TCP4 ".to_vec()), Just(b"PROXY TCP6 ".to_vec()), Just(b"PROXY ".to_vec()),
                Just(SIGNATURE.to_vec()), Just([&SIGNATURE[..], &[0x21, 0x11]].concat()), Just(Vec::new())
            ],
            rest in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..300),
                "[0-9.: \r\n]{0,120}".prop_map(String::into_bytes)
            ],
            most in 1_usize..64,
        ) {
            let bytes = [start, rest].concat();
            let (over, used) = read(&bytes, most);
            prop_assert!(used <= LONGEST);
            if let Ok(Progress::Whole(_)) = over {
                // A header is one for every reader, and one is over when it is over.
                prop_assert_eq!(read(&bytes, usize::MAX), (over, used));
                for cut in 0..used {
                    match examine(&bytes[..cut]) {
                        Ok(Progress::Needs(needs)) => prop_assert!((1..=used - cut).contains(&needs)),
                        other => prop_assert!(false, "{:?} after {} of {}", other, cut, used),
                    }
                }
            }
        }

        /// Any two addresses cross.
        #[test]
        fn addresses_cross(client: SocketAddr, listener: Option<SocketAddr>) {
            let client = SocketAddr::new(client.ip().to_canonical(), client.port());
            let header = write(Some(client), listener);
            prop_assert_eq!(read(&header, 7), (Ok(Progress::Whole(Told::Client(client))), header.len()));
            let family = if client.is_ipv4() { 4 } else { 6 };
            let line = format!("PROXY TCP{family} {0} {0} {1} 1\r\n", client.ip(), client.port());
            prop_assert_eq!(read(line.as_bytes(), 7), (Ok(Progress::Whole(Told::Client(client))), line.len()));
        }
    }
}
