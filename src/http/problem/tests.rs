//! How problems look, and that codes keep what they promise.

use std::collections::BTreeSet;

use actix_web::body::to_bytes;
use insta::assert_snapshot;

use super::*;

fn pretty(problem: &Problem, at: Occurrence<'_>) -> String {
    let value: Value = serde_json::from_slice(&problem.render(at)).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn a_problem_has_every_member_that_clients_rely_on() {
    let problem = Problem::new(Code::DuplicateEvent, "the event is here already")
        .with("existing_id", "evt_1")
        .with_error("/dedup_id", "was used before");
    let at = Occurrence {
        instance: Some("/v1/events"),
        trace_id: Some("0af7651916cd43dd8448eb211c80319c"),
        status: None,
    };
    assert_snapshot!(String::from_utf8_lossy(&problem.render(at)), @r#"{"type":"/problems/duplicate_event","title":"The event is here already","status":409,"detail":"the event is here already","instance":"/v1/events","error":{"code":"duplicate_event","message":"the event is here already"},"trace_id":"0af7651916cd43dd8448eb211c80319c","errors":[{"pointer":"/dedup_id","detail":"was used before"}],"existing_id":"evt_1"}"#);
}

#[test]
fn members_that_do_not_apply_are_left_out() {
    let problem = Problem::not_found("webhook");
    assert_snapshot!(pretty(&problem, Occurrence::default()), @r#"
    {
      "detail": "there is no such webhook",
      "error": {
        "code": "not_found",
        "message": "there is no such webhook"
      },
      "status": 404,
      "title": "There is no such thing",
      "type": "/problems/not_found"
    }
    "#);
}

#[test]
fn every_code_has_a_name_of_its_own_and_is_found_by_it() {
    let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    for code in Code::ALL {
        assert_eq!(Code::from_name(code.name()), Some(*code));
        assert!(code.status().as_u16() >= 400);
    }
    assert_eq!(Code::from_name("nonsense"), None);
}

#[test]
fn a_code_that_stands_for_a_status_has_that_status() {
    for status in [
        400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 422, 429, 500, 503, 507,
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(Code::from_status(status).status(), status);
    }
    assert_eq!(Code::from_status(StatusCode::IM_A_TEAPOT), Code::BadRequest);
    assert_eq!(Code::from_status(StatusCode::BAD_GATEWAY), Code::Internal);
}

#[test]
fn what_broke_inside_is_not_told() {
    let problem = Problem::from_status(StatusCode::BAD_GATEWAY, Some("secret".to_owned()));
    assert!(!problem.detail().contains("secret"));
}

#[actix_web::test]
async fn an_answer_says_when_to_come_back_in_whole_seconds() {
    let retry_after = |problem: Problem| {
        let response = problem.error_response();
        response
            .headers()
            .get(RETRY_AFTER)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let limited = || Problem::new(Code::RateLimited, "spent");
    let after = |millis| retry_after(limited().retry_after(Duration::from_millis(millis)));
    assert_eq!(after(0).as_deref(), Some("1"));
    assert_eq!(after(1_001).as_deref(), Some("2"));
    assert_eq!(after(60_000).as_deref(), Some("60"));
    assert_eq!(
        retry_after(Problem::new(Code::Overloaded, "busy")).as_deref(),
        Some("1")
    );
    assert_eq!(retry_after(Problem::not_found("key")), None);
}

#[actix_web::test]
async fn a_missing_key_is_asked_for() {
    let response = Problem::new(Code::MissingKey, "there is no key").error_response();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(response.headers().contains_key(WWW_AUTHENTICATE));
    assert_eq!(response.headers().get(CONTENT_TYPE), Some(&PROBLEM_JSON));
    assert!(!to_bytes(response.into_body()).await.unwrap().is_empty());
}
