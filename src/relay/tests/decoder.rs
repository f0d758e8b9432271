//! A strict reader of one direction, written from RFC 6455 and sharing no code with the crate. It panics at the first
//! byte that a peer could not accept.

/// A whole frame, unmasked, and where it stood on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Got {
    pub first: u8,
    pub payload: Vec<u8>,
    pub wire: std::ops::Range<usize>,
}

impl Got {
    pub const fn opcode(&self) -> u8 {
        self.first & 0x0F
    }

    pub const fn is_data(&self) -> bool {
        self.opcode() < 8
    }
}

impl std::fmt::Debug for Got {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x} {:?}", self.first, String::from_utf8_lossy(&self.payload))
    }
}

#[derive(Debug)]
pub struct Decoder {
    masked: bool,
    deflate: bool,
    pub bytes: Vec<u8>,
    pub frames: Vec<Got>,
    /// The whole data frames, byte for byte.
    data: Vec<u8>,
    /// Where the frame starts that is not whole yet.
    at: usize,
    in_message: bool,
    closed: bool,
}

struct Head {
    first: u8,
    size: usize,
    len: usize,
    key: Option<[u8; 4]>,
}

impl Decoder {
    pub fn new(masked: bool, deflate: bool) -> Decoder {
        Decoder {
            masked,
            deflate,
            bytes: Vec::new(),
            frames: Vec::new(),
            data: Vec::new(),
            at: 0,
            in_message: false,
            closed: false,
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        while let Some(head) = self.head() {
            let Some(wire) = self.bytes.get(self.at + head.size..self.at + head.size + head.len) else {
                return;
            };
            let key = head.key.unwrap_or_default();
            let payload = wire.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            let end = self.at + head.size + head.len;
            self.take(Got { first: head.first, payload, wire: self.at..end });
            self.at = end;
        }
    }

    /// What came of a frame that is not whole yet.
    pub fn tail(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// The data frames from byte `at` on, the unfinished one included.
    pub fn data(&self, at: usize) -> Vec<u8> {
        let tail = self.tail();
        let tail = if tail.first().is_some_and(|first| first & 0x0F < 8) { tail } else { &[] };
        [&self.data[at..], tail].concat()
    }

    /// How many bytes the whole data frames have.
    pub const fn data_len(&self) -> usize {
        self.data.len()
    }

    pub fn payloads(&self, opcode: u8) -> Vec<Vec<u8>> {
        self.frames
            .iter()
            .filter(|frame| frame.opcode() == opcode)
            .map(|frame| frame.payload.clone())
            .collect()
    }

    /// The header at `at`, judged as soon as it is whole.
    fn head(&self) -> Option<Head> {
        let rest = &self.bytes[self.at..];
        let first = *rest.first()?;
        assert!(!self.closed, "a byte after Close");
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
        assert!(matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10), "reserved opcode {opcode}");
        assert_eq!(first & 0x30, 0, "RSV2 or RSV3");
        let may_be_compressed = self.deflate && matches!(opcode, 1 | 2);
        assert!(first & 0x40 == 0 || may_be_compressed, "RSV1 where it has no meaning");
        assert!(opcode != 0 || self.in_message, "a continuation of nothing");
        assert!(!matches!(opcode, 1 | 2) || !self.in_message, "a message inside a message");
        let second = *rest.get(1)?;
        assert_eq!(second & 0x80 != 0, self.masked, "the mask bit");
        let (len, size) = match second & 0x7F {
            126 => {
                let len = usize::from(u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]));
                assert!(len >= 126, "a length that is not minimal");
                (len, 4)
            }
            127 => {
                let len = u64::from_be_bytes(*rest.get(2..)?.first_chunk::<8>()?);
                assert!(len > 0xFFFF && len >> 63 == 0, "a length that is not minimal or negative");
                (len as usize, 10)
            }
            len => (usize::from(len), 2),
        };
        assert!(opcode < 8 || (fin && len <= 125), "a control frame that is fragmented or too long");
        if !self.masked {
            return Some(Head { first, size, len, key: None });
        }
        let key = Some(*rest.get(size..)?.first_chunk::<4>()?);
        Some(Head { first, size: size + 4, len, key })
    }

    fn take(&mut self, frame: Got) {
        let fin = frame.first & 0x80 != 0;
        if frame.is_data() {
            self.in_message = !fin;
            self.data.extend(&self.bytes[frame.wire.clone()]);
        }
        if frame.opcode() == 8 {
            self.closed = true;
            if let Some((code, reason)) = frame.payload.split_first_chunk::<2>() {
                let code = u16::from_be_bytes(*code);
                let legal = matches!(code, 1000..=1014 | 3000..=4999) && !matches!(code, 1004..=1006);
                assert!(legal, "close code {code}");
                assert!(std::str::from_utf8(reason).is_ok(), "a close reason that is not UTF-8");
            } else {
                assert!(frame.payload.is_empty(), "a close payload of one byte");
            }
        }
        self.frames.push(frame);
    }
}
