//! What a scene writes into its spec directory.

use std::collections::BTreeMap;

use super::{HOST, Proxy, Scene};

/// Further fields, each a line of a flow mapping such as `windows: []`, and whole parts in place of the usual ones.
#[derive(Debug, Clone)]
pub(crate) struct Specs {
    /// The whole of `strategy:`; a canary with the scene's steps when absent.
    pub(crate) strategy: Option<String>,
    /// The release's `analysis:`.
    pub(crate) analysis: String,
    /// Of the release.
    pub(crate) release: Vec<String>,
    /// Of the service.
    pub(crate) service: Vec<String>,
    /// Of each listener.
    pub(crate) listener: Vec<String>,
    /// Of each fleet.
    pub(crate) fleet: Vec<String>,
    /// The service's `hosts:`; none when empty, as for a TCP service.
    pub(crate) hosts: String,
    /// Versions by name, beside those that the upstreams are: the whole of what stands there.
    pub(crate) versions: BTreeMap<String, String>,
    /// Further services behind the same listeners, with the same upstreams.
    pub(crate) others: Vec<Other>,
}

/// Another service, `NAME.example.com`, and its release.
#[derive(Debug, Clone)]
pub(crate) struct Other {
    /// What both are called.
    pub(crate) name: &'static str,
    /// The version that is wanted.
    pub(crate) version: &'static str,
    /// The whole of `strategy:`.
    pub(crate) strategy: String,
    /// Further fields of the release.
    pub(crate) release: Vec<String>,
}

impl Default for Specs {
    fn default() -> Self {
        Self {
            strategy: None,
            analysis: "{metrics: [{errors: {harmlessRate: 0.02}}]}".into(),
            release: Vec::new(),
            // Room for what a load sends at once that was held up for some seconds.
            service: vec![
                "circuitBreakers: {maxConnections: 10000, maxPendingRequests: 10000, maxRequests: 10000}".into(),
            ],
            listener: Vec::new(),
            fleet: Vec::new(),
            hosts: format!("[{HOST}]"),
            versions: BTreeMap::new(),
            others: Vec::new(),
        }
    }
}

impl Scene {
    /// The specs, with this version of the first service wanted.
    pub(super) fn text(&self, version: &str) -> String {
        let specs = &self.specs;
        let canary = || format!("{{canary: {{steps: {}}}}}", self.steps);
        let mut text = self.fleets();
        text += &self.service("checkout", &specs.hosts);
        text += &release("checkout", version, &specs.strategy.clone().unwrap_or_else(canary), specs, &specs.release);
        for other in &specs.others {
            text += &self.service(other.name, &format!("[{}.example.com]", other.name));
            text += &release(other.name, other.version, &other.strategy, specs, &other.release);
        }
        text
    }

    fn fleets(&self) -> String {
        let mut names: Vec<&str> = vec!["checkout"];
        names.extend(self.specs.others.iter().map(|other| other.name));
        let services = names.join(", ");
        let raw = self.raw.iter().map(|[of_listener, _]| format!("envoy: {of_listener}"));
        let more: Vec<String> = self.specs.listener.iter().cloned().chain(raw).collect();
        let more = more.iter().map(|field| format!(", {field}")).collect::<String>();
        let mut text = String::new();
        for (at, Proxy { fleet, listen, rds_only, .. }) in self.proxies.iter().enumerate() {
            if self.proxies[..at].iter().any(|earlier| earlier.fleet == *fleet) {
                continue;
            }
            let listens = match rds_only {
                true => format!("routeConfigs: [{{name: local_route, services: [{services}]}}]"),
                false => format!("listeners: [{{name: http, bind: \"{listen}\", services: [{services}]{more}}}]"),
            };
            text += &format!(
                "apiVersion: serin.dev/v1\nkind: Fleet\nmetadata: {{name: {fleet}}}\n\
                 spec:\n  nodes: {{cluster: {fleet}}}\n  {listens}\n{}---\n",
                lines(&self.specs.fleet)
            );
        }
        text
    }

    fn service(&self, name: &str, hosts: &str) -> String {
        let hosts = if hosts.is_empty() { String::new() } else { format!("  hosts: {hosts}\n") };
        let mut text = format!(
            "apiVersion: serin.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n{hosts}  connectTimeout: {}\n{}",
            self.connect_timeout,
            lines(&self.specs.service)
        );
        if let Some([_, of_service]) = &self.raw {
            text += &format!("  envoy: {of_service}\n");
        }
        let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for upstream in &self.upstreams {
            versions.entry(upstream.version()).or_default().push(format!("\"{}\"", upstream.addr()));
        }
        text += "  versions:\n";
        for (version, endpoints) in versions {
            text += &format!("    {version}: {{endpoints: [{}]}}\n", endpoints.join(", "));
        }
        for (version, what) in &self.specs.versions {
            text += &format!("    {version}: {what}\n");
        }
        text + "---\n"
    }
}

fn release(name: &str, version: &str, strategy: &str, specs: &Specs, more: &[String]) -> String {
    format!(
        "apiVersion: serin.dev/v1\nkind: Release\nmetadata: {{name: {name}}}\nspec:\n  service: {name}\n  \
         version: {version}\n  strategy: {strategy}\n  analysis: {}\n{}---\n",
        specs.analysis,
        lines(more)
    )
}

/// Fields of a document's `spec`, a line each.
fn lines(fields: &[String]) -> String {
    fields.iter().map(|field| format!("  {field}\n")).collect()
}
