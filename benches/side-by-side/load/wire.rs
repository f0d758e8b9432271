//! Frames that are made once and sent often, and a walk over frames that only counts them.

use std::collections::VecDeque;
use std::rc::Rc;

pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

/// As much as one write should carry where frames are small.
const PAGE_SIZE: usize = 64 * 1024;

/// What messages say. ASCII, as most JSON is, so that a proxy which checks text has text to check.
const TALK: &[u8] = br#"{"type":"update","channel":"prices","id":1048576,"bid":101.25,"ask":101.5}"#;

/// Who sends: a client masks every frame (RFC 6455 5.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum From {
    Client,
    Server,
}

/// One frame over and over, ready to be written from.
pub struct Page {
    bytes: Vec<u8>,
    frame: usize,
}

impl Page {
    /// A data frame with `size` bytes of payload, several times if it is small.
    pub fn data(opcode: u8, size: usize, from: From) -> Rc<Page> {
        let payload: Vec<u8> = TALK.iter().copied().cycle().take(size).collect();
        let mut bytes = Vec::new();
        append(&mut bytes, opcode, &payload, from);
        let frame = bytes.len();
        while bytes.len() + frame <= PAGE_SIZE {
            append(&mut bytes, opcode, &payload, from);
        }
        Rc::new(Page { bytes, frame })
    }

    /// A control frame.
    pub fn control(opcode: u8, payload: &[u8], from: From) -> Rc<Page> {
        let mut bytes = Vec::new();
        append(&mut bytes, opcode, payload, from);
        Page::raw(bytes)
    }

    /// Bytes that are not frames: the head of a request or an answer.
    pub fn raw(bytes: Vec<u8>) -> Rc<Page> {
        Rc::new(Page { frame: bytes.len(), bytes })
    }

    /// What to write when `left` bytes of a run are still to go.
    fn next(&self, left: u64) -> &[u8] {
        let into_frame = (self.frame as u64 - left % self.frame as u64) % self.frame as u64;
        let rest = &self.bytes[into_frame as usize..];
        &rest[..rest.len().min(usize::try_from(left).unwrap_or(usize::MAX))]
    }
}

fn append(bytes: &mut Vec<u8>, opcode: u8, payload: &[u8], from: From) {
    let mask_bit = if from == From::Client { 0x80 } else { 0 };
    bytes.push(0x80 | opcode);
    match payload.len() {
        len @ ..126 => bytes.push(mask_bit | len as u8),
        len @ 126..=0xFFFF => {
            bytes.push(mask_bit | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(mask_bit | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    if from == From::Server {
        return bytes.extend_from_slice(payload);
    }
    let key = fastrand::u32(..).to_ne_bytes();
    bytes.extend_from_slice(&key);
    bytes.extend(payload.iter().zip(key.into_iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// What a connection still has to write: runs of frames, in order.
#[derive(Default)]
pub struct Outgoing {
    runs: VecDeque<Run>,
}

struct Run {
    page: Rc<Page>,
    left: u64,
}

impl Outgoing {
    pub fn push(&mut self, page: &Rc<Page>, frames: u64) {
        let bytes = frames * page.frame as u64;
        match self.runs.back_mut() {
            _ if bytes == 0 => {}
            Some(run) if Rc::ptr_eq(&run.page, page) => run.left += bytes,
            _ => self.runs.push_back(Run { page: page.clone(), left: bytes }),
        }
    }

    /// The bytes to write next; none when there is nothing.
    pub fn next(&self) -> &[u8] {
        self.runs.front().map_or(&[], |run| run.page.next(run.left))
    }

    pub fn wrote(&mut self, n: usize) {
        if let Some(run) = self.runs.front_mut() {
            run.left -= n as u64;
            if run.left == 0 {
                self.runs.pop_front();
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

/// What a peer sent.
pub enum Heard<'a> {
    /// The last byte of a data frame: its opcode, its length.
    Data(u8, u64),
    Ping(&'a [u8]),
    Pong,
    Close,
}

/// Walks the frames of one direction, wherever reads cut them.
#[derive(Default)]
pub struct Walker {
    head: [u8; 14],
    have: usize,
    opcode: u8,
    key: [u8; 4],
    len: u64,
    left: u64,
    inside: bool,
    control: Vec<u8>,
}

impl Walker {
    pub fn walk(&mut self, mut bytes: &[u8], mut heard: impl FnMut(Heard<'_>)) {
        loop {
            if !self.inside {
                let Some(size) = self.begin(bytes) else { return };
                bytes = &bytes[size..];
            }
            let take = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            let (payload, rest) = bytes.split_at(take);
            if self.opcode >= CLOSE {
                self.control.extend_from_slice(payload);
            }
            self.left -= take as u64;
            bytes = rest;
            if self.left > 0 {
                return;
            }
            self.inside = false;
            self.end(&mut heard);
        }
    }

    /// Reads a header; how many of `bytes` were part of it. `None`: it is not all here, and what is here was kept.
    fn begin(&mut self, bytes: &[u8]) -> Option<usize> {
        let kept = self.have;
        let room = &mut self.head[kept..];
        let more = room.len().min(bytes.len());
        room[..more].copy_from_slice(&bytes[..more]);
        self.have += more;
        let head = &self.head[..self.have];
        let (&first, &second) = (head.first()?, head.get(1)?);
        let (len, size) = match second & 0x7F {
            126 => (u64::from(u16::from_be_bytes(*head.get(2..)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*head.get(2..)?.first_chunk()?), 10),
            len => (u64::from(len), 2),
        };
        let size = if second & 0x80 == 0 {
            self.key = [0; 4];
            size
        } else {
            self.key = *head.get(size..)?.first_chunk()?;
            size + 4
        };
        (self.len, self.left) = (len, len);
        self.opcode = first & 0x0F;
        self.inside = true;
        self.have = 0;
        size.checked_sub(kept)
    }

    fn end(&mut self, heard: &mut impl FnMut(Heard<'_>)) {
        match self.opcode {
            CLOSE => heard(Heard::Close),
            PING => {
                let key = self.key.into_iter().cycle();
                self.control.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
                heard(Heard::Ping(&self.control));
            }
            PONG => heard(Heard::Pong),
            opcode => heard(Heard::Data(opcode, self.len)),
        }
        self.control.clear();
    }
}
