//! What can be asked of the admin address: each path, its method, and whether it takes the token.

use super::page::Part;
use http::Method;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Page,
    /// One of the files that the page is made of.
    Part(&'static Part),
    Live,
    Health,
    Ready,
    Metrics,
    Status,
    Sessions,
    /// By its number, or by its request's id.
    Session(String),
    Config,
    /// As `Session`.
    Tap(String),
    Kick,
    Drain,
    Reload,
}

impl Endpoint {
    /// Paths are taken as they are: nothing here has a second spelling.
    pub fn at(path: &str) -> Option<Endpoint> {
        let one = |rest: &str| Some(rest.to_string()).filter(|id| !id.is_empty() && !id.contains('/'));
        Some(match path {
            "/" => Endpoint::Page,
            "/live" => Endpoint::Live,
            "/healthz" => Endpoint::Health,
            "/readyz" => Endpoint::Ready,
            "/metrics" => Endpoint::Metrics,
            "/status" => Endpoint::Status,
            "/sessions" => Endpoint::Sessions,
            "/config" => Endpoint::Config,
            "/kick" => Endpoint::Kick,
            "/drain" => Endpoint::Drain,
            "/reload" => Endpoint::Reload,
            _ => {
                if let Some(id) = path.strip_prefix("/sessions/") {
                    Endpoint::Session(one(id)?)
                } else if let Some(id) = path.strip_prefix("/tap/") {
                    Endpoint::Tap(one(id)?)
                } else {
                    Endpoint::Part(Part::named(path.strip_prefix("/dashboard/")?)?)
                }
            }
        })
    }

    /// What changes something is a POST, always: a link, an image or a form's GET changes nothing.
    pub fn changes(&self) -> bool {
        matches!(self, Endpoint::Kick | Endpoint::Drain | Endpoint::Reload)
    }

    pub fn takes(&self, method: &Method) -> bool {
        match self {
            _ if self.changes() => method == Method::POST,
            // There is no body to leave out of these.
            Endpoint::Live | Endpoint::Tap(_) => method == Method::GET,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }

    /// As `Allow` has it.
    pub fn methods(&self) -> &'static str {
        match self {
            _ if self.changes() => "POST",
            Endpoint::Live | Endpoint::Tap(_) => "GET",
            _ => "GET, HEAD",
        }
    }

    /// Probes have no token, and the page is the same for everybody: what it shows it asks for with one.
    pub fn is_for_everybody(&self) -> bool {
        matches!(self, Endpoint::Health | Endpoint::Ready | Endpoint::Page | Endpoint::Part(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, expected) in [
            ("/", Some(Endpoint::Page)),
            ("/sessions", Some(Endpoint::Sessions)),
            ("/sessions/17", Some(Endpoint::Session("17".into()))),
            ("/tap/a.b:c", Some(Endpoint::Tap("a.b:c".into()))),
            ("/kick", Some(Endpoint::Kick)),
            ("", None),
            ("//", None),
            ("/kick/", None),
            ("/KICK", None),
            ("/%6bick", None),
            ("/./kick", None),
            ("/sessions/", None),
            ("/sessions/1/2", None),
            ("/tap", None),
            ("/tap/", None),
            ("/dashboard/main.js", Some(Endpoint::Part(Part::named("main.js").unwrap()))),
            ("/dashboard/", None),
            ("/dashboard/page.html", None),
            ("/dashboard/../main.js", None),
        ] {
            assert_eq!(Endpoint::at(path), expected, "{path}");
        }
    }

    #[test]
    fn nothing_changes_by_a_get() {
        let all = ["/", "/live", "/healthz", "/readyz", "/metrics", "/status", "/sessions", "/sessions/1"];
        let all = all.iter().chain(&["/config", "/tap/1", "/kick", "/drain", "/reload"]);
        for path in all {
            let endpoint = Endpoint::at(path).unwrap();
            assert_eq!(endpoint.changes(), !endpoint.takes(&Method::GET), "{path}");
            assert_eq!(endpoint.changes(), endpoint.takes(&Method::POST), "{path}");
            for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::CONNECT] {
                assert!(!endpoint.takes(&method), "{method} {path}");
            }
        }
    }
}
