//! What the two processes say to each other, as it crosses: a JSON object a packet, with descriptors beside it. Unknown
//! keys are passed over, for the other side may be a later version.

use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde_json::{Value, json};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

#[derive(Debug, PartialEq, Eq)]
pub enum Word {
    /// Some of a listener's sockets.
    Socket {
        listener: String,
        bind: String,
    },
    All,
    Ready,
    Failed {
        why: String,
    },
    Yours,
}

/// Descriptors in one packet; the kernel takes 253 at the most (`SCM_MAX_FD`).
pub const AT_ONCE: usize = 64;

/// The reason of a failure is cut; a name or a path is shorter.
const LONGEST_WHY: usize = 8 * 1024;

/// In JSON a byte may become six.
const PACKET: usize = 8 * LONGEST_WHY;

impl Word {
    fn to_json(&self) -> String {
        let value = match self {
            Word::Socket { listener, bind } => json!({ "say": "socket", "listener": listener, "bind": bind }),
            Word::All => json!({ "say": "all" }),
            Word::Ready => json!({ "say": "ready" }),
            Word::Failed { why } => json!({ "say": "failed", "why": cut(why) }),
            Word::Yours => json!({ "say": "yours" }),
        };
        value.to_string()
    }

    fn from_json(bytes: &[u8]) -> Option<Word> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let text = |key: &str| value[key].as_str().map(str::to_string);
        Some(match value["say"].as_str()? {
            "socket" => Word::Socket { listener: text("listener")?, bind: text("bind")? },
            "all" => Word::All,
            "ready" => Word::Ready,
            "failed" => Word::Failed { why: text("why")? },
            "yours" => Word::Yours,
            _ => return None,
        })
    }
}

/// The beginning of a long text.
fn cut(text: &str) -> &str {
    let end = (0..=LONGEST_WHY.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

/// Says it in one packet.
pub fn send(channel: impl AsFd, word: &Word, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let text = word.to_json();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let text = [IoSlice::new(text.as_bytes())];
    retry_on_intr(|| sendmsg(&channel, &text, &mut beside, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Hears one packet. `UnexpectedEof`: the other side is gone.
pub fn receive(channel: impl AsFd) -> io::Result<(Word, Vec<OwnedFd>)> {
    let mut bytes = vec![0; PACKET];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut bytes)];
    // With a time limit on the socket a signal interrupts it whatever SA_RESTART says (signal(7)), and one that comes
    // between `ready` and `yours` would leave nobody.
    let received = retry_on_intr(|| recvmsg(&channel, &mut into, &mut beside, RecvFlags::CMSG_CLOEXEC))?;
    let sockets = beside.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    let sockets: Vec<OwnedFd> = sockets.flatten().collect();
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("no descriptors are left for the sockets (ulimit -n)"));
    }
    let word = Word::from_json(&bytes[..received.bytes]);
    let word =
        word.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it speaks another language"))?;
    Ok((word, sockets))
}

#[cfg(test)]
pub fn pair() -> (OwnedFd, OwnedFd) {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn words_cross_as_they_are() {
        let (one, other) = pair();
        let long = format!("x{}", "ü\u{1}".repeat(LONGEST_WHY));
        let words = [
            Word::Socket { listener: "public \"x\"".into(), bind: "unix:/a b".into() },
            Word::All,
            Word::Ready,
            Word::Failed { why: "a.toml:1:2: no".into() },
            Word::Yours,
        ];
        for word in &words {
            send(&one, word, &[]).unwrap();
        }
        for word in words {
            let (heard, sockets) = receive(&other).unwrap();
            assert_eq!((heard, sockets.len()), (word, 0));
        }
        send(&one, &Word::Failed { why: long.clone() }, &[]).unwrap();
        let (Word::Failed { why }, _) = receive(&other).unwrap() else { panic!("another word") };
        assert!(long.starts_with(&why) && why.len() > LONGEST_WHY - 4, "{}", why.len());
    }

    #[test]
    fn descriptors_cross_beside_them() {
        let (one, other) = pair();
        let listeners: Vec<_> = (0..AT_ONCE).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let sockets: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
        send(&one, &Word::All, &sockets).unwrap();
        let (_, received) = receive(&other).unwrap();
        let address = |socket: &OwnedFd| socket2::SockRef::from(socket).local_addr().unwrap().as_socket();
        let received: Vec<_> = received.iter().map(address).collect();
        let sent: Vec<_> = listeners.iter().map(|listener| listener.local_addr().ok()).collect();
        assert_eq!(received, sent);
    }

    #[test]
    fn what_is_not_understood() {
        let (one, other) = pair();
        for packet in [&b"hello"[..], b"{}", b"{\"say\":\"dance\"}", b"{\"say\":\"failed\"}"] {
            rustix::net::send(&one, packet, SendFlags::empty()).unwrap();
            assert_eq!(receive(&other).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        rustix::net::send(&one, b"{\"say\":\"ready\",\"later\":[1]}", SendFlags::empty()).unwrap();
        assert_eq!(receive(&other).unwrap().0, Word::Ready);
        drop(one);
        assert_eq!(receive(&other).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
