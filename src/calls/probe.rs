//! SHELL: looks whether an endpoint works, until it does or has had its time.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::http::Client;
use crate::http::client::in_words;
use crate::model::{Probe, ProbeKind};

/// Probes an endpoint until enough answers in a row were good.
///
/// # Errors
/// When its time is over first: with what was wrong the last time.
pub(super) async fn conduct(client: &Client, probe: &Probe, address: SocketAddr) -> Result<String, String> {
    let mut last = "no probe ended".to_owned();
    let healthy = async {
        // A probe that takes longer than the interval puts off the next one.
        let mut times = interval(probe.interval.max(Duration::from_millis(1)));
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut probes, mut good, wanted) = (0_u64, 0, probe.successes.max(1));
        while good < wanted {
            times.tick().await;
            probes += 1;
            match timeout(probe.timeout, once(client, probe, address)).await {
                Ok(Ok(())) => {
                    good += 1;
                    last = format!("{good} of {wanted} good answers in a row");
                }
                Ok(Err(why)) => (good, last) = (0, why),
                Err(_) => (good, last) = (0, format!("no answer within {:?}", probe.timeout)),
            }
        }
        probes
    };
    match timeout(probe.within, healthy).await {
        Ok(1) => Ok("healthy after 1 probe".to_owned()),
        Ok(probes) => Ok(format!("healthy after {probes} probes")),
        Err(_) => Err(format!("not healthy within {:?}: last: {last}", probe.within)),
    }
}

async fn once(client: &Client, probe: &Probe, address: SocketAddr) -> Result<(), String> {
    match &probe.kind {
        ProbeKind::Http { path } => client.get(&format!("http://{address}{path}"), probe.timeout).await.map(drop),
        ProbeKind::Tcp => TcpStream::connect(address).await.map(drop).map_err(words),
        ProbeKind::Grpc { service } => grpc(address, service).await,
    }
}

async fn grpc(address: SocketAddr, service: &str) -> Result<(), String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(words)?;
    let channel = endpoint.connect().await.map_err(words)?;
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel).check(request).await;
    let answer = answer.map_err(|status| format!("{:?}: {}", status.code(), status.message()))?;
    match answer.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(format!("answered {}", other.as_str_name())),
    }
}

fn words(error: impl Error + 'static) -> String {
    in_words(&error)
}
