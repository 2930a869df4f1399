//! What a script installs on first use, and an environment variable may name instead.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::envoy::workspace;

/// What the environment says, or else the script prints; `None` when either says that there is none.
pub(crate) fn provided(variable: &str, script: &str) -> Result<Option<PathBuf>> {
    if let Some(chosen) = std::env::var_os(variable) {
        return Ok((!chosen.is_empty()).then(|| chosen.into()));
    }
    let output = Command::new(workspace().join(script)).output().with_context(|| format!("run {script}"))?;
    ensure!(output.status.success(), "{script}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).with_context(|| format!("what {script} prints"))?;
    Ok(Some(printed.trim()).filter(|path| !path.is_empty()).map(PathBuf::from))
}
