//! The stream over a wire that gives and takes as many bytes as a test says, with rustls' own client behind it, or a
//! forger who has the client's keys.

use super::*;
use crate::net::served_tls::ServedTls;
use crate::net::socket::Socket;
use crate::net::stream::Stream;
use rustls::client::ClientConnection;
use rustls::crypto::cipher::{AeadKey, Iv, MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, ConnectionTrafficSecrets, ContentType, HandshakeKind, ProtocolVersion,
    RootCertStore, SupportedCipherSuite, SupportedProtocolVersion,
};
use std::collections::VecDeque;
use std::io::{IoSlice, Read, Write};
use std::pin::pin;
use std::rc::Rc;
use std::task::Waker;
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

#[test]
fn a_handshake_in_pieces_of_any_size() {
    let house = House::new();
    for version in VERSIONS {
        for piece in [1, 2, 7, 100, usize::MAX] {
            let mut pair = Pair::connect(&house, &house.client(version), "A.test", piece).unwrap();
            assert_eq!(pair.name.as_deref(), Some("a.test"));
            pair.wire.at_once(usize::MAX);
            assert_eq!(pair.client.protocol_version(), Some(version.version));
            pair.says(b"hello");
            assert_eq!(pair.read(100).unwrap(), b"hello");
            pair.write_all(b"and back");
            assert_eq!(pair.hears(), b"and back");
            pair.expect_no_buffers();
        }
    }
}

#[test]
fn the_first_words_may_come_with_the_last_of_the_handshake() {
    let house = House::new();
    for version in VERSIONS {
        // Of a session that is resumed, the client's Finished is the last of TLS 1.2 as well.
        let config = house.client(version);
        Pair::connect(&house, &config, "a.test", usize::MAX).unwrap();
        let client = ClientConnection::new(config, "a.test".try_into().unwrap()).unwrap();
        let mut pair = Pair::shake_hands(&house, client, usize::MAX, Some(b"early")).unwrap();
        assert_eq!(pair.read(2).unwrap(), b"ea");
        assert_eq!(pair.read(9).unwrap(), b"rly");
        pair.write_all(b"answer");
        assert_eq!(pair.hears(), b"answer");
        pair.expect_no_buffers();
    }
}

/// A client of TLS 1.3 whose first words came with the last of its handshake, and what the server makes of it.
fn asked_at_once(house: &House, config: &Arc<ClientConfig>) -> Pair {
    let client = ClientConnection::new(config.clone(), "a.test".try_into().unwrap()).unwrap();
    let mut pair = Pair::shake_hands(house, client, usize::MAX, Some(b"question")).unwrap();
    assert_eq!(pair.read(100).unwrap(), b"question");
    pair
}

#[test]
fn a_ticket_goes_with_the_first_answer() {
    let house = House::new();
    let config = house.client(&TLS13);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
        let mut pair = asked_at_once(&house, &config);
        assert_eq!(pair.client.handshake_kind(), Some(kind));
        // hyper flushes and looks whether the client is still there, while the answer is being found.
        for _ in 0..3 {
            assert!(matches!(pair.poll_flush(), Poll::Ready(Ok(()))));
            assert!(pair.poll_read(9).is_pending());
            assert_eq!(pair.wire.records(), [0; 0]);
        }
        let before = pair.wire.0.borrow().writes;
        let pieces = [b"a head", &b" and a body"[..]].map(IoSlice::new);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut pair.server).poll_write_vectored(&mut cx, &pieces).is_ready());
        assert_eq!(pair.wire.records(), [23, 23], "the ticket, and the answer behind it");
        assert_eq!(pair.wire.0.borrow().writes - before, 1);
        assert_eq!(pair.hears(), b"a head and a body");
        pair.expect_no_buffers();
    }
}

#[test]
fn a_ticket_waits_for_no_answer_that_is_not_asked_for() {
    let house = House::new();
    let client = ClientConnection::new(house.client(&TLS13), "a.test".try_into().unwrap()).unwrap();
    let pair = Pair::shake_hands(&house, client, usize::MAX, None).unwrap();
    assert_eq!(pair.server.unsent.bytes.capacity(), 0, "sent with the handshake");
}

