//! What is said to a connection that is not let in: a short answer, without waiting for the request or reading it.
//!
//! It costs one write that either succeeds at once or is not made. A few of the connections are then kept for a moment,
//! so that the answer arrives; in a flood the others are closed at once.

use super::socket::Socket;
use socket2::SockRef;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;

/// Connections that are kept for a moment, at any time: few, for they come when descriptors are short.
pub const AT_A_TIME: usize = 16;

/// For the client to read the answer and to end the connection.
const MOMENT: Duration = Duration::from_secs(1);

/// What it may send meanwhile.
const HEARD_AT_MOST: usize = 64 * 1024;

#[derive(Debug)]
pub struct Doorstep {
    places: Arc<Semaphore>,
}

impl Default for Doorstep {
    fn default() -> Doorstep {
        Doorstep { places: Arc::new(Semaphore::new(AT_A_TIME)) }
    }
}

impl Doorstep {
    /// Answers now. What is left to do, if anything, is to be spawned: a socket closed with unread bytes in it is reset,
    /// and the reset can overtake the answer (RFC 9112 9.6).
    pub fn answer(&self, socket: Socket, answer: &[u8]) -> Option<impl Future<Output = ()> + use<>> {
        let raw = SockRef::from(&socket);
        // Nothing was ever sent on it: there is room for this, or the connection is gone.
        let is_sent = raw.send(answer).is_ok_and(|sent| sent == answer.len());
        if !is_sent || raw.shutdown(Shutdown::Write).is_err() {
            return None;
        }
        let place = self.places.clone().try_acquire_owned().ok()?;
        Some(async move {
            let _ = tokio::time::timeout(MOMENT, hear_out(socket)).await;
            drop(place);
        })
    }
}

async fn hear_out(mut socket: Socket) {
    let mut room = [0; 1024];
    let mut heard = 0;
    while heard < HEARD_AT_MOST {
        match socket.read(&mut room).await {
            Ok(0) | Err(_) => return,
            Ok(n) => heard += n,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use tokio::net::UnixStream;

    fn pair() -> (Socket, std::os::unix::net::UnixStream) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (UnixStream::from_std(ours).unwrap().into(), theirs)
    }

    fn read(mut client: std::os::unix::net::UnixStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text
    }

    #[tokio::test]
    async fn a_crowd_is_answered_and_only_a_few_are_waited_for() {
        let doorstep = Doorstep::default();
        let mut kept = Vec::new();
        for _ in 0..AT_A_TIME + 10 {
            let (socket, client) = pair();
            kept.extend(doorstep.answer(socket, b"no"));
            assert_eq!(read(client), "no");
        }
        assert_eq!(kept.len(), AT_A_TIME);
        // They are gone already: nobody is waited for, and the places are free again.
        for one in kept.drain(..) {
            one.await;
        }
        let (socket, client) = pair();
        assert!(doorstep.answer(socket, b"no").is_some());
        drop(client);
        let (socket, client) = pair();
        drop(client);
        assert!(doorstep.answer(socket, b"no").is_none(), "nobody is there to wait for");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_longer_than_a_moment() {
        let (socket, _client) = pair();
        let since = tokio::time::Instant::now();
        Doorstep::default().answer(socket, b"no").unwrap().await;
        assert_eq!(since.elapsed(), MOMENT);
    }
}
