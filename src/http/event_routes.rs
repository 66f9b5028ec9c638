//! The paths under which events go in and out, and the older names of the same handlers (API §10).

use actix_web::web::{ServiceConfig, get, post};

use super::{events, exports, inbox, ingest, tail};

/// Adds them.
pub(crate) fn configure(app: &mut ServiceConfig) {
    app.route("/v1/events", post().to(ingest::ingest))
        .route("/v1/events", get().to(events::list))
        .route("/v1/events/tail", get().to(tail::tail))
        .route("/v1/events/export.json", get().to(exports::json))
        .route("/v1/events/export.ndjson", get().to(exports::ndjson))
        .route("/v1/events/export.csv", get().to(exports::csv))
        .route("/v1/events/{id}", get().to(events::get))
        .route("/v1/events/{id}/proof", get().to(events::proof))
        .route("/v1/events/{id}/ack", post().to(inbox::acknowledge_one))
        .route("/v1/workspaces/{id}/checkpoint", get().to(events::checkpoint))
        .route("/v1/inbox", get().to(inbox::read))
        .route("/v1/inbox/ack", post().to(inbox::acknowledge_range))
        .route("/v1/inbox/seek", post().to(inbox::seek));
    for scope in ["company", "workspace"] {
        app.route(&format!("/v1/key/{scope}/events"), get().to(events::list))
            .route(&format!("/v1/key/{scope}/export.json"), get().to(exports::json))
            .route(&format!("/v1/key/{scope}/export.csv"), get().to(exports::csv));
    }
    app.route("/v1/key/workspace/events", post().to(ingest::ingest))
        .route("/v1/key/workspace/events/tail", get().to(tail::tail))
        .route("/api/inbox", get().to(inbox::read))
        .route("/api/ack/{id}", post().to(inbox::acknowledge_one));
}
