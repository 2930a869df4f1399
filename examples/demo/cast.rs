//! Who plays: the server, the upstreams and the proxies, started from the spec files beside this one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serin_testbed::envoy::EnvoyProcess;
use serin_testbed::ports;
use serin_testbed::process::{ServerProcess, serin_binary};
use serin_testbed::upstream::{Behaviour, Upstream, UpstreamConfig};

const FLEETS: &str = include_str!("specs/fleets.yaml");
const SERVICE: &str = include_str!("specs/service.yaml");
const RELEASE: &str = include_str!("specs/release.yaml");

/// The line of the release that a commit changes.
const WANTED: &str = "\n  version: v1\n";
/// The listeners' addresses in the spec files.
const LISTENERS: [&str; 2] = ["127.0.0.1:10000", "127.0.0.1:15001"];
/// The endpoints' addresses in the spec files, by version.
const ENDPOINTS: [(&str, [&str; 2]); 3] = [
    ("v1", ["127.0.0.1:8011", "127.0.0.1:8012"]),
    ("v2", ["127.0.0.1:8021", "127.0.0.1:8022"]),
    ("v3", ["127.0.0.1:8031", "127.0.0.1:8032"]),
];
/// Fleet, node id and xDS variant of each proxy.
const PROXIES: [(&str, &str, &str); 4] = [
    ("edge", "edge-1", "delta"),
    ("edge", "edge-2", "sotw"),
    ("sidecar", "sidecar-1", "sotw"),
    ("sidecar", "sidecar-2", "delta"),
];
/// How long a proxy has to get its first configuration.
const READY: Duration = Duration::from_secs(30);

/// A proxy and what it speaks.
pub(crate) struct Proxy {
    pub variant: &'static str,
    pub envoy: EnvoyProcess,
}

/// All that runs. Everything ends when it is dropped.
pub(crate) struct Cast {
    pub proxies: Vec<Proxy>,
    pub server: ServerProcess,
    pub upstreams: Vec<Upstream>,
    /// Where the load goes: a listener of each fleet.
    pub listeners: [SocketAddr; 2],
}

impl Cast {
    /// Starts the upstreams, then the server with `v1` released, then the proxies, and waits until all serve.
    pub(crate) async fn start(seed: u64) -> Result<Self> {
        let mut addresses = BTreeMap::new();
        let mut upstreams = Vec::new();
        for (version, endpoints) in ENDPOINTS {
            for endpoint in endpoints {
                let config = UpstreamConfig {
                    behaviour: behaviour(version),
                    seed: seed * 100 + upstreams.len() as u64,
                    ..UpstreamConfig::local(version)
                };
                let upstream = Upstream::start(config).await?;
                addresses.insert(endpoint, upstream.addr());
                upstreams.push(upstream);
            }
        }
        let listeners = ports::free()?;
        addresses.extend(LISTENERS.into_iter().zip(listeners));

        let mut server = ServerProcess::new(serin_binary()?)?;
        server.write_spec("fleets.yaml", &with_addresses(FLEETS, &addresses)?)?;
        server.write_spec("service.yaml", &with_addresses(SERVICE, &addresses)?)?;
        server.write_spec("release.yaml", RELEASE)?;
        server.start().await?;

        let mut proxies = Vec::new();
        for (fleet, id, variant) in PROXIES {
            let bootstrap = server.bootstrap(fleet, id, variant).await?;
            proxies.push(Proxy { variant, envoy: EnvoyProcess::start(id, &bootstrap).await? });
        }
        for proxy in &mut proxies {
            proxy.envoy.ready(READY).await.with_context(|| server.tail())?;
        }
        Ok(Self { proxies, server, upstreams, listeners })
    }

    /// How many proxies there are.
    pub(crate) fn size(&self) -> u32 {
        self.proxies.len() as u32
    }

    /// Changes the wanted version in the release's file, whole.
    pub(crate) fn commit(&self, version: &str) -> Result<()> {
        self.server.write_spec("release.yaml", &release_of(version)?)
    }

    /// How many requests each proxy has sent to each version.
    pub(crate) async fn served(&self) -> Result<Vec<BTreeMap<String, u64>>> {
        let mut served = Vec::new();
        for proxy in &self.proxies {
            let by_endpoint = proxy.envoy.endpoint_requests().await?;
            let mut by_version = BTreeMap::new();
            for upstream in &self.upstreams {
                let count = by_endpoint.get(&upstream.addr()).copied().unwrap_or(0);
                *by_version.entry(upstream.version().to_owned()).or_default() += count;
            }
            served.push(by_version);
        }
        Ok(served)
    }
}

/// v1 and v2 answer within a few milliseconds; v3 fails one request in five, and is slow at times.
fn behaviour(version: &str) -> Behaviour {
    let good = Behaviour { latency: Duration::from_millis(2), ..Behaviour::GOOD };
    match version {
        "v3" => Behaviour { error_rate: 0.2, slow_rate: 0.3, slow_latency: Duration::from_millis(200), ..good },
        _ => good,
    }
}

fn release_of(version: &str) -> Result<String> {
    ensure!(RELEASE.matches(WANTED).count() == 1, "release.yaml must want v1 once");
    Ok(RELEASE.replace(WANTED, &format!("\n  version: {version}\n")))
}

/// The spec with each of the given addresses that stands in it replaced. No other address may be left.
fn with_addresses(spec: &str, addresses: &BTreeMap<&str, SocketAddr>) -> Result<String> {
    let mut parts = spec.split('"');
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        replaced.push('"');
        match addresses.get(part) {
            Some(addr) => replaced.push_str(&addr.to_string()),
            None => {
                ensure!(part.parse::<SocketAddr>().is_err(), "nothing of the demo listens on {part}");
                replaced.push_str(part);
            }
        }
    }
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specs_hold_the_addresses_that_are_replaced() {
        let all: Vec<&str> = LISTENERS.into_iter().chain(ENDPOINTS.into_iter().flat_map(|(_, e)| e)).collect();
        let free = SocketAddr::from(([127, 0, 0, 1], 4711));
        let addresses: BTreeMap<&str, SocketAddr> = all.iter().map(|literal| (*literal, free)).collect();
        let specs = [FLEETS, SERVICE].map(|spec| with_addresses(spec, &addresses).expect("all known")).concat();
        assert_eq!(specs.matches("127.0.0.1:4711").count(), all.len());
        assert!(all.iter().all(|literal| !specs.contains(literal)), "{specs}");
        assert!(with_addresses(FLEETS, &BTreeMap::new()).is_err(), "an address that nobody listens on");
    }

    #[test]
    fn a_commit_changes_one_line() {
        let committed = release_of("v2").expect("a spec");
        let changed: Vec<_> = RELEASE.lines().zip(committed.lines()).filter(|(old, new)| old != new).collect();
        assert_eq!(changed, [("  version: v1", "  version: v2")]);
    }
}
