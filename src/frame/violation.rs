//! Every way a peer can break the RFC or a limit of its route, with the one table that says what each becomes: the
//! rule's name (for the log), the close code (for the offender) and the cause word.

/// What a peer did wrong. Decided at a frame's header wherever the header can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A client frame without a mask (RFC 6455 5.1).
    Unmasked,
    /// A server frame with a mask (5.1).
    Masked,
    /// A reserved bit that no agreed extension gives a meaning (5.2).
    ReservedBits,
    /// Opcodes 3–7 and B–F (5.2).
    ReservedOpcode,
    /// A control frame over 125 bytes (5.5).
    ControlSize,
    /// A control frame without FIN (5.5).
    ControlFragmented,
    /// A continuation with no message to continue (5.4).
    Continuation,
    /// A new data frame inside an unfinished message (5.4).
    Interleaved,
    /// A length that a shorter form could have carried (5.2).
    LengthEncoding,
    /// A 64-bit length with its top bit set (5.2).
    LengthSign,
    /// A close payload of one byte (5.5.1).
    ClosePayload,
    /// A close code that must not be on the wire (7.4).
    CloseCode,
    /// A close reason that is not UTF-8 (5.5.1).
    CloseReason,
    /// A text message that is not UTF-8 (8.1).
    Utf8,
    /// A kind of message that this route does not carry.
    OpcodeRefused,
    FrameSize,
    MessageSize,
    Fragments,
    /// A started message that did not end in time.
    MessageDeadline,
    ControlRate,
    MessageRate,
    ByteRate,
}

impl Violation {
    pub const ALL: [Violation; 22] = [
        Violation::Unmasked,
        Violation::Masked,
        Violation::ReservedBits,
        Violation::ReservedOpcode,
        Violation::ControlSize,
        Violation::ControlFragmented,
        Violation::Continuation,
        Violation::Interleaved,
        Violation::LengthEncoding,
        Violation::LengthSign,
        Violation::ClosePayload,
        Violation::CloseCode,
        Violation::CloseReason,
        Violation::Utf8,
        Violation::OpcodeRefused,
        Violation::FrameSize,
        Violation::MessageSize,
        Violation::Fragments,
        Violation::MessageDeadline,
        Violation::ControlRate,
        Violation::MessageRate,
        Violation::ByteRate,
    ];

    /// One row a rule: the name for the log and for the reason of the Close, the close code, the cause word.
    const fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Violation::Unmasked => ("unmasked client frame", 1002, "protocol"),
            Violation::Masked => ("masked server frame", 1002, "protocol"),
            Violation::ReservedBits => ("reserved bits", 1002, "protocol"),
            Violation::ReservedOpcode => ("reserved opcode", 1002, "protocol"),
            Violation::ControlSize => ("control frame over 125 bytes", 1002, "protocol"),
            Violation::ControlFragmented => ("fragmented control frame", 1002, "protocol"),
            Violation::Continuation => ("continuation outside a message", 1002, "protocol"),
            Violation::Interleaved => ("new message inside a message", 1002, "protocol"),
            Violation::LengthEncoding => ("length not minimal", 1002, "protocol"),
            Violation::LengthSign => ("length top bit set", 1002, "protocol"),
            Violation::ClosePayload => ("close payload of one byte", 1002, "protocol"),
            Violation::CloseCode => ("illegal close code", 1002, "protocol"),
            Violation::CloseReason => ("close reason not UTF-8", 1007, "utf8"),
            Violation::Utf8 => ("text not UTF-8", 1007, "utf8"),
            Violation::OpcodeRefused => ("opcode not allowed", 1003, "limit.opcode"),
            Violation::FrameSize => ("max_frame_size", 1009, "limit.frame"),
            Violation::MessageSize => ("max_message_size", 1009, "limit.message"),
            Violation::Fragments => ("max_fragments", 1008, "limit.fragments"),
            Violation::MessageDeadline => ("message timeout", 1008, "timeout.message"),
            Violation::ControlRate => ("control frame rate", 1008, "rate.control"),
            Violation::MessageRate => ("message rate", 1008, "rate.messages"),
            Violation::ByteRate => ("byte rate", 1008, "rate.bytes"),
        }
    }

    pub const fn rule(self) -> &'static str {
        self.row().0
    }

    pub const fn close_code(self) -> u16 {
        self.row().1
    }

    pub const fn cause_word(self) -> &'static str {
        self.row().2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_has_a_row_of_its_own() {
        let mut rules: Vec<_> = Violation::ALL.iter().map(|violation| violation.rule()).collect();
        rules.sort_unstable();
        rules.dedup();
        assert_eq!(rules.len(), Violation::ALL.len());
        for violation in Violation::ALL {
            assert!(matches!(violation.close_code(), 1002 | 1003 | 1007 | 1008 | 1009));
            assert!(violation.rule().len() <= 123, "a reason has to fit a Close");
        }
    }
}
