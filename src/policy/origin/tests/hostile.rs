//! Values of the Origin header that were written to get past a comparison, each with its verdict. The right ones among
//! them are there to show that the comparison is one, and no blanket refusal.

use super::*;

use Verdict::{Allowed as In, Denied as Out};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Allowed,
    Denied,
}

/// The request goes to `https://chat.good.test`, on a route that takes its own pages and these.
const ENTRIES: [&str; 7] = [
    "same-origin",
    "https://app.good.test:8443",
    "http://plain.good.test",
    "https://*.apps.test",
    "https://[2001:db8::1]",
    "https://xn--bcher-kva.test",
    "app://desktop",
];

type Row = (&'static [u8], Verdict, &'static str);

/// What is compared: scheme, host and port, letters of either case, and no more.
const SPELLING: &[Row] = &[
    (b"https://chat.good.test", In, ""),
    (b"HTTPS://Chat.Good.TEST", In, "schemes and hosts have no case (RFC 3986 3.1, 3.2.2)"),
    (b"https://chat.good.test:443", In, "the default port, spelled out"),
    (b"https://app.good.test:8443", In, ""),
    (b"http://plain.good.test:80", In, "the default port of its scheme"),
    (b"app://desktop", In, "no web scheme, but one that is listed"),
    (b"", Out, "an Origin with nothing in it is not a missing one"),
    (b"chat.good.test", Out, "a host is no origin"),
    (b"//chat.good.test", Out, ""),
    (b"://chat.good.test", Out, ""),
    (b"https:chat.good.test", Out, ""),
    (b"https:/chat.good.test", Out, ""),
    (b"https:///chat.good.test", Out, "an empty host and a path, though browsers would read it as the host"),
    (b"https:\\\\chat.good.test", Out, "browsers read a backslash in a URL as a slash; none writes one here"),
    (b"https//chat.good.test", Out, ""),
    (b"https://", Out, ""),
    (b"https://*", Out, "a star is a pattern in the file and nothing on the wire"),
    (b"*", Out, ""),
    (b"same-origin", Out, "the file's word for it is not the wire's"),
    (b"any-site-may-connect", Out, ""),
];

const HOSTS: &[Row] = &[
    (b"https://evil.test", Out, ""),
    (b"https://good.test", Out, "the parent of an allowed host is another host"),
    (b"https://evil.chat.good.test", Out, "and so is its child"),
    (b"https://chat.good.test.evil.test", Out, "begins like it"),
    (b"https://evilchat.good.test", Out, "ends like it"),
    (b"https://chat-good.test", Out, ""),
    (b"https://chat.good.test.", Out, "the root's dot makes another origin to a browser"),
    (b"https://chat.good.test..", Out, ""),
    (b"https://.chat.good.test", Out, ""),
    (b"https://chat..good.test", Out, ""),
    (b"https://chat.good.test%00.evil.test", Out, "hosts in origins have no percent-encoding"),
    (b"https://chat%2egood%2etest", Out, ""),
    (b"https://%63hat.good.test", Out, ""),
    (b"https://chat.good.test%20", Out, ""),
    (b"https://localhost", Out, ""),
    (b"https://chat_good.test", Out, "an underscore is a letter of its own"),
];

const BELOW: &[Row] = &[
    (b"https://a.apps.test", In, ""),
    (b"https://b.a.apps.test", In, "the star is one label or more"),
    (b"https://evil.test.a.apps.test", In, "odd, and still below the host that is trusted"),
    (b"https://apps.test", Out, "the star is not nothing"),
    (b"https://.apps.test", Out, ""),
    (b"https://..apps.test", Out, ""),
    (b"https://evilapps.test", Out, "the star ends at a dot"),
    (b"https://a.apps.test.evil.test", Out, ""),
    (b"https://a.apps.test.", Out, "the root's dot again"),
    (b"http://a.apps.test", Out, "who listens on the way can write this page"),
    (b"https://a.apps.test:8443", Out, "a star in the host is none in the port"),
    (b"https://*.apps.test", Out, ""),
    (b"https://evil.test/.apps.test", Out, ""),
    (b"https://evil.test?.apps.test", Out, ""),
    (b"https://evil.test#.apps.test", Out, ""),
    (b"https://evil.test\\.apps.test", Out, ""),
    (b"https://evil.test:443.apps.test", Out, ""),
    (b"https://evil.test%2f.apps.test", Out, ""),
    (b"https://evil.test\x00.apps.test", Out, ""),
    (b"https://evil.test@a.apps.test", Out, ""),
];

