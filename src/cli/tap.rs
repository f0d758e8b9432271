//! `framegate tap`: the frames of one session as they pass.

use super::admin_client::AdminClient;
use super::at::At;
use super::failure::{Failure, conclude};
use super::figures::{of, size};
use super::filter::session;
use super::terminal::{clean, escaped, json_line, print};
use super::told::{number, text};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use std::fmt::Write;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "A line a frame, until the session ends or Ctrl-C. Times are UTC.")]
pub struct Tap {
    /// The session, by its number or by the id of its request
    #[arg(value_parser = session)]
    id: String,
    /// Show the first N bytes of each payload. The gateway's log says that somebody looked
    #[arg(long, value_name = "N")]
    payload: Option<u32>,
    /// For programs: an object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

impl Tap {
    pub fn execute(self) -> ExitCode {
        conclude(self.run().map(|()| ExitCode::SUCCESS))
    }

    fn run(self) -> Result<(), Failure> {
        let Tap { id, payload, json, at } = self;
        let query = payload.map_or(String::new(), |payload| format!("?payload={payload}"));
        AdminClient::new(at)?.lines(&format!("/tap/{id}{query}"), |told| {
            print(&if json { escaped(told) + "\n" } else { line(told) })
        })
    }
}

/// What there is to say of one line. One that this version does not know is shown as it is.
fn line(told: &str) -> String {
    let Ok(told) = serde_json::from_str::<Value>(told) else { return clean(told).into_owned() + "\n" };
    if let Some(missed) = number(&told, "/missed") {
        return format!("… {} missed: they came faster than they were read\n", of(missed, "frame"));
    }
    if let Some(ended) = told.get("ended") {
        let code = number(ended, "/code").map_or(String::new(), |code| format!(" {code}"));
        return format!("the session ended: {} by {}{code}\n", text(ended, "/cause"), text(ended, "/by"));
    }
    let (Some(bytes), opcode) = (number(&told, "/size"), text(&told, "/opcode")) else {
        return json_line(&told);
    };
    let is = |flag: &str| told.get(flag) == Some(&Value::Bool(true));
    let mut marks = String::new();
    if is("rsv1") {
        marks += " compressed";
    }
    if told.get("fin") == Some(&Value::Bool(false)) {
        marks += " to be continued";
    }
    let shown = told.get("payload").and_then(Value::as_str).map_or(String::new(), |payload| {
        BASE64_STANDARD.decode(payload).map_or(String::new(), |payload| show(&opcode, &payload, bytes))
    });
    let (time, whose, bytes) = (time(&told), whose(&told), size(bytes));
    format!("{time:>12}  {whose:14}  {opcode:12}  {bytes:>7}{marks}{shown}").trim_end().to_string() + "\n"
}

/// `client`, or `gateway>client` for what the gateway says itself.
fn whose(told: &Value) -> String {
    let (from, to) = (text(told, "/from"), text(told, "/to"));
    if from == "gateway" && !to.is_empty() { format!("{from}>{to}") } else { from }
}

/// Milliseconds since 1970, as the time of the day.
fn time(told: &Value) -> String {
    let millis = number(told, "/t_ms").unwrap_or_default();
    let seconds = millis / 1000 % 86_400;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{:03}", millis % 1000)
}

/// The beginning of a payload: letters where they are some, else bytes.
fn show(opcode: &str, payload: &[u8], whole: u64) -> String {
    let more = if payload.len() as u64 >= whole { "" } else { " …" };
    if let ("close", [high, low, reason @ ..]) = (opcode, payload) {
        return format!(
            "  {} {}{more}",
            u16::from_be_bytes([*high, *low]),
            letters(reason).unwrap_or_default()
        );
    }
    match letters(payload) {
        Some(text) => format!("  {text}{more}"),
        None => {
            payload.iter().fold(String::from("  "), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            }) + more
        }
    }
}

/// Quoted, without what a terminal obeys. A letter that is cut at the end is left out.
fn letters(bytes: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let is_text = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\r' | '\t' | '\x1b');
    text.chars().all(is_text).then(|| format!("\"{}\"", clean(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const AT: u64 = 1_774_980_904_123;

    fn shown(told: &Value) -> String {
        line(&told.to_string())
    }

    fn frame(opcode: &str, payload: Option<&[u8]>, size: u64) -> Value {
        let mut frame = json!({ "t_ms": AT, "from": "client", "opcode": opcode, "fin": true, "rsv1": false, "size": size });
        if let Some(payload) = payload {
            frame["payload"] = BASE64_STANDARD.encode(payload).into();
        }
        frame
    }

    #[test]
    fn a_line_a_frame() {
        for (told, expected) in [
            (frame("text", None, 5), "18:15:04.123  client          text               5B\n"),
            (
                frame("text", Some(b"hello"), 5),
                "18:15:04.123  client          text               5B  \"hello\"\n",
            ),
            (
                frame("text", Some(b"hel"), 5000),
                "18:15:04.123  client          text           4.9KiB  \"hel\" …\n",
            ),
            (
                frame("text", Some("部屋".as_bytes().get(..4).unwrap()), 6),
                "18:15:04.123  client          text               6B  \"部\" …\n",
            ),
            (
                frame("binary", Some(&[0, 0xff, 0x10]), 3),
                "18:15:04.123  client          binary             3B  00ff10\n",
            ),
            (
                frame("close", Some(b"\x03\xf4gone"), 6),
                "18:15:04.123  client          close              6B  1012 \"gone\"\n",
            ),
            (frame("close", Some(b""), 0), "18:15:04.123  client          close              0B  \"\"\n"),
            (frame("ping", None, u64::MAX), "18:15:04.123  client          ping          16.0EiB\n"),
            (json!({ "missed": 1 }), "… 1 frame missed: they came faster than they were read\n"),
            (
                json!({ "ended": { "by": "client", "cause": "closed", "code": 1000 } }),
                "the session ended: closed by client 1000\n",
            ),
            (
                json!({ "ended": { "by": "client", "cause": "client_lost", "code": null } }),
                "the session ended: client_lost by client\n",
            ),
            (json!({ "later": "\u{9b}" }), "{\"later\":\"\\u009b\"}\n"),
        ] {
            assert_eq!(shown(&told), expected);
        }
        assert_eq!(line("no json\x1b[2J"), "no json\\u{1b}[2J\n");
    }

    #[test]
    fn marks() {
        let mut first = frame("text", None, 5);
        (first["fin"], first["rsv1"]) = (false.into(), true.into());
        assert!(shown(&first).ends_with("5B compressed to be continued\n"));
        let mut own = frame("close", None, 2);
        (own["from"], own["to"]) = ("gateway".into(), "client".into());
        assert!(shown(&own).contains("  gateway>client  close "));
        own["from"] = "backend".into();
        assert!(shown(&own).contains("  backend         close "));
    }

    #[test]
    fn nothing_that_a_terminal_obeys() {
        for payload in ["\x1b]0;title\x07", "\u{9b}31m", "\u{202e}", "\x1b[2J", "a\nb"] {
            let line = shown(&frame("text", Some(payload.as_bytes()), 20));
            let line = line.trim_end_matches('\n');
            assert!(!line.contains(|letter: char| letter.is_control() || letter == '\u{202e}'), "{line:?}");
        }
    }
}
