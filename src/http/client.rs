//! SHELL: one HTTP request, and what came of it in words that a person can act on.
//!
//! Each request has a connection of its own, which ends with it: they are few, and whoever is called sees at once that
//! an answer is no longer wanted. Redirects are not followed: what is signed is for whom it was addressed to.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

/// How much is read of an answer of which only the beginning is ever shown.
const LONGEST_BODY: usize = 64 << 10;
/// How many characters of it are shown.
const SHOWN: usize = 200;

/// Makes requests. Clones share what they are made with.
#[derive(Debug, Clone)]
pub struct Client {
    inner: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    /// One that trusts whom the system trusts (or the files that `SSL_CERT_FILE` and `SSL_CERT_DIR` name).
    pub fn new() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (trusted, _) = roots.add_parsable_certificates(found.certs);
        if trusted == 0 {
            let why = found.errors.first().map_or_else(|| "the system has none".to_owned(), ToString::to_string);
            tracing::warn!("no root certificates: no https:// URL can be called ({why}); install ca-certificates");
        }
        Self::trusting(roots)
    }

    /// One that trusts these.
    pub fn trusting(roots: RootCertStore) -> Self {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring knows all versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let https =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let inner = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .build(https);
        Self { inner }
    }

    /// `POST`s a body.
    ///
    /// # Errors
    /// See [`Client::get`].
    pub async fn post(&self, url: &str, headers: HeaderMap, body: Bytes, timeout: Duration) -> Result<String, String> {
        self.ask(Method::POST, url, headers, body, timeout).await
    }

    /// `GET`s a page. The first line of what was said, or the status when nothing was.
    ///
    /// # Errors
    /// Unless the whole answer is there in time and its status is of class 2xx: why not, in a few words.
    pub async fn get(&self, url: &str, timeout: Duration) -> Result<String, String> {
        self.ask(Method::GET, url, HeaderMap::new(), Bytes::new(), timeout).await
    }

    async fn ask(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<String, String> {
        self.fetch(method, url, headers, body, timeout, LONGEST_BODY).await?.said()
    }

    /// Asks, and gives the answer whatever its status: for those whose answers are read.
    ///
    /// # Errors
    /// When there is no answer in time: why not, in a few words. Beyond `longest` bytes nothing is read of its body.
    pub async fn fetch(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
        longest: usize,
    ) -> Result<Page, String> {
        let uri: Uri = url.parse().map_err(|e| format!("{url} is not a URL: {e}"))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let exchange = async {
            let answer = self.inner.request(request).await.map_err(|error| in_words(&error))?;
            let (status, location) = (answer.status(), answer.headers().get(LOCATION).cloned());
            let (body, is_whole) = read(answer, longest).await?;
            Ok(Page { status, location, body, is_whole })
        };
        tokio::time::timeout(timeout, exchange).await.map_err(|_| format!("no answer within {timeout:?}"))?
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Page {
    /// The status.
    pub status: StatusCode,
    /// Where else it is, as a redirection says.
    location: Option<HeaderValue>,
    /// The body, or its beginning.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub is_whole: bool,
}

impl Page {
    /// The first line of what was said, or the status when nothing was.
    ///
    /// # Errors
    /// Unless the status is of class 2xx: what was said instead.
    pub fn said(&self) -> Result<String, String> {
        let (status, said) = (self.status, first_line(&self.body));
        match &self.location {
            _ if status.is_success() && said.is_empty() => Ok(status.to_string()),
            _ if status.is_success() => Ok(said),
            Some(to) if status.is_redirection() => {
                let to = String::from_utf8_lossy(to.as_bytes());
                Err(format!("answered {status} to {to}: redirects are not followed"))
            }
            _ => Err(answered(status, &said)),
        }
    }
}

fn answered(status: StatusCode, said: &str) -> String {
    if said.is_empty() { format!("answered {status}") } else { format!("answered {status}: {said}") }
}

/// The beginning of a body, and whether it is all.
async fn read<B>(answer: Response<B>, longest: usize) -> Result<(Vec<u8>, bool), String>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let mut body = pin!(Limited::new(answer.into_body(), longest));
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => return Ok((read, false)),
            Err(error) => return Err(in_words(&*error)),
        }
    }
    Ok((read, true))
}

/// The first line that is not empty, without control characters, as far as it is shown.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

/// What an error is in a few words: the innermost cause is the one to know, and some have plain words.
pub fn in_words(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    loop {
        if let Some(words) = plain(cause) {
            return words;
        }
        // What an I/O error wraps is not its source.
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| cause.source()) {
            Some(inner) => cause = inner,
            None => return cause.to_string(),
        }
    }
}

fn plain(cause: &(dyn Error + 'static)) -> Option<String> {
    if let Some(rustls::Error::InvalidCertificate(why)) = cause.downcast_ref() {
        return Some(format!("its certificate is not one that we trust: {why}"));
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => Some("connection refused".to_owned()),
        io::ErrorKind::ConnectionReset => Some("connection reset".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_one_short_line() {
        assert_eq!(first_line(b"\r\n  no: 3 of 12 tests failed \r\nsee the log"), "no: 3 of 12 tests failed");
        assert_eq!(first_line("ä".repeat(300).as_bytes()), "ä".repeat(200));
        assert_eq!(first_line(b"\x1b[31mred\xff"), "[31mred\u{fffd}");
        assert_eq!(first_line(b""), "");
    }
}
