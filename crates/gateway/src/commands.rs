//! Carries out what the engine asks, each command once.
//!
//! Handlers run in tasks of their own, so that a slow one or one that panics does not hold the session up. What a command
//! means is the handler's business.

mod memory;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
};

use bytes::Bytes;
use domain::device::{
    Command, CommandName, CommandResult, RefusedBy,
    frame::{FRAME_BYTES_MAX, FromGateway},
};
use tokio::task::{self, JoinSet};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tracing::warn;

use memory::{Known, Memory};

/// How many commands may be carried out, or wait for it, at once.
const UNDER_WAY_MAX: usize = 256;

pub(crate) type Outcome = Result<Bytes, RefusedBy>;
type Doing = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What carries a command out.
#[derive(Clone)]
pub(crate) struct Handler(Arc<dyn Fn(Command) -> Doing + Send + Sync>);

/// The commands of one gateway.
pub(crate) struct Commands {
    handler: Handler,
    running: JoinSet<Outcome>,
    ids: HashMap<task::Id, Box<str>>,
    /// Messages that wait for the one before them.
    waiting: VecDeque<Command>,
    /// The message that is being sent.
    sending: Option<Box<str>>,
    memory: Memory,
    /// Frames that have not been sent.
    results: VecDeque<Utf8Bytes>,
}

impl Handler {
    pub(crate) fn new<F, Fut>(handle: F) -> Handler
    where
        F: Fn(Command) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        Handler(Arc::new(move |command| Box::pin(handle(command))))
    }
}

impl Default for Handler {
    fn default() -> Handler {
        Handler::new(|command: Command| async move {
            Err(RefusedBy {
                code: "unsupported".to_owned(),
                message: format!("this gateway does not carry out {}", command.name),
            })
        })
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler(…)")
    }
}

impl Commands {
    pub(crate) fn new(handler: Handler) -> Commands {
        Commands {
            handler,
            running: JoinSet::new(),
            ids: HashMap::new(),
            waiting: VecDeque::new(),
            sending: None,
            memory: Memory::default(),
            results: VecDeque::new(),
        }
    }

    /// Takes a command: carries it out, or answers again if it was carried out before.
    pub(crate) fn take(&mut self, command: Command) {
        match self.memory.find(&command.id) {
            Some(Known::UnderWay) => {}
            Some(Known::Done(text)) => {
                let text = text.clone();
                if !self.results.contains(&text) {
                    self.results.push_back(text);
                }
            }
            None if self.ids.len() + self.waiting.len() >= UNDER_WAY_MAX => {
                let error = RefusedBy {
                    code: "busy".to_owned(),
                    message: format!("{UNDER_WAY_MAX} commands are under way"),
                };
                // Not remembered: later it may be carried out.
                self.results.push_back(written(command.id, Err(error)));
            }
            None => {
                self.memory.begin(command.id.clone());
                if command.name != CommandName::MessageSend {
                    self.start(command);
                } else if self.sending.is_some() {
                    self.waiting.push_back(command);
                } else {
                    self.sending = Some(command.id.clone());
                    self.start(command);
                }
            }
        }
    }

    /// Waits until a command has been carried out; its result is [`Commands::next_result`]'s then. Waits for ever if
    /// nothing is under way, and may be dropped at any time.
    pub(crate) async fn finish_one(&mut self) {
        let Some(ended) = self.running.join_next_with_id().await else {
            return pending().await;
        };
        let (task, outcome) = match ended {
            Ok((task, outcome)) => (task, outcome),
            Err(error) => {
                warn!("a command's handler panicked: {error}");
                let refused = RefusedBy {
                    code: "internal".to_owned(),
                    message: "the gateway failed while it carried the command out".to_owned(),
                };
                (error.id(), Err(refused))
            }
        };
        let Some(id) = self.ids.remove(&task) else {
            return;
        };
        if self.sending.as_ref() == Some(&id) {
            let next = self.waiting.pop_front();
            self.sending = next.as_ref().map(|command| command.id.clone());
            if let Some(command) = next {
                self.start(command);
            }
        }
        let text = written(id.clone(), outcome);
        self.memory.finish(id, text.clone());
        self.results.push_back(text);
    }

    pub(crate) fn has_result(&self) -> bool {
        !self.results.is_empty()
    }

    /// The next result to send. If it is lost on its way, the engine asks again.
    pub(crate) fn next_result(&mut self) -> Option<Utf8Bytes> {
        self.results.pop_front()
    }

    fn start(&mut self, command: Command) {
        let id = command.id.clone();
        let doing = (self.handler.0)(command);
        let task = self.running.spawn(doing);
        self.ids.insert(task.id(), id);
    }
}

/// The frame of a result; one that is too large becomes a refusal.
fn written(id: Box<str>, outcome: Outcome) -> Utf8Bytes {
    let outcome = outcome.and_then(|data| {
        if serde_json::from_slice::<serde::de::IgnoredAny>(&data).is_ok() {
            Ok(data)
        } else {
            Err(RefusedBy {
                code: "internal".to_owned(),
                message: "the gateway's result is not JSON".to_owned(),
            })
        }
    });
    let text = FromGateway::Result(CommandResult {
        id: id.clone(),
        outcome,
    })
    .write();
    if text.len() <= FRAME_BYTES_MAX {
        return text.into();
    }
    let error = RefusedBy {
        code: "result_too_large".to_owned(),
        message: format!("the result has {} bytes", text.len()),
    };
    FromGateway::Result(CommandResult {
        id,
        outcome: Err(error),
    })
    .write()
    .into()
}
