//! What no setting can be told by itself: which values do not fit each other.

use domain::region::Region;

use super::{ConfigError, Database, Nats, Port, RegionDatabase, Settings, layers::Layers};

/// Every node signs its checkpoints anew in this time, which must be shorter than a day, the shortest that any event is kept for: else
/// what it signed last might be gone before it signs again.
const RETENTION_EVERY_MAX: u64 = 12 * 60 * 60;

/// What no setting can be told by itself.
pub(super) fn check_together(settings: &Settings, layers: &Layers, errors: &mut Vec<ConfigError>) {
    let mut wrong = |key: &str, expected: &str| errors.push(layers.wrong(key, expected));
    let server = &settings.server;
    match (
        server.tls_cert.as_os_str().is_empty(),
        server.tls_key.as_os_str().is_empty(),
    ) {
        (false, true) => wrong(
            "server.tls_key",
            "expected a file, because server.tls_cert is set",
        ),
        (true, false) => wrong(
            "server.tls_cert",
            "expected a file, because server.tls_key is set",
        ),
        (true, true) | (false, false) => {}
    }
    let is_mqtt_inside_tls = settings.mqtt.tls_port != Port::Off;
    if is_mqtt_inside_tls && server.tls().is_none() {
        wrong(
            "mqtt.tls_port",
            "expected \"off\", because server.tls_cert is not set",
        );
    }
    let regions = &settings.regions;
    if !regions.enabled.contains(&regions.default) {
        wrong("regions.default", "expected one of regions.enabled");
    }
    let mut seen = regions.enabled.clone();
    seen.sort_unstable();
    seen.dedup();
    if seen.len() != regions.enabled.len() {
        wrong("regions.enabled", "expected each region once");
    }
    check_databases(settings, &mut wrong);
    if settings.cluster.nats_ca().is_some() && settings.cluster.nats_url == Nats::None {
        wrong(
            "cluster.nats_ca",
            "expected nothing, because cluster.nats_url is not set",
        );
    }
    if settings.engine.retention_every_seconds.get() > RETENTION_EVERY_MAX {
        wrong(
            "engine.retention_every_seconds",
            "expected no more than 43200, which is half a day",
        );
    }
    if settings.ingest.payload_bytes_max > settings.ingest.batch_bytes_max {
        wrong(
            "ingest.payload_bytes_max",
            "expected no more than ingest.batch_bytes_max",
        );
    }
}

/// What nodes share must be where all of them can reach it.
fn check_databases(settings: &Settings, wrong: &mut impl FnMut(&str, &str)) {
    if settings.storage.database_url.is_shared() {
        for region in Region::ALL {
            let place = settings.regions.place_of(region);
            if place.url == RegionDatabase::Own(Database::Embedded) {
                wrong(
                    &format!("regions.{}.url", region.name().to_ascii_lowercase()),
                    "expected nothing, or a URL of PostgreSQL, because storage.database_url is one",
                );
            }
        }
        check_lease(settings, wrong);
    } else if settings.cluster.nats_url != Nats::None {
        wrong(
            "cluster.nats_url",
            "expected nothing, because storage.database_url is no URL of PostgreSQL: only there can nodes share it",
        );
    }
}

/// The database may work on one statement for two thirds of the lease time at the most. Else a node that only waits for it
/// could be taken for dead before its next heartbeat goes through, and whoever takes over from a dead node would wait for locks
/// that its last statement holds for longer than the lease itself.
fn check_lease(settings: &Settings, wrong: &mut impl FnMut(&str, &str)) {
    let statement_ms = settings.postgres.statement_timeout_ms.get();
    let seconds_min = statement_ms.saturating_mul(3).div_ceil(2 * 1_000);
    if u64::from(settings.cluster.lease_seconds.get()) < seconds_min {
        let expected = format!(
            "expected at least {seconds_min}, half as long again as postgres.statement_timeout_ms ({statement_ms}): raise \
             this, or lower that"
        );
        wrong("cluster.lease_seconds", &expected);
    }
}