const PORTS: &[Row] = &[
    (b"https://chat.good.test:80", Out, "another scheme's default"),
    (b"https://chat.good.test:8443", Out, ""),
    (b"https://chat.good.test:44", Out, ""),
    (b"https://chat.good.test:4430", Out, ""),
    (b"https://chat.good.test:", Out, "browsers leave the colon out"),
    (b"https://chat.good.test:0", Out, ""),
    (b"https://chat.good.test:0443", Out, ""),
    (b"https://chat.good.test:+443", Out, "Rust's own reader of numbers takes a sign"),
    (b"https://chat.good.test:-443", Out, ""),
    (b"https://chat.good.test:65979", Out, "443 in sixteen bits"),
    (b"https://chat.good.test:4294967739", Out, "443 in thirty-two"),
    (b"https://chat.good.test:0x1bb", Out, ""),
    (b"https://chat.good.test:443:443", Out, ""),
    (b"https://chat.good.test:https", Out, ""),
    (b"https://chat.good.test: 443", Out, ""),
    (b"https://app.good.test", Out, "listed with a port, and only with it"),
    (b"https://app.good.test:443", Out, ""),
    ("https://chat.good.test:４４３".as_bytes(), Out, "digits of another script"),
];

const SCHEMES: &[Row] = &[
    (b"http://chat.good.test", Out, ""),
    (b"http://chat.good.test:443", Out, "the port does not make the scheme"),
    (b"https://plain.good.test", Out, "listed for http: another origin"),
    (b"wss://chat.good.test", Out, "names the socket and not the page"),
    (b"ws://chat.good.test", Out, ""),
    (b"httpss://chat.good.test", Out, ""),
    (b"ttps://chat.good.test", Out, ""),
    (b"https+x://chat.good.test", Out, ""),
    (b"https\x00://chat.good.test", Out, ""),
    (b"file://", Out, "browsers write null, and old ones this"),
    (b"file:///etc/passwd", Out, ""),
    (b"data://chat.good.test", Out, ""),
    (b"javascript://chat.good.test", Out, ""),
    (b"blob:https://chat.good.test", Out, "a blob has its page's origin, without the blob"),
    (b"view-source:https://chat.good.test", Out, ""),
    (b"chrome-extension://chat.good.test", Out, ""),
    (b"https://https://chat.good.test", Out, ""),
    (b"app://desktop2", Out, ""),
    (b"1app://desktop", Out, "a scheme begins with a letter (RFC 3986 3.1)"),
];

const USERS_AND_TAILS: &[Row] = &[
    (b"https://chat.good.test@evil.test", Out, "what looks like the host is a user of another"),
    (b"https://evil.test@chat.good.test", Out, "an origin has no user"),
    (b"https://@chat.good.test", Out, ""),
    (b"https://user:pass@chat.good.test", Out, ""),
    (b"https://chat.good.test:443@evil.test", Out, ""),
    (b"https://evil.test%40chat.good.test", Out, ""),
    (b"https://chat.good.test/", Out, "an origin ends at the port"),
    (b"https://chat.good.test/../evil", Out, ""),
    (b"https://chat.good.test?", Out, ""),
    (b"https://chat.good.test#", Out, ""),
    (b"https://chat.good.test;", Out, ""),
    (b"https://chat.good.test&evil.test", Out, ""),
    (b"https://chat.good.test,https://evil.test", Out, "one header, two values"),
    (b"https://chat.good.test https://evil.test", Out, "RFC 6454 7.1 has such lists; no browser sends one"),
    (b"\"https://chat.good.test\"", Out, ""),
    (b"<https://chat.good.test>", Out, ""),
    (b"Origin: https://chat.good.test", Out, ""),
];

