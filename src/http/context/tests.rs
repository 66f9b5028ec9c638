//! What the layer around all handlers does to requests and answers.

use std::sync::Arc;

use actix_web::{
    App, HttpResponse,
    body::BoxBody,
    dev::{Service as _, ServiceRequest, ServiceResponse},
    http::{Method, StatusCode, header},
    middleware::{Next, from_fn},
    test::{TestRequest, call_service, init_service, read_body},
    web,
};
use insta::assert_snapshot;
use rand::{SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    config::Origin,
    http::{
        cors::Cors,
        problem::{Code, PROBLEM_JSON},
        trace::TRACEPARENT,
    },
    shutdown::Stopping,
};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn options() -> RequestLayerOptions {
    RequestLayerOptions {
        cors: Cors::new(&[Origin("https://app.example".into())]),
        trusted_proxies: Vec::new(),
        header_bytes_max: 1_000,
        has_tls: false,
        is_recording: true,
        sample_ratio: 1.0,
        arrival: Arrival::Direct,
        stopping: Stopping::never(),
        random: Arc::new(|| StdRng::seed_from_u64(7)),
    }
}

async fn ids(context: RequestContext) -> String {
    format!("{} {}", context.request_id(), context.trace_id())
}

async fn by_number(number: web::Path<u32>) -> String {
    number.to_string()
}

async fn own_words() -> HttpResponse {
    HttpResponse::BadRequest().body("my own words")
}

async fn conflict() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Code::Conflict, "the name is taken").with("existing_id", "wh_1"))
}

/// A server with some routes. A macro, because its type cannot be named.
macro_rules! server_of {
    ($options:expr) => {
        init_service(
            App::new()
                .wrap(RequestLayer::new(Arc::new($options)))
                .route("/ids", web::get().to(ids))
                .service(web::resource("/numbers/{number}").route(web::get().to(by_number)))
                .route("/conflict", web::get().to(conflict))
                .route("/own", web::get().to(own_words))
                .service(web::scope("/inner").wrap(from_fn(
                    async |_request: ServiceRequest, _next: Next<BoxBody>| {
                        Err::<ServiceResponse<BoxBody>, _>(Problem::not_found("door").into())
                    },
                ))),
        )
        .await
    };
}

async fn call(request: TestRequest) -> ServiceResponse {
    call_service(&server_of!(options()), request.to_request()).await
}

fn header<'a>(response: &'a ServiceResponse, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("(none)", |value| value.to_str().unwrap())
}

#[actix_web::test]
async fn ids_come_back_as_they_came() {
    let request = TestRequest::with_uri("/ids")
        .insert_header((X_REQUEST_ID, "my-id"))
        .insert_header((TRACEPARENT, PARENT));
    let response = call(request).await;
    assert_eq!(header(&response, "x-request-id"), "my-id");
    assert_eq!(header(&response, "traceparent"), PARENT);
    assert_eq!(
        read_body(response).await,
        "my-id 0af7651916cd43dd8448eb211c80319c"
    );
}

#[actix_web::test]
async fn ids_that_break_a_rule_are_replaced() {
    let request = TestRequest::with_uri("/ids")
        .insert_header((X_REQUEST_ID, "two words"))
        .insert_header((TRACEPARENT, "00-nonsense"));
    let response = call(request).await;
    let (id, trace) = (
        header(&response, "x-request-id"),
        header(&response, "traceparent"),
    );
    assert_eq!(id.len(), 32);
    assert_eq!(trace.len(), 55);
    let expected = format!("{id} {}", &trace[3..35]);
    assert_eq!(read_body(response).await, expected);
}

#[actix_web::test]
async fn every_answer_has_the_headers_that_keep_it_safe() {
    let response = call(TestRequest::with_uri("/ids")).await;
    assert_eq!(header(&response, "x-content-type-options"), "nosniff");
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert_eq!(header(&response, "strict-transport-security"), "(none)");
    let with_tls = RequestLayerOptions {
        has_tls: true,
        ..options()
    };
    let request = TestRequest::with_uri("/ids").to_request();
    let response = call_service(&server_of!(with_tls), request).await;
    assert_eq!(
        header(&response, "strict-transport-security"),
        "max-age=63072000"
    );
}

