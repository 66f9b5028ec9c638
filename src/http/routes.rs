//! Which handler answers which path, and whether it has to run where the tenant lives: one table, from which the server is
//! configured and with which the `OpenAPI` document is compared.
//!
//! Of two paths that fit a request the first one in the table is taken, so fixed names come before `{id}`.

use std::sync::Arc;

use actix_web::{
    HttpRequest, Resource,
    http::header::{ALLOW, HeaderValue},
    web::{self, ServiceConfig},
};

use domain::device::CREDENTIALS_LENGTH_MAX;

use super::{
    audit_logs,
    auth::Uncounted,
    body::{BatchBody, BodyLimit},
    carry::{self, Carrier, Needs},
    dead_letters, deliveries, devices, docs, events, exports, health, inbox, ingest, internal,
    keys, older, openapi, operations,
    problem::{self, Code, Problem},
    regions, signup, tail, webhooks, workspaces,
};

/// A path, and the methods that it takes: what the `OpenAPI` document is compared with.
#[cfg(test)]
pub(crate) type RouteLine = (&'static str, &'static [&'static str]);

macro_rules! routes {
    ($($path:literal $(($($mark:expr),+))? { $($needs:ident $method:ident: $handler:path),+ })+) => {
        /// Every path, with its methods in lower case.
        #[cfg(test)]
        pub(crate) const ROUTES: &[RouteLine] = &[$(($path, &[$(stringify!($method)),+])),+];

        /// Every path and method, with what it needs.
        #[cfg(test)]
        const NEEDS: &[(&str, &str, Needs)] =
            &[$($(($path, stringify!($method), needs!($needs))),+),+];

        /// Adds every route. What no route takes is answered 404 by the server. Among other nodes a carrier takes requests
        /// to where they have to go.
        pub(crate) fn configure_among(app: &mut ServiceConfig, carrier: Option<&Arc<Carrier>>) {
            $(app.service(
                resource($path, &[$(stringify!($method)),+])
                    $($(.app_data($mark))+)?
                    $(.route(carry::route(carrier, needs!($needs), web::$method().to($handler))))+
            );)+
        }
    };
}

/// The words of the table.
macro_rules! needs {
    (anywhere) => {
        Needs::Anywhere
    };
    (owner) => {
        Needs::Owner
    };
    (owner_again) => {
        Needs::OwnerAgain
    };
    (owner_slow) => {
        Needs::OwnerSlow
    };
    (owner_or_here) => {
        Needs::OwnerOrHere
    };
}

/// Adds every route, for a node that is alone.
#[cfg(test)]
pub(crate) fn configure(app: &mut ServiceConfig) {
    configure_among(app, None);
}

routes! {
    "/v1/events" (BatchBody) { anywhere get: events::list, owner_again post: ingest::ingest }
    "/v1/events/tail" { anywhere get: tail::tail }
    "/v1/events/export.json" { anywhere get: exports::json }
    "/v1/events/export.ndjson" { anywhere get: exports::ndjson }
    "/v1/events/export.csv" { anywhere get: exports::csv }
    "/v1/events/{id}" { anywhere get: events::get }
    "/v1/events/{id}/proof" { anywhere get: events::proof }
    "/v1/events/{id}/ack" { owner_again post: inbox::acknowledge_one }
    "/v1/inbox" { anywhere get: inbox::read }
    "/v1/inbox/ack" { owner_again post: inbox::acknowledge_range }
    "/v1/inbox/seek" { owner_again post: inbox::seek }

    "/v1/webhooks" { anywhere get: webhooks::list, owner post: webhooks::create }
    "/v1/webhooks/{id}" {
        owner_or_here get: webhooks::get, owner put: webhooks::replace,
        owner patch: webhooks::update, owner delete: webhooks::delete
    }
    "/v1/webhooks/{id}/test" { owner_slow post: webhooks::test }
    "/v1/webhooks/{id}/pause" { owner post: webhooks::pause }
    "/v1/webhooks/{id}/resume" { owner post: webhooks::resume }
    "/v1/webhooks/{id}/rotate-secret" { owner post: webhooks::rotate_secret }
    "/v1/webhooks/{id}/replay" { owner post: webhooks::replay }
    "/v1/webhooks/{id}/replays" { anywhere get: webhooks::list_replays }
    "/v1/webhooks/{id}/replays/{replay_id}" { anywhere get: webhooks::get_replay }
    "/v1/webhooks/{id}/deliveries" { anywhere get: deliveries::list }
    "/v1/deliveries/{id}" { anywhere get: deliveries::get }
    "/v1/dead-letters" { anywhere get: dead_letters::list }
    "/v1/dead-letters/replay" { owner post: dead_letters::replay_many }
    "/v1/dead-letters/{id}" { anywhere get: dead_letters::get, owner delete: dead_letters::delete }
    "/v1/dead-letters/{id}/replay" { owner post: dead_letters::replay }

    "/v1/devices" { anywhere get: devices::list, anywhere post: devices::create }
    "/v1/devices/{id}" {
        anywhere get: devices::get, anywhere patch: devices::update, anywhere delete: devices::delete
    }
    "/v1/devices/{id}/session" { anywhere get: devices::session::open }
    "/v1/devices/{id}/disconnect" { anywhere post: devices::disconnect }
    "/v1/devices/{id}/credentials" (BodyLimit(CREDENTIALS_LENGTH_MAX), Uncounted) {
        anywhere get: devices::get_credentials, anywhere put: devices::put_credentials
    }
    "/v1/devices/{id}/events" { anywhere get: devices::list_events }
    "/v1/devices/{id}/messages" (BodyLimit(devices::MESSAGE_BYTES_MAX)) {
        anywhere get: devices::list_messages, anywhere post: devices::send_message
    }
    "/v1/devices/{id}/groups/create" { anywhere post: devices::create_group }
    "/v1/devices/{id}/groups/{jid}" { anywhere get: devices::get_group }
    "/v1/devices/{id}/groups/{jid}/participants/add" { anywhere post: devices::add_participants }
    "/v1/devices/{id}/groups/{jid}/participants/remove" { anywhere post: devices::remove_participants }
    "/v1/devices/{id}/privacy/settings" { anywhere get: devices::get_privacy, anywhere post: devices::set_privacy }
    "/v1/devices/{id}/history/sync" { anywhere post: devices::sync_history }

    "/v1/keys" { anywhere get: keys::list, anywhere post: keys::create }
    "/v1/keys/{id}" { anywhere get: keys::get, anywhere patch: keys::update, anywhere delete: keys::revoke }
    "/v1/keys/{id}/rotate" { anywhere post: keys::rotate }

    "/v1/workspaces" { anywhere get: workspaces::list, owner post: workspaces::create }
    "/v1/workspaces/{id}" {
        anywhere get: workspaces::get, owner patch: workspaces::update, owner delete: workspaces::delete
    }
    "/v1/workspaces/{id}/template" {
        anywhere get: workspaces::template, owner put: workspaces::set_template, owner delete: workspaces::remove_template
    }
    "/v1/workspaces/{id}/checkpoint" { anywhere get: events::checkpoint }

    "/v1/regions" { anywhere get: regions::list }
    "/v1/audit-logs" { anywhere get: audit_logs::list }

    "/health" { anywhere get: health::health }
    "/ready" { anywhere get: health::ready }
    "/metrics" { anywhere get: operations::show_metrics }
    "/openapi.json" { anywhere get: openapi::document }
    "/docs" { anywhere get: docs::page }
    "/docs/{file}" { anywhere get: docs::file }
    "/problems/{code}" { anywhere get: problem::explain }

    "/internal/health" { anywhere get: internal::health }
    "/internal/metrics" { anywhere get: internal::metrics }
    "/internal/region-health" { anywhere get: internal::region_health }
    "/internal/actors" { anywhere get: internal::actors }
    "/internal/tenants" { anywhere get: internal::list_tenants, anywhere post: internal::create_tenant }
    "/internal/tenants/{id}" { anywhere get: internal::tenant, anywhere patch: internal::update_tenant }
    "/internal/tenants/{id}/move" { anywhere post: internal::move_tenant }
    "/internal/faults/panic" { anywhere post: internal::panic }

    "/v1/key/workspace/events" (BatchBody) { anywhere get: events::list, owner_again post: ingest::ingest }
    "/v1/key/workspace/events/tail" { anywhere get: tail::tail }
    "/v1/key/workspace/export.json" { anywhere get: exports::json }
    "/v1/key/workspace/export.csv" { anywhere get: exports::csv }
    "/v1/key/company/events" { anywhere get: events::list }
    "/v1/key/company/export.json" { anywhere get: exports::json }
    "/v1/key/company/export.csv" { anywhere get: exports::csv }
    "/v1/key/company/regions" { anywhere get: regions::list }

    "/api/keys/generate" { anywhere post: signup::generate }
    "/api/keys" { anywhere get: keys::own }
    "/api/keys/rotate" { anywhere post: keys::rotate_own }
    "/api/webhook/config" { owner post: older::configure_webhook }
    "/api/events" (BatchBody) { owner_again post: older::send }
    "/api/inbox" { anywhere get: inbox::read }
    "/api/ack/{id}" { owner_again post: inbox::acknowledge_one }
}

/// A path without handlers: every method is refused, and the refusal names those that are not.
fn resource(path: &str, allowed: &'static [&'static str]) -> Resource {
    web::resource(path).default_service(web::to(move |request: HttpRequest| async move {
        Err::<&'static str, Problem>(not_allowed(&request, allowed))
    }))
}

fn not_allowed(request: &HttpRequest, allowed: &[&str]) -> Problem {
    let allowed = allowed.join(", ").to_uppercase();
    let detail = format!(
        "{} is not for this path: expected {allowed}",
        request.method()
    );
    let problem = Problem::new(Code::MethodNotAllowed, detail);
    match HeaderValue::from_str(&allowed) {
        Ok(allowed) => problem.with_header(ALLOW, allowed),
        Err(_not_ascii) => problem,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use actix_web::{
        App,
        http::StatusCode,
        test::{TestRequest, call_service, init_service},
    };

    use super::*;

    #[test]
    fn no_path_stands_twice() {
        let mut paths = HashSet::new();
        for (path, _) in ROUTES {
            assert!(paths.insert(path), "{path}");
        }
    }

    #[test]
    fn what_changes_a_tenants_state_needs_its_owner() {
        // Keys, tenants and their like are the control plane's: any node may change them. A device's session may live on
        // any node, and the engine finds it.
        let is_control = |path: &str| {
            path.starts_with("/internal/")
                || path.contains("keys")
                || path.starts_with("/v1/devices")
        };
        for (path, method, needs) in NEEDS {
            let is_change = *method != "get" && !is_control(path);
            // Of what is read, only how a webhook stands is known to its actor best; without it the stores must do.
            let is_state = *path == "/v1/webhooks/{id}" && *method == "get";
            let needs_owner = !matches!(needs, Needs::Anywhere | Needs::OwnerOrHere);
            assert_eq!(needs_owner, is_change, "{method} {path}");
            assert_eq!(*needs == Needs::OwnerOrHere, is_state, "{method} {path}");
        }
    }

    #[test]
    fn only_what_takes_one_step_may_be_tried_again() {
        let again: Vec<&str> = NEEDS
            .iter()
            .filter(|(_, _, needs)| *needs == Needs::OwnerAgain)
            .map(|(path, _, _)| *path)
            .collect();
        assert_eq!(
            again,
            [
                "/v1/events",
                "/v1/events/{id}/ack",
                "/v1/inbox/ack",
                "/v1/inbox/seek",
                "/v1/key/workspace/events",
                "/api/events",
                "/api/ack/{id}"
            ]
        );
    }

    #[actix_web::test]
    async fn a_method_that_a_path_does_not_take_is_told_which_ones_it_takes() {
        let app = init_service(App::new().configure(configure)).await;
        let request = TestRequest::delete().uri("/v1/keys").to_request();
        let response = call_service(&app, request).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers().get(ALLOW).unwrap(), "GET, POST");
    }
}
