//! Every way to say no before there is a session: the status, the cause word and the little that the peer is told, in
//! one table. What the operator reads (`Refused::detail`) says what to change.

use http::StatusCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The request breaks HTTP or RFC 6455 4.1.
    BadRequest,
    Method,
    /// Not the one version of RFC 6455.
    Version,
    /// A plain request on a route that takes upgrades only.
    NotUpgrade,
    /// A path with no safe normal form.
    Path,
    Host,
    /// TLS named one route's host and the request another's.
    Misdirected,
    NoRoute,
    Origin,
    /// The client's address is not one that the route takes.
    Address,
    /// No token where the route asks for one.
    TokenMissing,
    /// It ended, or has yet to begin.
    TokenExpired,
    TokenNotYet,
    /// It is for somebody else, or made by somebody else.
    TokenAudience,
    TokenIssuer,
    /// Its algorithm is none that is taken, or not that of the key it names.
    TokenAlgorithm,
    /// No key of ours is meant, or it does not say which.
    TokenKey,
    TokenSignature,
    /// It is no token at all.
    TokenMalformed,
    /// The server that `forward_auth` asks did not answer in time.
    AuthTimeout,
    /// It could not be reached.
    AuthUnreachable,
    /// What it answered is not HTTP, breaks off, or cannot be understood.
    AuthAnswer,
    /// As many connections as `max_connections` allows, or of one address as `max_connections_per_ip` does.
    ProcessFull,
    ListenerFull,
    RouteFull,
    AddressFull,
    /// One address comes too often.
    HandshakeRate,
    /// The backend could not be reached, or refused the connection.
    BackendConnect,
    BackendDns,
    BackendTls,
    /// It did not answer the connection attempt in time.
    BackendConnectTimeout,
    /// It did not answer the request in time.
    BackendSilent,
    /// It answered with something that is not an upgrade and not HTTP either.
    BackendAnswer,
    /// Each of its servers has as many sessions as it may.
    BackendFull,
    /// The gateway itself ran out of something.
    Overload,
    Draining,
}

/// The same for every token, so that nobody learns from it which one was nearly good.
const BAD_TOKEN: &str = "This token does not admit you.";

/// A refusal with its reason in the operator's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub refusal: Refusal,
    pub detail: String,
    /// In seconds, where it was computed; otherwise the row's own stands.
    pub retry_after: Option<u64>,
}

impl Refusal {
    pub const ALL: [Refusal; 36] = [
        Refusal::BadRequest,
        Refusal::Method,
        Refusal::Version,
        Refusal::NotUpgrade,
        Refusal::Path,
        Refusal::Host,
        Refusal::Misdirected,
        Refusal::NoRoute,
        Refusal::Origin,
        Refusal::Address,
        Refusal::TokenMissing,
        Refusal::TokenExpired,
        Refusal::TokenNotYet,
        Refusal::TokenAudience,
        Refusal::TokenIssuer,
        Refusal::TokenAlgorithm,
        Refusal::TokenKey,
        Refusal::TokenSignature,
        Refusal::TokenMalformed,
        Refusal::AuthTimeout,
        Refusal::AuthUnreachable,
        Refusal::AuthAnswer,
        Refusal::ProcessFull,
        Refusal::ListenerFull,
        Refusal::RouteFull,
        Refusal::AddressFull,
        Refusal::HandshakeRate,
        Refusal::BackendConnect,
        Refusal::BackendDns,
        Refusal::BackendTls,
        Refusal::BackendConnectTimeout,
        Refusal::BackendSilent,
        Refusal::BackendAnswer,
        Refusal::BackendFull,
        Refusal::Overload,
        Refusal::Draining,
    ];

    /// Those that a server is to blame for.
    pub const OF_SERVERS: [Refusal; 5] = [
        Refusal::BackendConnect,
        Refusal::BackendTls,
        Refusal::BackendConnectTimeout,
        Refusal::BackendSilent,
        Refusal::BackendAnswer,
    ];

