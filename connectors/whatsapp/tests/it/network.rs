//! A network as far as one account needs it: pairing, login, messages of one other person, receipts, groups.
//!
//! One account, in memory. What the client has not acknowledged comes again after each login.

mod answers;
mod nodes;
mod peer;
mod phone;
mod wire;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};
use whatsapp_rust::{NodeBuilder, wacore_binary::Node, waproto::whatsapp as wa};

pub(crate) use self::nodes::{attr, child};
use self::{
    answers::answer,
    nodes::{SERVER, bytes_of, children, iq, plain},
    peer::Peer,
    wire::{Identity, Wire},
};

/// The account's number.
pub(crate) const NUMBER: &str = "491510000001";

/// See the module.
pub(crate) struct Network {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    identity: Identity,
    state: Mutex<State>,
    /// Counts what has changed.
    news: watch::Sender<u64>,
}

/// What the network knows.
#[derive(Default)]
struct State {
    is_paired: bool,
    /// What the next login is answered with, if it is not let in.
    refusal: Option<Node>,
    /// The keys that the connector has uploaded last.
    upload: Option<Node>,
    /// How many of its keys for one session each were given away.
    given_keys: usize,
    /// Everybody's phones, by number.
    peers: BTreeMap<String, Peer>,
    privacy: BTreeMap<String, String>,
    /// What the connector has not acknowledged, in the order of ids.
    waiting: BTreeMap<String, Node>,
    /// Everything that clients have sent.
    received: Vec<Node>,
    /// The connection that there is.
    client: Option<mpsc::UnboundedSender<Order>>,
    logins: u64,
}

/// What a connection is told to do.
enum Order {
    Send(Node),
    Close,
}

