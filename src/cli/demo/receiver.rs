//! A receiver of webhooks, as a customer would write one: checks the signature, then answers.
//!
//! One of its paths fails on purpose, so that retries can be seen.

use std::{
    collections::HashMap,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::Server,
    http::header::HeaderMap,
    web::{self, Bytes},
};
use domain::{
    clock::Clock,
    signature::{SignedHeaders, WebhookSecret, verify},
};
use parking_lot::Mutex;

use crate::cli::print;

/// Attempts of one delivery that the shaky path refuses.
const REFUSED_FIRST: u32 = 1;

/// The paths that webhooks may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Path {
    /// Takes everything.
    Steady,
    /// Refuses each delivery at first.
    Shaky,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Receiver {
    clock: Clock,
    secrets: Mutex<HashMap<Path, WebhookSecret>>,
    counts: Mutex<Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    taken: u64,
    refused: u64,
    forged: u64,
}

/// What is done with one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    Take,
    Refuse,
    Forged,
}

/// What a delivery says about itself.
struct Told<'a> {
    signed: SignedHeaders<'a>,
    kind: &'a str,
    attempt: u32,
}

/// Starts to receive, on a free port.
pub(super) fn start(receiver: &Arc<Receiver>) -> io::Result<(SocketAddr, Server)> {
    let shared = web::Data::from(Arc::clone(receiver));
    let server =
        HttpServer::new(move || {
            let mut app = App::new().app_data(shared.clone());
            for path in [Path::Steady, Path::Shaky] {
                let take = move |request: HttpRequest,
                                 body: Bytes,
                                 receiver: web::Data<Receiver>| async move {
                    receiver.take(path, request.headers(), &body)
                };
                app = app.route(&path.to_string(), web::post().to(take));
            }
            app
        })
        .workers(1)
        .disable_signals()
        .bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = server.addrs().first().copied();
    let address = address.ok_or_else(|| io::Error::other("the receiver has no address"))?;
    Ok((address, server.run()))
}

impl Path {
    /// Which events come here.
    pub(super) fn events(self) -> &'static str {
        match self {
            Path::Steady => "*",
            Path::Shaky => "order.*",
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Path::Steady => "/steady",
            Path::Shaky => "/shaky",
        })
    }
}

impl Receiver {
    /// A receiver that expects nothing yet.
    pub(super) fn new(clock: Clock) -> Receiver {
        Receiver {
            clock,
            secrets: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// From now on, deliveries to `path` are signed with `secret`.
    pub(super) fn expect(&self, path: Path, secret: WebhookSecret) {
        self.secrets.lock().insert(path, secret);
    }

    /// Deliveries whose signature was not right.
    pub(super) fn forged(&self) -> u64 {
        self.counts.lock().forged
    }

    /// What came in, in one line.
    pub(super) fn summary(&self) -> String {
        let Counts {
            taken,
            refused,
            forged,
        } = *self.counts.lock();
        format!(
            "\n{taken} deliveries were taken, {refused} attempts were refused on purpose, \
             {forged} signatures were not right.\n"
        )
    }

    fn take(&self, path: Path, headers: &HeaderMap, body: &[u8]) -> HttpResponse {
        let told = Told::read(headers);
        let reaction = self.react(path, &told, body);
        let mut counts = self.counts.lock();
        let Told { kind, attempt, .. } = told;
        let line = match reaction {
            Reaction::Take => {
                counts.taken += 1;
                format!("delivered  {kind:<18} {path}, attempt {attempt}, the signature is right\n")
            }
            Reaction::Refuse => {
                counts.refused += 1;
                format!(
                    "refused    {kind:<18} {path}, attempt {attempt}, answered 503 on purpose\n"
                )
            }
            Reaction::Forged => {
                counts.forged += 1;
                format!("FORGED     {kind:<18} {path}, attempt {attempt}\n")
            }
        };
        drop(counts);
        // The source notices when nobody reads any more, and ends the demonstration.
        print(&line).ok();
        match reaction {
            Reaction::Take => HttpResponse::NoContent().finish(),
            Reaction::Refuse => HttpResponse::ServiceUnavailable().finish(),
            Reaction::Forged => HttpResponse::BadRequest().finish(),
        }
    }

    fn react(&self, path: Path, told: &Told<'_>, body: &[u8]) -> Reaction {
        let secrets = self.secrets.lock();
        let is_right = secrets
            .get(&path)
            .is_some_and(|secret| verify(secret, told.signed, body, self.clock.now()).is_ok());
        match (is_right, path) {
            (false, _) => Reaction::Forged,
            (true, Path::Shaky) if told.attempt <= REFUSED_FIRST => Reaction::Refuse,
            (true, Path::Steady | Path::Shaky) => Reaction::Take,
        }
    }
}

impl<'a> Told<'a> {
    fn read(headers: &'a HeaderMap) -> Told<'a> {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or("")
        };
        Told {
            signed: SignedHeaders {
                id: text("webhook-id"),
                timestamp: text("webhook-timestamp"),
                signature: text("webhook-signature"),
            },
            kind: text("x-event-type"),
            attempt: text("x-trunkline-attempt").parse().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::time::Timestamp;

    use super::*;

    #[test]
    fn what_is_signed_is_taken_and_what_is_not_is_forged() {
        let clock = Clock::new(
            Timestamp::from_micros(1_000_000),
            std::time::Duration::default,
        );
        let (receiver, secret) = (Receiver::new(clock), WebhookSecret::from_random(&[7; 32]));
        let signature = secret.sign("evt_1", 1, b"{}");
        let told = |attempt, signature| Told {
            signed: SignedHeaders {
                id: "evt_1",
                timestamp: "1",
                signature,
            },
            kind: "order.paid",
            attempt,
        };
        let react = |path, attempt| receiver.react(path, &told(attempt, &signature), b"{}");
        assert_eq!(react(Path::Steady, 1), Reaction::Forged);
        receiver.expect(Path::Steady, secret.clone());
        receiver.expect(Path::Shaky, secret.clone());
        assert_eq!(react(Path::Steady, 1), Reaction::Take);
        assert_eq!(react(Path::Shaky, 1), Reaction::Refuse);
        assert_eq!(react(Path::Shaky, 2), Reaction::Take);
        assert_eq!(
            receiver.react(Path::Steady, &told(1, "v1,x"), b"{}"),
            Reaction::Forged
        );
    }
}
