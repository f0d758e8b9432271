//! Streams of data too long to hold: made on the fly, compared on the fly.

use super::Raw;
use std::io::{ErrorKind, Write};
use std::time::Duration;

/// A wait after which nothing moves any more: every buffer between here and the far end is full.
const STUCK: Duration = Duration::from_millis(300);

/// Sends whole frames until nobody takes more, the last one only once there is room for it again. How many.
///
/// The last frame is cut by a full buffer: the caller has to read on the other side, or the gateway has to give up on
/// it, before anything else can be sent. It is sent to its end in [`Flood::finish`].
pub struct Flood<'a> {
    raw: &'a mut Raw,
    frame: &'a [u8],
    /// Whole frames sent.
    pub frames: usize,
    /// Bytes sent of the one that is cut.
    pub cut: usize,
}

impl Raw {
    /// Sends this frame again and again until every buffer is full.
    pub fn flood<'a>(&'a mut self, frame: &'a [u8]) -> Flood<'a> {
        self.stream.set_write_timeout(Some(STUCK)).unwrap();
        let mut flood = Flood { raw: self, frame, frames: 0, cut: 0 };
        loop {
            match flood.raw.stream.write(&frame[flood.cut..]) {
                Ok(n) => {
                    flood.cut += n;
                    flood.frames += flood.cut / frame.len();
                    flood.cut %= frame.len();
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("the flood broke: {error}"),
            }
        }
        flood.raw.stream.set_write_timeout(Some(super::SOON)).unwrap();
        flood
    }
}

impl Flood<'_> {
    /// Sends the rest of the frame that is cut; whole frames sent in all.
    pub fn finish(self) -> usize {
        if self.cut == 0 {
            return self.frames;
        }
        self.raw.send(&self.frame[self.cut..]);
        self.frames + 1
    }
}
