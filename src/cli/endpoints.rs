//! `serin endpoints`: where versions run, where that is known from, and for how long.

use jiff::Timestamp;

use super::client::{ClientArgs, answer};
use super::failure::Failure;
use super::json::Shown;
use super::output::{Cell, Format, Style, Tone, json, put, table, yaml};
use super::text::{NOTHING, left, on_one_line, or_nothing};
use crate::admin::proto::{Endpoint, EndpointState, ListEndpointsRequest, ListEndpointsResponse, VersionEndpoints};

/// Show where versions run
///
/// A row per endpoint, with where it is known from, and when its state ends if nothing is heard of it. A source that
/// fails keeps what was known before; below the table it is said why it fails.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  serin endpoints\n  serin endpoints checkout -o json")]
pub(super) struct Args {
    /// Only this service's
    service: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let mut client = args.client.server.endpoints().await?;
    let request = ListEndpointsRequest { service: args.service.unwrap_or_default() };
    let got = answer(client.list_endpoints(request)).await?;
    put(&match args.client.output {
        Format::Table => list(&got, Timestamp::now(), Style::of_stdout()),
        Format::Json => json(&Shown::of(&got))?,
        Format::Yaml => yaml(&Shown::of(&got))?,
        Format::Name => {
            let endpoints = got.versions.iter().flat_map(|version| &version.endpoints);
            endpoints.map(|endpoint| on_one_line(&endpoint.address) + "\n").collect()
        }
    })
}

const HEADING: [&str; 8] = ["SERVICE", "VERSION", "ADDRESS", "ZONE", "WEIGHT", "STATE", "ENDS", "FROM"];

/// A row per endpoint, and one for a version without any; then a line per source that fails.
fn list(got: &ListEndpointsResponse, now: Timestamp, style: Style) -> String {
    if got.versions.is_empty() {
        return "there are no services\n".to_owned();
    }
    let mut rows = Vec::new();
    for of in &got.versions {
        if of.endpoints.is_empty() {
            let none = Cell::toned("none", Tone::Notable);
            rows.push(row(of, [NOTHING.into(), NOTHING.into(), NOTHING.into(), none, NOTHING.into()]));
        }
        rows.extend(of.endpoints.iter().map(|endpoint| row(of, cells(endpoint, now))));
    }
    let mut text = table(HEADING, &rows, style);
    for of in got.versions.iter().filter(|of| !of.error.is_empty()) {
        let line = format!("{} {}: the last known endpoints stay: {}", of.service, of.version, of.error);
        text += &(style.paint(Tone::Bad, &on_one_line(&line)) + "\n");
    }
    text
}

fn row(of: &VersionEndpoints, [address, zone, weight, state, ends]: [Cell; 5]) -> [Cell; 8] {
    let [service, version, source] = [&of.service, &of.version, &of.source].map(|text| text.as_str().into());
    [service, version, address, zone, weight, state, ends, source]
}

fn cells(of: &Endpoint, now: Timestamp) -> [Cell; 5] {
    let state = match of.state() {
        EndpointState::Serving => Cell::toned("serving", Tone::Good),
        EndpointState::Draining => Cell::toned("draining", Tone::Notable),
        EndpointState::Unspecified => NOTHING.into(),
    };
    let ends = match of.expires.as_ref() {
        Some(at) => format!("in {}", left(at, now)).into(),
        None => NOTHING.into(),
    };
    [of.address.as_str().into(), or_nothing(&of.zone).into(), of.weight.to_string().into(), state, ends]
}

#[cfg(test)]
mod tests {
    use super::super::release::examples::{ago, now};
    use super::*;

    #[test]
    fn a_row_for_each_endpoint_and_a_line_for_each_failure() {
        let endpoint = |address: &str, zone: &str, state: EndpointState, expires| Endpoint {
            address: address.into(),
            zone: zone.into(),
            weight: 1,
            state: state.into(),
            expires,
        };
        let version = |version: &str, source: &str, error: &str, endpoints| VersionEndpoints {
            service: "checkout".into(),
            version: version.into(),
            source: source.into(),
            error: error.into(),
            endpoints,
        };
        let one = endpoint("10.0.0.1:8080", "eu-1a", EndpointState::Serving, None);
        let two = endpoint("10.0.0.2:8080", "", EndpointState::Draining, ago(-12));
        let got = ListEndpointsResponse {
            versions: vec![
                version("v1", "the spec", "", vec![one]),
                version("v2", "registered", "", vec![two]),
                version("v3", "file v3.json", "it is\nempty", vec![]),
            ],
        };
        let expected = "\
SERVICE    VERSION   ADDRESS         ZONE    WEIGHT   STATE      ENDS     FROM
checkout   v1        10.0.0.1:8080   eu-1a   1        serving    -        the spec
checkout   v2        10.0.0.2:8080   -       1        draining   in 12s   registered
checkout   v3        -               -       -        none       -        file v3.json
checkout v3: the last known endpoints stay: it is empty
";
        assert_eq!(list(&got, now(), Style::PLAIN), expected);
        assert_eq!(list(&ListEndpointsResponse::default(), now(), Style::PLAIN), "there are no services\n");
    }
}
