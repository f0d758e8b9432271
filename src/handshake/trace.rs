//! W3C Trace Context: which trace a request belongs to. The log repeats what the header says, so that a session is found
//! from a trace and the other way round. It passes as it is, unless a span of ours comes between (`spans`).

use http::header::{HeaderMap, HeaderName};
use std::fmt;

/// The header that carries it (W3C Trace Context 3.2).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The header with what others have to say of the trace (3.3).
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The flag that whoever sent the request keeps its spans (3.2.2.5.1).
pub const SAMPLED: u8 = 1;

/// What `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    pub id: [u8; 16],
    /// The span of whoever sent the request.
    pub parent: [u8; 8],
    pub flags: u8,
}

impl Trace {
    /// `None`: the header is missing, repeated or malformed; then there is no trace (3.2.2.3, 4.2).
    pub fn read(headers: &HeaderMap) -> Option<Trace> {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        match (lines.next(), lines.next()) {
            (Some(line), None) => Trace::parse(line.as_bytes()),
            _ => None,
        }
    }

    fn parse(line: &[u8]) -> Option<Trace> {
        let (fields, rest) = line.split_at_checked(55)?;
        let [version, id, parent, flags] = split(fields)?;
        let version = hex::<1>(version)?[0];
        // A version of the future may say more, behind another dash (4.3); the one we know says no more.
        let ends_well =
            if version == 0 { rest.is_empty() } else { rest.first().is_none_or(|byte| *byte == b'-') };
        if version == 0xFF || !ends_well {
            return None;
        }
        let trace = Trace { id: hex(id)?, parent: hex(parent)?, flags: hex::<1>(flags)?[0] };
        (trace.id != [0; 16] && trace.parent != [0; 8]).then_some(trace)
    }

    /// Whoever sent the request keeps its spans (3.2.2.5.1).
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// For the log.
    pub fn id_text(&self) -> String {
        Hex(&self.id).to_string()
    }
}

/// The header as it says this.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", Hex(&self.id), Hex(&self.parent), self.flags)
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn split(fields: &[u8]) -> Option<[&[u8]; 4]> {
    let mut parts = fields.split(|byte| *byte == b'-');
    let all = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(all)
}

/// In lower case, as it has to be (3.2.2.1).
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderValue;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(TRACEPARENT, HeaderValue::from_str(line).unwrap());
        }
        Trace::read(&headers).map(|trace| trace.to_string())
    }

    #[test]
    fn what_is_a_trace_and_what_is_none() {
        assert_eq!(read(&[GOOD]).as_deref(), Some(GOOD));
        assert_eq!(Trace::parse(GOOD.as_bytes()).unwrap().id_text(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let other = |from: &str, to: &str| GOOD.replace(from, to);
        for bad in [
            String::new(),
            other("-01", ""),
            other("-01", "-1"),
            other("-01", "-01-"),
            other("-01", "-01-more"),
            other("-01", "-011"),
            other("00-", "ff-"),
            other("00-", "0-"),
            other("4bf9", "4BF9"),
            other("4bf9", "4bg9"),
            other("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
            other("00f067aa0ba902b7", "0000000000000000"),
            other("-00f0", "000f0"),
            format!(" {GOOD}"),
            other("4bf9", "\"\\x1b"),
        ] {
            assert_eq!(read(&[&bad]), None, "{bad:?}");
        }
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[GOOD, GOOD]), None, "whose it is cannot be said");
        for future in
            [other("00-4", "01-4"), other("00-4", "cc-4").replace("-01", "-01-what-the-future-will-be-like")]
        {
            assert_eq!(read(&[&future]).as_deref(), Some(GOOD), "{future}");
        }
        assert!(read(&[&(other("00-4", "cc-4") + ".")]).is_none());
    }

    #[test]
    fn sampled_is_one_bit() {
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("03", true), ("ff", true)] {
            let line = format!("{}{flags}", GOOD.strip_suffix("01").unwrap());
            assert_eq!(Trace::parse(line.as_bytes()).unwrap().is_sampled(), sampled);
        }
    }
}
