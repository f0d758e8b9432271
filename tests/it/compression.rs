//! The offer of permessage-deflate, and what the 101 makes of it.

use crate::support::*;

const DEFLATE: &str = "permessage-deflate; client_max_window_bits; server_no_context_takeover";

fn offering(offers: &[&str]) -> Ask {
    offers.iter().fold(Ask::new(), |ask, offer| ask.also(&format!("Sec-WebSocket-Extensions: {offer}")))
}

/// A session whose 101 has these lines more; its head as the client got it.
fn agreed(front: &Front, ask: &Ask, lines: &[&str]) -> (String, Raw, Raw) {
    let mut client = front.send(ask.bytes());
    let mut server = front.backend.accept();
    server.head();
    server.send(Ask::switching().with(lines).bytes());
    (client.head(), client, server)
}

#[test]
fn the_offer_passes_without_what_we_do_not_know() {
    let front = Front::new("");
    for (offers, forwarded) in [
        (&[DEFLATE][..], &[DEFLATE][..]),
        (&["permessage-deflate,permessage-deflate; a=1"], &["permessage-deflate,permessage-deflate; a=1"]),
        (&[DEFLATE, "permessage-deflate"], &[DEFLATE, "permessage-deflate"]),
        (&["x-foo, permessage-deflate; a=1"], &["permessage-deflate; a=1"]),
        (&["x-webkit-deflate-frame", "permessage-deflate"], &["permessage-deflate"]),
        (&["x-foo"], &[]),
        (&["permessage-deflated"], &[]),
        (&["x-foo; a=\u{e9}"], &[]),
        (&[], &[]),
    ] {
        let head = front.forwarded(&offering(offers));
        assert_eq!(values(&head, "sec-websocket-extensions"), forwarded, "{offers:?}");
    }
}

#[test]
fn strip_removes_the_offer() {
    let front = Front::new("compression = \"strip\"");
    for offer in [DEFLATE, "x-foo, permessage-deflate"] {
        assert!(values(&front.forwarded(&offering(&[offer])), "sec-websocket-extensions").is_empty());
    }
    // And a backend that agrees all the same is not believed.
    let (head, mut client, mut server) =
        agreed(&front, &offering(&[DEFLATE]), &["Sec-WebSocket-Extensions: permessage-deflate"]);
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    client.rest();
    server.expect_end();
    assert_eq!(front.gateway.refused()["cause"], "backend_answer");
}

#[test]
fn rsv1_is_what_the_101_says_it_is() {
    let front = Front::new("");
    let compressed = client_frame(0xC1, b"\xaa\x56\x00");
    let answer = "sec-websocket-EXTENSIONS: permessage-deflate; server_max_window_bits=10";
    let (head, mut client, mut server) = agreed(&front, &offering(&[DEFLATE]), &[answer]);
    assert!(head.contains(&format!("\r\n{answer}\r\n")), "{head}");
    client.send(&compressed);
    server.expect(&compressed);
    server.send(server_frame(0xC2, b"\x00\xff"));
    client.expect(server_frame(0xC2, b"\x00\xff"));
    assert_eq!(front.opened()["compression"], "permessage-deflate");

    // Offered, and not agreed.
    let (_, mut client, mut server) = agreed(&front, &offering(&[DEFLATE]), &[]);
    assert_eq!(front.opened()["compression"], "none");
    client.send(&compressed);
    client.expect_close(1002);
    server.expect_close(1001);
}