/// hyper takes the blanks around a value away, and lets no control byte but the tab through: here nobody relies on it.
const BYTES: &[Row] = &[
    (b" https://chat.good.test", Out, ""),
    (b"https://chat.good.test ", Out, ""),
    (b"https://chat.good.test\t", Out, ""),
    (b"\thttps://chat.good.test", Out, ""),
    (b"https://chat.good.test\r\n", Out, ""),
    (b"https://chat.good.test\r\nOrigin: https://evil.test", Out, ""),
    (b"https://chat.good.test\x00", Out, "C would end the host here"),
    (b"https://chat.good.test\x00evil.test", Out, ""),
    (b"https://chat.good.test\x7f", Out, ""),
    (b"https://chat\x0b.good.test", Out, ""),
    (b"https://chat.good.test\xff", Out, "no UTF-8"),
    (b"https://chat.good.test\xc0\xae", Out, "an overlong dot"),
    (b"\xef\xbb\xbfhttps://chat.good.test", Out, "a byte order mark"),
    ("https://chat.good.test\u{200b}".as_bytes(), Out, "a space of no width"),
    ("https://chat\u{ad}.good.test".as_bytes(), Out, "a soft hyphen, which IDNA drops"),
    ("https://chat。good.test".as_bytes(), Out, "a full stop that IDNA takes for a dot"),
    ("https://ｃhat.good.test".as_bytes(), Out, "a letter that IDNA takes for a c"),
    ("https://сhat.good.test".as_bytes(), Out, "a Cyrillic letter that people take for a c"),
    ("https://chat.good.te\u{17f}t".as_bytes(), Out, "a letter whose upper case is S"),
    ("https://xn--bcher-kva.test".as_bytes(), In, "as browsers write bücher.test"),
    ("https://XN--Bcher-KVA.test".as_bytes(), In, ""),
    ("https://bücher.test".as_bytes(), Out, "as no browser writes it"),
    ("https://xn--bcher-kva.test\u{301}".as_bytes(), Out, ""),
];

const ADDRESSES: &[Row] = &[
    (b"https://[2001:db8::1]", In, ""),
    (b"https://[2001:DB8::1]:443", In, ""),
    (b"https://[2001:db8:0:0:0:0:0:1]", Out, "the same address as no browser writes it"),
    (b"https://[2001:db8::01]", Out, ""),
    (b"https://[2001:db8::2]", Out, ""),
    (b"https://2001:db8::1", Out, "without brackets it is a host and a port"),
    (b"https://[2001:db8::1", Out, ""),
    (b"https://2001:db8::1]", Out, ""),
    (b"https://[[2001:db8::1]]", Out, ""),
    (b"https://[2001:db8::1].evil.test", Out, ""),
    (b"https://[2001:db8::1]evil.test", Out, ""),
    (b"https://[2001:db8::1]:", Out, ""),
    (b"https://[2001:db8::1%25eth0]", Out, "a zone means nothing to anybody else"),
    (b"https://[2001:db8::1%eth0]", Out, ""),
    (b"https://[]", Out, ""),
    (b"https://[chat.good.test]", Out, ""),
    (b"https://[v1.chat]", Out, "RFC 3986's address of the future"),
    (b"https://[::ffff:127.0.0.1]", Out, ""),
    (b"https://127.0.0.1", Out, ""),
    (b"https://2130706433", Out, "127.0.0.1 as one number"),
    (b"https://0x7f.1", Out, ""),
];

