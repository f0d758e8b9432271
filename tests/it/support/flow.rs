//! Streams of data too long to hold: made on the fly, compared on the fly.

use super::Raw;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

/// A wait after which nothing moves any more: every buffer between here and the far end is full.
const STUCK: Duration = Duration::from_secs(1);

/// Frames sent until every buffer was full. The last one may be cut: its rest goes out in [`Flood::finish`], once
/// somebody reads on the other side.
pub struct Flood<'a> {
    raw: &'a mut Raw,
    frame: &'a [u8],
    /// Whole frames sent.
    frames: usize,
    /// Bytes sent of the one that is cut.
    cut: usize,
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

impl Raw {
    /// Sends this frame again and again, until `then` has heard what there is to hear; the stream ends after it.
    pub fn flooding(&mut self, frame: &[u8], then: impl FnOnce(&mut Raw)) {
        let mut writer = self.stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || while writer.write_all(frame).is_ok() {});
            then(self);
            self.stream.shutdown(Shutdown::Both).unwrap();
        });
    }
}

impl Flood<'_> {
    /// Whole frames, once it is finished.
    pub fn frames(&self) -> usize {
        self.frames + usize::from(self.cut > 0)
    }

    /// Sends the rest of the frame that is cut.
    pub fn finish(self) {
        if self.cut > 0 {
            self.raw.send(&self.frame[self.cut..]);
        }
    }
}

/// Bytes without end that look random, the same every time. Their period is odd, so that no buffer size hides a byte
/// that was lost or doubled.
pub struct Pattern(Vec<u8>);

impl Pattern {
    const PERIOD: usize = 1_000_003;
    const WINDOW: usize = 128 * 1024;

    pub fn new() -> Pattern {
        let mut random = fastrand::Rng::with_seed(6455);
        let mut bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(Self::PERIOD).collect();
        bytes.extend_from_within(..Self::WINDOW);
        Pattern(bytes)
    }

    fn at(&self, offset: u64, most: u64) -> &[u8] {
        let period = self.0.len() - Self::WINDOW;
        let start = (offset % period as u64) as usize;
        &self.0[start..start + most.min(Self::WINDOW as u64) as usize]
    }

    /// Sends its first `total` bytes.
    pub fn send(&self, raw: &mut Raw, total: u64) {
        let mut sent = 0;
        while sent < total {
            let chunk = self.at(sent, total - sent);
            raw.send(chunk);
            sent += chunk.len() as u64;
        }
    }

    /// Its first `total` bytes come next; `watch` is called now and then.
    pub fn expect(&self, raw: &mut Raw, total: u64, mut watch: impl FnMut()) {
        let mut chunk = vec![0; Self::WINDOW];
        let (mut got, mut watched) = (0, 0);
        while got < total {
            let most = (total - got).min(Self::WINDOW as u64) as usize;
            let n = raw.stream.read(&mut chunk[..most]).unwrap();
            assert!(n > 0, "the stream ended at {got} of {total}");
            assert!(chunk[..n] == *self.at(got, n as u64), "another byte within {n} from {got}");
            got += n as u64;
            if got - watched > total / 200 {
                watched = got;
                watch();
            }
        }
    }
}
