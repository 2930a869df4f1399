//! `serin serve`: flags and environment into plain options, and the log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use super::text::parse_duration;
use crate::server::ServeOptions;
use crate::spec::Settings;

/// Run the server
///
/// Reads the specs, serves the proxies, and carries out the releases, until SIGTERM or SIGINT. Every flag has an
/// environment variable; the flag wins.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  serin serve --specs ./specs\n  \
                        serin serve --specs /etc/serin --data /var/lib/serin --log-format json\n  \
                        RUST_LOG=serin::xds=debug serin serve --specs ./specs")]
pub(super) struct Args {
    /// The directory of specs (*.yaml), read again whenever it changes
    #[arg(long, value_name = "DIR", env = "SERIN_SPECS")]
    specs: PathBuf,
    /// Where rollouts and their journals are kept; made if absent
    #[arg(long, value_name = "DIR", env = "SERIN_DATA", default_value = "./serin-data")]
    data: PathBuf,
    /// Where proxies connect: xDS, metrics and load reports
    #[arg(long, value_name = "ADDR", env = "SERIN_XDS", default_value = "0.0.0.0:18000")]
    xds: SocketAddr,
    /// Where the other verbs connect: the administration API. It has no login, so keep it private
    #[arg(long, value_name = "ADDR", env = "SERIN_ADMIN", default_value = "127.0.0.1:18001")]
    admin: SocketAddr,
    /// Where /metrics, /healthz, /readyz and /releases/NAME/explain are
    #[arg(long, value_name = "ADDR", env = "SERIN_HTTP", default_value = "127.0.0.1:18002")]
    http: SocketAddr,
    /// How often to look for changed specs where the file system does not tell
    #[arg(long, value_name = "DURATION", env = "SERIN_RESCAN", default_value = "5s", value_parser = parse_duration)]
    rescan: Duration,
    /// Let specs put raw Envoy configuration (`envoy:`) into what proxies get. It can do whatever Envoy can
    #[arg(long, env = "SERIN_ALLOW_ENVOY_PATCHES")]
    allow_envoy_patches: bool,
    /// A secret that hooks and notifications are signed with, by the name that specs use: the content of FILE, which is
    /// read again for each use. May be repeated. Without it, SERIN_SECRET_<NAME> in the environment is the secret
    #[arg(long = "secret", value_name = "NAME=FILE", value_parser = parse_secret)]
    secrets: Vec<(String, PathBuf)>,
    /// The Prometheus of metrics that name none, as http://prometheus:9090
    #[arg(long, value_name = "URL", env = "SERIN_PROMETHEUS")]
    prometheus: Option<String>,
    /// The form of the log, which goes to stderr
    #[arg(long, value_name = "FORMAT", env = "SERIN_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Log more: -v for debug, -vv for trace; RUST_LOG, if set, wins
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// An object per line.
    Json,
}

impl From<Args> for ServeOptions {
    fn from(args: Args) -> Self {
        let Args { specs, data, xds, admin, http, rescan, allow_envoy_patches, secrets, prometheus, .. } = args;
        let allowed = Settings { envoy_patches: allow_envoy_patches, no_prometheus: prometheus.is_none() };
        Self { specs, data, xds, admin, http, rescan, allowed, secrets, prometheus }
    }
}

/// `NAME=FILE`.
fn parse_secret(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_owned(), file.into())),
        _ => Err("write it as NAME=FILE, for example ci=/run/secrets/ci".to_owned()),
    }
}

/// Runs the server until it is told to stop.
pub(super) fn run(args: Args) -> Result<(), Failure> {
    start_log(args.log_format, args.verbose)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Other(anyhow::Error::new(e).context("starting the runtime")))?;
    Ok(runtime.block_on(Box::pin(crate::server::run(args.into())))?)
}

/// What is logged without `RUST_LOG`.
fn directives(verbose: u8) -> &'static str {
    match verbose {
        0 => "info",
        1 => "info,serin=debug",
        2.. => "debug,serin=trace",
    }
}

fn start_log(format: LogFormat, verbose: u8) -> Result<(), Failure> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(wish) if !wish.is_empty() => {
            EnvFilter::try_new(&wish).map_err(|e| Failure::Usage(format!("RUST_LOG={wish}: {e}")))?
        }
        Ok(_) | Err(_) => EnvFilter::new(directives(verbose)),
    };
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    let started = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|e| Failure::Other(anyhow::anyhow!("starting the log: {e}")))
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

    #[test]
    fn flags_become_plain_options() {
        let line = [
            "serve",
            "--specs",
            "s",
            "--xds",
            "[::]:1",
            "--rescan",
            "1m30s",
            "--allow-envoy-patches",
            "-vv",
            "--secret",
            "ci=/run/ci",
            "--secret",
            "slack=a=b",
        ];
        let args = Alone::try_parse_from(line).expect("sound").args;
        assert_eq!(args.verbose, 2);
        let options = ServeOptions::from(args);
        assert_eq!(
            options,
            ServeOptions {
                specs: "s".into(),
                data: "./serin-data".into(),
                xds: "[::]:1".parse().expect("an address"),
                admin: "127.0.0.1:18001".parse().expect("an address"),
                http: "127.0.0.1:18002".parse().expect("an address"),
                rescan: Duration::from_secs(90),
                allowed: Settings { envoy_patches: true, no_prometheus: true },
                secrets: vec![("ci".into(), "/run/ci".into()), ("slack".into(), "a=b".into())],
                prometheus: None,
            }
        );
    }

    #[test]
    fn a_secret_without_a_file_is_refused() {
        for wrong in ["ci", "ci=", "=/run/ci"] {
            let said =
                Alone::try_parse_from(["serve", "--specs", "s", "--secret", wrong]).expect_err(wrong).to_string();
            assert!(said.contains("write it as NAME=FILE"), "{said}");
        }
    }

    #[test]
    fn more_v_log_more() {
        assert_eq!(
            [0, 1, 2, 9].map(directives),
            ["info", "info,serin=debug", "debug,serin=trace", "debug,serin=trace"]
        );
        for verbose in 0..=2 {
            assert!(EnvFilter::try_new(directives(verbose)).is_ok());
        }
    }
}
