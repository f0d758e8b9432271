//! The two dialects in which metrics are told: Prometheus' text format 0.0.4, and OpenMetrics 1.0, which is stricter and
//! says more.
//!
//! They differ in this: OpenMetrics names a counter's family without the `_total` of its samples and an info's without
//! `_info`, has the type `info`, tells units, escapes quotation marks in help texts, and ends with `# EOF`.

use super::families::{Family, Kind};
use super::histogram::Distribution;
use std::fmt::{self, Write};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    #[default]
    Text,
    OpenMetrics,
}

impl Dialect {
    /// What an `Accept` asks for (RFC 9110 12.5.1). OpenMetrics is for those who name it and do not like the other one
    /// better; whoever can read neither gets the text.
    pub fn asked_for(accept: &str) -> Dialect {
        let (mut open, mut text) = (0.0, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut version) = (1.0, None);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            match kind.as_str() {
                // Drafts were numbered 0.0.1, and those who ask for one can read 1.0.0.
                "application/openmetrics-text" if matches!(version, None | Some("1.0.0" | "0.0.1")) => {
                    open = f64::max(open, quality);
                }
                "text/plain" | "text/*" => text = f64::max(text, quality),
                _ => {}
            }
        }
        if open > 0.0 && open >= text { Dialect::OpenMetrics } else { Dialect::Text }
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Dialect::Text => "text/plain; version=0.0.4; charset=utf-8",
            Dialect::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The name of a family as its own lines have it.
    fn named(self, family: &Family) -> &'static str {
        let end = match (self, family.kind) {
            (Dialect::OpenMetrics, Kind::Counter) => "_total",
            (Dialect::OpenMetrics, Kind::Info) => "_info",
            _ => "",
        };
        family.name.strip_suffix(end).unwrap_or(family.name)
    }

    const fn typed(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (_, Kind::Counter) => "counter",
            (_, Kind::Gauge) | (Dialect::Text, Kind::Info) => "gauge",
            (_, Kind::Histogram) => "histogram",
            (Dialect::OpenMetrics, Kind::Info) => "info",
        }
    }
}

/// Writes families one after the other.
pub struct Exposition {
    dialect: Dialect,
    text: String,
}

/// Writes the samples of one family.
pub struct Samples<'a> {
    family: &'a Family,
    text: &'a mut String,
}

impl Exposition {
    pub fn new(dialect: Dialect) -> Exposition {
        Exposition { dialect, text: String::new() }
    }

    /// A family, with the samples that `write` gives it. Each family once.
    pub fn family(&mut self, family: &Family, write: impl FnOnce(&mut Samples<'_>)) {
        let (dialect, text) = (self.dialect, &mut self.text);
        let (name, kind) = (dialect.named(family), dialect.typed(family.kind));
        // In the help of the older dialect a quotation mark stands for itself; ours have neither.
        put(text, format_args!("# HELP {name} {}\n# TYPE {name} {kind}\n", family.help));
        if let (Dialect::OpenMetrics, Some(unit)) = (dialect, family.unit()) {
            put(text, format_args!("# UNIT {name} {unit}\n"));
        }
        write(&mut Samples { family, text });
    }

    pub fn finish(mut self) -> String {
        if self.dialect == Dialect::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Samples<'_> {
    /// `values`: of the family's labels, in their order.
    pub fn put(&mut self, values: &[&str], number: impl Into<Number>) {
        let number = number.into();
        self.line("", values, None, format_args!("{number}"));
    }

    pub fn histogram(&mut self, values: &[&str], read: &Distribution) {
        for (bound, count) in read.cumulative() {
            // `{:?}` writes 1 as `1.0`, which OpenMetrics asks for and the older dialect takes; with one spelling for
            // both, a bucket is the same series whichever was asked for.
            self.line("_bucket", values, Some(format_args!("{bound:?}")), format_args!("{count}"));
        }
        let (count, sum) = (read.count(), Number::from(read.sum_seconds()));
        self.line("_bucket", values, Some(format_args!("+Inf")), format_args!("{count}"));
        self.line("_sum", values, None, format_args!("{sum}"));
        self.line("_count", values, None, format_args!("{count}"));
    }

    fn line(
        &mut self,
        end: &str,
        values: &[&str],
        bound: Option<fmt::Arguments<'_>>,
        value: fmt::Arguments<'_>,
    ) {
        let Family { name, labels, .. } = self.family;
        debug_assert_eq!(labels.len(), values.len(), "{name}");
        put(self.text, format_args!("{name}{end}"));
        let mut before = '{';
        for (label, value) in labels.iter().zip(values) {
            put(self.text, format_args!("{before}{label}=\""));
            escape(value, self.text);
            self.text.push('"');
            before = ',';
        }
        if let Some(bound) = bound {
            put(self.text, format_args!("{before}le=\"{bound}\""));
            before = ',';
        }
        self.text.push_str(if before == ',' { "} " } else { " " });
        put(self.text, format_args!("{value}\n"));
    }
}

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Whole(u64),
    Float(f64),
}

impl From<u64> for Number {
    fn from(whole: u64) -> Number {
        Number::Whole(whole)
    }
}

impl From<usize> for Number {
    fn from(whole: usize) -> Number {
        Number::Whole(whole as u64)
    }
}

impl From<bool> for Number {
    fn from(yes: bool) -> Number {
        Number::Whole(yes.into())
    }
}

impl From<f64> for Number {
    fn from(float: f64) -> Number {
        Number::Float(float)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Whole(whole) => whole.fmt(f),
            Number::Float(float) => float.fmt(f),
        }
    }
}

