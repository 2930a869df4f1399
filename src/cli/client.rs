//! How client verbs reach the server: address, connection, calls.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use super::failure::Failure;
use super::output::Format;
use crate::admin::proto::endpoint_service_client::EndpointServiceClient;
use crate::admin::proto::proxy_service_client::ProxyServiceClient;
use crate::admin::proto::quarantine_service_client::QuarantineServiceClient;
use crate::admin::proto::release_service_client::ReleaseServiceClient;
use crate::admin::proto::snapshot_service_client::SnapshotServiceClient;
use crate::admin::proto::spec_service_client::SpecServiceClient;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for an answer; an order is answered when it is recorded.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often to ask an idle connection whether it lives, so that a watch notices a server that vanished.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A snapshot with its resources can be large.
const LONGEST_ANSWER: usize = 256 * 1024 * 1024;

/// Where the server is.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// The server's administration API (its --admin)
    #[arg(long, value_name = "URL", env = "SERIN_SERVER", default_value = "http://127.0.0.1:18001")]
    #[arg(value_parser = parse_server)]
    pub(super) server: String,
}

/// Where the server is, and the form of the output.
#[derive(Debug, clap::Args)]
pub(super) struct ClientArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// The form of the output: json and yaml are the API's own messages
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(super) output: Format,
}

/// `http://host:port`; the scheme may be left out.
fn parse_server(text: &str) -> Result<String, String> {
    if text.starts_with("https://") {
        return Err("the administration API speaks plain HTTP/2: write http://".to_owned());
    }
    let url = if text.starts_with("http://") { text.to_owned() } else { format!("http://{text}") };
    match url.parse::<tonic::transport::Uri>() {
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) && uri.port_u16().is_some() => Ok(url),
        Ok(_) | Err(_) => Err("write it as http://HOST:PORT".to_owned()),
    }
}

impl ServerArgs {
    /// Connects.
    ///
    /// # Errors
    /// When nobody answers, with what to do about it.
    pub(super) async fn connect(&self) -> Result<Channel, Failure> {
        let endpoint = Endpoint::from_shared(self.server.clone()).map_err(|e| Failure::Usage(e.to_string()))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(CONNECT_TIMEOUT)
            .keep_alive_while_idle(true);
        endpoint.connect().await.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &tonic::transport::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Failure::Other(anyhow::anyhow!(
            "no Serin server answers at {}: {cause}\n       Is `serin serve` running? Say where with --server URL or \
             SERIN_SERVER.",
            self.server
        ))
    }

    /// The releases' service.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(super) async fn releases(&self) -> Result<ReleaseServiceClient<Channel>, Failure> {
        Ok(ReleaseServiceClient::new(self.connect().await?).max_decoding_message_size(LONGEST_ANSWER))
    }

    /// The proxies' service.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(super) async fn proxies(&self) -> Result<ProxyServiceClient<Channel>, Failure> {
        Ok(ProxyServiceClient::new(self.connect().await?).max_decoding_message_size(LONGEST_ANSWER))
    }

    /// The quarantine's service.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(super) async fn quarantine(&self) -> Result<QuarantineServiceClient<Channel>, Failure> {
        Ok(QuarantineServiceClient::new(self.connect().await?).max_decoding_message_size(LONGEST_ANSWER))
    }

    /// The endpoints' service.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(super) async fn endpoints(&self) -> Result<EndpointServiceClient<Channel>, Failure> {
        Ok(EndpointServiceClient::new(self.connect().await?).max_decoding_message_size(LONGEST_ANSWER))
    }

    /// The snapshots' service.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(super) async fn snapshots(&self) -> Result<SnapshotServiceClient<Channel>, Failure> {
        Ok(SnapshotServiceClient::new(self.connect().await?).max_decoding_message_size(LONGEST_ANSWER))
    }

    /// The specs' service.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(super) async fn specs(&self) -> Result<SpecServiceClient<Channel>, Failure> {
        Ok(SpecServiceClient::new(self.connect().await?))
    }
}

/// The answer to a call that is answered once.
///
/// # Errors
/// What the server said, or that it said nothing in time.
pub(super) async fn answer<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(tonic::Status::deadline_exceeded("waited 30 seconds").into()),
    }
}

/// What an answer must have, and has unless the server is broken.
///
/// # Errors
/// Says so.
pub(super) fn present<T>(part: Option<T>, what: &str) -> Result<T, Failure> {
    part.ok_or_else(|| Failure::Other(anyhow::anyhow!("the server's answer has no {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, url) in [
            ("http://127.0.0.1:18001", Some("http://127.0.0.1:18001")),
            ("serin:18001", Some("http://serin:18001")),
            ("[::1]:18001", Some("http://[::1]:18001")),
            ("https://serin:18001", None),
            ("serin", None),
            ("http://", None),
            ("", None),
        ] {
            assert_eq!(parse_server(text).ok().as_deref(), url, "{text}");
        }
    }
}
