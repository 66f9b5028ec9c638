//! `GET /health` and `GET /ready`: whether the process lives, and whether it can do its work.
//!
//! Anybody may ask, so asking must cost little: the stores are probed at most once in a while by each worker.

use std::{cell::RefCell, time::Duration};

use actix_web::{HttpResponse, http::StatusCode, web};
use actors::{
    Engine,
    engine::Readiness,
    placement::{ClusterHealth, Standing},
};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    call::Answer,
    envelope,
    problem::{Code, Problem},
};
use crate::shutdown::Stopping;

/// For how long an outcome is good enough.
const PROBE_EVERY: Duration = Duration::from_millis(500);

thread_local! {
    /// The last outcome that this worker saw.
    static LAST: RefCell<Option<(Instant, Readiness)>> = const { RefCell::new(None) };
}

/// `GET /health`: the process answers, so it lives.
pub(crate) async fn health() -> HttpResponse {
    let body = json!({"data": {"status": "ok", "version": env!("CARGO_PKG_VERSION")}});
    envelope::json(StatusCode::OK, body.to_string().into_bytes())
}

/// `GET /ready`: every store answers, and the process is not about to end.
pub(crate) async fn ready(engine: web::Data<Engine>, stopping: web::Data<Stopping>) -> Answer {
    if stopping.has_begun() {
        return Err(Problem::new(
            Code::Overloaded,
            "the process is shutting down",
        ));
    }
    let readiness = recent(&engine).await;
    let checks = checks(&readiness);
    if readiness.is_ready() {
        return envelope::one(
            StatusCode::OK,
            &json!({"status": "ready", "checks": checks}),
        );
    }
    let reasons: Vec<String> = checks
        .iter()
        .filter_map(|(name, check)| Some(format!("{name}: {}", check.get("error")?.as_str()?)))
        .collect();
    Err(Problem::new(Code::StoreUnavailable, reasons.join("; ")).with("checks", checks))
}

async fn recent(engine: &Engine) -> Readiness {
    let now = Instant::now();
    let known = LAST.with_borrow(|last| {
        let (at, readiness) = last.as_ref()?;
        (now.duration_since(*at) < PROBE_EVERY).then(|| readiness.clone())
    });
    match known {
        Some(readiness) => readiness,
        None => {
            let readiness = engine.readiness().await;
            LAST.set(Some((now, readiness.clone())));
            readiness
        }
    }
}

/// Each store with how long it took, or what is wrong with it, and how the node stands among others.
pub(super) fn checks(readiness: &Readiness) -> Map<String, Value> {
    let mut checks = Map::new();
    checks.insert("control".to_owned(), check(&readiness.control));
    for region in &readiness.regions {
        checks.insert(format!("region {}", region.region), check(&region.probe));
    }
    if let Some(cluster) = &readiness.cluster {
        checks.insert("cluster".to_owned(), cluster_check(cluster));
    }
    checks
}

/// The node among others. One that hears nothing of them is ready all the same: it works for its tenants and reads for all.
fn cluster_check(cluster: &ClusterHealth) -> Value {
    let mut shown = json!({
        "status": "ok",
        "node": cluster.node,
        "session": cluster.session.map(|session| session.to_string()),
        "tenants_held": cluster.held,
        "connected": cluster.is_connected,
    });
    let error = match cluster.standing {
        Standing::Held => None,
        Standing::Unknown => Some("the control plane has not confirmed this node's session lately"),
        Standing::Lost => Some("this node has no session with the control plane"),
    };
    if let Some(error) = error {
        shown["status"] = json!("failed");
        shown["error"] = json!(error);
    } else if cluster.is_connected == Some(false) {
        shown["status"] = json!("degraded");
        shown["warning"] =
            json!("other nodes cannot be reached: requests for their tenants are refused");
    }
    shown
}

/// One store.
pub(super) fn check(probe: &Result<Duration, String>) -> Value {
    match probe {
        Ok(took) => json!({"status": "ok", "latency_ms": milliseconds(*took)}),
        Err(error) => json!({"status": "failed", "error": error}),
    }
}

/// Milliseconds with microseconds behind the point.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