/// Sandboxed pages say `null`, and so does whoever wants to look like none.
const NULLS: &[Row] = &[
    (b"null", Out, "allow_null is false"),
    (b"NULL", Out, ""),
    (b"null ", Out, ""),
    (b"null, https://chat.good.test", Out, ""),
    (b"https://chat.good.test null", Out, ""),
    (b"https://null", Out, ""),
    (b"undefined", Out, ""),
];

#[test]
fn each_has_its_verdict() {
    let policy = allowing(&ENTRIES);
    let tables = [SPELLING, HOSTS, BELOW, PORTS, SCHEMES, USERS_AND_TAILS, BYTES, ADDRESSES, NULLS];
    let mut denied = 0;
    for (value, expected, why) in tables.concat() {
        let facts = OriginFacts { origins: &[value], scheme: "https", authority: "chat.good.test" };
        let verdict = policy.judge(facts);
        let shown = value.escape_ascii();
        assert_eq!(if verdict.is_ok() { In } else { Out }, expected, "{shown} ({why}): {verdict:?}");
        if let Err(Denial(text)) = verdict {
            assert!(text.is_ascii() && !text.contains(|c: char| c.is_control()), "{text:?}");
            denied += 1;
        }
        // `allow_null` lets in one word and nothing that looks like it.
        let lenient = OriginPolicy { allow_null: true, ..policy.clone() };
        assert_eq!(lenient.judge(facts).is_ok(), expected == In || value == b"null", "{shown}");
    }
    assert!(denied >= 60, "{denied} hostile values");
}

#[test]
fn long_ones_are_denied_and_not_repeated_to_the_operator() {
    let label = "a".repeat(63);
    let host = |length: usize| format!("{label}.{label}.{label}.{}", "b".repeat(length - 3 * 64));
    let judged = |entry: &str, value: &str| {
        let facts =
            OriginFacts { origins: &[value.as_bytes()], scheme: "https", authority: "chat.good.test" };
        allowing(&[entry]).judge(facts)
    };
    let longest = format!("https://{}", host(253));
    assert_eq!(judged(&longest, &longest), Ok(()));
    for value in [
        format!("https://{}", host(255)),
        format!("https://{label}a.test"),
        format!("https://{}.test", "a.".repeat(30_000)),
        format!("{}://chat.good.test", "a".repeat(60_000)),
        format!("https://chat.good.test:{}443", "0".repeat(60_000)),
        format!("https://chat.good.test{}", "/".repeat(60_000)),
        format!("{}https://chat.good.test", " ".repeat(60_000)),
        "null".repeat(15_000),
    ] {
        let Denial(text) = judged("same-origin", &value).unwrap_err();
        assert!(text.len() < 700, "{} bytes about {} bytes", text.len(), value.len());
    }
}

#[test]
fn two_headers_are_denied_whatever_they_say() {
    let good: &[u8] = b"https://chat.good.test";
    let any = allowing(&["any-site-may-connect"]);
    for policy in [allowing(&ENTRIES), any, OriginPolicy { allow_null: true, ..allowing(&ENTRIES) }] {
        for origins in [[good, good], [good, b"https://evil.test"], [good, b""], [b"null", good], [b"", b""]]
        {
            let facts = OriginFacts { origins: &origins, scheme: "https", authority: "chat.good.test" };
            assert!(policy.judge(facts).is_err(), "{origins:?}");
        }
    }
}

/// A Host that is no host is no page's origin either: nothing equals it.
#[test]
fn a_hostile_host_matches_no_origin() {
    for authority in
        ["", "*", "chat.good.test/", "a@chat.good.test", "chat.good.test:", "chat..good.test", "[::1", "null"]
    {
        for origin in [format!("https://{authority}"), authority.to_string(), "https://".to_string()] {
            let facts = OriginFacts { origins: &[origin.as_bytes()], scheme: "https", authority };
            let verdict = OriginPolicy::default().judge(facts);
            // A page of a host called "null" is one.
            assert_eq!(verdict.is_ok(), origin == "https://null", "{origin} at {authority:?}");
        }
    }
}
