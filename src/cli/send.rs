//! `trunkline send`: sends one event and shows its receipt.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Failure, client::Connection, print};

/// The arguments of `trunkline send`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// The event's type, such as order.created.
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,
    #[command(flatten)]
    source: Source,
    /// The workspace, by slug or id; without it the key's own, or `default`.
    #[arg(long)]
    workspace: Option<String>,
    /// Drops the event if one with this id came within 24 hours.
    #[arg(long)]
    dedup_id: Option<String>,
    /// Events with the same key are delivered in order to webhooks that ask for it.
    #[arg(long)]
    ordering_key: Option<String>,
    /// Shows the receipt as JSON.
    #[arg(long)]
    json: bool,
}

/// Where the payload comes from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// The payload: any JSON.
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// A file with the payload.
    #[arg(long)]
    file: Option<PathBuf>,
    /// `-` reads the payload from standard input.
    #[arg(value_name = "-", value_parser = ["-"])]
    input: Option<String>,
}

#[derive(Serialize)]
struct NewEvent<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    payload: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ordering_key: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Receipt {
    id: String,
    position: u64,
    seq: u64,
    workspace: String,
}

/// Sends the event.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let payload = arguments.source.read().map_err(Failure::Usage)?;
    let body = arguments.body(&payload).map_err(Failure::Usage)?;
    super::block_on(async {
        let answer = arguments.connection.open()?.post("/v1/events", body).await;
        let answer = answer.context("send the event")?;
        print(&shown(&answer, arguments.json)?)
    })
}

impl Source {
    fn read(&self) -> anyhow::Result<String> {
        match (&self.payload, &self.file) {
            (Some(payload), _) => Ok(payload.clone()),
            (None, Some(path)) if path != Path::new("-") => {
                fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
            }
            (None, _) => {
                let mut text = String::new();
                io::stdin()
                    .read_to_string(&mut text)
                    .context("read standard input")?;
                Ok(text)
            }
        }
    }
}

impl Arguments {
    fn body(&self, payload: &str) -> anyhow::Result<Vec<u8>> {
        let payload: &RawValue =
            serde_json::from_str(payload).context("the payload is not JSON")?;
        let event = NewEvent {
            kind: &self.kind,
            payload,
            workspace: self.workspace.as_deref(),
            dedup_id: self.dedup_id.as_deref(),
            ordering_key: self.ordering_key.as_deref(),
        };
        serde_json::to_vec(&event).context("write the event")
    }
}

fn shown(answer: &[u8], as_json: bool) -> anyhow::Result<String> {
    let answer: Answer<'_> = serde_json::from_slice(answer).context("read the receipt")?;
    if as_json {
        return Ok(format!("{}\n", answer.data.get()));
    }
    let Receipt {
        id,
        position,
        seq,
        workspace,
    } = serde_json::from_str(answer.data.get()).context("read the receipt")?;
    Ok(format!(
        "{id} is stored at position {position}, as number {seq} of {workspace}\n"
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Whole {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn arguments(more: &[&str]) -> Result<Arguments, clap::Error> {
        let fixed = ["send", "--key", "k", "--type", "a.b"];
        let all = fixed.iter().chain(more);
        Whole::try_parse_from(all).map(|whole| whole.arguments)
    }

    #[test]
    fn the_payload_is_sent_as_it_was_given() {
        let payload = "{\"b\": 123456789012345678901234567890, \"a\":1.0}";
        let arguments = arguments(&["--payload", payload, "--dedup-id", "d"]).unwrap();
        let body = arguments.body(&arguments.source.read().unwrap()).unwrap();
        let expected = format!("{{\"type\":\"a.b\",\"payload\":{payload},\"dedup_id\":\"d\"}}");
        assert_eq!(String::from_utf8(body).unwrap(), expected);
        assert!(
            arguments
                .body("{")
                .unwrap_err()
                .to_string()
                .contains("not JSON")
        );
    }

    #[test]
    fn there_is_one_payload() {
        assert!(arguments(&[]).is_err());
        assert!(arguments(&["--payload", "1", "-"]).is_err());
        assert!(arguments(&["-"]).is_ok());
        assert!(arguments(&["--file", "x"]).is_ok());
    }

    #[test]
    fn the_receipt_is_shown_for_people_and_for_scripts() {
        let answer =
            br#"{"data":{"id":"evt_1","workspace":"ws_1","position":7,"seq":3,"hash":"00"}}"#;
        assert_eq!(
            shown(answer, false).unwrap(),
            "evt_1 is stored at position 7, as number 3 of ws_1\n"
        );
        assert!(
            shown(answer, true)
                .unwrap()
                .starts_with("{\"id\":\"evt_1\"")
        );
    }
}
