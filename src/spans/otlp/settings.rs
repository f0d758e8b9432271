//! What the environment says of spans, under the names of OpenTelemetry's specification. A value that cannot be kept to
//! stops the program before it listens: it must not turn out days later that nothing was recorded.

use super::sampling::Sampling;
use http::Uri;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    /// `http://`, with a host.
    pub(super) endpoint: Uri,
    /// For one request to the collector.
    pub(super) timeout: Duration,
    pub(super) sampling: Sampling,
    pub(super) batch: Batch,
    /// Where the operator gives the program another name.
    pub(super) service_name: Option<String>,
}

/// How spans wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// The longest that one waits.
    pub(super) delay: Duration,
    /// So many may wait; there is no room for others.
    pub(super) most_waiting: usize,
    /// So many go together, at once.
    pub(super) most_together: usize,
}

/// More would be memory that nobody thought of: a span takes about two kilobytes.
const MOST_WAITING: usize = 65_536;

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Settings {
    /// `None`: nobody wants spans.
    pub(super) fn read(environment: Environment<'_>) -> Result<Option<Settings>, String> {
        // What is empty is not there, says the specification.
        let value = |name: &str| environment(name).filter(|value| !value.is_empty());
        let is = |name: &str, word: &str| value(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
        let exporter = value("OTEL_TRACES_EXPORTER").unwrap_or_else(|| "otlp".into());
        if is("OTEL_SDK_DISABLED", "true") || !exporter.split(',').any(|name| name.trim() == "otlp") {
            return Ok(None);
        }
        let Some(endpoint) = endpoint(&value)? else { return Ok(None) };
        protocol(&value)?;
        let sampling = value("OTEL_TRACES_SAMPLER").map_or(Ok(Sampling::default()), |name| {
            Sampling::named(&name, value("OTEL_TRACES_SAMPLER_ARG").as_deref())
        });
        let timeout =
            either(&value, "TIMEOUT").map_or(Ok(10_000), |(name, text)| number(&name, &text, 600_000));
        Ok(Some(Settings {
            endpoint,
            timeout: Duration::from_millis(timeout?),
            sampling: sampling?,
            batch: Batch::read(&value)?,
            service_name: value("OTEL_SERVICE_NAME"),
        }))
    }
}

impl Batch {
    fn read(value: Environment<'_>) -> Result<Batch, String> {
        let number = |name: &str, default: u64, most: u64| {
            value(name).map_or(Ok(default), |text| number(name, &text, most))
        };
        let delay = number("OTEL_BSP_SCHEDULE_DELAY", 5000, 3_600_000)?;
        let most_waiting = number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, MOST_WAITING as u64)?;
        let most_together = number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, MOST_WAITING as u64)?;
        let most_waiting = usize::try_from(most_waiting).unwrap_or(MOST_WAITING);
        let most_together = usize::try_from(most_together).unwrap_or(MOST_WAITING).min(most_waiting);
        Ok(Batch { delay: Duration::from_millis(delay), most_waiting, most_together })
    }
}

/// A variable that may be about all signals or about traces alone, which counts more; with its name.
fn either(value: Environment<'_>, what: &str) -> Option<(String, String)> {
    ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"].iter().find_map(|prefix| {
        let name = format!("{prefix}{what}");
        value(&name).map(|value| (name, value))
    })
}

fn endpoint(value: Environment<'_>) -> Result<Option<Uri>, String> {
    let Some((name, text)) = either(value, "ENDPOINT") else { return Ok(None) };
    // The one that is about all signals is the part that they have in common.
    let is_common = !name.contains("TRACES");
    let whole = if is_common { format!("{}/v1/traces", text.trim_end_matches('/')) } else { text };
    // The value is not repeated: it may have a password in it.
    let uri: Uri = whole.parse().map_err(|why| format!("{name}: not a URL: {why}"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(format!(
                "{name}: https:// is not supported: name a collector on this machine, or beside it, with http://"
            ));
        }
        _ => return Err(format!("{name}: not a URL that begins with http://")),
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(format!(
            "{name}: name and password are not taken from a URL: use OTEL_EXPORTER_OTLP_HEADERS"
        ));
    }
    Ok(Some(uri))
}

fn protocol(value: Environment<'_>) -> Result<(), String> {
    match either(value, "PROTOCOL") {
        Some((name, protocol)) if protocol != "http/protobuf" => Err(format!(
            "{name}: `{protocol}` is not supported, but http/protobuf is (port 4318 of most collectors)"
        )),
        _ => Ok(()),
    }
}

fn number(name: &str, text: &str, most: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("{name}: `{text}` is not a whole number from 1 to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        Settings::read(&|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
        })
    }

    const COMMON: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const HERE: (&str, &str) = (COMMON, "http://localhost:4318");

    #[test]
    fn without_an_endpoint_there_is_nothing() {
        for variables in [
            &[][..],
            &[(COMMON, "")],
            &[HERE, ("OTEL_SDK_DISABLED", "True")],
            &[HERE, ("OTEL_TRACES_EXPORTER", "none")],
            // A collector for metrics alone.
            &[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://elsewhere/")],
        ] {
            assert_eq!(read(variables), Ok(None), "{variables:?}");
        }
    }

    #[test]
    fn where_spans_go() {
        let endpoint = |variables: &[_]| read(variables).unwrap().unwrap().endpoint.to_string();
        assert_eq!(endpoint(&[HERE]), "http://localhost:4318/v1/traces");
        assert_eq!(endpoint(&[(COMMON, "http://[::1]/otlp/")]), "http://[::1]/otlp/v1/traces");
        assert_eq!(endpoint(&[HERE, (TRACES, "http://traces/own")]), "http://traces/own");
    }

    #[test]
    fn what_is_not_said_is_as_the_specification_has_it() {
        let settings = read(&[HERE]).unwrap().unwrap();
        let batch = Batch { delay: Duration::from_secs(5), most_waiting: 2048, most_together: 512 };
        assert_eq!((settings.batch, settings.timeout), (batch, Duration::from_secs(10)));
        assert_eq!(settings.sampling, Sampling { follows_parent: true, ratio: 1.0 });
        let few = read(&[HERE, ("OTEL_BSP_MAX_QUEUE_SIZE", "7"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "250")]);
        let few = few.unwrap().unwrap();
        assert_eq!((few.batch.most_waiting, few.batch.most_together), (7, 7));
        assert_eq!(few.timeout, Duration::from_millis(250));
    }

    #[test]
    fn what_cannot_be_kept_to_is_said() {
        for (name, value, hint) in [
            (COMMON, "https://collector:4318", "https:// is not supported"),
            (TRACES, "collector:4318", "http://"),
            (TRACES, "grpc://collector", "http://"),
            (COMMON, "http://", "not a URL"),
            (COMMON, "http://me:hush@collector", "OTEL_EXPORTER_OTLP_HEADERS"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10s", "whole number"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote", "parentbased_"),
            ("OTEL_BSP_SCHEDULE_DELAY", "0", "from 1"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "1000000", "65536"),
        ] {
            let problem = read(&[(name, value), HERE]).unwrap_err();
            assert!(problem.starts_with(name) && problem.contains(hint), "{problem}");
            assert!(!problem.contains("hush"), "{problem}");
        }
    }
}
