//! docker-compose.yml against everything that it names: flags of the binaries, files, ports, addresses, bootstraps and
//! specs. Containers cannot run everywhere that tests do; what they would trip over is checked without them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use serde::Deserialize;
use serde_yaml::Value;

const SPECS: &str = "examples/demo/compose";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: impl AsRef<Path>) -> Value {
    let mut value: Value = serde_yaml::from_str(&read(path)).expect("YAML");
    value.apply_merge().expect("merge keys name mappings");
    value
}

/// The texts of a list, or none where there is no list.
fn texts(list: &Value) -> Vec<String> {
    let list = list.as_sequence().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|item| item.as_str().unwrap_or_else(|| panic!("not a text: {item:?}")).to_owned()).collect()
}

fn text<'a>(value: &'a Value, what: &str) -> &'a str {
    value.as_str().unwrap_or_else(|| panic!("{what} is not a text: {value:?}"))
}

/// A service of the compose file, as far as it is checked.
struct Service {
    name: String,
    value: Value,
}

impl Service {
    fn command(&self) -> Vec<String> {
        texts(&self.value["command"])
    }

    /// The value after a flag in the command.
    fn flag(&self, flag: &str) -> Option<String> {
        let command = self.command();
        let at = command.iter().position(|word| word == flag)?;
        command.get(at + 1).cloned()
    }

    fn needed(&self, flag: &str) -> String {
        self.flag(flag).unwrap_or_else(|| panic!("{} has no {flag}: {:?}", self.name, self.command()))
    }

    fn port_of(&self, flag: &str) -> u16 {
        self.needed(flag).parse::<SocketAddr>().unwrap_or_else(|error| panic!("{}: {flag}: {error}", self.name)).port()
    }

    /// The stage of the Dockerfile that it is built from.
    fn target(&self) -> Option<&str> {
        self.value["build"]["target"].as_str()
    }

    fn image(&self) -> &str {
        text(&self.value["image"], "an image")
    }

    fn is_envoy(&self) -> bool {
        self.image().starts_with("envoyproxy/envoy:")
    }

    /// Host path and container path of each mount of a file or directory.
    fn mounts(&self) -> Vec<(PathBuf, String)> {
        let mounts = texts(&self.value["volumes"]);
        let mounts = mounts.iter().filter(|mount| mount.starts_with('.')).map(|mount| {
            let mut parts = mount.split(':');
            let (host, container) = (parts.next().expect("a host path"), parts.next().expect("a container path"));
            (root().join(host), container.to_owned())
        });
        mounts.collect()
    }
}

fn services() -> Vec<Service> {
    let compose = yaml("docker-compose.yml");
    let services = compose["services"].as_mapping().expect("services");
    services
        .iter()
        .map(|(name, value)| Service { name: text(name, "a name").to_owned(), value: value.clone() })
        .collect()
}

fn service(name: &str) -> Service {
    services().into_iter().find(|service| service.name == name).unwrap_or_else(|| panic!("no service {name}"))
}

/// The documents of the demo's specs of one kind, by name.
fn specs(kind: &str) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for file in ["fleets.yaml", "service.yaml", "release.yaml"] {
        let file = read(Path::new(SPECS).join(file));
        for document in serde_yaml::Deserializer::from_str(&file) {
            let value = Value::deserialize(document).expect("YAML");
            if value["kind"] == kind {
                found.insert(text(&value["metadata"]["name"], "a name").to_owned(), value["spec"].clone());
            }
        }
    }
    assert!(!found.is_empty(), "no {kind} in {SPECS}");
    found
}

/// The long flags that `serin VERB --help` tells of.
fn serin_flags(verb: &str) -> BTreeSet<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_serin")).args([verb, "--help"]).output().expect("serin runs");
    assert!(help.status.success(), "serin {verb} --help: {}", String::from_utf8_lossy(&help.stderr));
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(!help.trim().is_empty(), "serin {verb} --help says nothing");
    help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.starts_with("--"))
        .map(str::to_owned)
        .collect()
}

