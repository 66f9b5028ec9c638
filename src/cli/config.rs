//! `trunkline config`: every setting that is in force, and where it comes from. Changes nothing.

use std::io::{self, ErrorKind, Write as _};

use anyhow::Context as _;
use clap::Args;

use super::{Failure, Global};
use crate::config::Shown;

/// The arguments of `trunkline config`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Writes one JSON object instead: {"server.port": {"value": 8080, "source": "default"}, …}.
    #[arg(long)]
    json: bool,
}

/// Shows the configuration.
pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let shown = global.load()?.shown();
    let text = if arguments.json {
        as_json(&shown).context("write the settings as JSON")?
    } else {
        as_text(&shown)
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written.context("write to standard output")?),
    }
}

fn as_json(shown: &[Shown]) -> serde_json::Result<String> {
    let mut object = serde_json::Map::new();
    for one in shown {
        let member = serde_json::json!({ "value": one.value, "source": one.source });
        object.insert(one.key.clone(), member);
    }
    Ok(serde_json::to_string_pretty(&object)? + "\n")
}

fn as_text(shown: &[Shown]) -> String {
    let line = |one: &Shown| format!("{} = {}", one.key, one.value);
    let width = shown
        .iter()
        .map(|one| line(one).chars().count())
        .max()
        .unwrap_or(0);
    shown
        .iter()
        .map(|one| format!("{:width$}  # {}\n", line(one), one.source))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_shown_with_its_source() {
        let shown = [
            Shown {
                key: "a.b".to_owned(),
                value: 7.into(),
                source: "default".to_owned(),
            },
            Shown {
                key: "a.text".to_owned(),
                value: "x".into(),
                source: "file".to_owned(),
            },
        ];
        assert_eq!(
            as_text(&shown),
            "a.b = 7       # default\na.text = \"x\"  # file\n"
        );
        insta::assert_snapshot!(as_json(&shown).unwrap(), @r#"
        {
          "a.b": {
            "source": "default",
            "value": 7
          },
          "a.text": {
            "source": "file",
            "value": "x"
          }
        }
        "#);
    }
}