    const fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Refusal::BadRequest => (400, "request", "The request is malformed."),
            Refusal::Method => (405, "method", "WebSocket connections are opened with GET."),
            Refusal::Version => (426, "version", "This server speaks WebSocket version 13."),
            Refusal::NotUpgrade => (426, "not_upgrade", "This is a WebSocket endpoint."),
            Refusal::Path => (400, "path", "The path is malformed."),
            Refusal::Host => (400, "host", "The Host header is malformed."),
            Refusal::Misdirected => (421, "misdirected", "This connection does not serve that host."),
            Refusal::NoRoute => (404, "no_route", "Nothing is served here."),
            Refusal::Origin => (403, "origin", "This origin may not connect."),
            Refusal::Address => (403, "address", "This address may not connect."),
            Refusal::TokenMissing => (401, "auth.missing", "A token is needed to connect."),
            Refusal::TokenExpired => (403, "auth.expired", BAD_TOKEN),
            Refusal::TokenNotYet => (403, "auth.not_yet", BAD_TOKEN),
            Refusal::TokenAudience => (403, "auth.audience", BAD_TOKEN),
            Refusal::TokenIssuer => (403, "auth.issuer", BAD_TOKEN),
            Refusal::TokenAlgorithm => (403, "auth.algorithm", BAD_TOKEN),
            Refusal::TokenKey => (403, "auth.key", BAD_TOKEN),
            Refusal::TokenSignature => (403, "auth.signature", BAD_TOKEN),
            Refusal::TokenMalformed => (403, "auth.malformed", BAD_TOKEN),
            Refusal::AuthTimeout => {
                (504, "auth_timeout", "Whether you may connect could not be found out in time.")
            }
            Refusal::AuthUnreachable => {
                (502, "auth_unreachable", "Whether you may connect could not be found out.")
            }
            Refusal::AuthAnswer => (502, "auth_answer", "Whether you may connect could not be found out."),
            Refusal::ProcessFull => (503, "limit.process", "The gateway is full."),
            Refusal::ListenerFull => (503, "limit.listener", "The gateway is full."),
            Refusal::RouteFull => (503, "limit.route", "This service is full."),
            Refusal::AddressFull => (503, "limit.address", "Your address has too many connections."),
            Refusal::HandshakeRate => (429, "rate.handshakes", "Your address connects too often."),
            Refusal::BackendConnect => {
                (502, "backend_connect", "The server behind this gateway cannot be reached.")
            }
            Refusal::BackendDns => (502, "backend_dns", "The server behind this gateway cannot be reached."),
            Refusal::BackendTls => (502, "backend_tls", "The server behind this gateway cannot be reached."),
            Refusal::BackendConnectTimeout => {
                (504, "backend_connect_timeout", "The server behind this gateway did not answer in time.")
            }
            Refusal::BackendSilent => {
                (504, "backend_silent", "The server behind this gateway did not answer in time.")
            }
            Refusal::BackendAnswer => {
                (502, "backend_answer", "The server behind this gateway gave a broken answer.")
            }
            Refusal::BackendFull => (503, "limit.backend", "The server behind this gateway is full."),
            Refusal::Overload => (503, "overload", "The gateway is full."),
            Refusal::Draining => (503, "draining", "The gateway is going away."),
        }
    }

    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The word in the log and the metrics.
    pub const fn cause_word(self) -> &'static str {
        self.row().1
    }

    /// The word in `x-framegate-cause`, and the reason of a Close. What is wrong with a token is not for its bearer: it would tell a forger how far
    /// the forgery got.
    pub const fn public_word(self) -> &'static str {
        match self {
            Refusal::TokenExpired
            | Refusal::TokenNotYet
            | Refusal::TokenAudience
            | Refusal::TokenIssuer
            | Refusal::TokenAlgorithm
            | Refusal::TokenKey
            | Refusal::TokenSignature
            | Refusal::TokenMalformed => "auth",
            other => other.cause_word(),
        }
    }

    /// The body: the peer's text says little.
    pub const fn public_text(self) -> &'static str {
        self.row().2
    }

    /// Headers that RFC 9110 (15.5.2, 15.5.6, 15.5.22) or RFC 6455 (4.4) ask for with the status.
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Refusal::Method => &[("allow", "GET")],
            Refusal::Version => &[("sec-websocket-version", "13"), ("upgrade", "websocket")],
            Refusal::NotUpgrade => &[("upgrade", "websocket")],
            Refusal::TokenMissing => &[("www-authenticate", "Bearer")],
            Refusal::Overload | Refusal::Draining => &[("retry-after", "1")],
            // A seat becomes free when somebody leaves, and that nobody knows.
            Refusal::ProcessFull
            | Refusal::ListenerFull
            | Refusal::RouteFull
            | Refusal::AddressFull
            | Refusal::BackendFull => &[("retry-after", "5")],
            _ => &[],
        }
    }

    /// The Close that stands for it on a route that refuses with one (`refuse = "close"`). `None`: an HTTP status
    /// everywhere. Codes below 3000 are RFC 6455's and IANA's, 3000 and 3003 IANA's for libraries.
    pub const fn close_code(self) -> Option<u16> {
        match self {
            // Whoever asks like this may not speak frames at all.
            Refusal::BadRequest
            | Refusal::Method
            | Refusal::Version
            | Refusal::NotUpgrade
            | Refusal::Path
            | Refusal::Host
            | Refusal::Misdirected
            // No route: nobody who could have asked for it.
            | Refusal::NoRoute => None,
            // Another site's page is told nothing, and has no open socket, not even for a moment (RFC 6455 10.2).
            Refusal::Origin => None,
            // No policy refused: a proxy in front may know another gateway that reaches the backend.
            Refusal::BackendConnect
            | Refusal::BackendDns
            | Refusal::BackendTls
            | Refusal::BackendConnectTimeout
            | Refusal::BackendSilent
            | Refusal::BackendAnswer => None,
            Refusal::TokenMissing => Some(UNAUTHORIZED),
            Refusal::Address
            | Refusal::TokenExpired
            | Refusal::TokenNotYet
            | Refusal::TokenAudience
            | Refusal::TokenIssuer
            | Refusal::TokenAlgorithm
            | Refusal::TokenKey
            | Refusal::TokenSignature
            | Refusal::TokenMalformed => Some(FORBIDDEN),
            // Nobody said no: who asks later may be let in.
            Refusal::AuthTimeout | Refusal::AuthUnreachable | Refusal::AuthAnswer => Some(TRY_AGAIN_LATER),
            Refusal::HandshakeRate => Some(POLICY),
            Refusal::ProcessFull
            | Refusal::ListenerFull
            | Refusal::RouteFull
            | Refusal::AddressFull
            | Refusal::BackendFull
            | Refusal::Overload
            | Refusal::Draining => Some(TRY_AGAIN_LATER),
        }
    }

    /// The backend or we ourselves failed, not the client.
    pub fn is_our_fault(self) -> bool {
        self.status().is_server_error() && self != Refusal::AddressFull
    }

    /// Another server might have done better.
    pub fn is_the_servers_fault(self) -> bool {
        Refusal::OF_SERVERS.contains(&self)
    }

    pub fn because(self, detail: impl Into<String>) -> Refused {
        Refused { refusal: self, detail: detail.into(), retry_after: None }
    }

    /// These come in floods, one for each attempt of those who have too much already.
    pub const fn comes_in_floods(self) -> bool {
        matches!(
            self,
            Refusal::ProcessFull
                | Refusal::ListenerFull
                | Refusal::RouteFull
                | Refusal::AddressFull
                | Refusal::HandshakeRate
        )
    }
}