/// Checks a command of the `serin` binary: verb first, then flags that this verb has.
fn check_serin(command: &[String]) {
    let (verb, rest) = command.split_first().expect("a verb");
    let known = serin_flags(verb);
    for flag in rest.iter().filter(|word| word.starts_with("--")) {
        assert!(known.contains(flag), "serin {verb} has no {flag}; it has {known:?}");
    }
}

fn check_testbed(command: &[String]) {
    let words = std::iter::once("serin-testbed").chain(command.iter().map(String::as_str));
    if let Err(error) = serin_testbed::cli::Cli::try_parse_from(words) {
        panic!("serin-testbed {}: {error}", command.join(" "));
    }
}

#[test]
fn commands_use_flags_that_exist() {
    for service in services() {
        let command = service.command();
        match service.target() {
            Some("serin") => check_serin(&command),
            Some("testbed") => check_testbed(&command),
            Some(other) => panic!("{}: no such stage: {other}", service.name),
            None => assert!(service.is_envoy() && command[0] == "envoy", "{}: {command:?}", service.name),
        }
    }
}

#[test]
fn health_checks_run_what_the_image_has() {
    for service in services().iter().filter(|service| service.name != "load") {
        let test = texts(&service.value["healthcheck"]["test"]);
        let words: Vec<&str> = test.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["CMD", "serin", ..] if service.target() == Some("serin") => check_serin(&test[2..]),
            ["CMD", "serin-testbed", "check", addr] if service.target() == Some("testbed") => {
                check_testbed(&test[2..]);
                let addr: SocketAddr = addr.parse().expect("an address");
                assert_eq!(addr.port(), service.port_of("--listen"), "{}", service.name);
            }
            ["CMD", "bash", "-c", script] if service.is_envoy() => {
                let (_, bootstrap) = bootstrap(service);
                let admin = &bootstrap["admin"]["address"]["socket_address"]["port_value"];
                let port = admin.as_u64().expect("the bootstrap's admin port");
                assert!(script.contains(&format!("/dev/tcp/127.0.0.1/{port} ")), "{}: {script}", service.name);
            }
            other => panic!("{}: a health check that its image cannot run: {other:?}", service.name),
        }
    }
}

#[test]
fn what_is_waited_for_exists_and_can_become_healthy() {
    let all = services();
    for waiting in &all {
        let Some(conditions) = waiting.value["depends_on"].as_mapping() else { continue };
        for (name, condition) in conditions {
            let name = text(name, "a name");
            let awaited = all.iter().find(|service| service.name == name);
            let awaited = awaited.unwrap_or_else(|| panic!("{} waits for {name}, which is not there", waiting.name));
            assert_eq!(condition["condition"], "service_healthy", "{} waits for {name}", waiting.name);
            assert!(awaited.value["healthcheck"].is_mapping(), "{name} has no health check");
        }
    }
}

#[test]
fn mounts_exist() {
    let compose = yaml("docker-compose.yml");
    let mut seen = 0;
    for service in services() {
        for (host, _) in service.mounts() {
            assert!(host.exists(), "{} mounts {}, which is not there", service.name, host.display());
            seen += 1;
        }
        for volume in texts(&service.value["volumes"]).iter().filter(|volume| !volume.starts_with('.')) {
            let name = volume.split(':').next().unwrap_or_default();
            assert!(compose["volumes"].as_mapping().is_some_and(|v| v.contains_key(name)), "no volume {name}");
        }
    }
    assert!(seen >= 5, "the specs and four bootstraps, seen {seen}");
    let server = service("serin");
    let specs = server.needed("--specs");
    let mounted = server.mounts().into_iter().find(|(_, container)| *container == specs);
    assert_eq!(mounted.map(|(host, _)| host), Some(root().join(".").join(SPECS)), "the server reads the demo's specs");
}

/// An Envoy's bootstrap, from the file that is mounted where its command reads it.
fn bootstrap(envoy: &Service) -> (PathBuf, Value) {
    let config = envoy.needed("-c");
    let mounted = envoy.mounts().into_iter().find(|(_, container)| *container == config);
    let (host, _) = mounted.unwrap_or_else(|| panic!("{}: nothing is mounted at {config}", envoy.name));
    (host.clone(), yaml(host))
}