impl Network {
    /// A network on a free port, with the account's phone and these other people.
    pub(crate) async fn start(others: &[&str]) -> Network {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut state = State {
            privacy: [
                ("readreceipts", "all"),
                ("last", "contacts"),
                ("online", "match_last_seen"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            ..State::default()
        };
        for number in others.iter().copied().chain([NUMBER]) {
            state
                .peers
                .insert(number.to_owned(), Peer::new(number).await);
        }
        let shared = Arc::new(Shared {
            identity: Identity::new(),
            state: Mutex::new(state),
            news: watch::Sender::new(0),
        });
        let port = listener.local_addr().expect("it is bound").port();
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Network { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/ws/chat", self.port)
    }

    /// Sends a stanza to the client that is there.
    pub(crate) fn send(&self, node: Node) {
        if let Some(client) = &self.shared.state().client {
            client.send(Order::Send(node)).ok();
        }
    }

    /// Ends the connection without a word.
    pub(crate) fn cut(&self) {
        if let Some(client) = self.shared.state().client.take() {
            client.send(Order::Close).ok();
        }
    }

    /// Unlinks the connector.
    pub(crate) fn unlink(&self) {
        self.shared.state().is_paired = false;
        self.cut();
    }

    /// Ends the connection, and answers the next login with this.
    pub(crate) fn refuse(&self, failure: Node) {
        self.shared.state().refusal = Some(failure);
        self.cut();
    }

    /// Somebody writes to the account.
    pub(crate) async fn say(&self, number: &str, id: &str, text: &str) {
        let message = wa::Message {
            conversation: Some(text.to_owned()),
            ..Default::default()
        };
        let stanza = self.encrypted(number, id, &message).await;
        self.deliver(stanza.attr("type", "text").attr("notify", "Ada").build());
    }

    /// A message of somebody to the connector.
    async fn encrypted(&self, number: &str, id: &str, message: &wa::Message) -> NodeBuilder {
        self.until(|state| state.upload.as_ref().map(|_| ())).await;
        let (mut peer, upload, nth_key) = {
            let mut state = self.shared.state();
            let upload = state.upload.clone().expect("keys were uploaded");
            state.given_keys += 1;
            let peer = state.peers.remove(number).expect("somebody known");
            (peer, upload, state.given_keys - 1)
        };
        let enc = peer.encrypt(&upload, nth_key, message).await;
        let stanza = NodeBuilder::new("message")
            .attr("from", peer.jid())
            .attr("id", id)
            .attr("t", "1760000000")
            .children([enc.expect("it can be encrypted")]);
        self.shared.state().peers.insert(number.to_owned(), peer);
        stanza
    }

    /// Sends a stanza, and again after each login until it is acknowledged.
    pub(crate) fn deliver(&self, node: Node) {
        self.shared
            .state()
            .waiting
            .insert(attr(&node, "id"), node.clone());
        self.send(node);
    }

    /// What a message of the connector says to somebody.
    pub(crate) async fn read(&self, number: &str, stanza: &Node) -> wa::Message {
        let taken = self.shared.state().peers.remove(number);
        let mut peer = taken.expect("somebody known");
        let message = peer.decrypt(stanza).await.expect("it can be decrypted");
        self.shared.state().peers.insert(number.to_owned(), peer);
        message
    }

    /// Waits until a client has sent such a stanza.
    pub(crate) async fn sent(&self, is_it: impl Fn(&Node) -> bool) -> Node {
        self.until(|state| state.received.iter().find(|node| is_it(node)).cloned())
            .await
    }

    /// Waits for a message of the connector to somebody.
    pub(crate) async fn message_to(&self, number: &str) -> Node {
        self.sent(|node| node.tag == "message" && plain(&attr(node, "to")) == number)
            .await
    }

    /// Whether a client has sent such a stanza.
    pub(crate) fn has_sent(&self, is_it: impl Fn(&Node) -> bool) -> bool {
        self.shared.state().received.iter().any(is_it)
    }

    /// Waits until the connector has logged in so often.
    pub(crate) async fn logins(&self, count: u64) {
        self.until(|state| (state.logins >= count).then_some(()))
            .await;
    }

    async fn until<T>(&self, found: impl Fn(&State) -> Option<T>) -> T {
        let mut news = self.shared.news.subscribe();
        loop {
            if let Some(found) = found(&self.shared.state()) {
                return found;
            }
            news.changed().await.expect("the network is there");
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test has panicked with it")
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A client that goes away ends its connection, whatever it was about to say.
            serve(stream, &shared).await.ok();
        });
    }
}

/// One connection, from its handshake to its end.
async fn serve(stream: TcpStream, shared: &Shared) -> anyhow::Result<()> {
    let mut wire = Wire::accept(stream, &shared.identity).await?;
    let (sender, mut orders) = mpsc::unbounded_channel();
    let (is_login, is_paired, refusal) = {
        let mut state = shared.state();
        state.client = Some(sender);
        let is_login = wire.login.username.is_some();
        (is_login, state.is_paired, state.refusal.take())
    };
    let first = match (is_login, is_paired) {
        (false, _) => {
            let refs = (0..6).map(|no| {
                let text = format!("2@ref{no}").into_bytes();
                NodeBuilder::new("ref").bytes(text).build()
            });
            let refs: Vec<Node> = refs.collect();
            iq(
                "set",
                "qr",
                [NodeBuilder::new("pair-device").children(refs).build()],
            )
        }
        (true, false) => NodeBuilder::new("failure").attr("reason", "401").build(),
        (true, true) => refusal.unwrap_or_else(|| {
            NodeBuilder::new("success")
                .attr("t", "1760000000")
                .attr("lid", format!("9{NUMBER}:7@lid"))
                .build()
        }),
    };
    wire.send(&first).await?;
    loop {
        tokio::select! {
            received = wire.receive() => take(received?, &mut wire, shared).await?,
            order = orders.recv() => match order {
                Some(Order::Send(node)) => wire.send(&node).await?,
                Some(Order::Close) | None => return Ok(()),
            },
        }
    }
}

async fn take(node: Node, wire: &mut Wire, shared: &Shared) -> anyhow::Result<()> {
    let mut answers = Vec::new();
    {
        let mut state = shared.state();
        let id = attr(&node, "id");
        match &*node.tag {
            "iq" if matches!(attr(&node, "type").as_str(), "get" | "set") => {
                let found = answer(&node, &mut state);
                answers.push(iq("result", &id, found));
                if child(&node, "active").is_some() {
                    state.logins += 1;
                    answers.extend(waiting(&state));
                }
            }
            "message" => answers.push(
                NodeBuilder::new("ack")
                    .attr("class", "message")
                    .attr("id", id)
                    .attr("from", attr(&node, "to"))
                    .attr("t", "1760000100")
                    .build(),
            ),
            "receipt" | "ack" => {
                state.waiting.remove(&id);
            }
            _ => {}
        }
        state.received.push(node);
    }
    shared.tell();
    for answer in answers {
        wire.send(&answer).await?;
    }
    Ok(())
}

/// What waits, marked as of the past, and that this was all.
fn waiting(state: &State) -> Vec<Node> {
    let mut nodes: Vec<Node> = state.waiting.values().cloned().collect();
    for node in &mut nodes {
        node.attrs.insert("offline", "0");
    }
    let count = nodes.len().to_string();
    let end = NodeBuilder::new("offline").attr("count", count).build();
    nodes.push(
        NodeBuilder::new("ib")
            .attr("from", SERVER)
            .children([end])
            .build(),
    );
    nodes
}
