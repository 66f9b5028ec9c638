//! The form of what nodes ask each other about devices: one JSON object, with the version first.
//!
//! Payloads are texts within it, so that their bytes stay as they are. What is not understood comes from a node of another
//! version, and is never carried out.

use bytes::Bytes;
use domain::{
    device::{Command, CommandName, DeviceEvent, MessageKey},
    event::EventType,
    fence::Fence,
    ids::{DeviceId, TenantId, WorkspaceId},
    position::Position,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::device::{
    DeviceItem,
    intake::{Batch, Word},
    messages::{Ending, Ran},
};

const VERSION: u8 = 1;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Put these events into the log of a tenant that lives there.
    Ingest(Batch),
    /// Ask this of the device's gateway.
    Run {
        tenant: TenantId,
        device: DeviceId,
        command: Command,
    },
    /// End the device's session, unless it is in this workspace.
    End {
        tenant: TenantId,
        device: DeviceId,
        why: Ending,
        except_in: Option<WorkspaceId>,
    },
    /// Tell what somebody has to see who pairs the device.
    ShowPairing { tenant: TenantId, device: DeviceId },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What became of each event.
    Items(Vec<DeviceItem>),
    /// Nothing was put into the log.
    NotTaken(Failure),
    /// What became of a command.
    Ran(Ran),
    /// Whether there was a session.
    Ended(bool),
    /// What is to be seen.
    Pairing(Option<Box<str>>),
    /// It did not understand, and did nothing.
    NotUnderstood,
}

/// Why nothing was put into the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    /// A newer session has written.
    Fenced(Fence),
    /// The tenant does not live there.
    NotHere,
    /// The plan's events are spent: when to come back, in milliseconds.
    RateLimited(u64),
    /// Too much is in flight.
    Overloaded,
    /// The disk is full.
    StorageFull,
    /// The tenant does not exist.
    NoTenant,
    /// Something does not answer.
    Unavailable(String),
}

#[derive(Serialize, Deserialize)]
struct Letter<T> {
    v: u8,
    what: T,
}

