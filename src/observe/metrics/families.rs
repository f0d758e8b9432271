//! Every metric by name, with what it says: the names are an interface, and the files in `deploy/` are held to this list.

/// One metric. `name` is that of its samples in the text format, so a counter's ends in `_total`.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// A gauge that is always 1; what it says stands in its labels.
    Info,
}

impl Family {
    /// What the name ends in to say what is measured, as OpenMetrics wants it in a line of its own.
    pub fn unit(&self) -> Option<&'static str> {
        let stem = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["seconds", "bytes"].into_iter().find(|unit| stem.ends_with(&format!("_{unit}")))
    }

    /// Each name that its samples have.
    pub fn samples(&self) -> Vec<String> {
        match self.kind {
            Kind::Histogram => ["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", self.name)).into(),
            _ => vec![self.name.to_string()],
        }
    }
}

/// Declares the metrics, and the list of all of them.
macro_rules! families {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub const $constant: Family =
            Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*

        /// In the order in which they are written.
        pub const ALL: &[Family] = &[$($constant),*];
    };
}

families! {
    BUILD_INFO = Info "framegate_build_info" ["version"] "The program that runs.";
    START_TIME = Gauge "framegate_start_time_seconds" [] "When the gateway started, in unix time.";
    READY = Gauge "framegate_ready" [] "Whether the gateway takes new sessions: 0 while it drains.";
    GENERATION = Gauge "framegate_config_generation" []
        "The configuration that runs, counted from 1 at the start.";
    LAST_RELOAD_SUCCESSFUL = Gauge "framegate_config_last_reload_successful" []
        "Whether the last attempt to load a configuration succeeded.";
    LAST_RELOAD_SUCCESS = Gauge "framegate_config_last_reload_success_timestamp_seconds" []
        "When a configuration was last loaded, in unix time.";
    RELOADS = Counter "framegate_config_reloads_total" ["result"] "Attempts to load a configuration anew.";
    CONNECTIONS = Gauge "framegate_connections" ["listener"] "Open connections of clients.";
    SESSIONS = Gauge "framegate_sessions" ["route"] "Live WebSocket sessions.";
    OPENED = Counter "framegate_sessions_opened_total" ["route"] "WebSocket sessions that were opened.";
    REFUSED = Counter "framegate_handshakes_refused_total" ["listener", "cause"]
        "Connections and requests that came to no session, by the cause in the log.";
    ENDED = Counter "framegate_sessions_ended_total" ["route", "by", "cause", "code"]
        "WebSocket sessions that ended: who ended them, why, and with which close code.";
    VIOLATIONS = Counter "framegate_violations_total" ["route", "from", "rule"]
        "Sessions that were ended because a peer broke a rule.";
    DURATION = Histogram "framegate_session_duration_seconds" ["route"] "How long ended sessions had lasted.";
    MESSAGES = Counter "framegate_messages_total" ["route", "from", "opcode"]
        "Messages that passed, those of live sessions included.";
    PAYLOAD_BYTES = Counter "framegate_payload_bytes_total" ["route", "from", "opcode"]
        "Payload bytes of messages as they were on the wire, those of live sessions included.";
    CONTROL_FRAMES = Counter "framegate_control_frames_total" ["route", "from", "opcode"]
        "Pings and pongs that came, those of live sessions included.";
    THROTTLED = Counter "framegate_throttled_seconds_total" ["route"]
        "Time for which rate limits kept clients waiting, live sessions included.";
    RTT = Histogram "framegate_ping_rtt_seconds" ["leg"]
        "How long the peer of a leg took to answer a ping of the gateway's.";
    HANDSHAKE = Histogram "framegate_handshake_duration_seconds" ["listener"]
        "From the accepted connection, or a later request on it, to the 101.";
    DIAL = Histogram "framegate_backend_dial_duration_seconds" ["backend"]
        "How long connections to servers took to come about, TLS included.";
    BACKEND_FAILURES = Counter "framegate_backend_failures_total" ["backend", "server", "cause"]
        "Clients that a server failed: it could not be reached, or gave no answer that is one.";
    SERVER_UP = Gauge "framegate_server_up" ["backend", "server"]
        "Whether a server takes sessions: 0 while its probes fail or it is left alone after failures.";
    SERVER_SESSIONS = Gauge "framegate_server_sessions" ["backend", "server"] "Live sessions at a server.";
    CERTIFICATE_EXPIRY = Gauge "framegate_certificate_expiry_timestamp_seconds" ["listener", "certificate"]
        "When a certificate expires, in unix time.";
    BUFFERED = Gauge "framegate_buffered_bytes" []
        "Bytes that wait in live sessions for a peer which does not take them.";
    LAG = Gauge "framegate_event_loop_lag_seconds" ["worker"]
        "By how much an event loop was late at the most, within the last minute.";
    CPU = Counter "process_cpu_seconds_total" [] "Time that the process has used, of all processors.";
    RESIDENT = Gauge "process_resident_memory_bytes" [] "Memory that the process occupies.";
    OPEN_FDS = Gauge "process_open_fds" [] "File descriptors that are open.";
    MAX_FDS = Gauge "process_max_fds" [] "File descriptors that may be open.";
    PROCESS_START = Gauge "process_start_time_seconds" [] "When the process started, in unix time.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_as_both_dialects_want_them() {
        let mut names = HashSet::new();
        for family in ALL {
            let Family { name, kind, labels, help } = family;
            assert!(names.insert(*name), "{name} twice");
            assert!(name.starts_with("framegate_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_info"), *kind == Kind::Info, "{name}");
            // What OpenMetrics puts behind a family's name must not be the end of another's.
            for end in ["_count", "_sum", "_bucket", "_created"] {
                assert!(!name.ends_with(end), "{name}");
            }
            assert!(labels.iter().all(|label| label.bytes().all(|byte| byte.is_ascii_lowercase())), "{name}");
            // Of histograms' own.
            assert!(!labels.contains(&"le"), "{name}");
            assert!(help.ends_with('.') && !help.contains(['\\', '\n', '"']), "{name}: {help}");
        }
    }

    #[test]
    fn units_stand_in_the_names() {
        let unit = |name: &str| ALL.iter().find(|family| family.name == name).unwrap().unit();
        assert_eq!(unit("framegate_throttled_seconds_total"), Some("seconds"));
        assert_eq!(unit("framegate_payload_bytes_total"), Some("bytes"));
        assert_eq!(unit("framegate_sessions"), None);
        assert!(
            ALL.iter().filter(|family| family.kind == Kind::Histogram).all(|it| it.unit() == Some("seconds"))
        );
    }
}
