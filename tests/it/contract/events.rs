//! POST /v1/events and GET /v1/events/{id}: receipts, batches, duplicates, and the bytes that come back.

use serde_json::{Value, json};

use crate::harness::{
    Engine,
    client::{number, text},
};

#[tokio::test]
async fn an_accepted_event_is_answered_with_its_receipt() {
    let engine = Engine::start().await;
    let receipt = engine
        .client()
        .send_event(&json!({ "type": "order.paid", "payload": 1 }))
        .await;
    insta::assert_json_snapshot!(receipt, {
        ".id" => "evt_…", ".workspace" => "ws_…", ".hash" => "…", ".received_at" => "…",
    }, @r#"
    {
      "hash": "…",
      "id": "evt_…",
      "position": 1,
      "received_at": "…",
      "region": "AU",
      "seq": 1,
      "type": "order.paid",
      "workspace": "ws_…"
    }
    "#);
    assert!(text(&receipt, "id").starts_with("evt_"));
    assert!(text(&receipt, "workspace").starts_with("ws_"));
    assert_eq!(text(&receipt, "hash").len(), 64);
    let received_at = text(&receipt, "received_at");
    assert!(
        received_at.ends_with('Z') && received_at.len() == 27,
        "microseconds: {received_at}"
    );
}

#[tokio::test]
async fn an_event_is_read_as_it_was_sent() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sent = json!({
        "type": "user.login",
        "payload": { "ok": true },
        "category": "auth",
        "project": "shop",
        "actor": { "id": "u1", "type": "user", "name": "Ada", "email": "ada@example.com", "ip": "10.0.0.1" },
        "target": { "id": "t1", "type": "account", "name": "Main" },
        "occurred_at": "2024-05-06T07:08:09.123456Z",
        "dedup_id": "login-1",
        "ordering_key": "u1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    });
    let receipt = client.send_event(&sent).await;
    let read = client
        .get(&format!("/v1/events/{}", text(&receipt, "id")))
        .await
        .ok(200)
        .data();
    for (member, value) in sent.as_object().unwrap() {
        assert_eq!(&read[member], value, "{member}");
    }
    for (member, value) in receipt.as_object().unwrap() {
        assert_eq!(&read[member], value, "{member}");
    }
    assert_eq!(read["prev_hash"], "0".repeat(64));
    assert_eq!(read["archived"], false);
}

#[tokio::test]
async fn a_payload_comes_back_byte_for_byte() {
    let engine = Engine::start().await;
    let client = engine.client();
    let payloads = [
        r#"{"b":1,"a":2,"b":3}"#,
        r#"{ "spaced" :  [ 1 ,2 ] }"#,
        "123456789012345678901234567890.000100",
        "1e400",
        r#""\u00e9 é \ud83d\ude00""#,
        "null",
        "[]",
        "{}",
        r#""""#,
        "-0.0",
    ];
    for payload in payloads {
        let body = format!(r#"{{"type":"exact.bytes","payload":{payload}}}"#);
        let call = client.call(reqwest::Method::POST, "/v1/events");
        let receipt = call.body("application/json", body).await.ok(202).data();
        let read = client
            .get(&format!("/v1/events/{}", text(&receipt, "id")))
            .await
            .ok(200);
        assert!(
            read.text().contains(payload),
            "{payload} in {}",
            read.text()
        );
    }
}

#[tokio::test]
async fn positions_and_seqs_count_up_without_holes() {
    let engine = Engine::start().await;
    let client = engine.client();
    let body = json!({ "slug": "other", "name": "Other" });
    let other = client.post("/v1/workspaces", &body).await.ok(201).data();
    let other = text(&other, "id");
    let mut seen = Vec::new();
    for workspace in ["default", other, "default", "other"] {
        let event = json!({ "type": "a", "payload": {}, "workspace": workspace });
        let receipt = client.send_event(&event).await;
        seen.push((number(&receipt, "position"), number(&receipt, "seq")));
    }
    assert_eq!(seen, [(1, 1), (2, 1), (3, 2), (4, 2)]);
}

#[tokio::test]
async fn each_event_of_a_chain_names_the_hash_of_the_one_before() {
    let engine = Engine::start().await;
    let client = engine.client();
    for n in 0..5 {
        client
            .send_event(&json!({ "type": "a", "payload": n }))
            .await;
    }
    let events = client.get("/v1/events?order=asc").await.ok(200).data();
    for pair in events.as_array().unwrap().windows(2) {
        assert_eq!(pair[1]["prev_hash"], pair[0]["hash"]);
    }
}

#[tokio::test]
async fn the_older_names_of_type_and_payload_are_understood() {
    let engine = Engine::start().await;
    let client = engine.client();
    for event in [
        json!({ "action": "a.b", "metadata": { "k": 1 } }),
        json!({ "event_type": "a.b", "data": { "k": 1 } }),
    ] {
        let receipt = client.send_event(&event).await;
        let read = client
            .get(&format!("/v1/events/{}", text(&receipt, "id")))
            .await
            .data();
        assert_eq!(read["type"], "a.b");
        assert_eq!(read["payload"], json!({ "k": 1 }));
    }
}

#[tokio::test]
async fn every_form_of_a_batch_is_answered_item_by_item_in_order() {
    let engine = Engine::start().await;
    let client = engine.client();
    let forms = [
        (
            "application/json",
            r#"{"events":[{"type":"a","payload":1},{"type":"b","payload":2}]}"#,
        ),
        (
            "application/json",
            r#"[{"type":"a","payload":1},{"type":"b","payload":2}]"#,
        ),
        (
            "application/x-ndjson",
            "{\"type\":\"a\",\"payload\":1}\n\n{\"type\":\"b\",\"payload\":2}\n",
        ),
    ];
    for (media_type, body) in forms {
        let call = client
            .call(reqwest::Method::POST, "/v1/events")
            .body(media_type, body);
        let items = call.await.ok(202).data();
        let seen: Vec<_> = items
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (text(item, "status"), text(item, "type")))
            .collect();
        assert_eq!(seen, [("accepted", "a"), ("accepted", "b")], "{media_type}");
        assert_eq!(
            number(&items[1], "position"),
            number(&items[0], "position") + 1
        );
    }
}

#[tokio::test]
async fn a_batch_keeps_what_is_right_and_says_what_is_wrong_or_known() {
    let engine = Engine::start().await;
    let client = engine.client();
    let known = client
        .send_event(&json!({ "type": "a", "payload": 1, "dedup_id": "x" }))
        .await;
    let batch = json!({ "events": [
        { "type": "a", "payload": 1 },
        { "type": "no spaces", "payload": 1 },
        { "type": "a", "payload": 1, "dedup_id": "x" },
        { "type": "a", "payload": 1, "surprise": 1 },
        { "type": "a", "payload": 1, "dedup_id": "y" },
        { "type": "a", "payload": 1, "dedup_id": "y" },
    ]});
    let items = client.post("/v1/events", &batch).await.ok(202).data();
    let statuses: Vec<_> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| text(item, "status"))
        .collect();
    assert_eq!(
        statuses,
        [
            "accepted",
            "rejected",
            "duplicate",
            "rejected",
            "accepted",
            "duplicate"
        ]
    );
    assert_eq!(items[1]["error"]["code"], "invalid_field");
    assert_eq!(items[1]["errors"][0]["pointer"], "/events/1/type");
    assert_eq!(items[2]["existing_id"], known["id"]);
    assert_eq!(items[3]["error"]["code"], "unknown_field");
    assert_eq!(items[3]["errors"][0]["pointer"], "/events/3/surprise");
    assert_eq!(items[5]["existing_id"], items[4]["id"]);
    let kept = client.get("/v1/events").await.ok(200).data();
    assert_eq!(kept.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_batch_of_which_nothing_is_accepted_is_refused_as_a_whole() {
    let engine = Engine::start().await;
    let client = engine.client();
    let batch = json!([{ "type": "" }, { "payload": 1 }]);
    let answer = client.post("/v1/events", &batch).await.ok(422);
    let statuses: Vec<Value> = answer.json()["data"]
        .as_array()
        .expect("the items are listed all the same")
        .iter()
        .map(|item| item["status"].clone())
        .collect();
    assert_eq!(statuses, ["rejected", "rejected"]);
}

#[tokio::test]
async fn a_single_duplicate_names_the_event_that_is_there() {
    let engine = Engine::start().await;
    let client = engine.client();
    let event = json!({ "type": "a", "payload": 1, "dedup_id": "once" });
    let first = client.send_event(&event).await;
    let problem = client
        .post("/v1/events", &event)
        .await
        .problem(409, "duplicate_event");
    assert_eq!(problem["existing_id"], first["id"]);
}

#[tokio::test]
async fn a_dedup_id_counts_within_its_workspace_only() {
    let engine = Engine::start().await;
    let client = engine.client();
    client
        .post(
            "/v1/workspaces",
            &json!({ "slug": "other", "name": "Other" }),
        )
        .await
        .ok(201);
    for workspace in ["default", "other"] {
        let event =
            json!({ "type": "a", "payload": 1, "dedup_id": "once", "workspace": workspace });
        client.send_event(&event).await;
    }
}

#[tokio::test]
async fn of_a_hundred_equal_events_at_once_one_is_accepted() {
    let engine = Engine::start().await;
    let client = engine.client();
    let event = json!({ "type": "a", "payload": 1, "dedup_id": "once" });
    let calls = (0..100).map(|_| client.post("/v1/events", &event).into_future());
    let answers = futures_util::future::join_all(calls).await;
    let accepted: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 202)
        .collect();
    assert_eq!(accepted.len(), 1);
    let id = accepted[0].data()["id"].clone();
    for answer in answers.iter().filter(|answer| answer.status != 202) {
        let problem = answer.clone().problem(409, "duplicate_event");
        assert_eq!(problem["existing_id"], id, "what is named exists already");
    }
}

#[tokio::test]
async fn dedup_ids_are_remembered_across_a_restart() {
    let mut engine = Engine::start().await;
    let event = json!({ "type": "a", "payload": 1, "dedup_id": "once" });
    let first = engine.client().send_event(&event).await;
    engine.restart().await;
    let problem = engine
        .client()
        .post("/v1/events", &event)
        .await
        .problem(409, "duplicate_event");
    assert_eq!(problem["existing_id"], first["id"]);
    let next = engine
        .client()
        .send_event(&json!({ "type": "a", "payload": 2 }))
        .await;
    assert_eq!(
        number(&next, "position"),
        2,
        "positions go on where they ended"
    );
}

#[tokio::test]
async fn an_unknown_event_is_not_found() {
    let engine = Engine::start().await;
    let client = engine.client();
    let receipt = client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    let id = text(&receipt, "id");
    let changed = if id.ends_with('0') { "1" } else { "0" };
    let unknown = format!("{}{changed}", &id[..id.len() - 1]);
    for id in [unknown.as_str(), "evt_nonsense", "nonsense", "wh_0"] {
        client
            .get(&format!("/v1/events/{id}"))
            .await
            .problem(404, "not_found");
    }
}
