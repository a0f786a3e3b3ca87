//! The client that the Autobahn Testsuite tests: `autobahn_client URL AGENT`.

use std::process::ExitCode;

use ws_examples::Args;
use ws_std::{Result, connect};

const USAGE: &str = "usage: autobahn_client URL AGENT";

fn main() -> ExitCode {
    ws_examples::run("autobahn_client", USAGE, run)
}

fn run(mut args: Args) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (Some(url), Some(agent)) = (args.next(), args.next()) else { return Err(USAGE.into()) };
    let url = url.trim_end_matches('/');
    let mut ws = connect(&format!("{url}/getCaseCount"))?;
    let count = ws.read()?.ok_or("no case count")?;
    let count: u32 = count.as_text().unwrap_or_default().parse()?;
    ws.close(None, "")?;
    for case in 1..=count {
        // A case that has to fail is one that the suite, not this program, judges.
        if let Err(error) = echo(&format!("{url}/runCase?case={case}&agent={agent}")) {
            eprintln!("case {case}: {error}");
        }
    }
    connect(&format!("{url}/updateReports?agent={agent}"))?.close(None, "")?;
    Ok(())
}

fn echo(url: &str) -> Result<()> {
    let mut ws = connect(url)?;
    while let Some(message) = ws.read()? {
        ws.queue(message)?;
    }
    Ok(())
}
