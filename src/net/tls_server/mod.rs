//! The server's half of TLS over one socket: rustls without the buffers of its ready-made connection, of which each
//! keeps 4 KiB from its first read on.
//!
//! Ciphertext is read into a buffer of the worker, decrypted there and copied out; what is written is encrypted into
//! another one and goes out in one write. A connection owns only what is left over, a cut record or what one side did
//! not take yet, and gives that back when it is done with: an idle one owns no buffer. Which configuration, and whose
//! deadline, is for others to say.

mod rest;
mod stream;
#[cfg(test)]
mod tests;

use rest::Rest;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{ProtocolVersion, ServerConfig};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A full record on the wire: header, payload, and what TLS 1.3 puts behind it (RFC 8446 5.2).
const RECORD: usize = 5 + 16 * 1024 + 17;

/// One read. Whole records: a peer that sends at full speed has none of them cut.
const READ: usize = 4 * RECORD;

/// A reader with less room than this is still read for: what does not fit it is kept.
const SHORT_READ: usize = 4 * 1024;

/// What may be kept of messages that are not whole: no handshake message is longer, and no record (RFC 8446 4, 5.1).
const KEEP: usize = 64 * 1024;

/// Plaintext encrypted at a time, and the records around it with an answer of TLS itself in front.
const WRITE: usize = 64 * 1024;
const SEALED: usize = WRITE + 4 * 1024;

thread_local! {
    /// The worker's buffer for what comes in, borrowed for one read. Between reads it serves to join what is written
    /// in pieces.
    static INCOMING: RefCell<Box<[u8]>> = RefCell::new(vec![0; KEEP + READ].into());

    /// The worker's buffer for what goes out, borrowed for one write.
    static OUTGOING: RefCell<Box<[u8]>> = RefCell::new(vec![0; SEALED].into());

    /// The name that the client now being read asks for.
    static ASKED_NAME: Cell<Option<String>> = const { Cell::new(None) };
}

/// A TLS connection to a client.
pub struct TlsServer<S> {
    socket: S,
    tls: UnbufferedServerConnection,
    /// Ciphertext up to the end of a record that is not whole, or of a handshake message that is not.
    cut: Vec<u8>,
    /// Plaintext that did not fit.
    unread: Rest,
    /// Ciphertext that the socket did not take, or that is in no hurry.
    unsent: Rest,
    /// What is unsent is nothing but the ticket, and an answer is due behind which nobody misses it: it rides along.
    in_no_hurry: bool,
    /// The peer broke the protocol or said that we did: nothing is read or written any more.
    failed: Option<Box<rustls::Error>>,
    /// The peer's close_notify: nothing more comes.
    peer_ended: bool,
    /// Our close_notify was queued: no more is taken.
    ended: bool,
    /// The socket takes nothing any more.
    broken: bool,
}