impl Refused {
    pub fn retry_after(self, seconds: u64) -> Refused {
        Refused { retry_after: Some(seconds), ..self }
    }
}

/// The Close for a status that an auth server gave (`forward_auth`).
pub const fn close_code_for(status: u16) -> u16 {
    match status {
        401 => UNAUTHORIZED,
        403 => FORBIDDEN,
        // Its own failure says nothing of the client.
        500.. => TRY_AGAIN_LATER,
        _ => POLICY,
    }
}

// RFC 6455 7.4.1, and IANA's WebSocket Close Code Number Registry.
const POLICY: u16 = 1008;
const TRY_AGAIN_LATER: u16 = 1013;
const UNAUTHORIZED: u16 = 3000;
const FORBIDDEN: u16 = 3003;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Close;

    #[test]
    fn every_row_is_a_refusal_with_a_word_of_its_own() {
        let mut words: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.cause_word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Refusal::ALL.len());
        for refusal in Refusal::ALL {
            assert!(refusal.status().is_client_error() || refusal.status().is_server_error());
            assert!(refusal.public_text().len() <= 100);
        }
    }

    #[test]
    fn bad_tokens_look_alike_from_outside() {
        let bad: Vec<_> = Refusal::ALL.into_iter().filter(|it| it.public_word() == "auth").collect();
        assert_eq!(bad.len(), 8);
        for refusal in bad {
            assert!(refusal.cause_word().starts_with("auth."));
            assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
            assert_eq!((refusal.public_text(), refusal.headers()), (BAD_TOKEN, &[][..]));
        }
    }

    #[test]
    fn what_a_close_says_of_an_auth_servers_answer() {
        for (status, code) in [(401, 3000), (403, 3003), (302, 1008), (404, 1008), (429, 1008), (500, 1013)] {
            assert_eq!(close_code_for(status), code);
        }
    }

    #[test]
    fn what_a_close_may_say_instead() {
        for refusal in Refusal::ALL {
            let expected = match (refusal, refusal.status().as_u16()) {
                (Refusal::Origin, _) => None,
                (Refusal::AuthTimeout | Refusal::AuthUnreachable | Refusal::AuthAnswer, _) => Some(1013),
                (_, 401) => Some(3000),
                (_, 403) => Some(3003),
                (_, 429) => Some(1008),
                (_, 503) => Some(1013),
                _ => None,
            };
            assert_eq!(refusal.close_code(), expected, "{refusal:?}");
            if let Some(code) = refusal.close_code() {
                let frame = Close::new(code, refusal.public_word()).to_frame();
                assert_eq!(Close::parse(frame.payload()), Ok(Close::new(code, refusal.public_word())));
            }
        }
    }
}
