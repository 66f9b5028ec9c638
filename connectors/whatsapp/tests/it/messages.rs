//! Messages both ways, receipts, groups and settings.

use serde_json::json;
use whatsapp_rust::{
    NodeBuilder,
    buffa::MessageField,
    proto_helpers::{MessageBuilderExt as _, MessageExt as _},
    wacore_binary::Node,
    waproto::whatsapp as wa,
};

use crate::{
    connector::Connector,
    engine::DEVICE,
    network::{NUMBER, attr, child},
    pairing::{ADA, paired},
};

/// Whether a stanza tells the network that this message has arrived.
fn is_receipt_for(node: &Node, id: &str) -> bool {
    matches!(&*node.tag, "receipt" | "ack") && attr(node, "id") == id
}

#[tokio::test]
async fn the_network_hears_of_a_message_when_the_engine_has_it_and_not_before() {
    let (engine, network, connector) = paired().await;
    engine.hold_acks();
    network.say(ADA, "M1", "hello").await;
    let event = engine
        .frame(|frame| frame["type"] == "message.received")
        .await;
    assert_eq!(event["key"]["chat"], "491510000002@s.whatsapp.net");
    assert_eq!(event["key"]["id"], "M1");
    assert_eq!(event["data"]["text"], "hello");
    assert_eq!(event["data"]["push_name"], "Ada");
    // What the connector would have said by now is said before its answer to this.
    let asked = engine.command("cmd_1", "privacy.get", &json!({})).await;
    assert_eq!(asked["ok"], true);
    assert!(!network.has_sent(|node| is_receipt_for(node, "M1")));
    engine.take_events();
    network.sent(|node| is_receipt_for(node, "M1")).await;
    drop(connector);
}

#[tokio::test]
async fn a_message_that_the_engine_has_not_got_comes_again_after_a_crash_as_the_same_frame() {
    let (engine, network, connector) = paired().await;
    engine.hold_acks();
    network.say(ADA, "M1", "hello").await;
    let before = engine
        .frame(|frame| frame["type"] == "message.received")
        .await;
    connector.kill();
    let connector = Connector::start(&engine.url(), DEVICE, "ak_test", &network.url());
    network.logins(2).await;
    let frames = engine.frames("message.received", 2).await;
    assert_eq!(frames, [before.clone(), before.clone()]);
    engine.take_events();
    network.sent(|node| is_receipt_for(node, "M1")).await;
    assert_eq!(engine.events("message.received"), [before]);
    // The session with her has not suffered.
    network.say(ADA, "M2", "are you there?").await;
    network.sent(|node| is_receipt_for(node, "M2")).await;
    assert_eq!(
        engine.events("message.received")[1]["data"]["text"],
        "are you there?"
    );
    drop(connector);
}

#[tokio::test]
async fn a_message_goes_out_once_under_an_id_of_its_command_and_its_receipts_are_told() {
    let (engine, network, connector) = paired().await;
    let to = "491510000002@s.whatsapp.net";
    let args = json!({"to": to, "text": "good morning"});
    let id = "msg_01890a5d-ac96-774b-bcce-b302099a8057";
    let result = engine.command(id, "message.send", &args).await;
    let key = json!({"chat": to, "sender": "", "id": "3EB04BBCCEB302099A8057"});
    assert_eq!(result["data"]["key"], key, "{result}");
    let stanza = network.message_to(ADA).await;
    assert_eq!(attr(&stanza, "id"), "3EB04BBCCEB302099A8057");
    let message = network.read(ADA, &stanza).await;
    assert_eq!(message.text_content(), Some("good morning"));
    let receipt = |id: &'static str, kind: Option<&'static str>| {
        let receipt = NodeBuilder::new("receipt")
            .attr("from", to)
            .attr("id", id)
            .attr("t", "1760000200");
        let receipt = match kind {
            Some(kind) => receipt.attr("type", kind),
            None => receipt,
        };
        receipt.build()
    };
    network.send(receipt("3EB04BBCCEB302099A8057", None));
    network.send(receipt("3EB04BBCCEB302099A8057", Some("read")));
    let read = engine.event("receipt.read").await;
    assert_eq!(read["key"], key);
    assert_eq!(read["data"]["by"], to);
    assert_eq!(engine.event("receipt.delivery").await["key"], key);
    drop(connector);
}

