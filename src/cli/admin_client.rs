//! A small client of a gateway's admin address: a connection a question, over TCP or a unix socket, with bounds on how
//! long an answer may take and how large it may be.

use super::at::{Address, At, Target};
use super::failure::Failure;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

pub struct AdminClient {
    target: Target,
    runtime: Runtime,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const LOOK_TIMEOUT: Duration = Duration::from_secs(15);

/// A reload reads files and asks for names.
const ACT_TIMEOUT: Duration = Duration::from_secs(120);

/// A thousand sessions are a megabyte.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// A frame's payload, in letters, is the longest part of a line.
const MAX_LINE: usize = 1024 * 1024;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl AdminClient {
    pub fn new(at: At) -> Result<AdminClient, Failure> {
        AdminClient::of(at.find()?)
    }

    pub(super) fn of(target: Target) -> Result<AdminClient, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(format!("cannot start: {error}"), ""))?;
        Ok(AdminClient { target, runtime })
    }

    /// What is at this path.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.runtime.block_on(self.whole(Method::GET, path, Bytes::new(), LOOK_TIMEOUT))
    }

    /// Has something done.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.runtime.block_on(self.whole(Method::POST, path, body.to_string().into(), ACT_TIMEOUT))
    }

    /// Each line of what is at this path, as it comes, until the gateway ends it.
    pub fn lines(
        &self,
        path: &str,
        mut take: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let response = timeout(LOOK_TIMEOUT, self.ask(Method::GET, path, Bytes::new()));
            let response = response.await.map_err(|_| self.silent(LOOK_TIMEOUT))??;
            if !response.status().is_success() {
                let whole = timeout(LOOK_TIMEOUT, self.read(response));
                return whole.await.map_err(|_| self.silent(LOOK_TIMEOUT))?.map(drop);
            }
            let mut body = response.into_body();
            let mut ahead: Vec<u8> = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| self.broken(&error))?;
                let Ok(bytes) = frame.into_data() else { continue };
                ahead.extend_from_slice(&bytes);
                let Some(end) = ahead.iter().rposition(|byte| *byte == b'\n') else {
                    if ahead.len() > MAX_LINE {
                        return Err(self.too_long(MAX_LINE));
                    }
                    continue;
                };
                let rest = ahead.split_off(end + 1);
                for line in String::from_utf8_lossy(&ahead).lines() {
                    take(line)?;
                }
                ahead = rest;
            }
            Ok(())
        })
    }

    async fn whole(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Value, Failure> {
        let asked = async { self.read(self.ask(method, path, body).await?).await };
        timeout(limit, asked).await.map_err(|_| self.silent(limit))?
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, Failure> {
        let stream = self.connect().await?;
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(header::HOST, self.target.address.authority())
            .header(header::USER_AGENT, concat!("framegate/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close");
        if method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(bearer) = &self.target.bearer {
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| Failure::new(format!("{path} cannot be asked for: {error}"), ""))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        // What goes wrong on the way is told by the request or by the answer's body.
        tokio::spawn(async move { drop(connection.await) });
        sender.send_request(request).await.map_err(|error| self.broken(&error))
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, Failure> {
        let connecting = async {
            Ok::<Box<dyn Stream>, io::Error>(match &self.target.address {
                Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
                Address::Tcp { host, port } => {
                    let bare = host.trim_start_matches('[').trim_end_matches(']');
                    Box::new(TcpStream::connect((bare, *port)).await?)
                }
            })
        };
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(unreachable(&self.target.address, &error)),
            Err(_) => Err(unreachable(&self.target.address, &ErrorKind::TimedOut.into())),
        }
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Value, Failure> {
        let (head, body) = response.into_parts();
        let is_json = head.headers.get(header::CONTENT_TYPE).is_some_and(is_json);
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { self.too_long(MAX_ANSWER) } else { self.broken(&*error) }
        })?;
        let told = serde_json::from_slice::<Value>(&body.to_bytes()).ok().filter(|_| is_json);
        match (head.status, told) {
            (status, Some(told)) if status.is_success() => Ok(told),
            (status, Some(told)) if told.get("error").is_some_and(Value::is_string) => {
                Err(Failure::Refused { status: status.as_u16(), told: with_hint(status, told) })
            }
            (status, _) => Err(Failure::new(
                format!(
                    "what answers at {} (status {}) is no admin address",
                    self.target.address,
                    status.as_u16()
                ),
                "it is [admin] bind in the gateway's configuration, and none of its listeners",
            )),
        }
    }

    fn silent(&self, limit: Duration) -> Failure {
        Failure::new(format!("no answer from {} within {limit:?}", self.target.address), "")
    }

    fn too_long(&self, limit: usize) -> Failure {
        Failure::new(format!("{} says more than {limit} bytes at once", self.target.address), "")
    }

    fn broken(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
        let cause = error.source().map_or(String::new(), |cause| format!(": {cause}"));
        Failure::new(format!("no good answer from {}: {error}{cause}", self.target.address), "")
    }
}

fn is_json(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|value| value.split(';').next().unwrap_or_default().trim() == "application/json")
}

/// The gateway's own hints are for whoever speaks HTTP.
fn with_hint(status: StatusCode, mut told: Value) -> Value {
    if let Some(hint) = told.get("hint").and_then(Value::as_str).filter(|_| status == StatusCode::NOT_FOUND) {
        told["hint"] = hint.replace("/sessions lists", "framegate sessions lists").into();
    }
    if status == StatusCode::UNAUTHORIZED {
        told["hint"] =
            "name the file that has the token with --token-file, or put the token into FRAMEGATE_TOKEN"
                .into();
    }
    told
}

