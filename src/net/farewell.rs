//! Refusals that pages in a browser can read: behind a 101 of our own stands a Close. What is left to do is to send it,
//! to hear the client's own, and to end the stream in order.
//!
//! A refused client must not cost more than an admitted one: how fast and how many at a time is bounded for the gateway,
//! and each is held to a time and to a number of bytes. None of what it says is kept.

use super::splice::Taken;
use crate::frame::{Close, Lane, LaneRules, Opcode, Piece, Side};
use crate::meter::{Rate, TokenBucket};
use crate::moment::Moment;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// Enough for the people who are refused; above it the refused are a crowd, and a status does for a crowd.
const RATE: Rate = Rate::new(100, 200);

/// Clients whose Close is waited for at any time.
const AT_A_TIME: usize = 256;

/// What a client may have under way when it is refused. Above it the stream ends, and with bytes unread that is a reset.
const HEARD_AT_MOST: usize = 1 << 20;

/// One read.
const READ_SIZE: usize = 2 * 1024;

/// For the client to end its stream after ours, once the Closes are said or waited for in vain.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Says how many more refusals may be told by a Close.
#[derive(Debug)]
pub struct Farewells {
    since: Instant,
    spent: Mutex<TokenBucket>,
    places: Arc<Semaphore>,
}

/// One refusal that is to be told by a Close.
#[derive(Debug)]
pub struct Farewell {
    close: Close,
    /// How long the client's Close is waited for.
    patience: Duration,
    _place: OwnedSemaphorePermit,
}

impl Default for Farewells {
    fn default() -> Farewells {
        let places = Arc::new(Semaphore::new(AT_A_TIME));
        Farewells { since: Instant::now(), spent: Mutex::default(), places }
    }
}

impl Farewells {
    /// `None`: there are too many, and the client gets a status.
    pub fn begin(&self, close: Close, patience: Duration) -> Option<Farewell> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let now = Moment::default() + self.since.elapsed();
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).take(RATE, 1, now).ok()?;
        Some(Farewell { close, patience, _place: place })
    }
}

impl Farewell {
    /// To a client that has its 101.
    pub async fn say(self, client: Taken) {
        let Taken { stream, early } = client;
        let mut ear = Ear::new();
        ear.hear(&early);
        // It may pin hyper's whole buffer.
        drop(early);
        // Most connections never come here: what this takes is not to be part of theirs.
        Box::pin(say(stream, ear, &self.close, self.patience)).await;
    }
}

async fn say(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut ear: Ear,
    close: &Close,
    patience: Duration,
) {
    let closed = timeout(patience, exchange(&mut stream, &mut ear, close)).await;
    if let Ok(Err(_)) = closed {
        return;
    }
    let _ = timeout(LAST_WORD, end(&mut stream, &mut ear)).await;
}

/// Our Close goes out, and the client's comes in, or something after which none will.
async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ear: &mut Ear,
    close: &Close,
) -> io::Result<()> {
    let mut frame = Vec::new();
    close.to_frame().encode(None, &mut frame);
    stream.write_all(&frame).await?;
    stream.flush().await?;
    let mut room = vec![0; READ_SIZE];
    while !ear.has_heard {
        let n = stream.read(&mut room).await?;
        if n == 0 {
            return Ok(());
        }
        ear.hear(&room[..n]);
    }
    Ok(())
}

/// RFC 6455 7.1.1: the server ends TCP first. It reads on until the client has ended it too: a socket closed with unread
/// bytes in it is reset, and the reset can overtake our Close.
async fn end(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), ear: &mut Ear) -> io::Result<()> {
    stream.shutdown().await?;
    let mut room = vec![0; READ_SIZE];
    while ear.patience > 0 {
        match stream.read(&mut room).await? {
            0 => break,
            n => ear.patience = ear.patience.saturating_sub(n),
        }
    }
    Ok(())
}

/// Listens for one thing in what the client says: its Close.
struct Ear {
    lane: Lane,
    /// A frame header or a control frame that is not all there.
    cut: Vec<u8>,
    /// Bytes that it may still say.
    patience: usize,
    /// The Close, or what no Close can follow: nothing more is of interest.
    has_heard: bool,
}

impl Ear {
    fn new() -> Ear {
        // Our 101 agrees to no extension.
        Ear {
            lane: Lane::new(Side::Client, false),
            cut: Vec::new(),
            patience: HEARD_AT_MOST,
            has_heard: false,
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.patience = self.patience.saturating_sub(bytes.len());
        self.has_heard |= self.patience == 0;
        let unread = [&std::mem::take(&mut self.cut), bytes].concat();
        let mut rest = unread.as_slice();
        while !self.has_heard {
            let n = match self.lane.next(rest, &ANYTHING) {
                Ok(Piece::Partial) => break,
                Ok(Piece::Data { n, .. }) => n,
                Ok(Piece::Control(header)) => {
                    self.has_heard = header.opcode == Opcode::Close;
                    header.size + header.len as usize
                }
                Err(_) => {
                    self.has_heard = true;
                    break;
                }
            };
            rest = rest.get(n..).unwrap_or_default();
        }
        self.cut = if self.has_heard { Vec::new() } else { rest.to_vec() };
    }
}

/// It is thrown away: only where frames begin and end matters.
const ANYTHING: LaneRules = LaneRules { validate_utf8: false, ..LaneRules::UNLIMITED };

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{DuplexStream, duplex};

