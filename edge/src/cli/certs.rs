//! `edge certs`: which certificate each host of the running edge has, and what is missing.

use super::ask::Asked;
use super::failure::{Exit, Failure};
use super::out::{Out, Style};
use super::table::{self, Cell};
use crate::admin::api::{Cert, CertState};

/// List the certificates of the running edge and why one is missing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  edge certs --json\n\n\
    `stand-in`: the certificate of the local CA serves until the wanted one is there.")]
pub(super) struct Args {
    #[command(flatten)]
    asked: Asked,
}

pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let certs: Vec<Cert> = args.asked.get("/api/v1/certs")?;
    if args.asked.json {
        out.json(&certs);
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = certs.iter().map(row).collect();
    table::write(out, ["NAME", "ISSUER", "STATE", "UNTIL", "RENEWAL"], &rows, "no certificates are needed");
    for (name, error) in certs.iter().filter_map(|cert| Some((&cert.name, cert.last_error.as_ref()?))) {
        out.line("");
        out.line(out.paint(Style::Red, format!("{name}: {}", error.text)));
    }
    Ok(Exit::Done)
}

fn row(cert: &Cert) -> [Cell; 5] {
    let state = match cert.state {
        CertState::Valid => Cell::styled("valid", Style::Green),
        CertState::StandIn => Cell::styled("stand-in", Style::Yellow),
        CertState::Expired => Cell::styled("expired", Style::Red),
        CertState::Missing => Cell::styled("missing", Style::Red),
    };
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let until = or_dash(&cert.not_after).into();
    [cert.name.clone().into(), cert.issuer.clone().into(), state, until, or_dash(&cert.renew_at).into()]
}
