//! `--watch`.

use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct Watching {
    /// Again every so many seconds, in place, until Ctrl-C
    #[arg(long, value_name = "SECS", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    watch: Option<Duration>,
}

impl Watching {
    /// `None`: once.
    pub fn every(&self) -> Option<Duration> {
        self.watch
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse().ok();
    let seconds = seconds.filter(|seconds| (0.1..=86_400.0).contains(seconds)).map(Duration::from_secs_f64);
    seconds.ok_or_else(|| "write a number of seconds, 0.1 or more".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_often() {
        for (text, expected) in [
            ("2", Some(2000)),
            ("0.5", Some(500)),
            ("10s", Some(10_000)),
            ("0", None),
            ("-1", None),
            ("inf", None),
            ("NaN", None),
            ("1m", None),
            ("", None),
        ] {
            assert_eq!(seconds(text).ok().map(|every| every.as_millis()), expected, "{text}");
        }
    }
}
