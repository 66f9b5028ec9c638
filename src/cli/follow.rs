//! Follows the live tail of a server across lost connections: no event twice, and none left out.
//!
//! Knows nothing of what is done with an event.

use std::time::Duration;

use clap::Args;
use outbound::{ApiClient, ApiStream, CallError};
use tokio::time::sleep;

use super::{
    Failure,
    sse::{Decoder, Frame},
};

const TAIL: &str = "/v1/events/tail";
/// How long to wait before the first new connection, if the server does not say.
const RETRY: Duration = Duration::from_secs(2);
/// The longest wait.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Which events, and from where on.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Selection {
    /// Only these types: exact ones, `prefix.*`, or `*`, separated by commas.
    #[arg(long = "type", value_name = "TYPES")]
    types: Option<String>,
    /// Only this workspace, by slug or id.
    #[arg(long)]
    workspace: Option<String>,
    /// The first position to show, or `earliest`; without it, what comes from now on.
    #[arg(long, value_name = "POSITION")]
    from: Option<String>,
}

impl Selection {
    fn query(&self, last_id: Option<&str>) -> Vec<(&'static str, &str)> {
        // The id of the last event says more exactly where to go on than where it all began.
        let from = self.from.as_deref().filter(|_| last_id.is_none());
        let members = [
            ("type", self.types.as_deref()),
            ("workspace", self.workspace.as_deref()),
            ("from", from),
        ];
        members
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

/// Hands every event to `each`, in order, until that fails or the server refuses for good.
pub(crate) async fn follow(
    api: &ApiClient,
    selection: &Selection,
    mut each: impl AsyncFnMut(Frame) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut last_id: Option<String> = None;
    let mut answer = open(api, selection, None).await.map_err(failed)?;
    loop {
        let mut decoder = Decoder::default();
        let cause = read(&mut answer, &mut decoder, &mut last_id, &mut each).await?;
        let mut wait = decoder.retry().unwrap_or(RETRY);
        eprintln!(
            "the connection is lost ({}); trying again",
            super::explain(&cause.into())
        );
        answer = loop {
            sleep(wait).await;
            match open(api, selection, last_id.as_deref()).await {
                Ok(answer) => break answer,
                Err(error) if error.is_passing() => wait = (wait * 2).min(RETRY_MAX),
                Err(error) => return Err(failed(error)),
            }
        };
        eprintln!("connected again");
    }
}

async fn open(
    api: &ApiClient,
    selection: &Selection,
    last_id: Option<&str>,
) -> Result<ApiStream, CallError> {
    api.stream(TAIL, &selection.query(last_id), last_id).await
}

/// Reads one connection to its end, and answers why it ended.
async fn read(
    answer: &mut ApiStream,
    decoder: &mut Decoder,
    last_id: &mut Option<String>,
    each: &mut impl AsyncFnMut(Frame) -> Result<(), Failure>,
) -> Result<Ended, Failure> {
    loop {
        let bytes = match answer.next().await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Ended::ByServer),
            Err(cause) => return Ok(Ended::Broken(cause)),
        };
        for (frame, id) in decoder.take(&bytes) {
            each(frame).await?;
            *last_id = id.or(last_id.take());
        }
        if let Some(id) = decoder.last_id() {
            *last_id = Some(id.to_owned());
        }
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the server has ended it")]
    ByServer,
    #[error(transparent)]
    Broken(CallError),
}

fn failed(error: CallError) -> Failure {
    Failure::Failed(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_comes_back_goes_on_where_it_was() {
        let selection = Selection {
            types: Some("a.*".to_owned()),
            workspace: None,
            from: Some("earliest".to_owned()),
        };
        assert_eq!(
            selection.query(None),
            [("type", "a.*"), ("from", "earliest")]
        );
        assert_eq!(selection.query(Some("7")), [("type", "a.*")]);
    }
}
