//! Client of the gateway protocol: keeps one device connected to the engine.
//!
//! A [`Gateway`] stands for the session of one device. It connects, says who it is, and comes back when the connection is
//! lost. What the caller has to know:
//!
//! - **An event is kept until the engine has it.** [`Gateway::event`] answers with the event's position when it is durable,
//!   or with why it was refused. Until then it is sent again after every reconnect, in its order; the engine drops what it
//!   has already. So: tell your network "delivered" only after `event` has answered.
//! - **Memory has bounds.** When too much is unanswered, [`Gateway::send`] and [`Gateway::event`] wait.
//! - **A command is carried out once.** The engine asks again after a reconnect; the same id is answered from memory.
//!   `message.send` commands are carried out one after the other, so that messages keep their order; others at once.
//! - **Another session is the end.** When the engine says that somebody else took the session, that the key is revoked or
//!   that the device does not exist, the gateway stays down: [`Gateway::ended`] tells.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use gateway::{Builder, Bytes, CommandName, DeviceEvent, EventType, RefusedBy, Report};
//!
//! let gateway = Builder::new("https://events.example.com", "dev_0193…".parse()?, "ak_…")?
//!     .name("thermometer/1.0")
//!     .on_command(|command| async move {
//!         match command.name {
//!             CommandName::MessageSend => Ok(Bytes::from_static(b"{}")),
//!             _ => Err(RefusedBy { code: "unsupported".into(), message: "I only measure".into() }),
//!         }
//!     })
//!     .start();
//! gateway.report(Report::Connected { reason: None });
//! let position = gateway
//!     .event(DeviceEvent {
//!         id: "".into(), // The client gives one.
//!         kind: EventType::new("sensor.temperature")?,
//!         at: None,
//!         key: None,
//!         data: Bytes::from_static(br#"{"celsius":21.5}"#),
//!     })
//!     .await?;
//! # let _ = position;
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here knows a vendor, and nothing is written to disk: what was not acknowledged when the process ends is the
//! network's to deliver again.

mod backoff;
mod builder;
mod commands;
mod credentials;
mod dial;
mod ended;
mod handle;
mod reports;
mod session;
mod task;
mod tls;
mod unacked;

pub use bytes::Bytes;
pub use domain::{
    device::{Command, CommandName, DeviceEvent, MessageKey, RefusedBy, Report},
    event::EventType,
    fence::Fence,
    ids::DeviceId,
    position::Position,
    time::Timestamp,
};

pub use self::{
    builder::{Builder, SetupError},
    credentials::{Credentials, CredentialsError},
    ended::{Ended, EventError, Status},
    handle::{Gateway, Receipt},
};

#[cfg(test)]
mod tests;
