//! `serin bootstrap`: the file that an Envoy or a gRPC client is started with. Needs no server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::failure::Failure;
use super::output::{put, say};
use super::text::{parse_duration, plural};
use crate::model::{Fleet, Pattern, World};
use crate::spec::Settings;
use crate::translate::Dialect;
use crate::translate::bootstrap::{BootstrapOptions, NodeId, bootstrap, grpc_bootstrap};
use crate::xds::{Node, Variant};

/// Print the bootstrap of an Envoy, or of a gRPC client
///
/// A complete file: the proxy asks the server for everything else, and reports back. With --fleet and --specs it says
/// of itself what the fleet's selector asks for, and opens the listeners whose routes the fleet gives.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("who").required(true).args(["fleet", "cluster"]))]
#[command(after_help = "Examples:\n  serin bootstrap --fleet edge --specs ./specs --xds serin:18000 > envoy.yaml\n  \
                        envoy -c envoy.yaml --service-node edge-1\n\n  \
                        serin bootstrap --cluster sidecars --id sidecar-1 --variant sotw --envoy 1.36\n\n  \
                        serin bootstrap --grpc --cluster shop --id cart-1 > bootstrap.json\n  \
                        GRPC_XDS_BOOTSTRAP=bootstrap.json ./cart   # resolves xds:///NAME here")]
pub(super) struct Args {
    /// The fleet that the proxy is to belong to
    #[arg(long, value_name = "NAME", requires = "specs")]
    fleet: Option<String>,
    /// Specs that have the fleet; may be given several times
    #[arg(long, value_name = "PATH", requires = "fleet", conflicts_with = "cluster")]
    specs: Vec<PathBuf>,
    /// Without specs: the node cluster that the proxy names
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Where the proxy finds the server's --xds
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:18000", value_parser = host_and_port)]
    xds: (String, u16),
    /// For a gRPC client without a proxy: JSON for its GRPC_XDS_BOOTSTRAP
    #[arg(long, conflicts_with_all = ["variant", "admin", "no_metrics", "flush", "envoy"])]
    grpc: bool,
    /// The form of the protocol: incremental, or state of the world
    #[arg(long, default_value = "delta")]
    variant: Form,
    /// Where Envoy's own admin interface listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
    /// The node id; without it, it is Envoy's flag --service-node
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Do not ship statistics: releases are then judged by load reports alone
    #[arg(long)]
    no_metrics: bool,
    /// How often statistics are shipped
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    flush: Duration,
    /// The version of the Envoy, if older than 1.37: it refuses what it does not know
    #[arg(long, value_name = "VERSION", value_parser = envoy_version)]
    envoy: Option<(u32, u32, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Incremental.
    Delta,
    /// State of the world.
    Sotw,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let world = match args.fleet {
        Some(_) => read(&args.specs)?,
        None => World::default(),
    };
    let options = options(args, &world)?;
    put(&if args.grpc { grpc_bootstrap(&options) } else { bootstrap(&options) })
}

fn read(paths: &[PathBuf]) -> Result<World, Failure> {
    let files = crate::spec::source::read_paths(paths).map_err(|e| Failure::Usage(e.to_string()))?;
    // A bootstrap has nothing of what is patched.
    let specs =
        crate::spec::parse(&files, Settings { envoy_patches: true, no_prometheus: false }).map_err(|diagnostics| {
            diagnostics.iter().for_each(|diagnostic| say(&diagnostic.to_string()));
            Failure::Other(anyhow::anyhow!("the specs are not valid: {}", plural(diagnostics.len(), "finding")))
        })?;
    Ok(specs.world)
}

fn options(args: &Args, world: &World) -> Result<BootstrapOptions, Failure> {
    let (host, port) = &args.xds;
    let base = match &args.fleet {
        Some(name) => {
            let fleet = find(world, name)?;
            check_id(fleet, args.id.as_deref())?;
            BootstrapOptions::for_fleet(fleet, host, *port)
        }
        None => BootstrapOptions { node_cluster: args.cluster.clone(), ..BootstrapOptions::new(host, *port) },
    };
    let node_id = args.id.clone().map_or(base.node_id, NodeId::Fixed);
    if args.grpc && !matches!(node_id, NodeId::Fixed(_)) {
        return Err(Failure::Usage(
            "--grpc needs --id: every client has an id of its own, and no flag for it".to_owned(),
        ));
    }
    Ok(BootstrapOptions {
        node_id,
        variant: match args.variant {
            Form::Delta => Variant::Delta,
            Form::Sotw => Variant::Sotw,
        },
        dialect: args.envoy.map_or(Dialect::MODERN, dialect),
        metrics_sink: !args.no_metrics,
        flush_interval: args.flush,
        admin: args.admin,
        ..base
    })
}

fn find<'a>(world: &'a World, name: &str) -> Result<&'a Fleet, Failure> {
    world.fleets.get(name).ok_or_else(|| {
        let names: Vec<&str> = world.fleets.keys().map(String::as_str).collect();
        let known =
            if names.is_empty() { "there is none".to_owned() } else { format!("there is {}", names.join(", ")) };
        Failure::NotFound(format!("the specs have no fleet named {name}: {known}"))
    })
}