/// Enough to see which version it is.
#[derive(Deserialize)]
struct Version {
    v: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenAsk {
    Ingest {
        tenant: TenantId,
        device: DeviceId,
        workspace: WorkspaceId,
        fence: Fence,
        events: Vec<WrittenEvent>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        own: Option<Box<str>>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        will: bool,
    },
    Run {
        tenant: TenantId,
        device: DeviceId,
        id: Box<str>,
        name: CommandName,
        args: String,
        deadline: i64,
    },
    End {
        tenant: TenantId,
        device: DeviceId,
        why: Ending,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        except_in: Option<WorkspaceId>,
    },
    ShowPairing {
        tenant: TenantId,
        device: DeviceId,
    },
}

#[derive(Serialize, Deserialize)]
struct WrittenEvent {
    #[serde(default)]
    id: Box<str>,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<MessageKey>,
    data: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenAnswer {
    Items(Vec<WrittenItem>),
    NotTaken(Failure),
    Ran(WrittenRan),
    Ended(bool),
    Pairing(Option<Box<str>>),
    NotUnderstood,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenItem {
    Stored(Position),
    Duplicate(Position),
    Refused { code: String, message: String },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenRan {
    Done(String),
    Refused { code: String, message: String },
    TimedOut,
    Ended,
    Offline,
    Busy,
    Moved,
}

pub(super) fn write_ask(ask: &Ask) -> Bytes {
    let what = match ask {
        Ask::Ingest(batch) => WrittenAsk::Ingest {
            tenant: batch.tenant,
            device: batch.device,
            workspace: batch.workspace,
            fence: batch.fence,
            events: batch.events.iter().map(written_event).collect(),
            own: match &batch.word {
                Word::Engine(name) => Some(name.clone()),
                Word::Device | Word::Will => None,
            },
            will: batch.word == Word::Will,
        },
        Ask::Run {
            tenant,
            device,
            command,
        } => WrittenAsk::Run {
            tenant: *tenant,
            device: *device,
            id: command.id.clone(),
            name: command.name,
            args: text(&command.args),
            deadline: command.deadline.micros(),
        },
        Ask::End {
            tenant,
            device,
            why,
            except_in,
        } => WrittenAsk::End {
            tenant: *tenant,
            device: *device,
            why: *why,
            except_in: *except_in,
        },
        Ask::ShowPairing { tenant, device } => WrittenAsk::ShowPairing {
            tenant: *tenant,
            device: *device,
        },
    };
    write(what)
}

/// Reads a question. `None` if it is in no form that this node knows.
pub(crate) fn read_ask(body: &[u8]) -> Option<Ask> {
    Some(match read(body)? {
        WrittenAsk::Ingest {
            tenant,
            device,
            workspace,
            fence,
            events,
            own,
            will,
        } => Ask::Ingest(Batch {
            tenant,
            device,
            workspace,
            fence,
            events: events.into_iter().map(read_event).collect::<Option<_>>()?,
            word: match own {
                Some(name) => Word::Engine(name),
                None if will => Word::Will,
                None => Word::Device,
            },
        }),
        WrittenAsk::Run {
            tenant,
            device,
            id,
            name,
            args,
            deadline,
        } => Ask::Run {
            tenant,
            device,
            command: Command {
                id,
                name,
                args: args.into(),
                deadline: Timestamp::from_micros(deadline),
            },
        },
        WrittenAsk::End {
            tenant,
            device,
            why,
            except_in,
        } => Ask::End {
            tenant,
            device,
            why,
            except_in,
        },
        WrittenAsk::ShowPairing { tenant, device } => Ask::ShowPairing { tenant, device },
    })
}

/// Writes an answer.
pub(crate) fn write_answer(answer: Answer) -> Bytes {
    write(match answer {
        Answer::Items(items) => WrittenAnswer::Items(items.into_iter().map(written_item).collect()),
        Answer::NotTaken(failure) => WrittenAnswer::NotTaken(failure),
        Answer::Ran(ran) => WrittenAnswer::Ran(written_ran(ran)),
        Answer::Ended(was_there) => WrittenAnswer::Ended(was_there),
        Answer::Pairing(shown) => WrittenAnswer::Pairing(shown),
        Answer::NotUnderstood => WrittenAnswer::NotUnderstood,
    })
}

pub(super) fn read_answer(body: &[u8]) -> Option<Answer> {
    Some(match read(body)? {
        WrittenAnswer::Items(items) => Answer::Items(items.into_iter().map(read_item).collect()),
        WrittenAnswer::NotTaken(failure) => Answer::NotTaken(failure),
        WrittenAnswer::Ran(ran) => Answer::Ran(read_ran(ran)),
        WrittenAnswer::Ended(was_there) => Answer::Ended(was_there),
        WrittenAnswer::Pairing(shown) => Answer::Pairing(shown),
        WrittenAnswer::NotUnderstood => Answer::NotUnderstood,
    })
}

fn write<T: Serialize>(what: T) -> Bytes {
    let letter = Letter { v: VERSION, what };
    let body = serde_json::to_vec(&letter).expect("ids, numbers and texts have a form in JSON");
    body.into()
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Option<T> {
    let version = serde_json::from_slice::<Version>(body).ok()?;
    if version.v != VERSION {
        return None;
    }
    let letter = serde_json::from_slice::<Letter<T>>(body).ok()?;
    Some(letter.what)
}

/// JSON is always text; what is not was refused where it came in.
fn text(json: &Bytes) -> String {
    String::from_utf8_lossy(json).into_owned()
}

fn written_event(event: &DeviceEvent) -> WrittenEvent {
    WrittenEvent {
        id: event.id.clone(),
        kind: event.kind.as_str().to_owned(),
        at: event.at.map(Timestamp::micros),
        key: event.key.clone(),
        data: text(&event.data),
    }
}

fn read_event(event: WrittenEvent) -> Option<DeviceEvent> {
    Some(DeviceEvent {
        id: event.id,
        kind: EventType::new(&event.kind).ok()?,
        at: event.at.map(Timestamp::from_micros),
        key: event.key,
        data: event.data.into(),
    })
}

fn written_item(item: DeviceItem) -> WrittenItem {
    match item {
        DeviceItem::Stored(position) => WrittenItem::Stored(position),
        DeviceItem::Duplicate(position) => WrittenItem::Duplicate(position),
        DeviceItem::Refused { code, message } => WrittenItem::Refused {
            code: code.to_owned(),
            message,
        },
    }
}

fn read_item(item: WrittenItem) -> DeviceItem {
    match item {
        WrittenItem::Stored(position) => DeviceItem::Stored(position),
        WrittenItem::Duplicate(position) => DeviceItem::Duplicate(position),
        WrittenItem::Refused { code, message } => DeviceItem::Refused {
            code: DeviceItem::known_code(&code),
            message,
        },
    }
}

fn written_ran(ran: Ran) -> WrittenRan {
    match ran {
        Ran::Done(data) => WrittenRan::Done(text(&data)),
        Ran::Refused { code, message } => WrittenRan::Refused { code, message },
        Ran::TimedOut => WrittenRan::TimedOut,
        Ran::Ended => WrittenRan::Ended,
        Ran::Offline => WrittenRan::Offline,
        Ran::Busy => WrittenRan::Busy,
        Ran::Moved => WrittenRan::Moved,
    }
}

fn read_ran(ran: WrittenRan) -> Ran {
    match ran {
        WrittenRan::Done(data) => Ran::Done(data.into()),
        WrittenRan::Refused { code, message } => Ran::Refused { code, message },
        WrittenRan::TimedOut => Ran::TimedOut,
        WrittenRan::Ended => Ran::Ended,
        WrittenRan::Offline => Ran::Offline,
        WrittenRan::Busy => Ran::Busy,
        WrittenRan::Moved => Ran::Moved,
    }
}

#[cfg(test)]
mod tests;
