//! Which handler answers which path: one table, from which the server is configured and with which the
//! `OpenAPI` document is compared.
//!
//! Of two paths that fit a request the first one in the table is taken, so fixed names come before `{id}`.

use actix_web::{
    HttpRequest, Resource,
    http::header::{ALLOW, HeaderValue},
    web::{self, ServiceConfig},
};

use super::{
    audit_logs,
    body::BatchBody,
    dead_letters, deliveries, docs, events, exports, health, inbox, ingest, internal, keys, older,
    openapi, operations,
    problem::{self, Code, Problem},
    regions, signup, tail, webhooks, workspaces,
};

/// A path, and the methods that it takes: what the `OpenAPI` document is compared with.
#[cfg(test)]
pub(crate) type RouteLine = (&'static str, &'static [&'static str]);

macro_rules! routes {
    ($($path:literal $(($body:expr))? { $($method:ident: $handler:path),+ })+) => {
        /// Every path, with its methods in lower case.
        #[cfg(test)]
        pub(crate) const ROUTES: &[RouteLine] = &[$(($path, &[$(stringify!($method)),+])),+];

        /// Adds every route. What no route takes is answered 404 by the server.
        pub(crate) fn configure(app: &mut ServiceConfig) {
            $(app.service(
                resource($path, &[$(stringify!($method)),+])
                    $(.app_data($body))?
                    $(.route(web::$method().to($handler)))+
            );)+
        }
    };
}

routes! {
    "/v1/events" (BatchBody) { get: events::list, post: ingest::ingest }
    "/v1/events/tail" { get: tail::tail }
    "/v1/events/export.json" { get: exports::json }
    "/v1/events/export.ndjson" { get: exports::ndjson }
    "/v1/events/export.csv" { get: exports::csv }
    "/v1/events/{id}" { get: events::get }
    "/v1/events/{id}/proof" { get: events::proof }
    "/v1/events/{id}/ack" { post: inbox::acknowledge_one }
    "/v1/inbox" { get: inbox::read }
    "/v1/inbox/ack" { post: inbox::acknowledge_range }
    "/v1/inbox/seek" { post: inbox::seek }

    "/v1/webhooks" { get: webhooks::list, post: webhooks::create }
    "/v1/webhooks/{id}" {
        get: webhooks::get, put: webhooks::replace, patch: webhooks::update, delete: webhooks::delete
    }
    "/v1/webhooks/{id}/test" { post: webhooks::test }
    "/v1/webhooks/{id}/pause" { post: webhooks::pause }
    "/v1/webhooks/{id}/resume" { post: webhooks::resume }
    "/v1/webhooks/{id}/rotate-secret" { post: webhooks::rotate_secret }
    "/v1/webhooks/{id}/replay" { post: webhooks::replay }
    "/v1/webhooks/{id}/replays" { get: webhooks::list_replays }
    "/v1/webhooks/{id}/replays/{replay_id}" { get: webhooks::get_replay }
    "/v1/webhooks/{id}/deliveries" { get: deliveries::list }
    "/v1/deliveries/{id}" { get: deliveries::get }
    "/v1/dead-letters" { get: dead_letters::list }
    "/v1/dead-letters/replay" { post: dead_letters::replay_many }
    "/v1/dead-letters/{id}" { get: dead_letters::get, delete: dead_letters::delete }
    "/v1/dead-letters/{id}/replay" { post: dead_letters::replay }

    "/v1/keys" { get: keys::list, post: keys::create }
    "/v1/keys/{id}" { get: keys::get, patch: keys::update, delete: keys::revoke }
    "/v1/keys/{id}/rotate" { post: keys::rotate }

    "/v1/workspaces" { get: workspaces::list, post: workspaces::create }
    "/v1/workspaces/{id}" { get: workspaces::get, patch: workspaces::update, delete: workspaces::delete }
    "/v1/workspaces/{id}/template" {
        get: workspaces::template, put: workspaces::set_template, delete: workspaces::remove_template
    }
    "/v1/workspaces/{id}/checkpoint" { get: events::checkpoint }

    "/v1/regions" { get: regions::list }
    "/v1/audit-logs" { get: audit_logs::list }

    "/health" { get: health::health }
    "/ready" { get: health::ready }
    "/metrics" { get: operations::show_metrics }
    "/openapi.json" { get: openapi::document }
    "/docs" { get: docs::page }
    "/docs/{file}" { get: docs::file }
    "/problems/{code}" { get: problem::explain }

    "/internal/health" { get: internal::health }
    "/internal/metrics" { get: internal::metrics }
    "/internal/region-health" { get: internal::region_health }
    "/internal/actors" { get: internal::actors }
    "/internal/tenants" { get: internal::list_tenants, post: internal::create_tenant }
    "/internal/tenants/{id}" { get: internal::tenant, patch: internal::update_tenant }
    "/internal/faults/panic" { post: internal::panic }

    "/v1/key/workspace/events" (BatchBody) { get: events::list, post: ingest::ingest }
    "/v1/key/workspace/events/tail" { get: tail::tail }
    "/v1/key/workspace/export.json" { get: exports::json }
    "/v1/key/workspace/export.csv" { get: exports::csv }
    "/v1/key/company/events" { get: events::list }
    "/v1/key/company/export.json" { get: exports::json }
    "/v1/key/company/export.csv" { get: exports::csv }
    "/v1/key/company/regions" { get: regions::list }

    "/api/keys/generate" { post: signup::generate }
    "/api/keys" { get: keys::own }
    "/api/keys/rotate" { post: keys::rotate_own }
    "/api/webhook/config" { post: older::configure_webhook }
    "/api/events" (BatchBody) { post: older::send }
    "/api/inbox" { get: inbox::read }
    "/api/ack/{id}" { post: inbox::acknowledge_one }
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

    #[actix_web::test]
    async fn a_method_that_a_path_does_not_take_is_told_which_ones_it_takes() {
        let app = init_service(App::new().configure(configure)).await;
        let request = TestRequest::delete().uri("/v1/keys").to_request();
        let response = call_service(&app, request).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers().get(ALLOW).unwrap(), "GET, POST");
    }
}
