//! An admin address that says what a test has it say.

use super::admin_client::AdminClient;
use super::at::{Address, Target};
use http::HeaderValue;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

/// A good answer's status and type.
pub const JSON: &str = "200 OK\r\ncontent-type: application/json";

pub fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

pub fn client(address: Address, bearer: Option<&'static str>) -> AdminClient {
    let bearer = bearer.map(HeaderValue::from_static);
    AdminClient::of(Target { address, bearer }).unwrap_or_else(|failure| panic!("{failure}"))
}

/// A server that gives each request the next of these answers, and its client; then the requests.
pub fn says<const N: usize>(answers: [Vec<u8>; N]) -> (AdminClient, JoinHandle<[String; N]>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = spawn(move || {
        answers.map(|answer| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            let request = request(&mut stream);
            // A client that has read enough may be gone.
            let _ = stream.write_all(&answer);
            let _ = stream.shutdown(Shutdown::Write);
            request
        })
    });
    (client(Address::Tcp { host: "127.0.0.1".into(), port }, None), served)
}

/// A request, up to the end of its body.
pub fn request(stream: &mut impl Read) -> String {
    let mut text = String::new();
    let mut chunk = [0; 1024];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse().unwrap() {
                return text;
            }
        }
        let n = stream.read(&mut chunk).unwrap();
        assert!(n > 0, "cut: {text}");
        text += std::str::from_utf8(&chunk[..n]).unwrap();
    }
}
