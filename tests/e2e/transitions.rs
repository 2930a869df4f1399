//! Changes of every kind under load lose nothing.

use anyhow::{Result, ensure};
use serin_testbed::soak::{Options, soak};

/// The short form of `make soak-transitions`.
#[tokio::test(flavor = "multi_thread")]
async fn transitions_of_every_kind_on_top_of_each_other_lose_no_request() -> Result<()> {
    let options = Options {
        binary: env!("CARGO_BIN_EXE_serin").into(),
        transitions: 30,
        // Of the transitions three replace a version with traffic by another in one change.
        seed: 21,
        rate: 300.0,
        logs: None,
        verbose: false,
    };
    let report = soak(&options).await?;
    ensure!(report.good() && report.transitions() == 30, "{report}\n{}", report.failures.join("\n"));
    Ok(())
}