/// Where a bootstrap looks for its server.
fn xds_address(bootstrap: &Value) -> (String, u16) {
    let clusters = bootstrap["static_resources"]["clusters"].as_sequence().expect("clusters");
    let xds = clusters.iter().find(|cluster| cluster["name"] == "xds").expect("the cluster xds");
    let endpoint = &xds["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    let address = &endpoint["address"]["socket_address"];
    let port = address["port_value"].as_u64().expect("a port");
    (text(&address["address"], "an address").to_owned(), u16::try_from(port).expect("a port"))
}

#[test]
fn proxies_find_their_server_and_their_fleet() {
    let xds = service("serin").port_of("--xds");
    let fleets = specs("Fleet");
    let mut variants = BTreeSet::new();
    let mut envoys = 0;
    for envoy in services().iter().filter(|service| service.is_envoy()) {
        let (path, bootstrap) = bootstrap(envoy);
        assert_eq!(xds_address(&bootstrap), ("serin".into(), xds), "{}", path.display());
        assert_eq!(envoy.needed("--service-node"), envoy.name, "a node id is its container's name");
        let cluster = text(&bootstrap["node"]["cluster"], "the node's cluster");
        let taken = fleets.values().any(|fleet| fleet["nodes"]["cluster"] == cluster);
        assert!(taken, "no fleet takes the node cluster {cluster} of {}", path.display());
        variants.insert(format!("{:?}", bootstrap["dynamic_resources"]["ads_config"]["api_type"]));
        envoys += 1;
    }
    assert_eq!((envoys, variants.len()), (4, 2), "four proxies, over both variants of the protocol: {variants:?}");
}

#[test]
fn endpoints_are_the_addresses_of_their_versions_containers() {
    let subnet = yaml("docker-compose.yml")["networks"]["demo"]["ipam"]["config"][0]["subnet"].clone();
    let prefix = text(&subnet, "the subnet").strip_suffix("0/24").expect("a /24").to_owned();
    let mut containers: BTreeMap<(IpAddr, u16), String> = BTreeMap::new();
    for upstream in services().iter().filter(|s| s.command().first().is_some_and(|verb| verb == "upstream")) {
        let ip = text(&upstream.value["networks"]["demo"]["ipv4_address"], "a fixed address");
        assert!(ip.starts_with(&prefix), "{}: {ip} is outside {prefix}0/24", upstream.name);
        let address = (ip.parse().expect("an address"), upstream.port_of("--listen"));
        let twice = containers.insert(address, upstream.needed("--version-name"));
        assert_eq!(twice, None, "{} has another's address", upstream.name);
    }
    let mut endpoints = BTreeMap::new();
    for (version, spec) in specs("Service")["checkout"]["versions"].as_mapping().expect("versions") {
        for endpoint in texts(&spec["endpoints"]) {
            let address: SocketAddr = endpoint.parse().expect("an address");
            endpoints.insert((address.ip(), address.port()), text(version, "a version").to_owned());
        }
    }
    assert_eq!(endpoints, containers, "the service's endpoints, and the containers that serve them");
}

#[test]
fn the_load_goes_to_the_fleets_listeners() {
    let fleets = specs("Fleet");
    let load = service("load");
    let command = load.command();
    let targets: Vec<&str> =
        command.windows(2).filter(|pair| pair[0] == "--target").map(|pair| pair[1].as_str()).collect();
    let mut reached = BTreeSet::new();
    for target in targets {
        let (host, port) = target.split_once(':').expect("HOST:PORT");
        let (_, bootstrap) = bootstrap(&service(host));
        let cluster = &bootstrap["node"]["cluster"];
        let fleet = fleets.values().find(|fleet| fleet["nodes"]["cluster"] == *cluster).expect("its fleet");
        let listeners = fleet["listeners"].as_sequence().expect("listeners");
        let binds: Vec<SocketAddr> =
            listeners.iter().map(|l| text(&l["bind"], "bind").parse().expect("an address")).collect();
        assert!(binds.iter().any(|bind| bind.port().to_string() == port), "{target}: its fleet listens on {binds:?}");
        assert!(binds.iter().all(|bind| bind.ip().is_unspecified()), "other containers reach it: {binds:?}");
        reached.insert(host.to_owned());
    }
    let envoys: BTreeSet<String> = services().into_iter().filter(Service::is_envoy).map(|s| s.name).collect();
    assert_eq!(reached, envoys, "every proxy is under load");
    let hosts = texts(&specs("Service")["checkout"]["hosts"]);
    assert!(hosts.contains(&load.needed("--host")), "the service answers to {hosts:?}");
}

#[test]
fn ports_are_published_on_loopback_and_served() {
    let server = service("serin");
    let served = ["--xds", "--admin", "--http"].map(|flag| server.port_of(flag));
    for published in texts(&server.value["ports"]) {
        let parts: Vec<&str> = published.split(':').collect();
        assert_eq!((parts.len(), parts[0]), (3, "127.0.0.1"), "{published}: everybody could steer releases");
        assert!(served.iter().any(|port| port.to_string() == parts[2]), "{published}: nothing listens there");
    }
    let others = services().into_iter().filter(|s| s.name != "serin" && !s.value["ports"].is_null());
    assert_eq!(others.map(|s| s.name).collect::<Vec<_>>(), Vec::<String>::new(), "only the server is published");
}

/// The stages of the Dockerfile: name and what each is made from.
fn stages(dockerfile: &str) -> Vec<(String, String)> {
    let froms = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM "));
    froms
        .map(|from| {
            let (base, name) = from.split_once(" AS ").expect("every stage has a name");
            (name.to_owned(), base.to_owned())
        })
        .collect()
}

#[test]
fn images_are_pinned() {
    let stages = stages(&read("Dockerfile"));
    let names: Vec<&str> = stages.iter().map(|(name, _)| name.as_str()).collect();
    for (stage, base) in &stages {
        let pinned = base.split_once(':').is_some_and(|(_, tag)| tag.chars().any(|c| c.is_ascii_digit()));
        assert!(names.contains(&base.as_str()) || pinned, "the stage {stage} is from {base}");
    }
    for service in services() {
        match service.target() {
            Some(target) => assert!(names.contains(&target), "{}: no stage {target}", service.name),
            None => {
                let pinned = format!("envoyproxy/envoy:v{}", serin_testbed::envoy::DEFAULT_VERSION);
                assert_eq!(service.image(), pinned, "{}: the Envoy that is tested", service.name);
            }
        }
    }
}

#[test]
fn the_image_builds_from_what_is_sent_and_runs_what_exists() {
    let (dockerfile, ignored) = (read("Dockerfile"), read(".dockerignore"));
    let sent: BTreeSet<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for copy in dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|c| !c.starts_with("--from")) {
        let words: Vec<&str> = copy.split(' ').collect();
        let (_, sources) = words.split_last().expect("a destination");
        for source in sources {
            assert!(root().join(source).exists(), "COPY {source}: it is not there");
            let top = source.split('/').next().unwrap_or_default();
            assert!(sent.contains(top), "COPY {source}: .dockerignore keeps it out");
        }
    }
    // CMD and HEALTHCHECK of the server's stage; the last one, so that a plain build makes it.
    let (_, server) = dockerfile.rsplit_once("FROM ").expect("a stage");
    assert!(server.starts_with("base AS serin\n"), "{server}");
    let words = |line: &str| -> Vec<String> { serde_json::from_str(line).expect("a list of words") };
    let cmd = server.lines().find_map(|line| line.strip_prefix("CMD ")).expect("CMD");
    check_serin(&words(cmd));
    let health = server.lines().find_map(|line| line.strip_prefix("HEALTHCHECK ")).expect("HEALTHCHECK");
    let (_, health) = health.split_once("CMD ").expect("its command");
    let health = words(health);
    assert_eq!(health[0], "serin");
    check_serin(&health[1..]);
    assert!(dockerfile.contains("\nUSER 10001\n"), "nothing runs as root");
}
