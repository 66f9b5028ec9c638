//! `trunkline listen`: delivers a running server's events to a local URL, signed as a webhook would sign them.
//!
//! Reads the live tail, so nothing has to be set up on the server and no port has to be open to it. What is sent, and when it
//! is sent again, is what a webhook with the schedule `fast` does; only the dead letters are not kept.

mod letter;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use domain::{
    clock::Clock,
    ids::TenantId,
    retry::{self, Next, RetrySchedule},
    signature::WebhookSecret,
};
use ipnet::IpNet;
use outbound::{Outcome, Post, Url, WebhookClient};
use rand::RngExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use uuid::Uuid;

use super::{
    Failure, Global,
    client::Connection,
    follow::{Selection, follow},
    print,
    seen::Seen,
};
use crate::{
    assemble::{self, Given, Random},
    config::Settings,
};
use letter::Letter;

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The arguments of `trunkline listen`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// Where events are posted to, such as `http://localhost:3000/hook`.
    #[arg(long, value_name = "URL")]
    forward_to: Url,
    #[command(flatten)]
    selection: Selection,
    /// The secret that signs: whsec_…; without it one is made, and shown.
    #[arg(long, env = "TRUNKLINE_WEBHOOK_SECRET", hide_env_values = true, value_parser = WebhookSecret::parse)]
    secret: Option<WebhookSecret>,
    /// How many deliveries may be on their way at the same time; 1 keeps them in order.
    #[arg(long, default_value = "8", value_name = "NUMBER")]
    max_in_flight: NonZeroUsize,
}

/// What all deliveries share.
struct Forwarder {
    client: WebhookClient,
    url: Url,
    secret: WebhookSecret,
    clock: Clock,
    random: Random,
}

/// Delivers until it is interrupted.
pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let given = Given::new(global.load()?.settings);
    let outside = assemble::start_outside(&given.settings).map_err(Failure::assemble)?;
    let allow = allowed(&given.settings);
    let client = assemble::client(&given.settings, &allow, &given.clock, &outside);
    let made = || WebhookSecret::from_random(&(given.random)().random());
    let forwarder = Arc::new(Forwarder {
        client: client.context("set up the client")?,
        url: arguments.forward_to.clone(),
        secret: arguments.secret.clone().unwrap_or_else(made),
        clock: given.clock.clone(),
        random: Arc::clone(&given.random),
    });
    super::block_on(async {
        let api = arguments.connection.open()?;
        let (server, url) = (api.server(), &forwarder.url);
        print(&format!(
            "Events of {server} go to {url}, signed with\n\n    {}\n\n",
            *forwarder.secret.reveal()
        ))?;
        let places = Arc::new(Semaphore::new(arguments.max_in_flight.get()));
        follow(&api, &arguments.selection, async |frame| {
            let letter = match Seen::parse(&frame.data) {
                Ok(seen) => Letter::new(&seen),
                Err(_no_event) => {
                    return print(&format!("{}: {}\n", frame.event, frame.data));
                }
            };
            let place = Arc::clone(&places)
                .acquire_owned()
                .await
                .context("wait for a free place")?;
            tokio::spawn(Arc::clone(&forwarder).deliver(letter, place));
            Ok(())
        })
        .await
    })
}

/// What may be reached: what the configuration allows, and this machine.
fn allowed(settings: &Settings) -> Vec<IpNet> {
    let loopback = ["127.0.0.0/8", "::1/128"];
    let loopback = loopback.map(|net| net.parse::<IpNet>().expect("a network"));
    settings
        .outbound
        .allow
        .iter()
        .copied()
        .chain(loopback)
        .collect()
}

impl Forwarder {
    /// Attempts a delivery until it has arrived or the schedule is over.
    async fn deliver(self: Arc<Self>, letter: Letter, place: OwnedSemaphorePermit) {
        let mut attempt = 1;
        loop {
            let outcome = self.client.post(self.post(&letter, attempt)).await;
            let answer = outcome.result.as_ref().ok();
            let status = answer.map(|answer| answer.status);
            let verdict = retry::judge(status, answer.and_then(|answer| answer.retry_after));
            let next = RetrySchedule::Fast.after(attempt, verdict, (self.random)().random());
            if print(&line(&letter, attempt, &outcome, next)).is_err() {
                std::process::exit(0);
            }
            let Next::RetryIn(wait) = next else {
                break;
            };
            sleep(wait).await;
            attempt += 1;
        }
        drop(place);
    }

    fn post(&self, letter: &Letter, attempt: u32) -> Post {
        Post {
            // Limits are counted for each tenant; here is only one.
            tenant: TenantId::from_uuid(Uuid::nil()),
            url: self.url.clone(),
            headers: letter.headers(&self.secret, attempt, self.clock.now()),
            body: letter.body.clone(),
            timeout: TIMEOUT,
        }
    }
}

/// What came of one attempt.
fn line(letter: &Letter, attempt: u32, outcome: &Outcome, next: Next) -> String {
    let result = match &outcome.result {
        Ok(answer) => answer.status.to_string(),
        Err(error) => error.to_string(),
    };
    let then = match next {
        Next::Delivered => String::new(),
        Next::RetryIn(wait) => format!("; again in {:.1} s", wait.as_secs_f64()),
        Next::Dead => "; given up: a webhook would keep it as a dead letter".to_owned(),
        Next::Disable => "; given up: a webhook would be disabled".to_owned(),
    };
    let Letter {
        position, kind, id, ..
    } = letter;
    let took = outcome.duration.as_millis();
    format!("{position:>8}  {kind}  {id}  attempt {attempt}: {result} after {took} ms{then}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use outbound::{Answer, PostError};

    fn shown(result: Result<u16, PostError>, next: Next) -> String {
        let json = "{\"id\":\"evt_01\",\"type\":\"a.b\",\"workspace\":\"ws_01\",\"position\":7,\
                    \"received_at\":\"2026-01-01T00:00:00.000000Z\",\"payload\":1}";
        let letter = Letter::new(&Seen::parse(json).unwrap());
        let answer = |status| Answer {
            status,
            retry_after: None,
            body: bytes::Bytes::new(),
        };
        let outcome = Outcome {
            duration: Duration::from_millis(12),
            result: result.map(answer),
        };
        line(&letter, 2, &outcome, next)
    }

    #[test]
    fn every_attempt_is_told_with_what_comes_next() {
        assert_eq!(
            shown(Ok(200), Next::Delivered),
            "       7  a.b  evt_01  attempt 2: 200 after 12 ms\n"
        );
        assert_eq!(
            shown(
                Err(PostError::Timeout),
                Next::RetryIn(Duration::from_millis(1_500))
            ),
            "       7  a.b  evt_01  attempt 2: no complete answer came in time after 12 ms; again in 1.5 s\n"
        );
        assert!(shown(Ok(400), Next::Dead).contains("dead letter"));
        assert!(shown(Ok(410), Next::Disable).contains("disabled"));
    }
}