/// For the resolver of certificates, which sees every ClientHello in full, also that of a session that is resumed: a
/// connection without buffers has nowhere to ask.
pub fn note_asked_name(name: Option<&str>) {
    ASKED_NAME.set(name.map(str::to_ascii_lowercase));
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsServer<S> {
    /// The handshake. With the connection comes the name that the client asked for, in lower case.
    pub async fn accept(
        socket: S,
        config: Arc<ServerConfig>,
    ) -> io::Result<(Box<TlsServer<S>>, Option<String>)> {
        let mut server = Box::new(TlsServer {
            socket,
            tls: UnbufferedServerConnection::new(config).map_err(invalid)?,
            cut: Vec::new(),
            unread: Rest::default(),
            unsent: Rest::default(),
            in_no_hurry: false,
            failed: None,
            peer_ended: false,
            ended: false,
            broken: false,
        });
        let mut name = None;
        poll_fn(|cx| server.poll_handshake(cx, &mut name)).await?;
        Ok((server, name))
    }

    pub fn socket(&self) -> &S {
        &self.socket
    }

    pub fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// What a read yields next comes from the socket.
    pub fn is_drained(&self) -> bool {
        self.unread.is_empty() && !self.peer_ended && self.failed.is_none()
    }

    /// The certificate that the client showed, in DER: in this handshake, or in the one whose session it resumed.
    pub fn client_certificate(&self) -> Option<&[u8]> {
        self.tls.peer_certificates()?.first().map(AsRef::as_ref)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>, name: &mut Option<String>) -> Poll<io::Result<()>> {
        while self.tls.is_handshaking() {
            ASKED_NAME.take();
            let read = self.poll_socket(cx, &mut ReadBuf::new(&mut []));
            *name = ASKED_NAME.take().or(name.take());
            self.in_no_hurry = self.has_only_a_ticket_to_send();
            let sent = self.poll_send_urgent(cx);
            if let Some(error) = &self.failed {
                return Poll::Ready(Err(invalid(error.as_ref().clone())));
            }
            if let Poll::Ready(Err(error)) = sent {
                return Poll::Ready(Err(error));
            }
            if ready!(read)? == 0 {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof")));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// TLS 1.3 gives tickets when the handshake is over, and the client waits for nothing (RFC 8446 4.6.1). If its first
    /// words came along with its Finished it has an answer coming: the ticket goes with that, in one write and one
    /// segment. Else nobody knows when we will have something to say. In TLS 1.2 our Finished is behind the ticket.
    fn has_only_a_ticket_to_send(&self) -> bool {
        !self.tls.is_handshaking()
            && self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3)
            && self.failed.is_none()
            && !self.unread.is_empty()
    }

    /// Reads the socket once and makes of it what there is to be made: plaintext for `out`, answers of TLS itself. 0 is
    /// the end of the socket.
    fn poll_socket(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        INCOMING.with_borrow_mut(|scratch| {
            let kept = self.cut.len();
            // No more than `out` has room for, give or take what TLS puts around it.
            let fits = (out.remaining() + READ - WRITE).clamp(SHORT_READ, READ);
            let room = fits.saturating_sub(kept).max(SHORT_READ);
            let mut read = ReadBuf::new(&mut scratch[kept..kept + room]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
            let filled = kept + read.filled().len();
            if filled == kept {
                return Poll::Ready(Ok(0));
            }
            if is_cut(&self.cut, filled) {
                // Of a record that trickles in each byte is copied twice, not once for every piece of it.
                self.cut.extend_from_slice(&scratch[kept..filled]);
                return Poll::Ready(Ok(filled - kept));
            }
            scratch[..kept].copy_from_slice(&self.cut);
            let used = self.drive(&mut scratch[..filled], out, |_| ());
            // What comes behind the end is nothing (RFC 8446 6.1).
            let over = self.failed.is_some() || self.peer_ended;
            self.cut = if over { Vec::new() } else { scratch[used..filled].to_vec() };
            if self.cut.len() > KEEP {
                self.fail(rustls::Error::General("a handshake message comes in too many pieces".into()));
            }
            Poll::Ready(Ok(filled - kept))
        })
    }

    /// Shows rustls the ciphertext at hand and does what it says until it wants more, or to hear what there is to say:
    /// `speak` is called then, unless the connection is over. How much of the ciphertext is done with.
    fn drive(
        &mut self,
        ciphertext: &mut [u8],
        out: &mut ReadBuf<'_>,
        speak: impl FnOnce(WriteTraffic<'_, ServerConnectionData>),
    ) -> usize {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.tls.process_tls_records(&mut ciphertext[used..]);
            let error = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                    match traffic.next_record() {
                        None => break None,
                        Some(Err(error)) => break Some(error),
                        Some(Ok(record)) => {
                            discard += record.discard;
                            let fits = record.payload.len().min(out.remaining());
                            let (now, later) = record.payload.split_at(fits);
                            out.put_slice(now);
                            self.unread.push(later);
                        }
                    }
                },
                Ok(ConnectionState::EncodeTlsData(mut record)) => {
                    self.unsent.push_record(&mut record);
                    None
                }
                // It stands in the queue, and the queue keeps the order.
                Ok(ConnectionState::TransmitTlsData(queued)) => {
                    queued.done();
                    None
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.peer_ended = true;
                    None
                }
                Ok(ConnectionState::WriteTraffic(traffic)) => {
                    speak(traffic);
                    return used + discard;
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => return used + discard,
                // Early data is never offered.
                Ok(other) => Some(rustls::Error::General(format!("TLS is in an unknown state: {other:?}"))),
                Err(error) => Some(error),
            };
            used += discard;
            if let Some(error) = error {
                self.fail(error);
                return used;
            }
        }
    }

    /// Ends it all, but for the alert that may be due (RFC 8446 6.2).
    fn fail(&mut self, error: rustls::Error) {
        self.failed = Some(Box::new(error));
        self.cut = Vec::new();
        self.in_no_hurry = false;
        // Without ciphertext, for what is at hand would be looked at again; so only as long as there is something to
        // fetch.
        while self.tls.wants_write() {
            let UnbufferedStatus { state: Ok(ConnectionState::EncodeTlsData(mut alert)), .. } =
                self.tls.process_tls_records(&mut [])
            else {
                return;
            };
            self.unsent.push_record(&mut alert);
        }
    }

    fn still_intact(&self) -> io::Result<()> {
        match &self.failed {
            Some(error) => Err(invalid(error.as_ref().clone())),
            None => Ok(()),
        }
    }

    /// Has `speak` put ciphertext into the worker's buffer, and writes it behind what waits.
    fn say(
        &mut self,
        cx: &mut Context<'_>,
        speak: impl FnOnce(WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        OUTGOING.with_borrow_mut(|scratch| {
            let mut said = None;
            // What was cut is shown again, for rustls may be in the middle of it; there is nothing new in it.
            let mut cut = std::mem::take(&mut self.cut);
            self.drive(&mut cut, &mut ReadBuf::new(&mut []), |traffic| said = Some(speak(traffic, scratch)));
            self.still_intact()?;
            self.cut = cut;
            let sealed = match said {
                None => return Err(io::ErrorKind::BrokenPipe.into()),
                Some(Ok(sealed)) => sealed,
                Some(Err(error)) => {
                    self.fail(rustls::Error::General(error.to_string()));
                    return self.still_intact();
                }
            };
            let sealed = &scratch[..sealed];
            self.in_no_hurry = false;
            if self.unsent.is_empty() {
                let sent = self.offer(cx, sealed)?;
                self.unsent.push(&sealed[sent..]);
                return Ok(());
            }
            self.unsent.push(sealed);
            match self.poll_send(cx) {
                Poll::Ready(sent) => sent,
                Poll::Pending => Ok(()),
            }
        })
    }

    /// Takes what is to be written; nothing before the socket has all that was taken so far. If nothing comes behind
    /// it, our end does.
    fn poll_take(&mut self, cx: &mut Context<'_>, buf: &[u8], is_last: bool) -> Poll<io::Result<usize>> {
        self.still_intact()?;
        if self.ended || self.broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.poll_send_urgent(cx))?;
        let part = &buf[..buf.len().min(WRITE)];
        if !part.is_empty() {
            let ends = is_last && part.len() == buf.len();
            self.ended = ends;
            self.say(cx, |mut traffic, room| {
                let sealed = traffic.encrypt(part, room)?;
                let end = if ends { traffic.queue_close_notify(&mut room[sealed..])? } else { 0 };
                Ok(sealed + end)
            })?;
        }
        Poll::Ready(Ok(part.len()))
    }

    /// Writes what nothing comes behind, with our close_notify (RFC 8446 6.1) in the same write. What is left is the
    /// end of the socket's writing half: `poll_shutdown`.
    pub fn poll_write_last(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_take(cx, buf, true)
    }

    /// Writes what waits, unless it may wait for what we say next.
    fn poll_send_urgent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.in_no_hurry { Poll::Ready(Ok(())) } else { self.poll_send(cx) }
    }

    /// Writes what waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut waiting = std::mem::take(&mut self.unsent);
        let sent = self.offer(cx, waiting.as_slice())?;
        waiting.remove(sent);
        self.unsent = waiting;
        if self.unsent.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// How much of `bytes` the socket takes now. If it is not all, the task is woken when it takes more.
    fn offer(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            let error = match Pin::new(&mut self.socket).poll_write(cx, &bytes[sent..]) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => io::ErrorKind::WriteZero.into(),
                Poll::Ready(Ok(n)) => {
                    sent += n;
                    continue;
                }
                Poll::Ready(Err(error)) => error,
            };
            // With a record lost, the peer could read none that follows.
            self.broken = true;
            return Err(error);
        }
        Ok(sent)
    }
}

impl<S> fmt::Debug for TlsServer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").finish_non_exhaustive()
    }
}

/// Whether of the record whose header `kept` begins with, less than all has come in `filled` bytes. rustls has seen
/// that header, and told a length that cannot be.
fn is_cut(kept: &[u8], filled: usize) -> bool {
    matches!(kept, [_, _, _, high, low, ..] if filled < 5 + usize::from(u16::from_be_bytes([*high, *low])))
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
