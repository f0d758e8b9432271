//! A collector of spans that listens on loopback and reads OTLP by itself, from the bytes: what the gateway's library
//! writes is not read by the same library.

use super::{Raw, SOON, values};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How it meets the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes all.
    Takes,
    /// Reads it and answers with this status.
    Answers(u16),
    /// Takes the connection and ends it.
    HangsUp,
    /// Takes the connection and never says a word.
    Silent,
}

pub struct Collector {
    pub address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    requests: Receiver<Delivery>,
}

/// A request that it took, or not.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub head: String,
    pub body: Vec<u8>,
    pub spans: Vec<Span>,
}

/// Ids in hexadecimal, as they stand in `traceparent`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty: it has none.
    pub parent: String,
    pub name: String,
    pub kind: u64,
    pub lasted: Duration,
    pub attributes: BTreeMap<String, String>,
    /// 0 unset, 2 an error.
    pub status: u64,
    pub status_message: String,
    pub resource: BTreeMap<String, String>,
    pub scope: String,
}

impl Collector {
    pub fn start(mood: Mood) -> Collector {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (mood, (sender, requests)) = (Arc::new(Mutex::new(mood)), channel());
        let collector = Collector { address, mood: mood.clone(), requests };
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                let mood = *mood.lock().unwrap();
                held.extend(serve(stream, mood, &sender));
            }
        });
        collector
    }

    /// The address as the operator writes it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn delivery(&self) -> Delivery {
        self.requests.recv_timeout(SOON).expect("spans are delivered")
    }

    /// The one span of the next delivery.
    pub fn span(&self) -> Span {
        let Delivery { mut spans, .. } = self.delivery();
        assert_eq!(spans.len(), 1, "{spans:#?}");
        spans.remove(0)
    }

    /// Nothing else came. Meaningful once the gateway has ended.
    pub fn expect_no_more(&self) {
        match self.requests.recv_timeout(Duration::ZERO) {
            Err(RecvTimeoutError::Timeout) => {}
            other => panic!("more was delivered: {other:#?}"),
        }
    }
}

impl Span {
    pub fn say(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// Gives back a connection that is to stay as it is.
fn serve(stream: TcpStream, mood: Mood, sender: &Sender<Delivery>) -> Option<TcpStream> {
    let status = match mood {
        Mood::Takes => 200,
        Mood::Answers(status) => status,
        Mood::HangsUp => return None,
        Mood::Silent => return Some(stream),
    };
    let mut raw = Raw::new(stream);
    let head = raw.head();
    let body = raw.take(values(&head, "content-length")[0].parse().unwrap());
    let _ = sender.send(Delivery { spans: read(&body), head, body });
    raw.send(format!(
        "HTTP/1.1 {status} So\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
    ));
    None
}

/// One field of a message of Protocol Buffers.
#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Field::Bytes(bytes) => bytes,
            Field::Number(number) => panic!("{number} is no message"),
        }
    }

    fn text(self) -> String {
        std::str::from_utf8(self.bytes()).unwrap().into()
    }

    fn number(self) -> u64 {
        match self {
            Field::Number(number) => number,
            Field::Bytes(bytes) => panic!("{bytes:?} is no number"),
        }
    }

    fn hex(self) -> String {
        self.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The fields of a message, by number.
fn fields(mut rest: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut rest)),
            1 => Field::Number(u64::from_le_bytes(take(&mut rest, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut rest);
                Field::Bytes(take(&mut rest, length as usize))
            }
            5 => Field::Number(u32::from_le_bytes(take(&mut rest, 4).try_into().unwrap()).into()),
            other => panic!("no such wire type: {other}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(n);
    *rest = left;
    taken
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
    }
    panic!("a number without an end");
}

/// The messages in a field.
fn each(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(message).into_iter().filter(move |(known, _)| *known == number).map(|(_, field)| field.bytes())
}

/// ExportTraceServiceRequest: resources, in each of them scopes, in each of them spans.
fn read(body: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource_spans in each(body, 1) {
        let resource = each(resource_spans, 1).flat_map(|resource| attributes(resource, 1)).collect();
        let common = Span { resource, ..Span::default() };
        for scope_spans in each(resource_spans, 2) {
            let scope: String = each(scope_spans, 1)
                .flat_map(|scope| fields(scope).into_iter().filter(|(number, _)| *number == 1))
                .map(|(_, name)| name.text())
                .collect();
            let common = Span { scope, ..common.clone() };
            spans.extend(each(scope_spans, 2).map(|span| read_span(span, common.clone())));
        }
    }
    spans
}

fn read_span(message: &[u8], mut span: Span) -> Span {
    let mut times = (0, 0);
    for (number, field) in fields(message) {
        match number {
            1 => span.trace = field.hex(),
            2 => span.id = field.hex(),
            4 => span.parent = field.hex(),
            5 => span.name = field.text(),
            6 => span.kind = field.number(),
            7 => times.0 = field.number(),
            8 => times.1 = field.number(),
            15 => {
                for (number, field) in fields(field.bytes()) {
                    match number {
                        2 => span.status_message = field.text(),
                        3 => span.status = field.number(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    span.attributes = attributes(message, 9).into_iter().collect();
    span.lasted = Duration::from_nanos(times.1.checked_sub(times.0).unwrap());
    span
}

/// KeyValue: texts and numbers.
fn attributes(message: &[u8], number: u64) -> Vec<(String, String)> {
    let read = |pair: &[u8]| {
        let (mut key, mut value) = (String::new(), String::new());
        for (number, field) in fields(pair) {
            match number {
                1 => key = field.text(),
                _ => {
                    value = match fields(field.bytes())[0] {
                        (1, text) => text.text(),
                        (_, other) => other.number().to_string(),
                    }
                }
            }
        }
        (key, value)
    };
    each(message, number).map(read).collect()
}
