//! The states of a release, all of them: what lasts a few seconds is over before somebody looks who has much to do.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use serin_testbed::child::Child;
use serin_testbed::process::ServerProcess;
use serin_testbed::wait;

use crate::scene::DEADLINE;

/// `serin get NAME --watch`, and what it has printed. It ends when it is dropped.
pub(crate) struct States(Child);

impl States {
    /// From now on.
    pub(crate) fn of(server: &ServerProcess, release: &str) -> Result<Self> {
        let mut command: Command = server.client(["get", release, "--watch", "-o", "json"]);
        let log = server.specs().with_file_name(format!("states-of-{release}.log"));
        Ok(Self(Child::spawn("serin get --watch", &mut command, log)?))
    }

    /// Waits until the release is, or was, as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until(what, DEADLINE, || async {
            let printed = self.0.output();
            // The last line may not be whole yet.
            let lines = printed.split_inclusive('\n').filter(|line| line.ends_with('\n') && line.starts_with('{'));
            let states: Vec<Value> = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
            let last = states.last().cloned().unwrap_or_default();
            states.into_iter().find(&wanted).with_context(|| format!("in the end it was {last:#}"))
        })
        .await
    }

    /// Waits until something of the traffic has moved, and not all of it.
    pub(crate) async fn until_a_part_has_moved(&self) -> Result<()> {
        let part = |weight: &Value| weight.as_f64().is_some_and(|weight| weight > 0.0 && weight < 100.0);
        self.until("a part of the traffic to have moved", |release| part(&release["actualWeight"])).await.map(drop)
    }
}
