//! JSON Web Tokens: who is let in with one, for how long, and what is told to whom.

use crate::support::*;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use std::fs;

const PLACES: &str = "from = [\"header\", \"cookie:token\", \"query:access_token\", \"subprotocol\"]";

fn set(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() }).to_string()
}

/// A gateway whose one route asks for a token of one of these, with more keys of `jwt` and of the file's top.
fn front(signers: &[&Signer], jwt: &str, top: &str) -> Front {
    let backend = Backend::start();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("jwks.json"), set(signers)).unwrap();
    let config = format!(
        "{top}\n[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nname = \"test\"\nbackend = \"{}\"\n\
         [route.access.jwt]\njwks_file = \"jwks.json\"\n{jwt}\n",
        backend.url()
    );
    Front { gateway: Gateway::start_in(dir, &config), backend }
}

fn bearer(token: &str) -> Ask {
    Ask::new().also(&format!("Authorization: Bearer {token}"))
}

#[test]
fn every_algorithm_in_every_place() {
    let signers = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
        .map(|algorithm| Signer::new(algorithm, &format!("{algorithm:?}")));
    let front = front(&signers.each_ref(), PLACES, "");
    for signer in &signers {
        let token = signer.token(json!({}));
        let ask = bearer(&token);
        assert_eq!(values(&front.forwarded(&ask), "authorization"), [format!("Bearer {token}")]);
        let cookies = format!("a=1; token={token}; b=2");
        let ask = Ask::new().also(&format!("Cookie: {cookies}"));
        assert_eq!(values(&front.forwarded(&ask), "cookie"), [cookies]);
        let target = format!("/ws?v=1&access_token={token}");
        let forwarded = front.forwarded(&Ask::new().target(&target));
        assert!(forwarded.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{forwarded}");
        let ask = Ask::new().also(&format!("Sec-WebSocket-Protocol: chat, bearer, {token}"));
        let forwarded = front.forwarded(&ask);
        assert_eq!(values(&forwarded, "sec-websocket-protocol"), ["chat, bearer"]);
        assert!(!forwarded.contains(&token), "{forwarded}");
    }
}

/// The offer is what is left of it: nothing else may be agreed to.
#[test]
fn the_token_in_an_offer_stays_here() {
    let signer = Signer::new(Algorithm::ES256, "key");
    let front = front(&[&signer], "from = [\"subprotocol\"]", "");
    let token = signer.token(json!({}));
    let encoded = BASE64_URL_SAFE_NO_PAD.encode(&token);
    let kubernetes = format!("base64url.bearer.authorization.k8s.io.{encoded}");
    for (offer, left) in [
        (format!("chat, bearer.{token}"), "chat"),
        (format!("{kubernetes}, v4.channel.k8s.io"), "v4.channel.k8s.io"),
        (format!("access_token, {token}, mqtt"), "access_token, mqtt"),
    ] {
        let chosen = left.rsplit(", ").next().unwrap();
        for (answer, status) in
            [(chosen, 101), (offer.split(", ").find(|entry| entry.len() > 40).unwrap(), 502)]
        {
            let mut client = front.send(Ask::new().also(&format!("Sec-WebSocket-Protocol: {offer}")).bytes());
            let mut server = front.backend.accept();
            assert_eq!(values(&server.head(), "sec-websocket-protocol"), [left]);
            server.send(upgrade_response(&format!("Sec-WebSocket-Protocol: {answer}\r\n")));
            let head = client.head();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        }
        front.gateway.refused();
        assert_eq!(front.opened()["subprotocol"], chosen);
    }
    // Where nothing else was offered nothing goes on.
    let ask = Ask::new().also(&format!("Sec-WebSocket-Protocol: bearer.{token}"));
    assert_eq!(values(&front.forwarded(&ask), "sec-websocket-protocol").len(), 0);
}

/// A token with a header of any kind, signed as somebody who has this secret would.
fn forged(header: Value, secret: &[u8]) -> String {
    let claims = json!({ "exp": now() + 600, "aud": "chat", "iss": "id" });
    let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(&header), encode(&claims));
    if header["alg"] == "none" {
        return format!("{message}.");
    }
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// The log knows one bad token from another; their bearers see the same answer, byte for byte.
#[test]
fn bad_tokens_and_their_causes() {
    let (rsa, curve) = (Signer::new(Algorithm::RS256, "rsa"), Signer::new(Algorithm::ES256, "curve"));
    let (shared, stranger) =
        (Signer::new(Algorithm::HS256, "shared"), Signer::new(Algorithm::ES256, "curve"));
    let unknown = Signer::new(Algorithm::ES256, "unknown");
    let front =
        front(&[&rsa, &curve, &shared], &format!("{PLACES}\naudience = \"chat\"\nissuer = \"id\""), "");
    let good = |signer: &Signer, changes: Value| {
        let mut claims = json!({ "aud": "chat", "iss": "id" });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        signer.token(claims)
    };
    let modulus = BASE64_URL_SAFE_NO_PAD.decode(rsa.jwk()["n"].as_str().unwrap()).unwrap();
    let mut answers = Vec::new();
    for (token, cause) in [
        (good(&curve, json!({ "exp": now() - 60 })), "auth.expired"),
        (good(&curve, json!({ "nbf": now() + 600 })), "auth.not_yet"),
        (good(&curve, json!({ "aud": "mail" })), "auth.audience"),
        (good(&curve, json!({ "iss": "somebody" })), "auth.issuer"),
        (forged(json!({ "alg": "none" }), b""), "auth.algorithm"),
        (forged(json!({ "alg": "HS256", "kid": "rsa" }), &modulus), "auth.algorithm"),
        (good(&unknown, json!({})), "auth.key"),
        (good(&stranger, json!({})), "auth.signature"),
        (forged(json!({ "alg": "HS256", "kid": "shared" }), &modulus), "auth.signature"),
        (good(&curve, json!({ "exp": null })), "auth.malformed"),
        ("no-token".into(), "auth.malformed"),
    ] {
        for plain in [false, true] {
            let base = || if plain { Ask::plain() } else { Ask::new() };
            let mut asks = vec![
                base().also(&format!("Authorization: Bearer {token}")),
                base().also(&format!("Cookie: token={token}")),
                base().target(&format!("/?access_token={token}")),
            ];
            if !plain {
                asks.push(base().also(&format!("Sec-WebSocket-Protocol: bearer, {token}")));
            }
            for ask in asks {
                let mut client = front.send(ask.bytes());
                answers.push(String::from_utf8(client.rest()).unwrap());
                let line = front.expect_refused_in_log(403, cause);
                assert!(
                    token
                        .split('.')
                        .filter(|part| !part.is_empty())
                        .all(|part| !line.to_string().contains(part))
                );
            }
        }
    }
    assert!(answers[0].starts_with("HTTP/1.1 403 "), "{}", answers[0]);
    assert!(answers[0].contains("x-framegate-cause: auth\r\n"), "{}", answers[0]);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert_eq!(answers.len(), 11 * 7);
}

#[test]
fn no_token_at_all() {
    let signer = Signer::new(Algorithm::EdDSA, "key");
    let front = front(&[&signer], "", "");
    let token = signer.token(json!({}));
    for ask in [Ask::new(), Ask::plain(), Ask::new().also("Authorization: Basic dTpw")] {
        let (head, line) = front.expect_refused(&ask, 401, "auth.missing");
        // RFC 9110 15.5.2.
        assert_eq!(values(&head, "www-authenticate"), ["Bearer"]);
        assert_eq!(line["detail"], "no token in header");
    }
    // A place that was not asked for is no place.
    front.expect_refused(&Ask::new().target(&format!("/?access_token={token}")), 401, "auth.missing");
    let twice = bearer(&token).also(&format!("Authorization: Bearer {token}"));
    let mut client = front.send(twice.bytes());
    expect_refusal(&mut client, 403, "auth");
    front.expect_refused_in_log(403, "auth.malformed");
    // The origin is asked for first, and its answer stays its own.
    front.expect_refused(&bearer(&token).also("Origin: https://evil.test"), 403, "origin");
}

/// A plain request of the route needs a token as well, and with it is passed on.
#[test]
fn plain_requests_need_one_too() {
    let signer = Signer::new(Algorithm::ES256, "key");
    let front = front(&[&signer], "", "");
    let token = signer.token(json!({}));
    let mut client = front.send(Ask::plain().also(&format!("Authorization: Bearer {token}")).bytes());
    let mut server = front.backend.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    client.expect("hi");
    // The next request on the connection is judged like the first.
    client.send(Ask::plain().bytes());
    expect_refusal(&mut client, 401, "auth.missing");
}

#[test]
fn the_keys_are_read_again_when_their_file_changes() {
    let (old, new) = (Signer::new(Algorithm::ES256, "old"), Signer::new(Algorithm::RS256, "new"));
    let front = front(&[&old], "", "");
    let refused = |signer: &Signer| {
        let mut client = front.send(bearer(&signer.token(json!({}))).bytes());
        expect_refusal(&mut client, 403, "auth");
        front.expect_refused_in_log(403, "auth.key");
    };
    let admitted = |signer: &Signer| drop(front.expect_admitted(&bearer(&signer.token(json!({})))));
    let path = front.gateway.dir.path().join("jwks.json");
    let said = |words: &str| {
        front
            .gateway
            .wait_for(words, |line| line["message"].as_str().is_some_and(|message| message.contains(words)))
    };
    admitted(&old);
    refused(&new);
    // As a well-behaved issuer does it.
    let next = front.gateway.dir.path().join("next.json");
    fs::write(&next, set(&[&old, &new])).unwrap();
    fs::rename(&next, &path).unwrap();
    assert_eq!(said("was read again")["keys"], 2);
    admitted(&old);
    admitted(&new);
    // And as others do.
    fs::write(&path, &set(&[&new]).as_bytes()[..50]).unwrap();
    let line = said("old keys are kept");
    assert_eq!(line["level"], "WARN");
    assert!(line["problem"].as_str().unwrap().contains("is not JSON"), "{line:#}");
    admitted(&old);
    fs::remove_file(&path).unwrap();
    said("old keys are kept");
    admitted(&new);
    fs::write(&path, set(&[&new])).unwrap();
    assert_eq!(said("was read again")["keys"], 1);
    admitted(&new);
    refused(&old);
}

#[test]
fn a_session_ends_with_its_token() {
    let signer = Signer::new(Algorithm::ES256, "key");
    let front = front(&[&signer], PLACES, "");
    let lasting = front.expect_admitted(&bearer(&signer.token(json!({}))));
    // In the leeway behind its end there is a session for the rest of that, so that clocks may differ.
    let late = front.expect_admitted(&bearer(&signer.token(json!({ "exp": now() - 24 }))));
    let exp = now() + 3;
    let (_, client, server) = front.expect_admitted(&bearer(&signer.token(json!({ "exp": exp }))));
    let mut ends = Ends { client, server };
    ends.exchange("before");
    assert_eq!(ends.hears(Peer::Client, 3000), "auth.expired");
    let heard = now();
    assert!((exp..=exp + AT_ONCE.as_secs()).contains(&heard), "{heard} for {exp}");
    // What the client had under way still arrives.
    ends.client.send(text("last words"));
    ends.server.expect(text("last words"));
    ends.closes(Peer::Client, 3000, "");
    assert_eq!(ends.hears(Peer::Server, 1001), "auth.expired");
    ends.closes(Peer::Server, 1001, "");
    ends.both_end();
    let line = front.gateway.expect_ended("gateway", "auth.expired");
    assert_eq!((line["about"].as_str(), told(&line)), (Some(""), (3000, "auth.expired", "")));
    // A neighbour whose token is good for longer does not notice.
    let (_, client, server) = lasting;
    Ends { client, server }.exchange("still here");
    let (_, mut client, _server) = late;
    assert_eq!(client.expect_close(3000), "auth.expired");
}

/// Of two that bound a session the sooner counts; and nobody is asked about a client whose token is bad.
#[test]
fn with_an_auth_server_behind_it() {
    let signer = Signer::new(Algorithm::ES256, "key");
    let auth = Backend::start();
    let asked = format!("[route.access.forward_auth]\nurl = \"http://{}/\"", auth.address);
    let front = front(&[&signer], &asked, "");
    front.expect_refused(&Ask::new(), 401, "auth.missing");
    auth.expect_no_contact();
    let open = |token_seconds: u64, ttl: u64| {
        let mut client = front.send(bearer(&signer.token(json!({ "exp": now() + token_seconds }))).bytes());
        let mut question = auth.accept();
        question.head();
        question
            .send(format!("HTTP/1.1 200 OK\r\nFramegate-Session-TTL: {ttl}\r\nContent-Length: 0\r\n\r\n"));
        let (_, server) = front.backend.accept_upgrade(b"");
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        (client, server)
    };
    for (mut client, _server) in [open(600, 2), open(3, 600)] {
        assert_eq!(client.expect_close(3000), "auth.expired");
    }
}

/// A drain does not wait for the tokens to end.
#[test]
fn a_drain_comes_first_if_it_is_sooner() {
    let signer = Signer::new(Algorithm::ES256, "key");
    let mut front = front(&[&signer], "", "[shutdown]\nclose_spread = \"1ms\"");
    let (_, client, server) = front.expect_admitted(&bearer(&signer.token(json!({ "exp": now() + 3600 }))));
    let mut ends = Ends { client, server };
    front.gateway.signal("TERM");
    assert_eq!(ends.hears(Peer::Client, 1012), "drain");
    ends.closes(Peer::Client, 1012, "");
    assert_eq!(ends.hears(Peer::Server, 1001), "drain");
    ends.closes(Peer::Server, 1001, "");
    ends.both_end();
    front.gateway.expect_ended("gateway", "drain");
    assert_eq!(front.gateway.exit_code(), Some(0));
}

/// Wherever it was carried, whatever became of it, at any level of the log.
#[test]
fn no_part_of_a_token_is_logged() {
    let (signer, stranger) = (Signer::new(Algorithm::ES256, "key"), Signer::new(Algorithm::ES256, "key"));
    for format in ["text", "json"] {
        let top = format!("[log]\nformat = \"{format}\"\nlevel = \"trace\"");
        let front = front(&[&signer], PLACES, &top);
        let mut secrets = vec!["s3cret".to_string()];
        for (signer, is_admitted) in [(&signer, true), (&stranger, false)] {
            let token = signer.token(json!({ "name": "s3cret" }));
            let encoded = BASE64_URL_SAFE_NO_PAD.encode(&token);
            let offer = |entries: &str| Ask::new().also(&format!("Sec-WebSocket-Protocol: chat, {entries}"));
            for (ask, is_good) in [
                (bearer(&token), true),
                (Ask::new().also(&format!("Cookie: token={token}")), true),
                (Ask::new().target(&format!("/?access_token={token}&{token}")), true),
                (offer(&format!("bearer, {token}")), true),
                (offer(&format!("bearer.{token}")), true),
                (offer(&format!("base64url.bearer.authorization.k8s.io.{encoded}")), true),
                (bearer(&token[1..]), false),
                (bearer(&format!("{token}.{token}")), false),
                (offer(&format!("bearer, {token}, bearer.{token}")), false),
            ] {
                let mut client = front.send(ask.bytes());
                if is_good && is_admitted {
                    front.backend.accept_upgrade(b"");
                    assert!(client.head().starts_with("HTTP/1.1 101 "));
                } else {
                    expect_refusal(&mut client, 403, "auth");
                }
            }
            secrets.extend(token.split('.').map(String::from));
            secrets.push(encoded);
        }
        let log = format!("{:?}", front.gateway.rest_of_log());
        assert_eq!(log.matches("session opened").count(), 6, "{log}");
        assert_eq!(log.matches("handshake refused").count(), 12, "{log}");
        assert!(secrets.iter().all(|secret| !log.contains(secret.as_str())), "{log}");
    }
}
