//! Log lines: two for a session, text or JSON, on stderr.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The least severe level that is written; `FRAMEGATE_LOG` overrides it, module by module.
    pub level: Level,
    pub format: LogFormat,
    /// One line when a session opens, one when it ends.
    pub access: bool,
    pub query: QueryValues,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// What a logged path shows of its query: the names always, the values only for debugging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryValues {
    Redact,
    Keep,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { level: Level::Info, format: LogFormat::Text, access: true, query: QueryValues::Redact }
    }
}