#[test]
fn a_ticket_that_waits_is_not_lost() {
    let house = House::new();
    let config = house.client(&TLS13);
    let expect_resumed = || {
        let pair = Pair::connect(&house, &config, "a.test", usize::MAX).unwrap();
        assert_eq!(pair.client.handshake_kind(), Some(HandshakeKind::Resumed));
    };
    // The client goes on with a question that is not whole yet.
    let mut pair = asked_at_once(&house, &config);
    pair.says(b"more of it");
    assert_eq!(pair.read(100).unwrap(), b"more of it");
    assert_eq!(pair.wire.records(), [23]);
    assert_eq!(pair.hears(), b"");
    pair.expect_no_buffers();
    expect_resumed();

    // Nobody answers.
    let mut pair = asked_at_once(&house, &config);
    let before = pair.wire.0.borrow().writes;
    assert!(matches!(pair.poll_shutdown(), Poll::Ready(Ok(()))));
    assert_eq!(pair.wire.0.borrow().writes - before, 1, "with the end");
    assert_eq!(pair.wire.records(), [23, 23]);
    assert_eq!(pair.hears(), b"");
    expect_resumed();

    // The client leaves.
    let mut pair = asked_at_once(&house, &config);
    pair.wire.end();
    assert_eq!(pair.read(9).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(pair.wire.records(), [23]);

    // It breaks the protocol: the alert is behind the ticket, and both are sent.
    let mut pair = asked_at_once(&house, &config);
    pair.wire.put(b"GET / HTTP/1.1\r\n\r\n");
    assert!(pair.read(9).is_err());
    assert_eq!(pair.wire.records(), [23, 23]);
    let told = pair.move_to_client().unwrap_err();
    assert_eq!(told, rustls::Error::AlertReceived(AlertDescription::DecodeError));

    // The socket takes a part of both.
    let mut pair = asked_at_once(&house, &config);
    pair.wire.takes(10);
    assert!(matches!(pair.poll_write(b"answer"), Poll::Ready(Ok(6))));
    assert!(pair.poll_flush().is_pending());
    assert!(pair.poll_write(b"more").is_pending());
    pair.wire.takes(usize::MAX);
    assert!(matches!(pair.poll_flush(), Poll::Ready(Ok(()))));
    assert_eq!(pair.hears(), b"answer");
    pair.expect_no_buffers();
    expect_resumed();
}

#[tokio::test]
async fn what_came_while_nobody_read_is_behind_what_was_decrypted() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let house = House::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let connecting = TlsConnector::from(house.client(&TLS13)).connect("a.test".try_into().unwrap(), theirs);
    let accepting = TlsServer::accept(Socket::from(ours), house.config.clone());
    let (accepted, connected) = tokio::join!(accepting, connecting);
    let (mut stream, mut client) = (Stream::TlsServer(accepted.unwrap().0), connected.unwrap());
    stream.settle();
    client.write_all(&[1; 100]).await.unwrap();
    stream.read_exact(&mut [0; 10]).await.unwrap();
    // The session is woken for more, and is not to read yet.
    client.write_all(&[2]).await.unwrap();
    let Stream::TlsServer(tls) = &stream else { panic!("as it was made") };
    tls.socket().unix().unwrap().readable().await.unwrap();
    stream.read_exact(&mut [0; 90]).await.unwrap();
    assert!(!stream.is_exhausted());
    assert_eq!(stream.read_u8().await.unwrap(), 2);
    assert!(stream.is_exhausted());
}

#[test]
fn an_alert_with_the_first_words_is_not_held_back() {
    let house = House::new();
    let mut client = ClientConnection::new(house.client(&TLS13), "a.test".try_into().unwrap()).unwrap();
    let wire = Wire::default();
    let mut accepting = pin!(TlsServer::accept(wire.clone(), house.config.clone()));
    let mut cx = Context::from_waker(Waker::noop());
    for last in [false, true] {
        let mut flight = Vec::new();
        if last {
            client.writer().write_all(b"question").unwrap();
        }
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        if last {
            flight.extend(b"and then no record at all");
        }
        wire.put(&flight);
        let accepted = accepting.as_mut().poll(&mut cx);
        assert_eq!(accepted.is_ready(), last);
        let answer = wire.take();
        assert!(!answer.is_empty());
        if !last {
            feed(&mut client, &answer).unwrap();
        } else {
            assert!(matches!(accepted, Poll::Ready(Err(_))));
            let told = feed(&mut client, &answer).unwrap_err();
            assert_eq!(told, rustls::Error::AlertReceived(AlertDescription::DecodeError));
        }
    }
}

#[test]
fn a_resumed_session_has_its_name_too() {
    let house = House::new();
    for version in VERSIONS {
        let client = house.client(version);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let pair = Pair::connect(&house, &client, "b.test", usize::MAX).unwrap();
            assert_eq!(pair.client.handshake_kind(), Some(kind), "{version:?}");
            assert_eq!(pair.name.as_deref(), Some("b.test"), "{version:?} {kind:?}");
        }
    }
}

