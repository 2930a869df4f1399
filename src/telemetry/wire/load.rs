//! A load report as it stands in its bytes: what is counted of each cluster is read, the rest is left where it is. PURE.

use std::net::{IpAddr, SocketAddr};

use xxhash_rust::xxh3::xxh3_64;

use super::Interval;
use super::fields::{Fields, Malformed};
use crate::telemetry::report::Outcomes;

/// `envoy.service.load_stats.v3.LoadStatsRequest`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport<'a> {
    /// Who reports, not read: Envoy says it in each message, others in the first only.
    node: Option<&'a [u8]>,
    /// Per cluster, since the report before.
    pub clusters: Vec<ClusterLoad<'a>>,
}

/// `envoy.config.endpoint.v3.ClusterStats`, its localities (`UpstreamLocalityStats`) summed up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClusterLoad<'a> {
    /// The cluster.
    pub name: &'a str,
    /// Requests that ended. Failed by Envoy: with a 5xx, or for gRPC a status that maps to one. By gRPC clients: with any
    /// status but OK.
    pub ended: Outcomes,
    /// Requests that are under way.
    pub in_progress: u64,
    /// Requests that were given up before an endpoint was chosen: too many were under way. They are in no locality.
    pub dropped: u64,
    /// How long the report's time was.
    pub interval: Option<Interval>,
    /// Of all numbers above and the name, by locality: two that differ have different ones but by a rare chance.
    pub print: u64,
    message: &'a [u8],
}

/// `envoy.config.endpoint.v3.UpstreamEndpointStats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointLoad {
    /// Where it is.
    pub address: SocketAddr,
    /// Requests that ended, as those of its locality.
    pub ended: Outcomes,
    /// Requests that are under way.
    pub in_progress: u64,
}

impl<'a> LoadReport<'a> {
    /// Reads a message, but not who sent it, and nothing of endpoints.
    ///
    /// # Errors
    /// When these bytes are no such message.
    pub fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let is_cluster = |field: &Result<_, Malformed>| matches!(field, Ok((2, _)));
        let count = Fields::of(message).filter(is_cluster).count();
        let mut report = Self { node: None, clusters: Vec::with_capacity(count) };
        for field in Fields::of(message) {
            match field? {
                (1, _) if report.node.is_some() => return Err(Malformed("it has two nodes")),
                (1, node) => report.node = Some(node.bytes()?),
                (2, cluster) => report.clusters.push(ClusterLoad::read(cluster.bytes()?)?),
                _ => {}
            }
        }
        Ok(report)
    }

    /// The id of the node that reports; `None` when the message does not say.
    ///
    /// # Errors
    /// When what should be a node is none.
    pub fn node_id(&self) -> Result<Option<&'a str>, Malformed> {
        let mut id = None;
        for field in Fields::of(self.node.unwrap_or_default()) {
            if let (1, text) = field? {
                id = Some(text.text()?);
            }
        }
        Ok(id)
    }
}

impl<'a> ClusterLoad<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut cluster = Self { message, ..Self::default() };
        for field in Fields::of(message) {
            match field? {
                (1, name) => cluster.name = name.text()?,
                (2, locality) => cluster.add(locality.bytes()?)?,
                (3, dropped) => cluster.dropped = dropped.varint()?,
                (4, interval) => cluster.interval = Some(read_interval(interval.bytes()?)?),
                _ => {}
            }
        }
        let interval = cluster.interval.unwrap_or_default();
        let numbers = [cluster.dropped, interval.seconds.unsigned_abs(), u64::from(interval.nanos.unsigned_abs())];
        cluster.print = numbers.into_iter().fold(cluster.print ^ xxh3_64(cluster.name.as_bytes()), mixed);
        Ok(cluster)
    }

    fn add(&mut self, locality: &[u8]) -> Result<(), Malformed> {
        let (mut successes, mut errors, mut in_progress) = (0, 0, 0);
        for field in Fields::of(locality) {
            match field? {
                (2, value) => successes = value.varint()?,
                (3, value) => in_progress = value.varint()?,
                (4, value) => errors = value.varint()?,
                _ => {}
            }
        }
        self.ended.add(successes, false);
        self.ended.add(errors, true);
        self.in_progress = self.in_progress.saturating_add(in_progress);
        self.print = [successes, errors, in_progress].into_iter().fold(mixed(self.print, 1), mixed);
        Ok(())
    }

    /// Its endpoints, as far as they have an address and a port.
    ///
    /// # Errors
    /// When what should be an endpoint is none.
    pub fn endpoints(&self) -> Result<Vec<EndpointLoad>, Malformed> {
        let mut endpoints = Vec::new();
        for field in Fields::of(self.message) {
            let (2, locality) = field? else { continue };
            for field in Fields::of(locality.bytes()?) {
                if let (7, endpoint) = field? {
                    endpoints.extend(EndpointLoad::read(endpoint.bytes()?)?);
                }
            }
        }
        Ok(endpoints)
    }
}

impl EndpointLoad {
    fn read(message: &[u8]) -> Result<Option<Self>, Malformed> {
        let (mut at, mut successes, mut errors, mut in_progress) = (None, 0, 0, 0);
        for field in Fields::of(message) {
            match field? {
                (1, value) => at = read_address(value.bytes()?)?,
                (2, value) => successes = value.varint()?,
                (3, value) => in_progress = value.varint()?,
                (4, value) => errors = value.varint()?,
                _ => {}
            }
        }
        let mut ended = Outcomes::default();
        ended.add(successes, false);
        ended.add(errors, true);
        Ok(at.map(|address| Self { address, ended, in_progress }))
    }
}

/// `envoy.config.core.v3.Address`, if it is one of IP.
fn read_address(message: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    let (mut ip, mut port) = (None, 0);
    let mut is_socket = false;
    for field in Fields::of(message) {
        let (1, socket) = field? else { continue };
        is_socket = true;
        for field in Fields::of(socket.bytes()?) {
            match field? {
                (2, text) => ip = text.text()?.parse::<IpAddr>().ok(),
                (3, value) => port = value.varint()?,
                _ => {}
            }
        }
    }
    let port = u16::try_from(port).ok().filter(|_| is_socket);
    Ok(ip.zip(port).map(|(ip, port)| SocketAddr::new(ip, port)))
}

/// `google.protobuf.Duration`.
fn read_interval(message: &[u8]) -> Result<Interval, Malformed> {
    let mut interval = Interval::default();
    for field in Fields::of(message) {
        match field? {
            // The encoding of a negative number is its two's complement.
            (1, seconds) => interval.seconds = seconds.varint()?.cast_signed(),
            (2, nanos) => interval.nanos = nanos.varint()? as i32,
            _ => {}
        }
    }
    Ok(interval)
}

/// As rustc's own hash mixes numbers.
fn mixed(print: u64, number: u64) -> u64 {
    (print.rotate_left(5) ^ number).wrapping_mul(0xf135_7aea_2e62_a9c5)
}

#[cfg(test)]
pub(in crate::telemetry) mod reference;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