/// A label's value. Everything else stands for itself in both dialects.
fn escape(value: &str, text: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

fn put(text: &mut String, what: fmt::Arguments<'_>) {
    // A string takes all that is written to it.
    let _ = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::super::histogram::{Histogram, SETUPS};
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const COUNTER: Family = Family {
        name: "framegate_waits_seconds_total",
        kind: Kind::Counter,
        labels: &["route"],
        help: "How long.",
    };
    const INFO: Family =
        Family { name: "framegate_build_info", kind: Kind::Info, labels: &["version"], help: "The program." };
    const GAUGE: Family =
        Family { name: "framegate_ready", kind: Kind::Gauge, labels: &[], help: "Whether it is." };
    const HISTOGRAM: Family = Family {
        name: "framegate_setup_seconds",
        kind: Kind::Histogram,
        labels: &["backend"],
        help: "Setup.",
    };

    fn written(dialect: Dialect) -> String {
        let mut all = Exposition::new(dialect);
        all.family(&INFO, |samples| samples.put(&["1.2.3"], 1u64));
        all.family(&COUNTER, |samples| {
            samples.put(&["chat"], 0.25);
            samples.put(&["a\"b\\c\nd"], 3.0);
        });
        all.family(&GAUGE, |samples| samples.put(&[], true));
        all.finish()
    }

    #[test]
    fn the_text_format() {
        let expected = "\
# HELP framegate_build_info The program.
# TYPE framegate_build_info gauge
framegate_build_info{version=\"1.2.3\"} 1
# HELP framegate_waits_seconds_total How long.
# TYPE framegate_waits_seconds_total counter
framegate_waits_seconds_total{route=\"chat\"} 0.25
framegate_waits_seconds_total{route=\"a\\\"b\\\\c\\nd\"} 3
# HELP framegate_ready Whether it is.
# TYPE framegate_ready gauge
framegate_ready 1
";
        assert_eq!(written(Dialect::Text), expected);
    }

    #[test]
    fn openmetrics() {
        let expected = "\
# HELP framegate_build The program.
# TYPE framegate_build info
framegate_build_info{version=\"1.2.3\"} 1
# HELP framegate_waits_seconds How long.
# TYPE framegate_waits_seconds counter
# UNIT framegate_waits_seconds seconds
framegate_waits_seconds_total{route=\"chat\"} 0.25
framegate_waits_seconds_total{route=\"a\\\"b\\\\c\\nd\"} 3
# HELP framegate_ready Whether it is.
# TYPE framegate_ready gauge
framegate_ready 1
# EOF
";
        assert_eq!(written(Dialect::OpenMetrics), expected);
    }

    #[test]
    fn a_histogram_in_either() {
        let histogram = Histogram::new(&[500, 1_000_000, 86_400_000_000]);
        for millis in [0, 500, 500, 90_000_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let lines = "\
framegate_setup_seconds_bucket{backend=\"b\",le=\"0.0005\"} 1
framegate_setup_seconds_bucket{backend=\"b\",le=\"1.0\"} 3
framegate_setup_seconds_bucket{backend=\"b\",le=\"86400.0\"} 3
framegate_setup_seconds_bucket{backend=\"b\",le=\"+Inf\"} 4
framegate_setup_seconds_sum{backend=\"b\"} 90001
framegate_setup_seconds_count{backend=\"b\"} 4
";
        let head = "# HELP framegate_setup_seconds Setup.\n# TYPE framegate_setup_seconds histogram\n";
        for (dialect, expected) in [
            (Dialect::Text, format!("{head}{lines}")),
            (Dialect::OpenMetrics, format!("{head}# UNIT framegate_setup_seconds seconds\n{lines}# EOF\n")),
        ] {
            let mut all = Exposition::new(dialect);
            all.family(&HISTOGRAM, |samples| samples.histogram(&["b"], &histogram.read()));
            assert_eq!(all.finish(), expected);
        }
    }

    #[test]
    fn who_gets_openmetrics() {
        // What Prometheus 2 and 3 ask with.
        let two = "application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;q=0.5,\
                   text/plain;version=0.0.4;q=0.25,*/*;q=0.1";
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                     application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;\
                     q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, expected) in [
            (two, Dialect::OpenMetrics),
            (three, Dialect::OpenMetrics),
            ("application/openmetrics-text", Dialect::OpenMetrics),
            ("APPLICATION/OpenMetrics-Text ; Version=\"1.0.0\"", Dialect::OpenMetrics),
            ("text/plain;q=0.2, application/openmetrics-text;q=0.2", Dialect::OpenMetrics),
            ("text/plain, application/openmetrics-text;q=0.9", Dialect::Text),
            ("application/openmetrics-text;q=0", Dialect::Text),
            ("application/openmetrics-text;q=some", Dialect::Text),
            ("application/openmetrics-text;version=2.0.0", Dialect::Text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Dialect::Text),
            ("", Dialect::Text),
            (";;=,,q=1", Dialect::Text),
        ] {
            assert_eq!(Dialect::asked_for(accept), expected, "{accept}");
        }
    }

    /// A sample line read by the grammar of both formats.
    fn parse(line: &str) -> (String, Vec<(String, String)>, f64) {
        let name_end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap();
        let (name, mut rest) = line.split_at(name_end);
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            loop {
                let (label, after) = rest.split_once("=\"").unwrap();
                let (mut value, mut characters) = (String::new(), after.chars());
                loop {
                    match characters.next().unwrap() {
                        '"' => break,
                        '\\' => value.push(match characters.next().unwrap() {
                            'n' => '\n',
                            escaped @ ('\\' | '"') => escaped,
                            other => panic!("\\{other} is no escape"),
                        }),
                        other => value.push(other),
                    }
                }
                labels.push((label.to_string(), value));
                rest = characters.as_str();
                match rest.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => break rest = rest.strip_prefix('}').unwrap(),
                }
            }
        }
        (name.into(), labels, rest.strip_prefix(' ').unwrap().parse().unwrap())
    }

    proptest! {
        #[test]
        fn every_line_parses_back(
            values in prop::collection::vec((any::<String>(), any::<u64>(), any::<f64>()), 1..20),
            open in any::<bool>(),
        ) {
            let mut all = Exposition::new(if open { Dialect::OpenMetrics } else { Dialect::Text });
            let histogram = Histogram::new(SETUPS);
            histogram.observe(Duration::from_millis(7));
            all.family(&COUNTER, |samples| {
                for (value, whole, float) in &values {
                    samples.put(&[value], *whole);
                    samples.put(&[value], *float);
                }
            });
            all.family(&HISTOGRAM, |samples| samples.histogram(&[&values[0].0], &histogram.read()));
            let text = all.finish();
            prop_assert!(text.ends_with('\n'));
            let mut lines = text.split_terminator('\n').filter(|line| !line.starts_with("# ")).map(parse);
            for (value, whole, float) in &values {
                for number in [*whole as f64, *float] {
                    let (name, labels, read) = lines.next().unwrap();
                    prop_assert_eq!(name, COUNTER.name);
                    prop_assert_eq!(labels, [("route".to_string(), value.clone())]);
                    prop_assert!(read == number || (read.is_nan() && number.is_nan()), "{} {}", read, number);
                }
            }
            let rest: Vec<_> = lines.collect();
            prop_assert_eq!(rest.len(), SETUPS.len() + 3);
            for (name, labels, _) in rest {
                prop_assert!(name.starts_with(HISTOGRAM.name));
                prop_assert_eq!(&labels[0], &("backend".to_string(), values[0].0.clone()));
            }
        }
    }
}