#[test]
fn a_client_that_names_nobody_gets_nobody_elses_name() {
    let house = House::new();
    for version in VERSIONS {
        // A handshake that was given up on this very thread has left its name behind.
        note_asked_name(Some("other.test"));
        let mut config = house.client(version).as_ref().clone();
        config.enable_sni = false;
        let pair = Pair::connect(&house, &Arc::new(config), "a.test", 1).unwrap();
        assert_eq!(pair.name, None);
    }
}

#[test]
fn a_handshake_that_fails_says_why_to_both() {
    let house = House::new();
    // TLS 1.1, with nothing in it that we could agree to.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xC0, 0x14, 1, 0]);
    for (bytes, text, alert) in [
        (&b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"[..], "corrupt message", AlertDescription::DecodeError),
        (&hello, "incompatible", AlertDescription::HandshakeFailure),
    ] {
        let wire = Wire::default();
        wire.put(bytes);
        let error = poll_once(pin!(TlsServer::accept(wire.clone(), house.config.clone()))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains(text), "{error}");
        let said = wire.take();
        assert_eq!((said[0], said[5], said[6]), (21, 2, alert.into()), "a fatal alert: {said:?}");
    }
    let wire = Wire::default();
    wire.put(&hello[..20]);
    wire.end();
    let error = poll_once(pin!(TlsServer::accept(wire, house.config.clone()))).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (io::ErrorKind::UnexpectedEof, "tls handshake eof")
    );
}

#[test]
fn records_cut_at_every_byte() {
    let house = House::new();
    for version in VERSIONS {
        let mut pair = Pair::new(&house, version);
        let mut length = 1;
        let mut cut = 0;
        while cut <= length {
            let mut bytes = pair.sealed(b"one");
            bytes.extend(pair.sealed(&[7; 40]));
            length = bytes.len();
            let mut got = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                pair.wire.put(part);
                got.extend(pair.read_on(100));
            }
            assert_eq!(got, [&b"one"[..], &[7; 40]].concat(), "{version:?} cut at {cut}");
            pair.expect_no_buffers();
            cut += 1;
        }
        assert!(cut > 80);
    }
}

#[test]
fn a_record_that_trickles_in() {
    let house = House::new();
    for version in VERSIONS {
        let mut pair = Pair::new(&house, version);
        let bytes = pair.sealed(&noise(16 * 1024));
        for byte in &bytes[..bytes.len() - 1] {
            pair.wire.put(&[*byte]);
            assert!(pair.read_on(9).is_empty());
        }
        assert_eq!(pair.server.cut.len(), bytes.len() - 1);
        // Meanwhile the other direction is open.
        pair.write_all(b"meanwhile");
        assert_eq!(pair.hears(), b"meanwhile");
        pair.wire.put(&bytes[bytes.len() - 1..]);
        assert!(pair.read_on(20_000) == noise(16 * 1024));
        pair.expect_no_buffers();
    }
}

