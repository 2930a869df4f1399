//! `serin register`, `serin deregister`: beside an endpoint, to say that it is there.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

use super::client::{ServerArgs, answer};
use super::failure::Failure;
use super::output::say;
use super::text;
use crate::admin::proto::endpoint_service_client::EndpointServiceClient;
use crate::admin::proto::{DeregisterEndpointRequest, RegisterEndpointRequest};

/// How long an answer may take at least, and how long one is waited for that is under way at the end.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Say that an endpoint serves a version, until it is stopped
///
/// For versions whose spec says `registered`. It says so again three times in each TTL until SIGTERM or SIGINT, and then
/// takes the endpoint out, which is drained. Beside a service under systemd, or in its container, it is the whole agent.
/// One that dies without a word is drained when its TTL is over.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  serin register checkout v2 10.0.1.1:8080 --zone eu-1a\n\n  \
                        # From a script that comes by by itself, more often than the TTL:\n  \
                        serin register checkout v2 10.0.1.1:8080 --once")]
pub(super) struct Register {
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// The zone it is in
    #[arg(long)]
    zone: Option<String>,
    /// Its part among the version's endpoints: one with 2 gets twice as much as one with 1
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=128))]
    weight: u32,
    /// Say it once, and leave the rest to whoever calls
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Take an endpoint out that has registered: it is drained
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  serin deregister checkout v2 10.0.1.1:8080")]
pub(super) struct Deregister {
    #[command(flatten)]
    endpoint: EndpointArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Which endpoint.
#[derive(Debug, clap::Args)]
struct EndpointArgs {
    /// The service
    service: String,
    /// The version that runs there
    version: String,
    /// IP address and port, as the proxies reach it
    address: String,
}

impl EndpointArgs {
    fn told(&self) -> String {
        text::on_one_line(&format!("{} for version {} of {}", self.address, self.version, self.service))
    }

    async fn deregister(&self, client: &mut EndpointServiceClient<Channel>) -> Result<(), Failure> {
        let (service, version) = (self.service.clone(), self.version.clone());
        let request = DeregisterEndpointRequest { service, version, address: self.address.clone() };
        answer(client.deregister_endpoint(request)).await?;
        say(&format!("deregistered {}", self.told()));
        Ok(())
    }
}

impl Register {
    fn request(&self) -> RegisterEndpointRequest {
        RegisterEndpointRequest {
            service: self.endpoint.service.clone(),
            version: self.endpoint.version.clone(),
            address: self.endpoint.address.clone(),
            zone: self.zone.clone().unwrap_or_default(),
            weight: self.weight,
        }
    }

    /// Returns for how long it is believed.
    async fn register(&self, client: &mut EndpointServiceClient<Channel>) -> Result<Duration, Failure> {
        Ok(text::duration(answer(client.register_endpoint(self.request())).await?.ttl.as_ref()))
    }

    /// Says that it is there, again and again until `stop` ends. What goes wrong is told once, and tried again: the server
    /// may be back before the TTL is over.
    async fn heartbeats(
        &self,
        client: &mut EndpointServiceClient<Channel>,
        mut ttl: Duration,
        stop: impl Future<Output = ()>,
    ) {
        let mut stop = std::pin::pin!(stop);
        let mut well = true;
        loop {
            // Whatever the server says: not more often than this.
            let pause = (ttl / 3).max(Duration::from_millis(100));
            tokio::select! {
                () = &mut stop => return,
                () = sleep(pause) => {}
            }
            let mut saying = std::pin::pin!(timeout(pause.max(LAST_WORD), self.register(client)));
            let said = tokio::select! {
                said = &mut saying => said,
                () = &mut stop => {
                    // The server could take in what is broken off after the word that it is gone.
                    let _ = timeout(LAST_WORD, saying).await;
                    return;
                }
            };
            let failure = match said {
                Ok(Ok(now)) => {
                    ttl = now;
                    if !well {
                        say(&format!("registered {} again", self.endpoint.told()));
                    }
                    well = true;
                    continue;
                }
                Ok(Err(failure)) => failure.to_string(),
                Err(_) => "the server did not answer in time".to_owned(),
            };
            if well {
                say(&format!("cannot register {}, trying again: {failure}", self.endpoint.told()));
            }
            well = false;
        }
    }
}

pub(super) async fn register(args: Register) -> Result<(), Failure> {
    // Before it is registered: whoever is stopped in between would leave it behind.
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| Failure::Other(e.into()))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| Failure::Other(e.into()))?;
    let mut client = args.server.endpoints().await?;
    let ttl = args.register(&mut client).await?;
    say(&format!("registered {}, for {} at a time", args.endpoint.told(), text::span(ttl)));
    if args.once {
        return Ok(());
    }
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    args.heartbeats(&mut client, ttl, stop).await;
    args.endpoint.deregister(&mut client).await
}

pub(super) async fn deregister(args: Deregister) -> Result<(), Failure> {
    args.endpoint.deregister(&mut args.server.endpoints().await?).await
}
