//! `trunkline tail`: shows events as they come in. Changes nothing.

use clap::Args;

use super::{
    Failure,
    client::Connection,
    follow::{Selection, follow},
    print,
    seen::Seen,
    sse::Frame,
};

/// The arguments of `trunkline tail`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    selection: Selection,
    /// Writes each event as one line of JSON, whole.
    #[arg(long)]
    json: bool,
}

/// Shows events until it is interrupted.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::block_on(async {
        let api = arguments.connection.open()?;
        follow(&api, &arguments.selection, async |frame| {
            print(&line(&frame, arguments.json))
        })
        .await
    })
}

fn line(frame: &Frame, as_json: bool) -> String {
    match (frame.event.as_str(), Seen::parse(&frame.data)) {
        // Line breaks within JSON stand only between its tokens.
        (_, Ok(_)) if as_json => format!("{}\n", frame.data.replace('\n', " ")),
        (_, Ok(seen)) => {
            let Seen {
                position,
                received_at,
                kind,
                payload,
                ..
            } = &seen;
            let payload = payload.get().replace('\n', " ");
            format!("{position:>8}  {received_at}  {kind}  {payload}\n")
        }
        ("gap", Err(_)) => {
            eprintln!("events in between are no longer kept: {}", frame.data);
            String::new()
        }
        (other, Err(error)) => {
            eprintln!("an event of type {other} cannot be read: {error}");
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let data = "{\"id\":\"evt_01\",\"type\":\"a.b\",\"workspace\":\"ws_01\",\"position\":7,\
                    \"received_at\":\"2026-01-01T00:00:00.000000Z\",\"payload\":{\n\"x\":1}}";
        let frame = Frame {
            event: "a.b".to_owned(),
            data: data.to_owned(),
        };
        assert_eq!(
            line(&frame, false),
            "       7  2026-01-01T00:00:00.000000Z  a.b  { \"x\":1}\n"
        );
        assert_eq!(line(&frame, true), data.replace('\n', " ") + "\n");
        let gap = Frame {
            event: "gap".to_owned(),
            data: "{\"oldest\":3}".to_owned(),
        };
        assert_eq!(line(&gap, true), "");
    }
}