#[tokio::test]
async fn what_happens_in_a_group_is_told() {
    let (engine, network, connector) = paired().await;
    let notice = NodeBuilder::new("notification")
        .attr("from", "120363000000000001@g.us")
        .attr("id", "N1")
        .attr("type", "w:gp2")
        .attr("participant", "491510000002@s.whatsapp.net")
        .attr("t", "1760000000")
        .children([
            NodeBuilder::new("subject")
                .attr("subject", "Crew")
                .attr("s_t", "1760000000")
                .build(),
            NodeBuilder::new("add")
                .children([NodeBuilder::new("participant")
                    .attr("jid", "491510000003@s.whatsapp.net")
                    .build()])
                .build(),
        ]);
    network.deliver(notice.build());
    let added = engine.event("participant.added").await;
    let expected = json!({
        "group": "120363000000000001@g.us",
        "by": "491510000002@s.whatsapp.net",
        "participants": ["491510000003@s.whatsapp.net"],
    });
    assert_eq!(added["data"], expected);
    let updated = engine.event("group.updated").await;
    assert_eq!(updated["data"]["subject"], "Crew");
    drop(connector);
}

#[tokio::test]
async fn groups_and_settings_are_asked_for_and_changed() {
    let (engine, network, connector) = paired().await;
    let args = json!({"group": "120363000000000001@g.us"});
    let group = engine.command("cmd_1", "group.info", &args).await;
    assert_eq!(group["data"]["subject"], "Crew", "{group}");
    assert_eq!(
        group["data"]["admins"],
        json!(["491510000002@s.whatsapp.net"])
    );
    let args = json!({
        "group": "120363000000000001@g.us", "participants": ["491510000003@s.whatsapp.net"],
    });
    let person = json!([{"jid": "491510000003@s.whatsapp.net", "status": "200"}]);
    for name in ["group.participants.add", "group.participants.remove"] {
        let changed = engine.command(name, name, &args).await;
        assert_eq!(changed["data"]["participants"], person, "{changed}");
    }
    let args = json!({"subject": "Crew", "participants": ["491510000002@s.whatsapp.net"]});
    let made = engine.command("cmd_made", "group.create", &args).await;
    assert_eq!(made["data"]["subject"], "Crew", "{made}");
    let set = engine
        .command("cmd_2", "privacy.set", &json!({"lastSeen": "none"}))
        .await;
    assert_eq!(set["data"]["lastSeen"], "none", "{set}");
    let asked = engine.command("cmd_3", "privacy.get", &json!({})).await;
    let expected = json!({"readreceipts": "all", "online": "matches", "lastSeen": "none"});
    assert_eq!(asked["data"], expected);
    let wrong = engine
        .command("cmd_4", "privacy.set", &json!({"online": "none"}))
        .await;
    assert_eq!(wrong["error"]["code"], "invalid_field", "{wrong}");
    assert!(network.has_sent(|node| child(node, "privacy").is_some()));
    drop(connector);
}

#[tokio::test]
async fn older_messages_are_asked_of_the_phone_and_told_when_they_come() {
    let (engine, network, connector) = paired().await;
    let chat = "491510000002@s.whatsapp.net";
    let args = json!({"chat": chat, "before": {"id": "A1", "at": "2025-10-09T08:53:20Z"}});
    let asked = engine.command("cmd_1", "history.sync", &args).await;
    assert_eq!(asked["data"]["chats"], json!([chat]), "{asked}");
    let stanza = network
        .sent(|node| node.tag == "message" && attr(node, "category") == "peer")
        .await;
    let request = network.read(NUMBER, &stanza).await.protocol_message;
    let request = &request.peer_data_operation_request_message;
    let request = &request.history_sync_on_demand_request;
    assert_eq!(request.oldest_msg_id.as_deref(), Some("A1"));
    assert_eq!(request.oldest_msg_timestamp_ms, Some(1_760_000_000_000));
    let older = wa::WebMessageInfo {
        key: MessageField::some(wa::MessageKey {
            remote_jid: Some(chat.to_owned()),
            from_me: Some(false),
            id: Some("A0".to_owned()),
            ..Default::default()
        }),
        message: MessageField::some(wa::Message::text("long ago")),
        message_timestamp: Some(1_750_000_000),
        ..Default::default()
    };
    network.share_history(chat, older).await;
    let told = engine.event("message.received").await;
    assert_eq!(
        told["key"],
        json!({"chat": chat, "sender": chat, "id": "A0"})
    );
    assert_eq!(told["data"]["is_history"], true);
    drop(connector);
}

#[tokio::test]
async fn history_without_a_place_to_begin_at_is_refused() {
    let (engine, _network, connector) = paired().await;
    let refused = engine.command("cmd_1", "history.sync", &json!({})).await;
    assert_eq!(refused["error"]["code"], "no_anchor", "{refused}");
    drop(connector);
}
