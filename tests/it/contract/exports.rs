//! GET /v1/events/export.json, .csv, .ndjson.

use serde_json::{Value, json};

use crate::harness::{
    Engine, Settings,
    export::{events_of, fetch, fetch_verified, verify},
};

#[tokio::test]
async fn exports_of_both_forms_verify() {
    let engine = Engine::start().await;
    let client = engine.client();
    client
        .post("/v1/workspaces", &json!({ "slug": "other" }))
        .await
        .ok(201);
    for n in 0..20 {
        let workspace = if n % 3 == 0 { "other" } else { "default" };
        client
            .send_event(&json!({ "type": "a", "payload": n, "workspace": workspace }))
            .await;
    }
    for name in ["all.ndjson", "all.json"] {
        let ended = verify(&fetch(&engine, &client, name, "").await).await;
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.said());
        assert!(
            ended.said().contains("20"),
            "it says how many: {}",
            ended.said()
        );
    }
}

#[tokio::test]
async fn an_export_of_an_empty_log_verifies() {
    let engine = Engine::start().await;
    for name in ["none.ndjson", "none.json"] {
        let ended = verify(&fetch(&engine, &engine.client(), name, "").await).await;
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.said());
    }
}

#[tokio::test]
async fn an_export_holds_the_events_as_they_are_read() {
    let engine = Engine::start().await;
    let client = engine.client();
    for n in 0..5 {
        client
            .send_event(&json!({ "type": "a", "payload": { "n": n }, "category": "c" }))
            .await;
    }
    let read = client.every_page("/v1/events?order=asc").await;
    let exported = fetch_verified(&engine, &client).await;
    for (read, exported) in read.iter().zip(&exported) {
        for (member, value) in read.as_object().unwrap() {
            assert_eq!(&exported[member], value, "{member}");
        }
    }
    assert_eq!(read.len(), exported.len());
}

#[tokio::test]
async fn filtered_exports_hold_what_they_name_and_verify() {
    let engine = Engine::start().await;
    let client = engine.client();
    for n in 0..10 {
        let kind = if n % 2 == 0 { "even.n" } else { "odd.n" };
        client
            .send_event(&json!({ "type": kind, "payload": n, "category": "c" }))
            .await;
    }
    let all = client.every_page("/v1/events?order=asc").await;
    let middle = all[5]["received_at"].as_str().unwrap();
    let cases = [
        ("?action=even.n".to_owned(), vec![0, 2, 4, 6, 8]),
        ("?type=odd.*".to_owned(), vec![1, 3, 5, 7, 9]),
        ("?category=none".to_owned(), vec![]),
        (format!("?from={middle}"), vec![5, 6, 7, 8, 9]),
        (format!("?to={middle}"), vec![0, 1, 2, 3, 4]),
    ];
    for (query, expected) in cases {
        let path = fetch(&engine, &client, "some.ndjson", &query).await;
        let ended = verify(&path).await;
        assert_eq!(ended.code, Some(0), "{query}: {}", ended.said());
        let payloads: Vec<_> = events_of(&path)
            .iter()
            .map(|event| event["payload"].as_i64().unwrap())
            .collect();
        assert_eq!(payloads, expected, "{query}");
    }
}

#[tokio::test]
async fn an_export_ends_at_the_plans_row_limit_and_says_so() {
    let settings = Settings::default().with("TRUNKLINE__PLANS__FREE__EXPORT_ROWS", "3");
    let engine = Engine::start_with(settings).await;
    let client = engine.tenant("small", "free").await.client;
    for n in 0..5 {
        client
            .send_event(&json!({ "type": "a", "payload": n }))
            .await;
    }
    let path = fetch(&engine, &client, "cut.ndjson", "").await;
    assert_eq!(events_of(&path).len(), 3);
    assert_eq!(verify(&path).await.code, Some(0));
    let text = std::fs::read_to_string(&path).unwrap();
    let manifest: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(manifest["manifest"]["facts"]["truncated_by_limit"], true);
    let csv = client.get("/v1/events/export.csv").await.ok(200).text();
    assert_eq!(csv.lines().count(), 4);
}

#[tokio::test]
async fn a_table_has_no_cell_that_a_spreadsheet_would_calculate() {
    let engine = Engine::start().await;
    let client = engine.client();
    for text in [
        "=1+1",
        "+1",
        "-1",
        "@x",
        "\t=1",
        "plain, \"quoted\"",
        "line\nbreak",
    ] {
        client
            .send_event(&json!({ "type": "a", "payload": 1, "project": text }))
            .await;
    }
    let answer = client.get("/v1/events/export.csv").await.ok(200);
    let csv = answer.text();
    for cell in [
        "'=1+1",
        "'+1",
        "'-1",
        "'@x",
        "'\t=1",
        "\"plain, \"\"quoted\"\"\"",
        "\"line\nbreak\"",
    ] {
        assert!(csv.contains(cell), "{cell} in {csv}");
    }
    for start in [",=", ",+", ",-", ",@", ",\"=", ",\"+", ",\"-", ",\"@"] {
        assert!(!csv.contains(start), "{start} in {csv}");
    }
    assert!(csv.starts_with("id,type,"), "{csv}");
    assert!(
        answer
            .header("content-disposition")
            .is_some_and(|text| text.starts_with("attachment"))
    );
    assert!(
        answer
            .header("content-type")
            .is_some_and(|text| text.starts_with("text/csv"))
    );
}

#[tokio::test]
async fn a_large_export_of_a_busy_log_comes_to_an_end_and_verifies() {
    let engine = Engine::start().await;
    let client = engine.client();
    let batch = json!(vec![
        json!({ "type": "a", "payload": "x".repeat(200) });
        1000
    ]);
    for _ in 0..5 {
        client.post("/v1/events", &batch).await.ok(202);
    }
    let load = crate::harness::load::Load::start(&client, 4, "busy");
    let events = fetch_verified(&engine, &client).await;
    load.stop().await;
    assert!(events.len() >= 5000, "{}", events.len());
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_bad_requests() {
    let engine = Engine::start().await;
    let client = engine.client();
    for query in [
        "from=x",
        "type=a..b",
        "colour=red",
        "limit=5",
        "cursor=x",
        "order=desc",
    ] {
        let path = format!("/v1/events/export.json?{query}");
        client.get(&path).await.problem(400, "bad_request");
    }
    client
        .get("/v1/events/export.xml")
        .await
        .problem(404, "not_found");
}
