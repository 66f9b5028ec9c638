//! Stanzas: what is in them, and those that many begin with.

use whatsapp_rust::{
    NodeBuilder,
    wacore_binary::{Node, NodeContent},
};

/// The network's own name.
pub(super) const SERVER: &str = "s.whatsapp.net";

pub(super) fn iq(kind: &'static str, id: &str, children: impl IntoIterator<Item = Node>) -> Node {
    NodeBuilder::new("iq")
        .attr("from", SERVER)
        .attr("type", kind)
        .attr("id", id)
        .children(children)
        .build()
}

/// An attribute, empty if it is not there.
pub(crate) fn attr(node: &Node, name: &str) -> String {
    let value = node.attrs.get(name);
    value
        .map(|value| value.as_str().into_owned())
        .unwrap_or_default()
}

pub(crate) fn child<'a>(node: &'a Node, tag: &str) -> Option<&'a Node> {
    node.get_optional_child(tag)
}

pub(super) fn children(node: &Node) -> &[Node] {
    node.children().unwrap_or_default()
}

pub(super) fn bytes_of(node: &Node) -> &[u8] {
    match &node.content {
        Some(NodeContent::Bytes(bytes)) => bytes,
        _ => &[],
    }
}

/// The number of an address.
pub(super) fn plain(jid: &str) -> String {
    jid.split(['@', ':']).next().unwrap_or_default().to_owned()
}
