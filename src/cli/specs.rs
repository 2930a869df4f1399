//! `serin specs`: whether the newest specs are in force, and if not, why.

use super::client::{ClientArgs, answer};
use super::failure::Failure;
use super::json::Shown;
use super::output::{Format, Style, Tone, json, put, yaml};
use super::text::moment;
use crate::admin::proto::{GetSpecStatusRequest, GetSpecStatusResponse};

/// Show whether the newest specs are in force, and what is wrong with them if not
///
/// The first place to look when something was committed and nothing happens. Exits with 1 when the newest specs are not
/// in force.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  serin specs\n  serin specs -o json")]
pub(super) struct Args {
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let mut client = args.client.server.specs().await?;
    let status = answer(client.get_spec_status(GetSpecStatusRequest {})).await?;
    put(&render(&status, args.client.output, Style::of_stdout())?)?;
    if status.diagnostics.is_empty() { Ok(()) } else { Err(Failure::Told) }
}

fn render(status: &GetSpecStatusResponse, output: Format, style: Style) -> Result<String, Failure> {
    match output {
        Format::Table | Format::Name => Ok(words(status, style)),
        Format::Json => json(&Shown::of(status)),
        Format::Yaml => yaml(&Shown::of(status)),
    }
}

fn words(status: &GetSpecStatusResponse, style: Style) -> String {
    let GetSpecStatusResponse { applied_at, fleets, services, releases, diagnostics } = status;
    let mut text = match applied_at {
        Some(at) => {
            let counts = format!("{fleets} fleets, {services} services, {releases} releases");
            format!("in force since {}: {counts}\n", moment(Some(at)))
        }
        None => "no specs are in force yet\n".to_owned(),
    };
    if !diagnostics.is_empty() {
        text += &style.paint(Tone::Bad, "the newest specs are not in force:");
        text += "\n";
    }
    for diagnostic in diagnostics {
        text += diagnostic.trim_end();
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::release::examples::ago;
    use super::*;

    #[test]
    fn what_is_in_force_and_what_is_wrong() {
        let good =
            GetSpecStatusResponse { applied_at: ago(60), fleets: 2, services: 1, releases: 1, diagnostics: Vec::new() };
        let expected = "in force since 1970-01-12T13:45:40.000Z: 2 fleets, 1 services, 1 releases\n";
        assert_eq!(words(&good, Style::PLAIN), expected);
        let bad = GetSpecStatusResponse { diagnostics: vec!["error: no\n --> a.yaml:1:1".into()], ..good };
        let expected = format!("{expected}the newest specs are not in force:\nerror: no\n --> a.yaml:1:1\n");
        assert_eq!(words(&bad, Style::PLAIN), expected);
        let none = GetSpecStatusResponse { applied_at: None, ..GetSpecStatusResponse::default() };
        assert_eq!(words(&none, Style::PLAIN), "no specs are in force yet\n");
    }
}
