//! A control plane with a fleet of gRPC clients, and versions of the one service that they call.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use serin_testbed::grpc_client::{GrpcClient, Library};
use serin_testbed::process::ServerProcess;
use serin_testbed::upstream::{Behaviour, Upstream, UpstreamConfig};
use serin_testbed::wait;

/// How long anything may take on a loaded machine before it counts as never.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);
/// The name that the clients ask for.
pub(crate) const NAME: &str = "checkout.local";

pub(crate) struct Scene {
    pub(crate) server: ServerProcess,
    /// Each a version. Endpoints of the same version share its name.
    pub(crate) upstreams: Vec<Upstream>,
}

/// An upstream that answers everything.
pub(crate) async fn good(version: &str) -> Result<Upstream> {
    Ok(Upstream::start(UpstreamConfig::local(version)).await?)
}

impl Scene {
    /// Good upstreams v1 and v2 beside a v3 that fails one request in five, and a server that runs with v1 live.
    pub(crate) async fn start(steps: &str) -> Result<Self> {
        let failing = UpstreamConfig { behaviour: Behaviour::failing(0.2), ..UpstreamConfig::local("v3") };
        let upstreams = vec![good("v1").await?, good("v2").await?, Upstream::start(failing).await?];
        let mut scene = Self { server: ServerProcess::new(env!("CARGO_BIN_EXE_serin"))?.arg("-v"), upstreams };
        scene.commit("v1", steps)?;
        scene.server.start().await?;
        Ok(scene)
    }

    /// Commits the specs with this version wanted.
    pub(crate) fn commit(&self, version: &str, steps: &str) -> Result<()> {
        let versions: String = self
            .upstreams
            .iter()
            .map(|u| format!("    {}: {{endpoints: [\"{}\"]}}\n", u.version(), u.addr()))
            .collect();
        let text = format!(
            "apiVersion: serin.dev/v1\nkind: Fleet\nmetadata: {{name: apps}}\n\
             spec:\n  nodes: {{cluster: apps}}\n  routeConfigs: [{{name: apps, services: [checkout]}}]\n---\n\
             apiVersion: serin.dev/v1\nkind: Service\nmetadata: {{name: checkout}}\n\
             spec:\n  hosts: [{NAME}]\n  protocol: grpc\n  versions:\n{versions}---\n\
             apiVersion: serin.dev/v1\nkind: Release\nmetadata: {{name: checkout}}\nspec:\n  service: checkout\n  \
             version: {version}\n  strategy: {{canary: {{steps: {steps}}}}}\n  \
             analysis: {{metrics: [{{errors: {{harmlessRate: 0.02}}}}]}}\n"
        );
        self.server.write_spec("specs.yaml", &text)
    }

    /// Starts a client, with the bootstrap that `serin bootstrap` prints for it.
    pub(crate) async fn client(&self, library: &Library, arguments: &[&str]) -> Result<GrpcClient> {
        let (specs, xds) = (self.server.specs().to_string_lossy().into_owned(), self.server.xds().to_string());
        let flags = ["bootstrap", "--grpc", "--fleet", "apps", "--specs", &specs, "--xds", &xds, "--id", "client-1"];
        let bootstrap = self.server.run(flags).await?;
        GrpcClient::start(library, NAME, &bootstrap, arguments)
    }

    /// Waits until the release is as wanted, and returns it as `serin get -o json` prints it.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let waited = wait::until(what, DEADLINE, || async {
            let printed = self.server.run(["get", "checkout", "-o", "json"]).await?;
            let release: Value = serde_json::from_str(&printed).context(printed)?;
            ensure!(wanted(&release), "{release:#}");
            Ok(release)
        });
        waited.await.with_context(|| self.server.tail())
    }

    /// Waits until the release has reached a phase with a version live.
    pub(crate) async fn until_phase(&self, phase: &str, stable: &str) -> Result<Value> {
        let what = format!("the release to be {phase} with {stable} stable");
        self.until(&what, |release| release["phase"] == phase && release["stableVersion"] == stable).await
    }
}
