//! The ceiling of ingest: an actix-web server that parses the engine's body, answers a body of the engine's size, and does
//! nothing in between.

use std::{borrow::Cow, hint::black_box, net::Ipv4Addr};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context as _;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// As many as the engine has cores to run on here.
const WORKERS: usize = 2;

/// What every ingest must at least read.
#[derive(Debug, Deserialize)]
struct Body<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

pub(super) fn play(answer_length: usize) -> anyhow::Result<()> {
    let answer = Bytes::from(answer_of(answer_length));
    actix_web::rt::System::new().block_on(async {
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(answer.clone()))
                .route("/v1/events", web::post().to(take))
        })
        .workers(WORKERS)
        .tcp_nodelay(true)
        .disable_signals()
        .bind((Ipv4Addr::LOCALHOST, 0))
        .context("bind the bare server")?;
        let address = server.addrs().first().copied();
        super::announce(address.context("the bare server has no address")?)?;
        server.run().await.context("run the bare server")
    })
}

async fn take(body: Bytes, answer: web::Data<Bytes>) -> HttpResponse {
    match serde_json::from_slice::<Body<'_>>(&body) {
        Ok(event) => {
            black_box((event.kind.len(), event.payload.get().len()));
            HttpResponse::Accepted()
                .content_type("application/json")
                .body(answer.get_ref().clone())
        }
        Err(error) => HttpResponse::BadRequest().body(error.to_string()),
    }
}

/// A JSON text of this length.
fn answer_of(length: usize) -> Vec<u8> {
    let mut answer = br#"{"data":""#.to_vec();
    answer.resize(length.saturating_sub(2).max(answer.len()), b'x');
    answer.extend_from_slice(br#""}"#);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_json_of_the_wanted_length() {
        let answer = answer_of(300);
        assert_eq!(answer.len(), 300);
        serde_json::from_slice::<serde_json::Value>(&answer).unwrap();
    }
}
