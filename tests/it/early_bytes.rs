//! Bytes that come glued to the two heads of a handshake: the first of the stream, and never another request.

use crate::support::*;

const FIRST: &[u8] = b"before anybody answered";

/// Sends the parts of many streams in two rounds, so that between its two parts each one rests for a while.
fn send_in_two<'a>(cuts: impl Iterator<Item = (&'a mut Raw, usize)>, bytes: &[u8]) {
    let mut cuts: Vec<(&mut Raw, usize)> = cuts.collect();
    for (raw, cut) in &mut cuts {
        raw.send(&bytes[..*cut]);
    }
    for (raw, cut) in &mut cuts {
        raw.send(&bytes[*cut..]);
    }
}

#[test]
fn a_frame_glued_to_the_request_in_any_cut() {
    let front = Front::new("");
    let frame = client_frame(0x82, FIRST);
    let request = Ask::new().behind(&frame).bytes();
    let mut clients: Vec<Raw> = (0..=request.len()).map(|_| front.gateway.connect()).collect();
    send_in_two(clients.iter_mut().enumerate().map(|(cut, client)| (client, cut)), &request);
    let mut servers: Vec<Raw> = clients.iter().map(|_| front.backend.accept()).collect();
    for server in &mut servers {
        server.head();
        // Not a byte of the stream before the backend has agreed to one.
        server.expect_nothing_yet();
    }
    for server in &mut servers {
        server.send(upgrade_response(""));
        server.expect(&frame);
        server.send(server_frame(0x82, FIRST));
    }
    for client in &mut clients {
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        client.expect(server_frame(0x82, FIRST));
    }
}

#[test]
fn a_frame_glued_to_the_101_in_any_cut() {
    let front = Front::new("");
    let frame = server_frame(0x82, FIRST);
    let answer = [upgrade_response("").as_bytes(), &frame].concat();
    let mut clients: Vec<Raw> = (0..=answer.len()).map(|_| front.send(Ask::new().bytes())).collect();
    let mut servers: Vec<Raw> = clients.iter().map(|_| front.backend.accept()).collect();
    for server in &mut servers {
        server.head();
    }
    send_in_two(servers.iter_mut().enumerate().map(|(cut, server)| (server, cut)), &answer);
    for client in &mut clients {
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        client.expect(&frame);
    }
}

#[test]
fn byte_by_byte() {
    let front = Front::new("");
    let mut client = front.gateway.connect();
    for byte in Ask::new().behind(text("one by one")).bytes() {
        client.send([byte]);
    }
    let mut server = front.backend.accept();
    server.head();
    for byte in [upgrade_response("").as_bytes(), &server_frame(0x81, b"and back")].concat() {
        server.send([byte]);
    }
    server.expect(text("one by one"));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.expect(server_frame(0x81, b"and back"));
}

#[test]
fn many_frames_ahead_wait_their_turn() {
    let front = Front::new("");
    let frames: Vec<u8> = (0..160).flat_map(|n| client_frame(0x82, &vec![n; 50_000])).collect();
    front.gateway.open_session(&front.backend);
    let resident = front.gateway.resident();
    let mut client = front.gateway.connect();
    let mut writer = Raw::new(client.stream.try_clone().unwrap());
    let sent = Ask::new().behind(&frames).bytes();
    let sending = std::thread::spawn(move || writer.send(sent));
    let mut server = front.backend.accept();
    server.head();
    server.expect_nothing_yet();
    // Eight megabytes wait, in the kernel and in the client. (One huge page more or less is the kernel's affair.)
    let grown = front.gateway.resident().saturating_sub(resident);
    assert!(grown < 4 << 20, "{grown}");
    server.send(upgrade_response(""));
    server.expect(&frames);
    sending.join().unwrap();
    assert!(client.head().starts_with("HTTP/1.1 101 "));
}

#[test]
fn more_behind_the_101_than_a_head_may_have() {
    let front = Front::new("");
    let frames: Vec<u8> = (0..40).flat_map(|n| server_frame(0x82, &vec![n; 50_000])).collect();
    let mut client = front.send(Ask::new().bytes());
    let mut server = front.backend.accept();
    server.head();
    let answer = [upgrade_response("").as_bytes(), &frames].concat();
    let sending = std::thread::spawn(move || {
        server.send(&answer);
        server
    });
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.expect(&frames);
    sending.join().unwrap();
}

#[test]
fn another_request_behind_an_upgrade_is_no_request() {
    let front = Front::new("");
    let smuggled = Ask::plain().target("/smuggled").bytes();
    let mut client = front.send(Ask::new().behind(&smuggled).bytes());
    let (_, mut server) = front.backend.accept_upgrade(b"");
    // What it is: a frame that no client may send.
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.expect_close(1002);
    server.expect_close(1001);
    drop((client, server));
    front.gateway.expect_ended("gateway", "protocol");
    front.backend.expect_no_contact();
}

#[test]
fn another_request_behind_a_refused_upgrade_is_no_request() {
    let front = Front::new("");
    let smuggled = Ask::plain().target("/smuggled").bytes();
    front.expect_refused(&Ask::new().with(&["Sec-WebSocket-Version: 8"]).behind(&smuggled), 426, "version");

    // Nor behind one that the backend refuses.
    for answer in [
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    ] {
        let mut client = front.send(Ask::new().behind(&smuggled).bytes());
        let mut server = front.backend.accept();
        server.head();
        server.send(answer);
        let head = client.head();
        assert_eq!(body(&mut client, &head), b"no");
        client.expect_end();
        server.expect_end();
        front.backend.expect_no_contact();
    }
}

#[test]
fn another_answer_behind_the_101_is_no_answer() {
    let front = Front::new("");
    let mut client = front.send(Ask::new().bytes());
    let (_, mut server) = front.backend.accept_upgrade(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.expect_close(1011);
    server.expect_close(1002);
}
