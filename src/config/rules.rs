//! `limits`, `rate`, `heartbeat` and `timeouts`: what a route asks of its sessions.

use super::crowd;
use super::error::Complaint;
use super::rate::{self, Example};
use super::section::Section;
use super::units::show_duration;
use super::value::{Value, or_none};
use crate::frame::{LaneRules, Opcodes, Pair};
use crate::policy::crowd::CrowdLimits;
use crate::relay::{Heartbeat, HeartbeatMode, Limited, RateAction, Rates, Rules, Timeouts};
use std::time::Duration;

/// The rules of a route's sessions, and how many of them there may be.
pub fn read(section: &mut Section<'_>, base: &Rules, crowd: CrowdLimits) -> (Rules, CrowdLimits) {
    let (mut sizes, mut speeds) = (section.section("limits"), section.section("rate"));
    let crowd = crowd::of_a_route(&mut sizes, &mut speeds, crowd);
    let limits = limits(&mut sizes, &base.limits);
    let rates = rates(&mut speeds, &base.rates);
    let mut beats = section.section("heartbeat");
    let mut waits = section.section("timeouts");
    let heartbeat = heartbeat(&mut beats, &base.heartbeat);
    let timeouts = timeouts(&mut waits, &base.timeouts);
    for (key, interval) in [
        ("ping_interval", heartbeat.ping_interval.client),
        ("backend_ping_interval", heartbeat.ping_interval.backend),
    ] {
        pings_before_idle(&beats, &waits, key, interval, timeouts.idle);
    }
    (Rules { limits, rates, heartbeat, timeouts }, crowd)
}

fn limits(section: &mut Section<'_>, base: &Pair<LaneRules>) -> Pair<LaneRules> {
    let mut client = section.section("client");
    client.not_yet(&["max_decompressed_size"]);
    Pair { client: lane(client, &base.client), backend: lane(section.section("backend"), &base.backend) }
}

fn lane(mut section: Section<'_>, base: &LaneRules) -> LaneRules {
    let fragments = or_none(|value: &Value<'_>| value.number(1..=u64::from(u32::MAX)));
    let fragments = section
        .find("max_fragments", fragments)
        .map_or(base.max_fragments, |number| number.map(|number| u32::try_from(number).unwrap_or(u32::MAX)));
    LaneRules {
        max_frame_size: section.read("max_frame_size", base.max_frame_size, or_none(Value::size)),
        max_message_size: section.read("max_message_size", base.max_message_size, or_none(Value::size)),
        max_fragments: fragments,
        opcodes: section.read("opcodes", base.opcodes, opcodes),
        validate_utf8: base.validate_utf8,
    }
}

fn opcodes(value: &Value<'_>) -> Result<Opcodes, Complaint> {
    let text = Opcodes { text: true, binary: false };
    let binary = Opcodes { text: false, binary: true };
    let words = [("text", text), ("binary", binary)];
    let kinds = value.each("\"text\", \"binary\"", |entry| entry.choice(&words, &[]))?;
    if value.is_empty() {
        return Err(Complaint::new("is empty: no message could be sent")
            .hint("write [\"text\"], [\"binary\"] or [\"text\", \"binary\"]"));
    }
    Ok(Opcodes { text: kinds.contains(&text), binary: kinds.contains(&binary) })
}

fn rates(section: &mut Section<'_>, base: &Rates) -> Rates {
    let both = [("delay", RateAction::Delay), ("close", RateAction::Close)];
    let messages = Example { per_second: "50", burst: "100" };
    let bytes = Example { per_second: "\"1MiB\"", burst: "\"4MiB\"" };
    let control = Example { per_second: "10", burst: "50" };
    Rates {
        messages: limited(section, "messages", base.messages, messages, rate::count, &both),
        bytes: limited(section, "bytes", base.bytes, bytes, Value::size, &both),
        // A ping flood that is delayed delays the data behind it: closing is the only answer that bounds it.
        control: limited(section, "control", base.control, control, rate::count, &both[1..]),
    }
}

/// A rate of a session, and what happens above it: the first of `actions` where the file does not say.
fn limited<'a>(
    section: &mut Section<'a>,
    key: &'static str,
    base: Option<Limited>,
    example: Example,
    amount: impl Fn(&Value<'a>) -> Result<u64, Complaint>,
    actions: &[(&'static str, RateAction)],
) -> Option<Limited> {
    rate::read(section, key, base, example, amount, |section, rate| {
        let usual = actions.first().map_or(RateAction::Close, |(_, action)| *action);
        let action = section.read("action", usual, |value| value.choice(actions, &[]));
        Some(Limited { rate: rate?, action })
    })
}

fn heartbeat(section: &mut Section<'_>, base: &Heartbeat) -> Heartbeat {
    let modes = [("answer", HeartbeatMode::Answer), ("forward", HeartbeatMode::Forward)];
    let Pair { client, backend } = base.ping_interval;
    let duration = or_none(Value::duration);
    Heartbeat {
        mode: section.read("mode", base.mode, |value| value.choice(&modes, &[])),
        ping_interval: Pair {
            client: section.read("ping_interval", client, &duration),
            backend: section.read("backend_ping_interval", backend, &duration),
        },
        pong_timeout: section.read("pong_timeout", base.pong_timeout, &duration),
    }
}

fn timeouts(section: &mut Section<'_>, base: &Timeouts) -> Timeouts {
    let duration = or_none(Value::duration);
    Timeouts {
        idle: section.read("idle", base.idle, &duration),
        data_idle: section.read("data_idle", base.data_idle, &duration),
        first_message: section.read("first_message", base.first_message, &duration),
        message: section.read("message", base.message, &duration),
        write: section.read("write", base.write, &duration),
        close: section.read("close", base.close, Value::duration),
        max_connection_age: section.read("max_connection_age", base.max_connection_age, &duration),
        max_connection_age_jitter: section.read(
            "max_connection_age_jitter",
            base.max_connection_age_jitter,
            Value::fraction,
        ),
    }
}

/// A ping that comes after the idle timeout keeps nothing alive. Intervals vary by a tenth, and the longest counts.
/// Said where one of the two is written, not again where both are inherited.
fn pings_before_idle(
    heartbeat: &Section<'_>,
    timeouts: &Section<'_>,
    key: &str,
    interval: Option<Duration>,
    idle: Option<Duration>,
) {
    let written = heartbeat.place_of(key).or_else(|| timeouts.place_of("idle"));
    let (Some(at), Some(interval), Some(idle)) = (written, interval, idle) else {
        return;
    };
    if interval.saturating_add(interval / 10) >= idle {
        let (interval, idle) = (show_duration(interval), show_duration(idle));
        let complaint = Complaint::new(format!(
            "{key} ({interval}, give or take a tenth) is not below timeouts.idle ({idle}): idle ends the session first"
        ));
        let hint = "lower the interval or raise timeouts.idle; \"none\" switches either off";
        heartbeat.source().problem(&at, complaint.hint(hint));
    }
}
