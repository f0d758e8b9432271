//! The way to the collector: OTLP over HTTP, one connection for each batch. What goes over it, the headers of the
//! operator's and when to try again are `opentelemetry-otlp`'s; it is given this for its client, so that spans take no
//! HTTP library of their own along, and no thread.

use super::queue::Export;
use super::settings::Settings;
use crate::backend::bare;
use http::header::{self, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::fmt::Display;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;

/// Bytes of an answer: it says little.
const MAX_ANSWER: usize = 64 * 1024;

/// A collector, one request at a time.
#[derive(Debug)]
pub(super) struct Collector {
    endpoint: Uri,
    /// For one request, from the look-up of its name to the end of the answer.
    limit: Duration,
    /// What went wrong last: the exporter does not pass it on.
    why: Mutex<Option<String>>,
}

/// Makes requests of spans.
pub(super) struct Exporter {
    exporter: SpanExporter,
    collector: Arc<Collector>,
}

impl Exporter {
    pub(super) fn new(collector: &Arc<Collector>, settings: &Settings) -> Result<Exporter, String> {
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_shared_http_client(collector.clone())
            .with_endpoint(settings.endpoint.to_string())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(settings.timeout)
            .build()
            .map_err(|error| format!("spans cannot be exported: {error}"))?;
        exporter.set_resource(&resource(settings.service_name.as_deref()));
        Ok(Exporter { exporter, collector: collector.clone() })
    }
}

impl Export for Exporter {
    async fn export(&self, spans: Vec<SpanData>) -> Result<(), String> {
        let sent = self.exporter.export(spans).await;
        let why = self.collector.why.lock().unwrap_or_else(PoisonError::into_inner).take();
        sent.map_err(|error| format!("{}: {}", self.collector.address(), why.unwrap_or(error.to_string())))
    }
}

/// Who we are: what the environment says, and a name in any case.
fn resource(service_name: Option<&str>) -> Resource {
    const NAME: Key = Key::from_static_str("service.name");
    const VERSION: Key = Key::from_static_str("service.version");
    let said = Resource::builder().build();
    let is_unknown =
        |name: &Value| matches!(name, Value::String(name) if name.as_str().starts_with("unknown_service"));
    let mut resource = Resource::builder();
    if let Some(name) = service_name {
        resource = resource.with_service_name(name.to_owned());
    } else if said.get_ref(&NAME).is_none_or(is_unknown) {
        resource = resource.with_service_name(env!("CARGO_PKG_NAME"));
    }
    if said.get_ref(&VERSION).is_none() {
        resource = resource.with_attribute(KeyValue::new(VERSION, env!("CARGO_PKG_VERSION")));
    }
    resource.build()
}

impl Collector {
    pub(super) fn new(settings: &Settings) -> Collector {
        Collector { endpoint: settings.endpoint.clone(), limit: settings.timeout, why: Mutex::default() }
    }

    /// As it stands in a log.
    pub(super) fn address(&self) -> String {
        let host = self.endpoint.host().unwrap_or_default();
        format!("http://{host}:{}{}", self.port(), self.endpoint.path())
    }

    fn port(&self) -> u16 {
        self.endpoint.port_u16().unwrap_or(80)
    }

    async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let host = bare(self.endpoint.host().unwrap_or_default());
        let stream = TcpStream::connect((host, self.port())).await.map_err(in_words)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(in_words)?;
        let mut answering = pin!(async move {
            let answer = sender.send_request(self.addressed(request)?).await.map_err(in_words)?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    "its answer is too long".into()
                } else {
                    error.to_string()
                }
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        });
        // The connection is driven here and not by a task of its own, which would have to be told of the end.
        tokio::select! {
            biased;
            answer = &mut answering => answer,
            // It may end before its answer has been read.
            _ = connection => answering.await,
        }
    }

    /// As a request to the server itself has to be (RFC 9112 3.2.1).
    fn addressed(&self, request: Request<Bytes>) -> Result<Request<Full<Bytes>>, String> {
        let mut request = request.map(Full::new);
        let target = request.uri().path_and_query().cloned().ok_or("the request has no target")?;
        let authority = self.endpoint.authority().map_or("", |authority| authority.as_str());
        let host = HeaderValue::from_str(authority).map_err(in_words)?;
        *request.uri_mut() = Uri::from(target);
        request.headers_mut().insert(header::HOST, host);
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        Ok(request)
    }
}

fn in_words(error: impl Display) -> String {
    error.to_string()
}

impl HttpClient for Collector {
    /// Written out as the trait has it, which is made by a macro.
    fn send_bytes<'client, 'answer>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'answer>>
    where
        'client: 'answer,
        Self: 'answer,
    {
        Box::pin(async move {
            let answer = match tokio::time::timeout(self.limit, self.ask(request)).await {
                Err(_) => Err(format!("no answer within {:?}", self.limit)),
                Ok(answer) => answer,
            };
            *self.why.lock().unwrap_or_else(PoisonError::into_inner) = match &answer {
                Ok(answer) if answer.status().is_success() => None,
                Ok(answer) => Some(format!("it answered {}", answer.status().as_u16())),
                Err(why) => Some(why.clone()),
            };
            answer.map_err(HttpError::from)
        })
    }
}
