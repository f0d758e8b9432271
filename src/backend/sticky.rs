//! The cookie that leads a client back to the server it had: what it says, and how it is read.

use sha1::{Digest, Sha1};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    pub cookie: String,
    /// How long a client that stays away keeps its server.
    pub ttl: Duration,
    /// Goes into every value: who does not know it cannot try out which server a value stands for.
    pub secret: String,
}

impl Sticky {
    /// What the cookie says of a server: the same in every gateway, and no address can be read from it.
    pub fn token(&self, backend: &str, server: &str) -> String {
        let parts = [&self.secret, backend, server];
        let sum = parts.iter().fold(Sha1::new(), |sum, part| {
            // Each with its length: two lists of parts never make the same bytes.
            sum.chain_update((part.len() as u64).to_be_bytes()).chain_update(part)
        });
        sum.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The value that a client brought. Of several with the name the first (RFC 6265 5.4: the most specific path).
    pub fn find<'a>(&self, cookie_lines: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        let mut pairs =
            cookie_lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.cookie).map(|(_, value)| value)
    }

    /// The Set-Cookie line. Scripts never need it; `Secure` where the client came over TLS. `now`, since 1970, goes into
    /// the value: browsers do not tell how old a cookie is, and one that is used must not run out.
    pub fn line(&self, token: &str, now: Duration, secure: bool) -> String {
        let (name, now, age) = (&self.cookie, now.as_secs(), self.ttl.as_secs());
        let secure = if secure { "; Secure" } else { "" };
        format!("{name}={token}.{now:x}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}")
    }

    /// Whether a value leads to `token`, and will for at least half of the time that it was made for. Not a new cookie each
    /// time, for no cache keeps an answer that has one.
    pub fn is_good(&self, value: &str, token: &str, now: Duration) -> bool {
        let Some((led_to, made)) = value.split_once('.') else {
            return false;
        };
        let made = u64::from_str_radix(made, 16).map(Duration::from_secs).ok();
        let age = made.and_then(|made| now.checked_sub(made));
        led_to == token && age.is_some_and(|age| age < self.ttl / 2)
    }
}

/// The part of a cookie's value that stands for a server.
pub fn token_of(value: &str) -> &str {
    value.split_once('.').map_or(value, |(token, _)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sticky(secret: &str) -> Sticky {
        Sticky { cookie: "framegate".into(), ttl: Duration::from_secs(3600), secret: secret.into() }
    }

    #[test]
    fn a_token_is_one_servers_in_every_gateway_with_the_secret() {
        let token = sticky("").token("chat", "ws://10.0.0.1:9000");
        assert_eq!(token, sticky("").token("chat", "ws://10.0.0.1:9000"));
        assert_eq!(token.len(), 16);
        assert!(!token.contains("10"), "{token} shows nothing of the address by chance either");
        for (secret, backend, server) in [
            ("", "chat", "ws://10.0.0.2:9000"),
            ("", "other", "ws://10.0.0.1:9000"),
            ("s", "chat", "ws://10.0.0.1:9000"),
            ("", "cha", "tws://10.0.0.1:9000"),
        ] {
            assert_ne!(token, sticky(secret).token(backend, server), "{secret} {backend} {server}");
        }
    }

    #[test]
    fn it_is_found_among_other_cookies() {
        let find = |lines: &[&'static str]| sticky("").find(lines.iter().copied());
        assert_eq!(find(&["framegate=abc"]), Some("abc"));
        assert_eq!(find(&["a=b; framegate=abc;c=d"]), Some("abc"));
        assert_eq!(find(&["a=b", " framegate=abc ; x"]), Some("abc"));
        assert_eq!(find(&["framegate=first; framegate=second"]), Some("first"));
        assert_eq!(find(&["xframegate=abc; framegate"]), None);
        assert_eq!(find(&["Framegate=abc"]), None);
        assert_eq!(find(&[]), None);
    }

    #[test]
    fn the_line_a_browser_gets() {
        let plain = "framegate=abc.ff; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax";
        let now = Duration::from_millis(255_900);
        assert_eq!(sticky("").line("abc", now, false), plain);
        assert_eq!(sticky("").line("abc", now, true), format!("{plain}; Secure"));
    }

    #[test]
    fn a_value_is_renewed_when_half_of_its_time_is_over() {
        for (value, at, expected) in [
            ("abc.ff", 255, true),
            ("abc.ff", 255 + 1799, true),
            ("abc.ff", 255 + 1800, false),
            ("abc.ff", 1 << 40, false),
            ("abd.ff", 255, false),
            // Of the future, or made up: nobody knows how long it will last.
            ("abc.ff", 254, false),
            ("abc", 255, false),
            ("abc.", 255, false),
            ("abc.-1", 255, false),
            ("abc.ff.ff", 255, false),
            ("abc.fffffffffffffffff", 255, false),
        ] {
            assert_eq!(
                sticky("").is_good(value, "abc", Duration::from_secs(at)),
                expected,
                "{value} at {at}"
            );
        }
        assert_eq!(token_of("abc.ff"), "abc");
        assert_eq!(token_of("abc"), "abc");
    }
}
