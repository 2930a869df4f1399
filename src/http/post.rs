//! SHELL: a signed JSON document on its way to somebody.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, USER_AGENT};

use super::client::{Client, Page};
use super::secrets::Secrets;
use super::signature;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const ATTEMPT: HeaderName = HeaderName::from_static("serin-attempt");
const SIGNATURE: HeaderName = HeaderName::from_static(signature::HEADER);

/// One `POST`.
#[derive(Debug, Clone)]
pub struct Post<'a> {
    /// To whom.
    pub url: &'a str,
    /// Further headers. Those that the server sets itself win over them.
    pub headers: &'a BTreeMap<String, String>,
    /// `Idempotency-Key`: the same for all tries.
    pub key: &'a str,
    /// `Serin-Attempt`: which try it is, from 1.
    pub attempt: u32,
    /// The name of the secret that signs it.
    pub secret: Option<&'a str>,
    /// JSON.
    pub body: Bytes,
    /// How long the whole answer may take.
    pub timeout: Duration,
}

impl Post<'_> {
    /// Sends it, once.
    ///
    /// # Errors
    /// When it cannot be signed or sent, or was not answered with a status of class 2xx: why not, in a few words.
    pub async fn send(self, client: &Client, secrets: &Secrets) -> Result<String, String> {
        let headers = self.all_headers(secrets).await?;
        client.post(self.url, headers, self.body, self.timeout).await
    }

    /// Sends it, once, and gives the answer whatever its status, up to so many bytes of it.
    ///
    /// # Errors
    /// When it cannot be signed or sent, or is not answered in time: why not, in a few words.
    pub async fn fetch(self, client: &Client, secrets: &Secrets, longest: usize) -> Result<Page, String> {
        let headers = self.all_headers(secrets).await?;
        client.fetch(Method::POST, self.url, headers, self.body, self.timeout, longest).await
    }

    async fn all_headers(&self, secrets: &Secrets) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            let parsed: HeaderName = name.parse().map_err(|_| format!("{name:?} is not the name of a header"))?;
            if [CONTENT_LENGTH, TRANSFER_ENCODING].contains(&parsed) {
                return Err(format!("the header {name} cannot be set: it follows from the body"));
            }
            headers.insert(parsed, header(name, value)?);
        }
        if let Some(secret) = self.secret {
            let secret = secrets.get(secret).await.map_err(|error| error.to_string())?;
            // Before 1970 no signature is in time anyway.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            headers.insert(SIGNATURE, header("signature", &signature::sign(&secret, now, &self.body))?);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("serin/", env!("CARGO_PKG_VERSION"))));
        headers.insert(IDEMPOTENCY_KEY, header("key", self.key)?);
        headers.insert(ATTEMPT, self.attempt.into());
        Ok(headers)
    }
}

fn header(name: &str, value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value).map_err(|_| format!("the header {name} has a value that cannot be sent: {value:?}"))
}
