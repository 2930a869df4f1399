//! Why a verb did not do what it was asked, and the exit code that says so. PURE.

use std::process::ExitCode;

/// Why a verb failed. Each kind has an exit code of its own, so that scripts need not read messages.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
    /// Everything was said already.
    #[error("failed")]
    Told,
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The release that was waited for was reverted.
    #[error("{0}")]
    Degraded(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It did not happen in time.
    #[error("{0}")]
    Timeout(String),
    /// The server understood, and will not do it.
    #[error("{0}")]
    Refused(String),
    /// Whoever read the output has gone (`serin get | head -1`): no failure, but no reason to go on.
    #[error("nobody reads the output")]
    Closed,
}

/// The exit codes, for `--help`.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  ok
  1  error; `validate`: findings; `specs`: not in force; `healthcheck`: not ready
  2  the command line makes no sense
  3  degraded: the release that `get --until` waits for was reverted
  4  not found
  5  timeout: `get --until --timeout` waited in vain
  6  refused: it makes no sense in the state that the release is in";

impl Failure {
    /// The exit code.
    pub(super) fn code(&self) -> u8 {
        match self {
            Failure::Closed => 0,
            Failure::Other(_) | Failure::Told => 1,
            Failure::Usage(_) => 2,
            Failure::Degraded(_) => 3,
            Failure::NotFound(_) => 4,
            Failure::Timeout(_) => 5,
            Failure::Refused(_) => 6,
        }
    }

    /// What is left to say on stderr.
    pub(super) fn message(&self) -> Option<String> {
        match self {
            Failure::Closed | Failure::Told => None,
            Failure::Other(_)
            | Failure::Usage(_)
            | Failure::Degraded(_)
            | Failure::NotFound(_)
            | Failure::Timeout(_)
            | Failure::Refused(_) => Some(format!("error: {self}")),
        }
    }
}

impl From<&Failure> for ExitCode {
    fn from(failure: &Failure) -> Self {
        ExitCode::from(failure.code())
    }
}

impl From<std::io::Error> for Failure {
    /// Of writing to stdout.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Other(anyhow::Error::new(error).context("writing to stdout")),
        }
    }
}

impl From<tonic::Status> for Failure {
    /// What the server said of a call.
    fn from(status: tonic::Status) -> Self {
        let said = match status.message() {
            "" => status.code().description().to_owned(),
            message => message.to_owned(),
        };
        match status.code() {
            tonic::Code::NotFound => Failure::NotFound(said),
            tonic::Code::FailedPrecondition => Failure::Refused(said),
            tonic::Code::InvalidArgument => Failure::Usage(said),
            tonic::Code::DeadlineExceeded => {
                Failure::Other(anyhow::anyhow!("the server did not answer in time: {said}"))
            }
            tonic::Code::Unavailable => Failure::Other(anyhow::anyhow!("the server cannot do it now: {said}")),
            tonic::Code::Unimplemented => Failure::Other(anyhow::anyhow!(
                "what answers there does not know this call; is it the --admin address, and a Serin of this version? ({said})"
            )),
            code => Failure::Other(anyhow::anyhow!("{said} ({code:?})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_code() {
        for (status, code, message) in [
            (tonic::Status::not_found("no such release"), 4, "error: no such release"),
            (tonic::Status::failed_precondition("not paused"), 6, "error: not paused"),
            (tonic::Status::invalid_argument("no name"), 2, "error: no name"),
            (tonic::Status::internal("oops"), 1, "error: oops (Internal)"),
            (tonic::Status::internal(""), 1, "error: Internal error (Internal)"),
        ] {
            let failure = Failure::from(status);
            assert_eq!((failure.code(), failure.message().as_deref()), (code, Some(message)));
        }
        let closed = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!((closed.code(), closed.message()), (0, None));
    }

    #[test]
    fn the_help_names_every_code() {
        let all = [
            Failure::Closed,
            Failure::Told,
            Failure::Usage(String::new()),
            Failure::Degraded(String::new()),
            Failure::NotFound(String::new()),
            Failure::Timeout(String::new()),
            Failure::Refused(String::new()),
        ];
        for failure in all {
            assert!(EXIT_CODES.contains(&format!("\n  {}  ", failure.code())), "{failure:?}");
        }
    }
}