fn unreachable(address: &Address, error: &io::Error) -> Failure {
    let running = "is framegate running, and was [admin] there when it started?";
    let (why, hint) = match (error.kind(), address) {
        (ErrorKind::ConnectionRefused, _) => ("nothing listens there".to_string(), running),
        (ErrorKind::NotFound, Address::Unix(_)) => ("there is no such socket".into(), running),
        (ErrorKind::PermissionDenied, Address::Unix(_)) => {
            let hint = "the socket is for framegate's user and group: ask as one of them, with sudo -u";
            ("this user may not connect".into(), hint)
        }
        (ErrorKind::TimedOut, _) => (format!("no connection within {CONNECT_TIMEOUT:?}"), ""),
        _ => (error.to_string(), ""),
    };
    Failure::new(format!("cannot reach {address}: {why}"), hint)
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{JSON, answer, client, request, says};
    use super::*;
    use serde_json::json;
    use std::io::Write;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::thread::spawn;

    #[test]
    fn what_is_sent() {
        let (client, served) = says([answer(JSON, "{\"kicked\":1}")]);
        assert_eq!(client.post("/kick", &json!({ "id": "7" })), Ok(json!({ "kicked": 1 })));
        let [request] = served.join().unwrap();
        assert!(request.starts_with("POST /kick HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("\r\nhost: {}\r\n", client.target.address)), "{request}");
        assert!(request.contains("\r\ncontent-type: application/json\r\n"), "{request}");
        assert!(
            request.ends_with("\r\n\r\n{\"id\":\"7\"}") && !request.contains("authorization"),
            "{request}"
        );
    }

    #[test]
    fn a_socket_and_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let served = spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = request(&mut stream);
            stream.write_all(&answer(JSON, "[]")).unwrap();
            request
        });
        assert_eq!(
            client(Address::Unix(path), Some("Bearer 0123456789abcdef")).get("/status"),
            Ok(json!([]))
        );
        let request = served.join().unwrap();
        assert!(request.starts_with("GET /status HTTP/1.1\r\nhost: localhost\r\n"), "{request}");
        assert!(request.contains("\r\nauthorization: Bearer 0123456789abcdef\r\n"), "{request}");
    }

    #[test]
    fn answers_that_are_none() {
        let json =
            |status: &str, body: &str| answer(&format!("{status}\r\ncontent-type: application/json"), body);
        for (said, expected) in [
            (
                json("404 Not Found", "{\"error\":\"none\",\"hint\":\"look\"}"),
                "framegate: none\n  hint: look",
            ),
            (json("401 Unauthorized", "{\"error\":\"no token\",\"hint\":\"Bearer\"}"), "hint: name the file"),
            (json("404 Not Found", "{}"), "(status 404) is no admin address"),
            (json("200 OK", "<html>"), "(status 200) is no admin address"),
            (answer("200 OK\r\ncontent-type: text/html", "{}"), "(status 200) is no admin address"),
            (answer("404 Not Found\r\nx-framegate-cause: route", "no"), "(status 404) is no admin address"),
            (b"SSH-2.0-OpenSSH\r\n".to_vec(), "no good answer"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}".to_vec(), "no good answer"),
            (Vec::new(), "no good answer"),
            (json("200 OK", &format!("\"{}\"", "x".repeat(MAX_ANSWER))), "says more than"),
        ] {
            let (client, served) = says([said]);
            let failure = client.get("/status").unwrap_err().to_string();
            assert!(failure.contains(expected), "{failure}");
            served.join().unwrap();
        }
    }

    #[test]
    fn nobody_there() {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let failure =
            client(Address::Tcp { host: "127.0.0.1".into(), port }, None).get("/status").unwrap_err();
        assert!(
            failure.to_string().contains("nothing listens there\n  hint: is framegate running"),
            "{failure}"
        );
        let failure = client(Address::Unix("/there/is/no.sock".into()), None).get("/status").unwrap_err();
        assert!(failure.to_string().contains("there is no such socket"), "{failure}");
    }

    #[test]
    fn lines_as_they_come() {
        let chunks = ["{\"a\":1}\n{\"b\"", ":2}\n", "\n", "cut"];
        let mut body = String::new();
        for chunk in chunks {
            body += &format!("{:x}\r\n{chunk}\r\n", chunk.len());
        }
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let (client, served) = says([format!("{head}{body}0\r\n\r\n").into_bytes()]);
        let mut lines = Vec::new();
        let taken = client.lines("/tap/7", |line| {
            lines.push(line.to_string());
            Ok(())
        });
        assert_eq!((taken, lines), (Ok(()), ["{\"a\":1}", "{\"b\":2}", ""].map(String::from).to_vec()));
        served.join().unwrap();
        // Whoever has read enough ends it.
        let (client, served) = says([answer(JSON, "1\n2\n3\n")]);
        assert_eq!(client.lines("/tap/7", |_| Err(Failure::Closed)), Err(Failure::Closed));
        served.join().unwrap();
        let (client, served) = says([answer(JSON, &"x".repeat(MAX_LINE + 1))]);
        assert!(client.lines("/tap/7", |_| Ok(())).unwrap_err().to_string().contains("says more than"));
        served.join().unwrap();
    }
}