#[actix_web::test]
async fn a_problem_is_told_with_its_path_and_trace() {
    let request = TestRequest::with_uri("/conflict?secret=1").insert_header((TRACEPARENT, PARENT));
    let response = call(request).await;
    assert_eq!(response.status(), StatusCode::CONFLICT);
    assert_eq!(
        response.headers().get(header::CONTENT_TYPE),
        Some(&PROBLEM_JSON)
    );
    assert_snapshot!(String::from_utf8_lossy(&read_body(response).await), @r#"{"type":"/problems/conflict","title":"The state does not allow it","status":409,"detail":"the name is taken","instance":"/conflict","error":{"code":"conflict","message":"the name is taken"},"trace_id":"0af7651916cd43dd8448eb211c80319c","existing_id":"wh_1"}"#);
}

async fn code_of(request: TestRequest) -> (u16, String) {
    let response = call(request).await;
    let status = response.status().as_u16();
    assert_eq!(
        response.headers().get(header::CONTENT_TYPE),
        Some(&PROBLEM_JSON)
    );
    let body: serde_json::Value = serde_json::from_slice(&read_body(response).await).unwrap();
    assert_eq!(body["status"], status);
    (status, body["error"]["code"].as_str().unwrap().to_owned())
}

#[actix_web::test]
async fn what_the_framework_refuses_is_a_problem_too() {
    let expected = |status, code: &str| (status, code.to_owned());
    assert_eq!(
        code_of(TestRequest::with_uri("/none")).await,
        expected(404, "not_found")
    );
    let wrong_path = TestRequest::with_uri("/numbers/seven");
    assert_eq!(code_of(wrong_path).await, expected(404, "not_found"));
    let wrong_method = TestRequest::with_uri("/numbers/7").method(Method::PUT);
    assert_eq!(
        code_of(wrong_method).await,
        expected(405, "method_not_allowed")
    );
}

#[actix_web::test]
async fn an_answer_that_a_handler_wrote_stays() {
    let response = call(TestRequest::with_uri("/own")).await;
    assert_eq!(read_body(response).await, "my own words");
}

#[actix_web::test]
async fn a_compressed_body_is_refused_unread() {
    for encoding in ["gzip", "identity", "br"] {
        let request =
            TestRequest::with_uri("/ids").insert_header((header::CONTENT_ENCODING, encoding));
        assert_eq!(
            code_of(request).await,
            (415, "unsupported_media_type".to_owned())
        );
    }
}

#[actix_web::test]
async fn a_process_that_ends_asks_for_no_more_on_a_connection() {
    let ends = RequestLayerOptions {
        stopping: crate::shutdown::stopping().1,
        ..options()
    };
    let request = || TestRequest::with_uri("/ids").to_request();
    let response = call_service(&server_of!(ends), request()).await;
    assert!(!response.response().head().keep_alive());
    let response = call_service(&server_of!(options()), request()).await;
    assert!(response.response().head().keep_alive());
}

#[actix_web::test]
async fn too_many_header_bytes_are_refused() {
    let request = TestRequest::with_uri("/ids").insert_header(("x-long", "a".repeat(1_001)));
    assert_eq!(code_of(request).await, (400, "bad_request".to_owned()));
}

#[actix_web::test]
async fn an_error_of_an_inner_layer_has_the_headers_too() {
    let server = server_of!(options());
    let request = TestRequest::with_uri("/inner/x").insert_header((X_REQUEST_ID, "my-id"));
    let Err(error) = server.call(request.to_request()).await else {
        panic!("the inner layer refuses everything");
    };
    let response = error.error_response();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.headers().get(X_REQUEST_ID).unwrap(), "my-id");
}

#[actix_web::test]
async fn only_pages_of_listed_origins_may_read_answers() {
    let from = |origin: &str| {
        TestRequest::with_uri("/ids").insert_header((header::ORIGIN, origin.to_owned()))
    };
    let response = call(from("https://app.example")).await;
    assert_eq!(
        header(&response, "access-control-allow-origin"),
        "https://app.example"
    );
    assert_eq!(header(&response, "vary"), "Origin");
    let response = call(from("https://evil.example")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "access-control-allow-origin"), "(none)");
}

#[actix_web::test]
async fn a_preflight_is_answered_before_any_handler() {
    let ask = |origin: &str| {
        TestRequest::with_uri("/ids")
            .method(Method::OPTIONS)
            .insert_header((header::ORIGIN, origin.to_owned()))
            .insert_header((header::ACCESS_CONTROL_REQUEST_METHOD, "GET"))
    };
    let response = call(ask("https://app.example")).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert!(header(&response, "access-control-allow-methods").contains("PATCH"));
    assert!(header(&response, "access-control-allow-headers").contains("Idempotency-Key"));
    let response = call(ask("https://evil.example")).await;
    assert_eq!(header(&response, "access-control-allow-methods"), "(none)");
}
