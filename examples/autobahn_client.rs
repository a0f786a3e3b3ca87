//! The client that the Autobahn Testsuite tests: `autobahn_client URL AGENT`.

use std::process::ExitCode;

use ws_examples::{Args, Deflate};
use ws_std::{Connector, Result};

const USAGE: &str =
    "usage: autobahn_client URL AGENT [--deflate] [--deflate-window BITS] [--deflate-no-takeover]";

fn main() -> ExitCode {
    ws_examples::run("autobahn_client", USAGE, run)
}

fn run(mut args: Args) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut deflate = Deflate::default();
    let mut names = Vec::new();
    while let Some(arg) = args.next() {
        if !deflate.take(&arg, &mut args)? {
            names.push(arg);
        }
    }
    let [url, agent] = &names[..] else { return Err(USAGE.into()) };
    let url = url.trim_end_matches('/');
    let connector = Connector::builder().deflate(deflate.compression());
    let mut ws = connector.connect(&format!("{url}/getCaseCount"))?;
    let count = ws.read()?.ok_or("no case count")?;
    let count: u32 = count.as_text().unwrap_or_default().parse()?;
    ws.close(None, "")?;
    for case in 1..=count {
        // Some cases have to fail. The suite judges them, not this program.
        if let Err(error) = echo(&connector, &format!("{url}/runCase?case={case}&agent={agent}")) {
            eprintln!("case {case}: {error}");
        }
    }
    connector.connect(&format!("{url}/updateReports?agent={agent}"))?.close(None, "")?;
    Ok(())
}

fn echo(connector: &Connector, url: &str) -> Result<()> {
    let mut ws = connector.connect(url)?;
    while let Some(message) = ws.read()? {
        ws.queue(message)?;
    }
    Ok(())
}
