//! What holds for the whole program: workers, trusted proxies, the log, going away.

use super::address::network;
use super::error::Complaint;
use super::section::Section;
use super::units::show_duration;
use super::value::Value;
use crate::drain::ShutdownSettings;
use crate::observe::log::{Level, LogFormat, LogSettings, QueryValues};
use crate::policy::address::TrustedProxies;
use std::num::NonZeroUsize;

/// Far above any machine; a number beyond it is a typing error.
const MAX_WORKERS: u64 = 1024;

/// `None`: one a CPU.
pub fn workers(top: &mut Section<'_>) -> Option<NonZeroUsize> {
    let read = |value: &Value<'_>| {
        if value.is_text() && value.text()? == "auto" {
            return Ok(None);
        }
        let number = value.number(1..=MAX_WORKERS).map_err(|complaint| {
            complaint.hint(format!("write \"auto\" for one a CPU, or a number from 1 to {MAX_WORKERS}"))
        })?;
        Ok(usize::try_from(number).ok().and_then(NonZeroUsize::new))
    };
    top.read("workers", None, read)
}

pub fn trusted_proxies(top: &mut Section<'_>) -> TrustedProxies {
    let source = top.source();
    let read = |value: &Value<'_>| {
        value.each("\"10.0.0.0/8\"", |entry| {
            let network = entry.parse(network)?;
            if network.prefix_len() == 0 {
                let complaint = Complaint::new("everybody is trusted: any client may claim any address");
                source.warning(entry.place(), complaint.hint("list the networks of your own proxies"));
            }
            Ok(network)
        })
    };
    TrustedProxies::new(top.read("trusted_proxies", Vec::new(), read))
}

pub fn log(mut section: Section<'_>) -> LogSettings {
    let base = LogSettings::default();
    let levels = [
        ("error", Level::Error),
        ("warn", Level::Warn),
        ("info", Level::Info),
        ("debug", Level::Debug),
        ("trace", Level::Trace),
    ];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let queries = [("redact", QueryValues::Redact), ("keep", QueryValues::Keep)];
    LogSettings {
        level: section.read("level", base.level, |value| value.choice(&levels, &[])),
        format: section.read("format", base.format, |value| value.choice(&formats, &[])),
        access: section.read("access", base.access, Value::boolean),
        query: section.read("query", base.query, |value| value.choice(&queries, &[])),
    }
}

pub fn shutdown(mut section: Section<'_>) -> ShutdownSettings {
    let base = ShutdownSettings::default();
    let settings = ShutdownSettings {
        pre_stop_delay: section.read("pre_stop_delay", base.pre_stop_delay, Value::duration_or_zero),
        drain_timeout: section.read("drain_timeout", base.drain_timeout, Value::duration),
        close_spread: section.read("close_spread", base.close_spread, Value::duration_or_zero),
        close_code: section.read("close_code", base.close_code, close_code),
        handover_timeout: section.read("handover_timeout", base.handover_timeout, Value::duration),
    };
    let written = section.place_of("close_spread").or_else(|| section.place_of("drain_timeout"));
    if let Some(at) = written.filter(|_| settings.close_spread > settings.drain_timeout) {
        let (spread, timeout) = (show_duration(settings.close_spread), show_duration(settings.drain_timeout));
        let complaint = Complaint::new(format!(
            "close_spread ({spread}) is longer than drain_timeout ({timeout}), which ends what is still waiting"
        ));
        section
            .source()
            .problem(&at, complaint.hint(format!("write close_spread = \"{timeout}\" or shorter")));
    }
    settings
}

/// The codes with which a server may end a session that did nothing wrong. 1005, 1006 and 1015 never stand in a frame
/// (RFC 6455 7.4.1), and the others accuse the client.
fn close_code(value: &Value<'_>) -> Result<u16, Complaint> {
    let code = value.number(0..=u64::from(u16::MAX))?;
    match u16::try_from(code) {
        Ok(code @ (1000 | 1001 | 1011..=1013 | 3000..=4999)) => Ok(code),
        Ok(1005 | 1006 | 1015) => Err(Complaint::new(format!("{code} is never sent in a Close frame"))
            .hint("1012 (service restart) makes clients come back; 1001, 1013 and 3000-4999 are possible")),
        _ => Err(Complaint::new(format!("{code} does not say that a server goes away"))
            .hint("1012 (service restart) makes clients come back; 1001, 1013 and 3000-4999 are possible")),
    }
}
