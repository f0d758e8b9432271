//! Sessions on the wire: what each side gets, byte for byte, and what the log says of it.

use crate::support::*;

#[test]
fn frames_cross_verbatim() {
    let (gateway, mut client, mut server) = session("");
    let question = text("hello");
    client.send(&question);
    server.expect(&question);
    let answer = server_frame(0x82, &[0, 1, 2]);
    server.send(&answer);
    client.expect(&answer);
    client.send(client_frame(0x88, &close_payload(4001, "bye")));
    server.expect(client_frame(0x88, &close_payload(4001, "bye")));
    server.send(server_frame(0x88, &close_payload(4001, "bye")));
    assert_eq!(client.expect_close(4001), "bye");
    client.expect_end();
    drop((client, server));
    let line = gateway.expect_ended("client", "closed");
    assert_eq!((line["code"].as_u64(), line["reason"].as_str()), (Some(4001), Some("bye")));
    assert_eq!((line["client_text"].as_u64(), line["backend_binary_bytes"].as_u64()), (Some(1), Some(3)));
}