#[test]
fn a_header_that_cannot_be_is_not_waited_for() {
    let house = House::new();
    let mut pair = Pair::new(&house, &TLS13);
    pair.wire.put(&[23, 3, 3]);
    assert!(pair.read_on(9).is_empty());
    pair.wire.put(&[0xFF, 0xFF]);
    assert_eq!(pair.read(9).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn much_from_the_client() {
    let house = House::new();
    let sent = noise(1 << 20);
    for version in VERSIONS {
        for (piece, room) in [(usize::MAX, 1 << 17), (usize::MAX, 1000), (1000, 70_000), (5000, 4096), (4, 3)]
        {
            let mut pair = Pair::new(&house, version);
            pair.wire.at_once(piece);
            let sent = if piece < 100 { &sent[..50_000] } else { &sent[..] };
            pair.says(sent);
            let mut got = Vec::new();
            while let Poll::Ready(read) = pair.poll_read(room) {
                let read = read.unwrap();
                assert!(!read.is_empty());
                got.extend(read);
                assert!(
                    pair.server.unread.bytes.len() <= RECORD + SHORT_READ,
                    "no more is decrypted than asked"
                );
            }
            assert!(got == sent, "{version:?} {piece} {room}");
            pair.expect_no_buffers();
        }
    }
}

#[test]
fn what_is_read_together_comes_together() {
    let house = House::new();
    let mut pair = Pair::new(&house, &TLS13);
    for _ in 0..100 {
        pair.says(b"ten bytes!");
    }
    assert_eq!(pair.read(4000).unwrap().len(), 1000);
    // At full speed nothing has to be kept between reads.
    pair.says(&noise(1 << 20));
    for _ in 0..16 {
        assert_eq!(pair.read(1 << 17).unwrap().len(), 1 << 16);
        pair.expect_no_buffers();
    }
}

#[test]
fn much_to_a_client_that_takes_little() {
    let house = House::new();
    let sent = noise(1 << 20);
    for version in VERSIONS {
        for takes in [999, 20_000, usize::MAX] {
            let mut pair = Pair::new(&house, version);
            pair.wire.takes(takes);
            let (mut gone, mut got) = (0, Vec::new());
            for _ in 0..10_000 {
                match pair.poll_write(&sent[gone..]) {
                    Poll::Ready(n) => gone += n.unwrap(),
                    Poll::Pending => {
                        assert!(pair.server.unsent.bytes.len() <= SEALED, "no more is kept than a write");
                        got.extend(pair.hears());
                        pair.wire.takes(takes);
                    }
                }
                if gone == sent.len() {
                    break;
                }
            }
            while pair.poll_flush().is_pending() {
                got.extend(pair.hears());
                pair.wire.takes(takes);
            }
            got.extend(pair.hears());
            assert!(got == sent, "{version:?} {takes}");
            pair.expect_no_buffers();
        }
    }
}

#[test]
fn a_blocked_socket_holds_the_writer_back() {
    let house = House::new();
    let mut pair = Pair::new(&house, &TLS13);
    pair.wire.takes(100);
    let sent = noise(WRITE);
    assert!(matches!(pair.poll_write(&sent), Poll::Ready(Ok(WRITE))));
    let waits = pair.server.unsent.as_slice().len();
    for _ in 0..3 {
        assert!(pair.poll_write(b"more").is_pending());
        assert!(pair.poll_flush().is_pending());
        assert!(pair.poll_shutdown().is_pending(), "and nobody is cut off");
        pair.server.ended = false;
        let pieces = [IoSlice::new(b"more"), IoSlice::new(b"of it")];
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut pair.server).poll_write_vectored(&mut cx, &pieces).is_pending());
    }
    assert!(pair.server.unsent.as_slice().len() < waits + 100, "at most the end was put behind it");
}

#[test]
fn a_write_is_one_write_of_the_socket() {
    let house = House::new();
    for version in VERSIONS {
        let mut pair = Pair::new(&house, version);
        let before = pair.wire.0.borrow().writes;
        pair.write_all(&noise(WRITE));
        assert_eq!(pair.wire.0.borrow().writes - before, 1);
        assert!(pair.hears() == noise(WRITE));
        let pieces = [b"a ", &b"head"[..], b"", b" and a body"].map(IoSlice::new);
        let mut cx = Context::from_waker(Waker::noop());
        let wrote = Pin::new(&mut pair.server).poll_write_vectored(&mut cx, &pieces);
        assert!(matches!(wrote, Poll::Ready(Ok(17))), "{wrote:?}");
        assert_eq!(pair.wire.0.borrow().writes - before, 2);
        assert_eq!(pair.wire.records(), [23], "and one record");
        assert_eq!(pair.hears(), b"a head and a body");
        pair.expect_no_buffers();
    }
}

