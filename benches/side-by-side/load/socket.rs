//! A non-blocking stream with or without TLS, edge-triggered: read until it has no more, write until it takes no more.

use super::wire::Outgoing;
use mio::net::TcpStream;
use rustls::ClientConnection;
use std::io::{self, BufRead, ErrorKind, Read, Write};

/// Reads at one go before others get their turn. A fast sender could keep us for ever.
const READS: usize = 16;

pub struct Socket {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// The peer's end of the stream is here, if perhaps behind bytes that are still to be read.
    pub hung_up: bool,
}

/// How a stream stands after it was read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// There may be more: come back without waiting for an event.
    Perhaps,
    /// The peer has ended it.
    Ended,
}

impl Socket {
    pub fn new(tcp: TcpStream, tls: Option<Box<ClientConnection>>) -> Socket {
        Socket { tcp, tls, hung_up: false }
    }

    pub fn tcp(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    pub fn tls(&self) -> Option<&ClientConnection> {
        self.tls.as_deref()
    }

    /// Shows what there is to read to `seen`, through `scratch`.
    pub fn read(&mut self, scratch: &mut [u8], mut seen: impl FnMut(&[u8])) -> io::Result<Left> {
        for _ in 0..READS {
            let n = match self.tcp.read(scratch) {
                Ok(0) => return Ok(Left::Ended),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Left::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            match &mut self.tls {
                None => seen(&scratch[..n]),
                Some(tls) => decrypt(tls, &scratch[..n], &mut seen)?,
            }
            // epoll(7): a read that did not fill its room has emptied the socket. A FIN behind it has had its event.
            if n < scratch.len() && !self.hung_up {
                return Ok(Left::Nothing);
            }
        }
        Ok(Left::Perhaps)
    }

    /// Writes from `out` until it is empty or the socket is full. How many of its bytes went.
    pub fn write(&mut self, out: &mut Outgoing) -> io::Result<u64> {
        let mut total = 0;
        loop {
            let wrote = match &mut self.tls {
                None if out.is_empty() => return Ok(total),
                None => self.tcp.write(out.next()),
                Some(tls) if tls.wants_write() => match tls.write_tls(&mut self.tcp) {
                    Ok(_) => continue,
                    Err(error) => Err(error),
                },
                Some(_) if out.is_empty() => return Ok(total),
                // The session takes what its buffer has room for, before the handshake is over too.
                Some(tls) => match tls.writer().write(out.next()) {
                    Ok(0) => return Ok(total),
                    wrote => wrote,
                },
            };
            match wrote {
                Ok(n) => {
                    out.wrote(n);
                    total += n as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(total),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// rustls reads 4 KiB at a time by itself; fed from a larger read it costs one system call.
fn decrypt(tls: &mut ClientConnection, mut bytes: &[u8], seen: &mut impl FnMut(&[u8])) -> io::Result<()> {
    while !bytes.is_empty() {
        tls.read_tls(&mut bytes)?;
        tls.process_new_packets().map_err(io::Error::other)?;
        let mut reader = tls.reader();
        loop {
            let n = match reader.fill_buf() {
                Ok([]) => break, // close_notify; the end of the socket follows
                Ok(text) => {
                    seen(text);
                    text.len()
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            reader.consume(n);
        }
    }
    Ok(())
}
