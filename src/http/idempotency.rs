//! `Idempotency-Key`: the same request twice has one effect and one answer.
//!
//! For events the answer is kept with them, by the tenant's actor; for everything else [`once`] wraps the work, and
//! handlers reach it by [`Call::once`](super::call::Call::once).

use std::future::{Future, Ready, ready};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    body::to_bytes,
    dev::Payload,
    http::{
        StatusCode,
        header::{HeaderName, HeaderValue},
    },
};
use actors::{Engine, engine::Begun};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    auth::Authorized,
    envelope,
    problem::{Code, Problem},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const KEY_LENGTH_MAX: usize = 255;

/// Marks an answer that was given before.
pub(crate) const IDEMPOTENCY_REPLAYED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("idempotency-replayed"),
    HeaderValue::from_static("true"),
);

/// The request's key, if it has one, and what it is a key for.
#[derive(Clone, Debug)]
pub(crate) struct IdempotencyKey(Option<Given>);

#[derive(Clone, Debug)]
struct Given {
    key: Box<str>,
    method_and_path: Box<str>,
}

impl IdempotencyKey {
    /// The hashes of key and request, if there is a key.
    pub(crate) fn for_events(
        &self,
        caller: &Authorized,
        body: &Bytes,
    ) -> Option<([u8; 32], [u8; 32])> {
        let Given {
            key,
            method_and_path,
        } = self.0.as_ref()?;
        let mut key_hash = Sha256::new();
        key_hash.update(caller.key().id.as_bytes());
        key_hash.update(key.as_bytes());
        let mut request_hash = Sha256::new();
        request_hash.update(method_and_path.as_bytes());
        request_hash.update([0]);
        request_hash.update(body);
        Some((key_hash.finalize().into(), request_hash.finalize().into()))
    }
}

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<IdempotencyKey, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(value) = request.headers().get(IDEMPOTENCY_KEY) else {
            return ready(Ok(IdempotencyKey(None)));
        };
        let key = value.to_str().unwrap_or_default();
        let is_sane = (1..=KEY_LENGTH_MAX).contains(&key.len())
            && key
                .bytes()
                .all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if !is_sane {
            let detail =
                format!("Idempotency-Key: expected 1 to {KEY_LENGTH_MAX} visible ASCII characters");
            return ready(Err(Problem::new(Code::BadRequest, detail)));
        }
        ready(Ok(IdempotencyKey(Some(Given {
            key: key.into(),
            method_and_path: format!("{} {}", request.method(), request.uri()).into(),
        }))))
    }
}

/// Does `work` once for each key. A success is kept and given again, and so is a device's silence, after which nobody knows
/// whether it did what it was asked for; any other failure frees the key.
pub(super) async fn once(
    caller: &Authorized,
    key: &IdempotencyKey,
    body: &Bytes,
    engine: &Engine,
    work: impl Future<Output = Result<HttpResponse, Problem>>,
) -> Result<HttpResponse, Problem> {
    let Some((key_hash, request_hash)) = key.for_events(caller, body) else {
        return work.await;
    };
    let tenant = caller.tenant();
    let reservation = match engine.begin_request(tenant, key_hash, request_hash).await? {
        Begun::Work(reservation) => reservation,
        Begun::Replay(status, body) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            let (name, value) = IDEMPOTENCY_REPLAYED;
            if status == StatusCode::GATEWAY_TIMEOUT {
                return Err(silence(&body).with_header(name, value));
            }
            let mut response = envelope::json(status, body);
            response.headers_mut().insert(name, value);
            return Ok(response);
        }
    };
    match work.await {
        Ok(response) => {
            let (response, body) = response.into_parts();
            let body = to_bytes(body)
                .await
                .map_err(|error| Problem::internal(&error))?;
            let status = response.status().as_u16();
            engine
                .remember_answer(tenant, &reservation, status, &body)
                .await?;
            Ok(response.set_body(body).map_into_boxed_body())
        }
        Err(problem) => {
            if problem.code() == Code::DeviceTimeout {
                let status = StatusCode::GATEWAY_TIMEOUT.as_u16();
                let kept = json!({ "detail": problem.detail(), "extra": problem.extra() });
                engine
                    .remember_answer(tenant, &reservation, status, kept.to_string().as_bytes())
                    .await?;
            } else {
                engine.forget_request(tenant, &reservation).await?;
            }
            Err(problem)
        }
    }
}

/// A device's silence as it was kept.
fn silence(kept: &[u8]) -> Problem {
    let kept: Value = serde_json::from_slice(kept).unwrap_or_default();
    let detail = kept["detail"]
        .as_str()
        .map_or_else(|| Code::DeviceTimeout.meaning().to_owned(), str::to_owned);
    let problem = Problem::new(Code::DeviceTimeout, detail);
    let extra = kept["extra"].as_object().into_iter().flatten();
    extra.fold(problem, |problem, (name, value)| {
        problem.with(name, value.clone())
    })
}