    const PATIENCE: Duration = Duration::from_secs(5);
    /// "no" with 1013, as a server says it.
    const OURS: &[u8] = &[0x88, 4, 0x03, 0xF5, b'n', b'o'];
    /// A client's empty Close.
    const THEIRS: &[u8] = &[0x88, 0x80, 1, 2, 3, 4];

    /// A client that says `early` ahead of our Close and `late` behind it, and how long it then took us to end.
    async fn took(early: &[u8], late: &[u8]) -> Duration {
        let (mut client, server) = duplex(4096);
        let mut ear = Ear::new();
        ear.hear(early);
        let since = Instant::now();
        let saying = tokio::spawn(async move { say(server, ear, &Close::new(1013, "no"), PATIENCE).await });
        assert_eq!(heard(&mut client, OURS.len()).await, OURS);
        client.write_all(late).await.unwrap();
        assert_eq!(client.read(&mut [0; 16]).await.unwrap(), 0, "nothing but the Close");
        let took = since.elapsed();
        drop(client);
        saying.await.unwrap();
        took
    }

    async fn heard(client: &mut DuplexStream, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        client.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test(start_paused = true)]
    async fn ends_once_the_client_has_closed() {
        let text = [0x81, 0x82, 1, 2, 3, 4, 9, 9];
        let pieces = [0x01, 0x80, 1, 2, 3, 4];
        let ping = [0x89, 0x80, 1, 2, 3, 4];
        assert_eq!(took(b"", THEIRS).await, Duration::ZERO);
        assert_eq!(took(THEIRS, b"").await, Duration::ZERO);
        assert_eq!(took(&text, &[&pieces[..], &ping, THEIRS].concat()).await, Duration::ZERO);
        for cut in 0..THEIRS.len() {
            let early = [&text[..], &THEIRS[..cut]].concat();
            assert_eq!(took(&early, &THEIRS[cut..]).await, Duration::ZERO, "cut at {cut}");
        }
        // What looks like a Close inside a message is none.
        let inside = [&[0x82, 0x86, 1, 2, 3, 4][..], THEIRS].concat();
        assert_eq!(took(&inside, b"").await, PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_a_silent_client_no_longer_than_it_has_to() {
        assert_eq!(took(b"", b"").await, PATIENCE);
        assert_eq!(took(&THEIRS[..5], b"").await, PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_close_can_follow_ends_it() {
        for broken in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x88, 0], &[0x83, 0x80], &[0xFF; 64]] {
            assert_eq!(took(b"", broken).await, Duration::ZERO, "{broken:?}");
            assert_eq!(took(broken, b"").await, Duration::ZERO, "{broken:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hears_so_many_bytes_and_keeps_none() {
        let mut ear = Ear::new();
        // A frame of a gigabyte.
        ear.hear(&[0x82, 0xFF, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4]);
        let piece = vec![0; READ_SIZE];
        let mut heard = 14;
        while !ear.has_heard {
            ear.hear(&piece);
            heard += piece.len();
            assert!(ear.cut.is_empty());
        }
        assert!((HEARD_AT_MOST..HEARD_AT_MOST + READ_SIZE).contains(&heard), "{heard}");
    }

    /// A client that hangs up, before or after our Close, costs no time.
    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_who_is_gone() {
        for room in [1, 4096] {
            let (client, server) = duplex(room);
            drop(client);
            let since = Instant::now();
            say(server, Ear::new(), &Close::new(1013, "no"), PATIENCE).await;
            assert_eq!(since.elapsed(), Duration::ZERO);
        }
    }

    /// One that takes nothing is given up.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read() {
        let (client, server) = duplex(1);
        let since = Instant::now();
        say(server, Ear::new(), &Close::new(1013, "no"), PATIENCE).await;
        assert!(since.elapsed() <= PATIENCE + LAST_WORD, "{:?}", since.elapsed());
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_at_a_time_and_so_many_a_second() {
        let farewells = Farewells::default();
        let begin = || farewells.begin(Close::new(1013, "no"), PATIENCE);
        let burst: Vec<_> = (0..1000).map_while(|_| begin()).collect();
        assert_eq!(burst.len(), 200, "the burst");
        tokio::time::advance(Duration::from_secs(1)).await;
        let more: Vec<_> = (0..1000).map_while(|_| begin()).collect();
        assert_eq!(more.len(), AT_A_TIME - 200, "as many as there are places");
        drop(burst);
        assert_eq!((0..1000).map_while(|_| begin()).count(), 100 - more.len(), "what is left of that second");
    }
}