/// A proxy with another id would be turned away by the fleet.
fn check_id(fleet: &Fleet, id: Option<&str>) -> Result<(), Failure> {
    match (&fleet.nodes.id, id) {
        (Some(pattern), Some(id)) if !pattern.matches(id) => {
            let Pattern(like) = pattern;
            Err(Failure::Usage(format!("--id {id}: fleet {} takes only proxies whose id is like {like}", fleet.name)))
        }
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

/// As the server takes a proxy that says it is this Envoy.
fn dialect(version: (u32, u32, u32)) -> Dialect {
    Dialect::of(&Node { user_agent: "envoy".into(), version: Some(version), ..Node::default() })
}

/// `1.36`, `1.36.2`, `v1.36.2`.
fn envoy_version(text: &str) -> Result<(u32, u32, u32), String> {
    let numbers: Result<Vec<u32>, _> =
        text.strip_prefix('v').unwrap_or(text).split('.').map(str::parse::<u32>).collect();
    match numbers.as_deref() {
        Ok([major, minor]) => Ok((*major, *minor, 0)),
        Ok([major, minor, patch]) => Ok((*major, *minor, *patch)),
        Ok(_) | Err(_) => Err("write it as 1.36 or 1.36.2".to_owned()),
    }
}

/// `serin:18000`, `10.0.0.1:18000`, `[::1]:18000`.
fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let hint = || "write it as HOST:PORT, an IPv6 address in brackets".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(hint)?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let sound = match bare {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '/', '[', ']']) && !host.contains(char::is_whitespace),
    };
    match port.parse() {
        Ok(port) if sound && port > 0 => Ok((bare.unwrap_or(host).to_owned(), port)),
        Ok(_) | Err(_) => Err(hint()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Alone::try_parse_from(std::iter::once("bootstrap").chain(line.split(' '))).map(|alone| alone.args)
    }

    fn world() -> World {
        let nodes = crate::model::NodeSelector {
            cluster: Some("edge".into()),
            id: Some(Pattern("edge-*".into())),
            ..Default::default()
        };
        let fleet = Fleet {
            name: "edge".into(),
            nodes,
            listeners: Vec::new(),
            route_configs: Vec::new(),
            config_canary: None,
            poll: None,
        };
        World { fleets: [("edge".to_owned(), fleet)].into(), ..World::default() }
    }

    #[test]
    fn flags_become_options() {
        let line = "--cluster c --id i --xds [::1]:5 --variant sotw --no-metrics --flush 250ms --envoy 1.36";
        let made = options(&parse(line).expect("sound"), &World::default()).expect("options");
        let expected = BootstrapOptions {
            node_id: NodeId::Fixed("i".into()),
            node_cluster: Some("c".into()),
            variant: Variant::Sotw,
            dialect: Dialect::PLAIN,
            metrics_sink: false,
            flush_interval: Duration::from_millis(250),
            admin: "127.0.0.1:9901".parse().expect("an address"),
            ..BootstrapOptions::new("::1", 5)
        };
        assert_eq!(made, expected);
    }

    #[test]
    fn a_fleets_proxy_says_what_the_fleet_asks_for() {
        let of = |line| options(&parse(line).expect("sound"), &world());
        let made = of("--fleet edge --specs s").expect("options");
        assert_eq!(made.node_cluster.as_deref(), Some("edge"));
        assert_eq!(made.node_id, NodeId::Flag { like: Some(Pattern("edge-*".into())) });
        assert_eq!(of("--fleet edge --specs s --id edge-7").expect("options").node_id, NodeId::Fixed("edge-7".into()));
        let wrong = of("--fleet edge --specs s --id x").expect_err("turned away by the fleet");
        assert!(wrong.to_string().contains("edge-*") && wrong.code() == 2, "{wrong}");
        let absent = of("--fleet egde --specs s").expect_err("no such fleet");
        assert!(absent.to_string().contains("there is edge") && absent.code() == 4, "{absent}");
    }

    #[test]
    fn a_grpc_client_needs_an_id() {
        let of = |line| options(&parse(line).expect("sound"), &world());
        assert!(of("--grpc --fleet edge --specs s --id edge-7").is_ok());
        let wrong = of("--grpc --fleet edge --specs s").expect_err("no flag gives it one");
        assert!(wrong.to_string().contains("--id") && wrong.code() == 2, "{wrong}");
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for line in [
            "--id i",
            "--fleet edge",
            "--cluster c --specs s",
            "--cluster c --fleet edge --specs s",
            "--cluster c --xds serin",
            "--cluster c --xds ::1:5",
            "--cluster c --xds http://serin:5",
            "--cluster c --xds serin:0",
            "--cluster c --envoy latest",
            "--cluster c --flush 0s",
            "--grpc",
            "--cluster c --id i --grpc --variant sotw",
            "--cluster c --id i --grpc --no-metrics",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn versions_and_addresses_are_read() {
        for (text, version) in [("1.36", (1, 36, 0)), ("1.40.2", (1, 40, 2)), ("v1.36.1", (1, 36, 1))] {
            assert_eq!(envoy_version(text), Ok(version));
        }
        assert_eq!((dialect((1, 36, 9)), dialect((1, 37, 0))), (Dialect::PLAIN, Dialect::MODERN));
        for (text, host) in [("serin:1", "serin"), ("10.0.0.1:1", "10.0.0.1"), ("[::1]:1", "::1")] {
            assert_eq!(host_and_port(text), Ok((host.to_owned(), 1)));
        }
    }
}