#[test]
fn the_clients_end_and_a_cut() {
    let house = House::new();
    for version in VERSIONS {
        let mut pair = Pair::new(&house, version);
        pair.says(b"last words");
        pair.client.send_close_notify();
        pair.move_to_server();
        pair.wire.put(b"whatever comes behind the end");
        pair.wire.end();
        assert_eq!(pair.read(100).unwrap(), b"last words");
        for _ in 0..2 {
            assert_eq!(pair.read(100).unwrap(), b"", "an end in order");
        }
        // It was its end, not ours.
        pair.write_all(b"an answer");
        assert_eq!(pair.hears(), b"an answer");
        pair.expect_no_buffers();

        let mut pair = Pair::new(&house, version);
        pair.says(b"last words");
        let bytes = pair.sealed(b"cut");
        pair.wire.put(&bytes[..9]);
        pair.wire.end();
        assert_eq!(pair.read(100).unwrap(), b"last words");
        for _ in 0..2 {
            assert_eq!(pair.read(100).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}

#[test]
fn our_own_end() {
    let house = House::new();
    for version in VERSIONS {
        let mut pair = Pair::new(&house, version);
        pair.write_all(b"last words");
        pair.wire.takes(3);
        assert!(pair.poll_shutdown().is_pending());
        assert!(!pair.wire.0.borrow().shut, "not before it is said");
        pair.wire.takes(usize::MAX);
        for _ in 0..2 {
            assert!(matches!(pair.poll_shutdown(), Poll::Ready(Ok(()))));
        }
        assert!(pair.wire.0.borrow().shut);
        assert_eq!(pair.hears(), b"last words");
        assert_eq!(pair.client.reader().read(&mut [0; 9]).unwrap(), 0, "close_notify, once: {version:?}");
        assert!(
            matches!(pair.poll_write(b"more"), Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe)
        );
        // What the client says until its own end is heard.
        pair.says(b"still here");
        pair.client.send_close_notify();
        pair.move_to_server();
        assert_eq!(pair.read(100).unwrap(), b"still here");
        assert_eq!(pair.read(100).unwrap(), b"");
        pair.expect_no_buffers();
    }
}

#[test]
fn the_last_words_and_the_end_are_one_write() {
    let house = House::new();
    let mut cx = Context::from_waker(Waker::noop());
    for version in VERSIONS {
        let mut pair = Pair::new(&house, version);
        let before = pair.wire.0.borrow().writes;
        assert!(matches!(pair.server.poll_write_last(&mut cx, b"last words"), Poll::Ready(Ok(10))));
        assert_eq!(pair.wire.0.borrow().writes - before, 1);
        assert!(!pair.wire.0.borrow().shut);
        assert!(matches!(pair.poll_write(b"more"), Poll::Ready(Err(_))));
        assert!(matches!(pair.poll_flush(), Poll::Ready(Ok(()))));
        assert!(matches!(pair.poll_shutdown(), Poll::Ready(Ok(()))));
        assert!(pair.wire.0.borrow().shut);
        assert_eq!(pair.wire.0.borrow().writes - before, 1, "the end is said once");
        assert_eq!(pair.hears(), b"last words");
        assert_eq!(pair.client.reader().read(&mut [0; 9]).unwrap(), 0, "close_notify: {version:?}");
        pair.expect_no_buffers();

        // More than a write takes: the end is behind the last of it. And a socket that takes it in pieces.
        let mut pair = Pair::new(&house, version);
        let words = noise(WRITE + 10);
        assert!(matches!(pair.server.poll_write_last(&mut cx, &words), Poll::Ready(Ok(WRITE))));
        pair.wire.takes(7);
        assert!(matches!(pair.server.poll_write_last(&mut cx, &words[WRITE..]), Poll::Ready(Ok(10))));
        assert!(pair.poll_shutdown().is_pending());
        assert!(!pair.wire.0.borrow().shut);
        pair.wire.takes(usize::MAX);
        assert!(matches!(pair.poll_shutdown(), Poll::Ready(Ok(()))));
        assert!(pair.hears() == words);
        assert_eq!(pair.client.reader().read(&mut [0; 9]).unwrap(), 0, "close_notify: {version:?}");
        pair.expect_no_buffers();
    }
}

#[test]
fn a_broken_socket_is_told_to_writers_and_not_to_readers() {
    let house = House::new();
    let mut pair = Pair::new(&house, &TLS13);
    pair.says(b"last words");
    pair.wire.takes(10);
    assert!(matches!(pair.poll_write(b"goes half"), Poll::Ready(Ok(9))));
    pair.wire.0.borrow_mut().broken = true;
    assert_eq!(pair.read(100).unwrap(), b"last words");
    for _ in 0..2 {
        assert!(matches!(pair.poll_write(b"more"), Poll::Ready(Err(_))));
        assert!(matches!(pair.poll_flush(), Poll::Ready(Err(_))));
    }
    assert_eq!(pair.server.unsent.bytes.capacity(), 0);
}

#[test]
fn garbage_gives_an_alert_and_an_error() {
    let house = House::new();
    for version in VERSIONS {
        let forged = |pair: &mut Pair| {
            let mut bytes = pair.sealed(b"forged");
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        };
        for (make, alert) in [
            (&forged as &dyn Fn(&mut Pair) -> Vec<u8>, AlertDescription::BadRecordMac),
            (&|_| b"GET / HTTP/1.1\r\n\r\n".to_vec(), AlertDescription::DecodeError),
        ] {
            let mut pair = Pair::new(&house, version);
            pair.says(b"good");
            let mut bytes = make(&mut pair);
            // A good record behind a bad one is not looked at.
            bytes.extend(pair.sealed(b"too late"));
            pair.wire.put(&bytes);
            assert_eq!(pair.read(100).unwrap(), b"good");
            let text = pair.read(100).unwrap_err().to_string();
            assert_eq!(pair.read(100).unwrap_err().to_string(), text, "it stays so");
            assert!(!text.is_empty());
            assert!(matches!(pair.poll_write(b"more"), Poll::Ready(Err(_))));
            assert!(matches!(pair.poll_shutdown(), Poll::Ready(Ok(()))));
            let told = pair.move_to_client().unwrap_err();
            assert_eq!(told, rustls::Error::AlertReceived(alert), "{version:?}");
            pair.expect_no_buffers();
        }
    }
}

#[test]
fn the_clients_alert_is_an_error() {
    let house = House::new();
    for version in VERSIONS {
        let mut forger = Forger::new(&house, version);
        forger.send(ContentType::Alert, &[2, 90]);
        let error = forger.pair.read(100).unwrap_err();
        assert!(error.to_string().contains("UserCanceled"), "{error}");
    }
}

#[test]
fn new_keys_in_mid_stream() {
    let house = House::new();
    let mut pair = Pair::new(&house, &TLS13);
    for round in 0..40u8 {
        pair.client.refresh_traffic_keys().unwrap();
        pair.says(&[round; 30]);
        assert_eq!(pair.read(100).unwrap(), [round; 30]);
        // RFC 8446 4.6.3: the answer precedes our next data.
        pair.write_all(&[round; 50]);
        let records = pair.wire.records();
        assert_eq!(records, [23, 23], "a KeyUpdate of ours, then the data");
        assert_eq!(pair.hears(), [round; 50]);
        pair.expect_no_buffers();
    }
}

#[test]
fn a_handshake_message_in_pieces_behind_the_handshake() {
    let house = House::new();
    for (asks, records) in [(0, &[23][..]), (1, &[23, 23][..])] {
        let mut forger = Forger::new(&house, &TLS13);
        let key_update = [24, 0, 0, 1, asks];
        for at in 0..key_update.len() {
            forger.send(ContentType::Handshake, &key_update[at..=at]);
            assert!(forger.pair.read_on(9).is_empty());
            assert_eq!(forger.pair.server.cut.is_empty(), at == 4);
            forger.pair.wire.take();
            // In the middle of it we may talk.
            forger.pair.write_all(b"meanwhile");
        }
        assert_eq!(forger.pair.wire.records(), records, "asked for new keys or not");
        forger.pair.expect_no_buffers();
    }
    // In the middle of it we may also leave.
    let mut forger = Forger::new(&house, &TLS13);
    forger.send(ContentType::Handshake, &[24, 0]);
    assert!(forger.pair.read_on(9).is_empty());
    assert!(matches!(forger.pair.poll_shutdown(), Poll::Ready(Ok(()))));
    assert_eq!(forger.pair.wire.records(), [23]);
}

#[test]
fn an_error_with_more_behind_it() {
    let house = House::new();
    for version in VERSIONS {
        let mut forger = Forger::new(&house, version);
        // Two Finished in one record, where none belongs.
        let finished = [&[20, 0, 0, 12][..], &[7; 12]].concat();
        forger.send(ContentType::Handshake, &[finished.clone(), finished].concat());
        let error = forger.pair.read(100).unwrap_err();
        assert!(error.to_string().contains("received unexpected"), "{error}");
        assert_eq!(forger.pair.wire.records().len(), 1, "an alert");
        assert!(matches!(forger.pair.poll_shutdown(), Poll::Ready(Ok(()))));
    }
}

#[test]
fn endless_pieces_come_to_an_end() {
    let house = House::new();
    let mut forger = Forger::new(&house, &TLS13);
    forger.send(ContentType::Handshake, &[24, 0, 0xFF, 0xFF]);
    for _ in 0..20_000 {
        forger.send(ContentType::Handshake, &[0]);
        match forger.pair.poll_read(9) {
            Poll::Pending => assert!(forger.pair.server.cut.len() <= KEEP),
            Poll::Ready(read) => {
                assert!(read.unwrap_err().to_string().contains("too many pieces"));
                forger.pair.expect_no_buffers();
                return;
            }
        }
    }
    panic!("kept on and on");
}

#[test]
fn no_second_handshake() {
    let house = House::new();
    let mut forger = Forger::new(&house, &TLS12);
    let hello = forger.pair.hello[5..].to_vec();
    forger.send(ContentType::Handshake, &hello);
    assert!(forger.pair.read_on(9).is_empty());
    assert_eq!(forger.pair.wire.records(), [21], "no_renegotiation, a warning (RFC 5246 7.2.2)");
    forger.pair.expect_no_buffers();
    forger.send(ContentType::ApplicationData, b"then not");
    assert_eq!(forger.pair.read(100).unwrap(), b"then not");
    forger.send(ContentType::Handshake, &hello);
    assert!(forger.pair.read(100).unwrap_err().to_string().contains("TooManyRenegotiationRequests"));
}

/// A certificate and what goes with it on both sides.
struct House {
    config: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
}

impl House {
    fn new() -> House {
        let made = rcgen::generate_simple_self_signed(vec!["a.test".into(), "b.test".into()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        House { config: ServedTls::made(vec![certificate.clone()], key).unwrap().config(), certificate }
    }

    fn client(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        self.client_of(version, aws_lc_rs::default_provider())
    }

    fn client_of(
        &self,
        version: &'static SupportedProtocolVersion,
        provider: CryptoProvider,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.enable_secret_extraction = true;
        Arc::new(config)
    }
}

/// A connection, seen from both of its ends.
struct Pair {
    client: ClientConnection,
    wire: Wire,
    server: Box<TlsServer<Wire>>,
    name: Option<String>,
    /// The client's first record.
    hello: Vec<u8>,
}

impl Pair {
    fn new(house: &House, version: &'static SupportedProtocolVersion) -> Pair {
        Pair::connect(house, &house.client(version), "a.test", usize::MAX).unwrap()
    }

    fn connect(house: &House, config: &Arc<ClientConfig>, name: &str, piece: usize) -> io::Result<Pair> {
        let name = ServerName::try_from(name.to_string()).unwrap();
        let mut pair =
            Pair::shake_hands(house, ClientConnection::new(config.clone(), name).unwrap(), piece, None)?;
        // The tickets of TLS 1.3 come behind the handshake.
        pair.move_to_client().unwrap();
        pair.expect_no_buffers();
        Ok(pair)
    }

    /// `first` is what the client says as soon as it may.
    fn shake_hands(
        house: &House,
        mut client: ClientConnection,
        piece: usize,
        first: Option<&[u8]>,
    ) -> io::Result<Pair> {
        let wire = Wire::default();
        wire.at_once(piece);
        let mut hello = Vec::new();
        let mut accepting = pin!(TlsServer::accept(wire.clone(), house.config.clone()));
        if let Some(first) = first {
            client.writer().write_all(first)?;
        }
        loop {
            let mut flight = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut flight).unwrap();
            }
            wire.put(&flight);
            if hello.is_empty() {
                hello = flight;
            }
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(accepted) = accepting.as_mut().poll(&mut cx) {
                let (server, name) = accepted?;
                let mut pair = Pair { client, wire, server, name, hello };
                pair.move_to_client().unwrap();
                assert!(!pair.client.is_handshaking());
                return Ok(pair);
            }
            let answer = wire.take();
            assert!(!answer.is_empty(), "stuck");
            feed(&mut client, &answer).unwrap();
        }
    }

    /// The client says something, and it is on the wire.
    fn says(&mut self, bytes: &[u8]) {
        let sealed = self.sealed(bytes);
        self.wire.put(&sealed);
    }

    fn sealed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        for part in bytes.chunks(16 * 1024) {
            self.client.writer().write_all(part).unwrap();
            while self.client.wants_write() {
                self.client.write_tls(&mut sealed).unwrap();
            }
        }
        sealed
    }

    fn move_to_server(&mut self) {
        let sealed = self.sealed(b"");
        let mut rest = sealed;
        while self.client.wants_write() {
            self.client.write_tls(&mut rest).unwrap();
        }
        self.wire.put(&rest);
    }

    fn move_to_client(&mut self) -> Result<Vec<u8>, rustls::Error> {
        feed(&mut self.client, &self.wire.take())
    }

    /// What has reached the client.
    fn hears(&mut self) -> Vec<u8> {
        self.move_to_client().unwrap()
    }

    fn poll_read(&mut self, room: usize) -> Poll<io::Result<Vec<u8>>> {
        let mut bytes = vec![0; room];
        let mut buf = ReadBuf::new(&mut bytes);
        let mut cx = Context::from_waker(Waker::noop());
        ready!(Pin::new(&mut self.server).poll_read(&mut cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().to_vec()))
    }

    #[track_caller]
    fn read(&mut self, room: usize) -> io::Result<Vec<u8>> {
        match self.poll_read(room) {
            Poll::Ready(read) => read,
            Poll::Pending => panic!("there is nothing to read"),
        }
    }

    /// All that can be read now.
    fn read_on(&mut self, room: usize) -> Vec<u8> {
        let mut got = Vec::new();
        while let Poll::Ready(read) = self.poll_read(room) {
            let read = read.unwrap();
            assert!(!read.is_empty());
            got.extend(read);
        }
        got
    }

    fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.server).poll_write(&mut Context::from_waker(Waker::noop()), bytes)
    }

    fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        Pin::new(&mut self.server).poll_flush(&mut Context::from_waker(Waker::noop()))
    }

    fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        Pin::new(&mut self.server).poll_shutdown(&mut Context::from_waker(Waker::noop()))
    }

    /// To a socket that takes it all.
    fn write_all(&mut self, bytes: &[u8]) {
        assert!(matches!(self.poll_write(bytes), Poll::Ready(Ok(n)) if n == bytes.len()));
        assert!(matches!(self.poll_flush(), Poll::Ready(Ok(()))));
    }

    #[track_caller]
    fn expect_no_buffers(&self) {
        let TlsServer { cut, unread, unsent, .. } = &*self.server;
        let owned = [cut.capacity(), unread.bytes.capacity(), unsent.bytes.capacity()];
        assert_eq!(owned, [0; 3], "an idle connection owns no buffer");
    }
}

