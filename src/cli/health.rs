//! `trunkline health`: asks the server that this configuration describes whether it can do its work.
//!
//! For supervisors that can only run a program, such as those of containers without a shell. Changes nothing.

use std::{net::SocketAddr, time::Duration};

use anyhow::anyhow;
use clap::Args;
use outbound::{
    StatusCode,
    api_client::probe::{Answered, Certificates, probe},
};
use serde_json::Value;
use url::Url;

use super::{Failure, Global, print};
use crate::{config::Server, first_start};

/// How long an answer may take: a server says after five seconds that a store does not answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(8);
/// Answers 200 when every store does.
const READY: &str = "/ready";
/// Answers 200 as long as the process does.
const LIVE: &str = "/health";

/// The arguments of `trunkline health`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The server's address; without it the one on this machine that the configuration describes.
    #[arg(long)]
    url: Option<Url>,
    /// Asks only whether the process lives, not whether its stores answer.
    #[arg(long)]
    live: bool,
}

/// Asks: success if the server is well, exit code 1 if it is not or does not answer.
pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    // Nothing secret is sent, and a certificate for the public name does not name this machine.
    let (base, certificates) = match &arguments.url {
        Some(url) => (
            url.as_str().trim_end_matches('/').to_owned(),
            Certificates::Valid,
        ),
        None => (own_url(&global.load()?.settings.server)?, Certificates::Any),
    };
    let path = if arguments.live { LIVE } else { READY };
    super::block_on(async move {
        let url = format!("{base}{path}");
        let answer = probe(&url, certificates, ANSWERS_WITHIN).await;
        let Answered { status, body } = answer.map_err(anyhow::Error::new)?;
        if status == StatusCode::OK {
            return print(&format!("{}\n", word(&body)));
        }
        let reason = reason(&body);
        Err(anyhow!("{url} answers {status}: {reason}").into())
    })
}

/// Where the configured server listens, as a client on the same machine calls it.
fn own_url(server: &Server) -> Result<String, Failure> {
    if server.port == 0 {
        let error = anyhow!("server.port is 0, so the port is not known: pass --url");
        return Err(Failure::Usage(error));
    }
    let address = SocketAddr::new(server.host, server.port);
    Ok(first_start::url_to_call(address, server.tls().is_some()))
}

/// What a server that is well says of itself.
fn word(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body["data"]["status"].as_str().unwrap_or("ok").to_owned()
}

/// What is wrong, as the problem says it.
fn reason(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = body["detail"].as_str();
    detail.unwrap_or("without a reason").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loaded;

    fn url(variables: &[(&str, &str)]) -> Result<String, Failure> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let loaded = Loaded::load(None, variables.iter().map(owned)).unwrap();
        own_url(&loaded.settings.server)
    }

    #[test]
    fn the_configured_server_is_called_on_this_machine() {
        let everywhere = [("TRUNKLINE__SERVER__HOST", "0.0.0.0"), ("PORT", "9000")];
        assert_eq!(url(&everywhere).unwrap(), "http://127.0.0.1:9000");
        assert!(matches!(url(&[("PORT", "0")]), Err(Failure::Usage(_))));
    }

    #[test]
    fn an_answer_is_told_in_a_word_and_a_problem_by_its_reason() {
        assert_eq!(word(br#"{"data":{"status":"ready"}}"#), "ready");
        let problem = br#"{"status":503,"detail":"control: disk I/O error"}"#;
        assert_eq!(reason(problem), "control: disk I/O error");
        assert_eq!(reason(b"<html>"), "without a reason");
    }
}
