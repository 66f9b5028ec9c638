//! `/internal`: what operators see and do, with a token of their own.
//!
//! Closed as long as no token is configured: nobody learns that there is something.

mod tenants;

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::{StatusCode, header::HeaderName},
    web,
};
use actors::{Engine, engine::ActorKind};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;

use super::{
    body::RawBody,
    call::Answer,
    envelope,
    health::{check, checks, milliseconds},
    members::Members,
    page::PageRequest,
    problem::{Code, Problem},
};
use crate::{config::Settings, metrics::Metrics};

pub(super) use tenants::answer_made;
pub(crate) use tenants::{create_tenant, list_tenants, move_tenant, tenant, update_tenant};

const X_INTERNAL_TOKEN: HeaderName = HeaderName::from_static("x-internal-token");

/// Somebody with the operators' token. An extractor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator;

impl FromRequest for Operator {
    type Error = Problem;
    type Future = Ready<Result<Operator, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(admit(request))
    }
}

fn admit(request: &HttpRequest) -> Result<Operator, Problem> {
    let settings = request.app_data::<web::Data<Settings>>();
    let Some(token) = settings.and_then(|settings| settings.security.internal_token.reveal())
    else {
        return Err(Problem::new(
            Code::NotFound,
            "there is nothing at this path",
        ));
    };
    let Some(given) = request.headers().get(X_INTERNAL_TOKEN) else {
        return Err(Problem::new(
            Code::MissingKey,
            "expected the header X-Internal-Token",
        ));
    };
    // Takes the same time wherever the first wrong byte is.
    if bool::from(given.as_bytes().ct_eq(token.as_bytes())) {
        Ok(Operator)
    } else {
        Err(Problem::new(
            Code::InvalidKey,
            "X-Internal-Token: it is not the token of this node",
        ))
    }
}

/// `GET /internal/health`
pub(crate) async fn health(
    _: Operator,
    engine: web::Data<Engine>,
    metrics: web::Data<Metrics>,
) -> Answer {
    let readiness = engine.readiness().await;
    let status = if readiness.is_ready() {
        "ok"
    } else {
        "degraded"
    };
    envelope::one(
        StatusCode::OK,
        &json!({
            "status": status,
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": metrics.up_for().as_secs(),
            "checks": checks(&readiness),
        }),
    )
}

/// `GET /internal/metrics`: the few numbers that operators look at first.
pub(crate) async fn metrics(_: Operator, engine: web::Data<Engine>) -> Answer {
    let counts = engine.counts().await?;
    let readiness = engine.readiness().await;
    let (keys_used, webhooks_with_work) = engine.activity();
    let latency = |probe: &Result<_, String>| probe.as_ref().ok().copied().map(milliseconds);
    let regions: Map<String, Value> = readiness
        .regions
        .iter()
        .map(|region| (region.region.to_string(), json!(latency(&region.probe))))
        .collect();
    envelope::one(
        StatusCode::OK,
        &json!({
            "webhooks": {
                "pending": counts.retrying,
                "failed": counts.dead,
                "with_work": webhooks_with_work,
            },
            "events_24h": counts.events,
            "store_latency_ms": {"control": latency(&readiness.control), "regions": regions},
            "keys_used_5min": keys_used,
        }),
    )
}

/// `GET /internal/region-health`
pub(crate) async fn region_health(_: Operator, engine: web::Data<Engine>) -> Answer {
    let readiness = engine.readiness().await;
    let mut regions = Vec::with_capacity(readiness.regions.len());
    for region in &readiness.regions {
        let mut shown = check(&region.probe);
        shown["region"] = json!(region.region);
        regions.push(shown);
    }
    envelope::one(StatusCode::OK, &regions)
}

/// `GET /internal/actors`: what runs where; at most `limit` of each kind.
pub(crate) async fn actors(_: Operator, page: PageRequest, engine: web::Data<Engine>) -> Answer {
    let shown: Vec<Value> = engine
        .actors(usize::from(page.limit))
        .into_iter()
        .map(|actor| {
            json!({
                "kind": actor.kind,
                "key": actor.key,
                "arbiter": actor.arbiter,
                "in_flight": actor.in_flight,
                "in_flight_max": actor.in_flight_max,
                "restarts": actor.restarts,
                "age_ms": milliseconds(actor.age),
                "node": engine.node(),
                "fence": actor.fence,
            })
        })
        .collect();
    let counts: Map<String, Value> = engine
        .actor_counts()
        .into_iter()
        .map(|(kind, count)| (kind.to_owned(), json!(count)))
        .collect();
    let body = json!({"data": shown, "meta": {"running": counts}});
    Ok(envelope::json(
        StatusCode::OK,
        body.to_string().into_bytes(),
    ))
}

/// `POST /internal/faults/panic`: makes an actor panic, where `engine.faults` allows it.
pub(crate) async fn panic(
    _: Operator,
    body: RawBody,
    engine: web::Data<Engine>,
    settings: web::Data<Settings>,
) -> Answer {
    if !settings.engine.faults {
        return Err(Problem::new(Code::NotFound, "faults are not enabled here"));
    }
    let mut members = Members::parse(&body.0, &["kind", "key"])?;
    let kind = members.take("kind", |value| {
        let text = value.as_str().unwrap_or_default();
        text.parse::<ActorKind>()
            .map_err(|()| "expected tenant, webhook or region")
    });
    let key = members.text("key", 100);
    members.missing("kind");
    members.missing("key");
    let (kind, key) = (kind.value(), key.value());
    members.end()?;
    let (Some(kind), Some(key)) = (kind, key) else {
        return Err(Problem::internal(&"a mistake that was not noted"));
    };
    if engine.inject_panic(kind, &key) {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(Problem::not_found("running actor"))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::config::Loaded;

    fn settings(token: &str) -> web::Data<Settings> {
        let variables = [("INTERNAL_TOKEN".to_owned(), token.to_owned())];
        web::Data::new(Loaded::load(None, variables).unwrap().settings)
    }

    fn outcome(token: &str, given: Option<&str>) -> Result<(), Code> {
        let mut request = TestRequest::default().app_data(settings(token));
        if let Some(given) = given {
            request = request.insert_header((X_INTERNAL_TOKEN, given));
        }
        admit(&request.to_http_request())
            .map(drop)
            .map_err(|problem| problem.code())
    }

    #[test]
    fn only_the_token_opens_what_is_for_operators() {
        assert_eq!(outcome("secret-token", Some("secret-token")), Ok(()));
        assert_eq!(
            outcome("secret-token", Some("secret-tokex")),
            Err(Code::InvalidKey)
        );
        assert_eq!(
            outcome("secret-token", Some("secret")),
            Err(Code::InvalidKey)
        );
        assert_eq!(outcome("secret-token", None), Err(Code::MissingKey));
    }

    #[test]
    fn without_a_configured_token_there_is_nothing() {
        for given in [None, Some(""), Some("anything")] {
            assert_eq!(outcome("", given), Err(Code::NotFound));
        }
    }
}
