//! What the network answers to what clients ask (`iq` stanzas).

use whatsapp_rust::{NodeBuilder, wacore_binary::Node};

use super::{State, attr, child, children, plain};

/// The children of the answer.
pub(super) fn answer(asked: &Node, state: &mut State) -> Vec<Node> {
    match attr(asked, "xmlns").as_str() {
        "encrypt" => keys(asked, state),
        "usync" => users(asked, state),
        "privacy" => privacy(asked, state),
        "w:g2" => group(asked),
        "w:sync:app:state" => shared_state(asked),
        "md" => link_code(asked),
        _ => Vec::new(),
    }
}

fn keys(asked: &Node, state: &mut State) -> Vec<Node> {
    if child(asked, "count").is_some() {
        return vec![NodeBuilder::new("count").attr("value", "100").build()];
    }
    if child(asked, "list").is_some() {
        state.upload = Some(asked.clone());
        state.given_keys = 0;
    }
    let Some(wanted) = child(asked, "key") else {
        return Vec::new();
    };
    let bundles = children(wanted).iter().filter_map(|user| {
        let jid = attr(user, "jid");
        Some(state.peers.get(&plain(&jid))?.bundle(&jid))
    });
    vec![
        NodeBuilder::new("list")
            .children(bundles.collect::<Vec<_>>())
            .build(),
    ]
}

fn users(asked: &Node, state: &State) -> Vec<Node> {
    let list = child(asked, "usync").and_then(|usync| child(usync, "list"));
    let found = list.map(children).unwrap_or_default().iter().map(|user| {
        let jid = attr(user, "jid");
        let phone = state.peers.get(&plain(&jid));
        let phone = phone.map(|_| NodeBuilder::new("device").attr("id", "0").build());
        let devices = NodeBuilder::new("device-list").children(phone).build();
        NodeBuilder::new("user")
            .attr("jid", jid)
            .children([NodeBuilder::new("devices").children([devices]).build()])
            .build()
    });
    let list = NodeBuilder::new("list")
        .children(found.collect::<Vec<_>>())
        .build();
    vec![NodeBuilder::new("usync").children([list]).build()]
}

fn privacy(asked: &Node, state: &mut State) -> Vec<Node> {
    for category in child(asked, "privacy").map(children).unwrap_or_default() {
        let (name, value) = (attr(category, "name"), attr(category, "value"));
        if !name.is_empty() {
            state.privacy.insert(name, value);
        }
    }
    let categories = state.privacy.iter().map(|(name, value)| {
        NodeBuilder::new("category")
            .attr("name", name.as_str())
            .attr("value", value.as_str())
            .build()
    });
    vec![
        NodeBuilder::new("privacy")
            .children(categories.collect::<Vec<_>>())
            .build(),
    ]
}

/// The state that all devices of the account share: nothing has changed in any of its parts.
fn shared_state(asked: &Node) -> Vec<Node> {
    let parts = child(asked, "sync").map(children).unwrap_or_default();
    let same = parts.iter().map(|part| {
        NodeBuilder::new("collection")
            .attr("name", attr(part, "name"))
            .build()
    });
    vec![
        NodeBuilder::new("sync")
            .children(same.collect::<Vec<_>>())
            .build(),
    ]
}

/// The beginning of a pairing by a code that is typed in.
fn link_code(asked: &Node) -> Vec<Node> {
    let begins = child(asked, "link_code_companion_reg");
    let named = begins.map(|_| {
        NodeBuilder::new("link_code_pairing_ref")
            .bytes(b"ref".to_vec())
            .build()
    });
    vec![
        NodeBuilder::new("link_code_companion_reg")
            .children(named)
            .build(),
    ]
}

/// One group, whichever is asked for; changes of who is in it are made as they are asked for.
fn group(asked: &Node) -> Vec<Node> {
    if let Some(change) = child(asked, "add").or_else(|| child(asked, "remove")) {
        return vec![change.clone()];
    }
    let group = NodeBuilder::new("group")
        .attr("id", attr(asked, "to").trim_end_matches("@g.us"))
        .attr("subject", "Crew")
        .attr("creation", "1760000000")
        .attr("s_t", "1760000000")
        .attr("creator", "491510000002@s.whatsapp.net")
        .children([
            NodeBuilder::new("participant")
                .attr("jid", "491510000002@s.whatsapp.net")
                .attr("type", "superadmin")
                .build(),
            NodeBuilder::new("participant")
                .attr("jid", "491510000001@s.whatsapp.net")
                .build(),
        ]);
    vec![group.build()]
}