/// Gives the client what came for it; what it makes of it.
fn feed(client: &mut ClientConnection, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
    let mut heard = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets()?;
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = client.reader().read(&mut buffer) {
            heard.extend(&buffer[..n]);
        }
    }
    Ok(heard)
}

/// A client that says what no decent client says.
struct Forger {
    pair: Pair,
    seal: Box<dyn MessageEncrypter>,
    sealed: u64,
}

impl Forger {
    fn new(house: &House, version: &'static SupportedProtocolVersion) -> Forger {
        let mut provider = aws_lc_rs::default_provider();
        // aws-lc seals no AES-GCM record of TLS 1.2 with keys that another connection has used before.
        provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).contains("CHACHA20"));
        let config = house.client_of(version, provider);
        let mut pair = Pair::connect(house, &config, "a.test", usize::MAX).unwrap();
        let nobody = ClientConnection::new(house.client(version), "a.test".try_into().unwrap()).unwrap();
        let client = std::mem::replace(&mut pair.client, nobody);
        let suite = client.negotiated_cipher_suite().unwrap();
        let (sealed, secrets) = client.dangerous_extract_secrets().unwrap().tx;
        let (key, iv): (AeadKey, Iv) = match secrets {
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
            _ => panic!("no such suite was offered"),
        };
        let seal = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => suite.aead_alg.encrypter(key, iv.as_ref(), &[]),
        };
        Forger { pair, seal, sealed }
    }

    fn send(&mut self, typ: ContentType, payload: &[u8]) {
        let payload = OutboundChunks::Single(payload);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let record = self.seal.encrypt(message, self.sealed).unwrap().encode();
        self.sealed += 1;
        self.pair.wire.put(&record);
    }
}

