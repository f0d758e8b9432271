//! The payload of a Close (RFC 6455 5.5.1 and 7.4): what a peer may say in it, and what we say.

use super::{Control, Opcode, Violation};

/// What a Close says. `code: None` is the empty Close, which stays empty when relayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Close {
    pub code: Option<u16>,
    pub reason: Box<str>,
}

impl Close {
    pub fn new(code: u16, reason: &str) -> Close {
        Close { code: Some(code), reason: reason.into() }
    }

    /// Reads an unmasked close payload, refusing what may not be on the wire.
    pub fn parse(payload: &[u8]) -> Result<Close, Violation> {
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            return if payload.is_empty() { Ok(Close::default()) } else { Err(Violation::ClosePayload) };
        };
        let code = u16::from_be_bytes(*code);
        if !is_legal(code) {
            return Err(Violation::CloseCode);
        }
        let reason = simdutf8::basic::from_utf8(reason).map_err(|_| Violation::CloseReason)?;
        Ok(Close { code: Some(code), reason: reason.into() })
    }

    /// The frame that says it. A reason too long for a control frame is cut at a character.
    pub fn to_frame(&self) -> Control {
        let Some(code) = self.code else {
            return Control::new(Opcode::Close, &[]);
        };
        let mut payload = Vec::with_capacity(self.reason.len().saturating_add(2));
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(clipped(&self.reason).as_bytes());
        Control::new(Opcode::Close, &payload)
    }
}

/// The longest start of `reason` that fits behind the two bytes of the code.
fn clipped(reason: &str) -> &str {
    (0..=123).rev().find_map(|end| reason.get(..end)).unwrap_or_default()
}

/// 1005, 1006 and 1015 are for reporting only and never on the wire (RFC 6455 7.4.1); 1004 and 1016–2999 are nobody's
/// yet; 1012–1014 are in the IANA registry; 3000–4999 belong to libraries and applications (7.4.2).
const fn is_legal(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_codes_are_exactly_those_of_the_registry() {
        let legal: Vec<u16> =
            (0..=u16::MAX).filter(|code| Close::parse(&code.to_be_bytes()).is_ok()).collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(legal, expected);
    }

    #[test]
    fn payload_rules() {
        assert_eq!(Close::parse(&[]), Ok(Close::default()));
        assert_eq!(Close::parse(&[3]), Err(Violation::ClosePayload));
        assert_eq!(Close::parse(&[3, 232]), Ok(Close::new(1000, "")));
        assert_eq!(Close::parse(&[3, 232, b'o', b'k']), Ok(Close::new(1000, "ok")));
        assert_eq!(Close::parse(&[3, 232, 0xC3]), Err(Violation::CloseReason));
        assert_eq!(Close::parse(&[0, 0]), Err(Violation::CloseCode));
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let close = Close::new(1008, &"é".repeat(100));
        let frame = close.to_frame();
        assert_eq!(frame.payload().len(), 2 + 122);
        assert!(Close::parse(frame.payload()).is_ok());
        assert!(Close::default().to_frame().payload().is_empty());
    }
}