/// A socket as slow and as small as a test wants it, held by its both ends.
#[derive(Clone, Default)]
struct Wire(Rc<RefCell<Ends>>);

struct Ends {
    to_server: VecDeque<u8>,
    /// No more comes.
    ended: bool,
    /// No more goes, because the server said so.
    shut: bool,
    broken: bool,
    at_once: usize,
    to_client: Vec<u8>,
    takes: usize,
    writes: usize,
}

impl Default for Ends {
    fn default() -> Ends {
        Ends {
            to_server: VecDeque::new(),
            ended: false,
            shut: false,
            broken: false,
            at_once: usize::MAX,
            to_client: Vec::new(),
            takes: usize::MAX,
            writes: 0,
        }
    }
}

impl Wire {
    fn put(&self, bytes: &[u8]) {
        self.0.borrow_mut().to_server.extend(bytes);
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().to_client)
    }

    fn end(&self) {
        self.0.borrow_mut().ended = true;
    }

    /// The bytes of a read.
    fn at_once(&self, bytes: usize) {
        self.0.borrow_mut().at_once = bytes;
    }

    /// The bytes that may still be written.
    fn takes(&self, bytes: usize) {
        self.0.borrow_mut().takes = bytes;
    }

    /// The types of the records on their way to the client.
    fn records(&self) -> Vec<u8> {
        let ends = self.0.borrow();
        let mut rest = &ends.to_client[..];
        let mut types = Vec::new();
        while let [typ, _, _, high, low, ..] = rest {
            types.push(*typ);
            rest = &rest[5 + usize::from(u16::from_be_bytes([*high, *low]))..];
        }
        types
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut ends = self.0.borrow_mut();
        if ends.to_server.is_empty() && !ends.ended {
            return Poll::Pending;
        }
        let n = ends.at_once.min(ends.to_server.len()).min(buf.remaining());
        let bytes: Vec<u8> = ends.to_server.drain(..n).collect();
        buf.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut ends = self.0.borrow_mut();
        if ends.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if ends.takes == 0 {
            return Poll::Pending;
        }
        let n = ends.takes.min(buf.len());
        ends.to_client.extend(&buf[..n]);
        if ends.takes != usize::MAX {
            ends.takes -= n;
        }
        ends.writes += 1;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().shut = true;
        Poll::Ready(Ok(()))
    }
}

/// The outcome of a future that has all it needs.
#[track_caller]
fn poll_once<T>(future: Pin<&mut impl Future<Output = T>>) -> T {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it waits"),
    }
}

/// Bytes of which no two stretches look the same.
fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..length).map(|_| random.u8(..)).collect()
}
