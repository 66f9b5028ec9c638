//! What tests stand on: the engine as a process, clients for it, receivers that behave as a test wants, and waiting.

pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod engine;
pub(crate) mod export;
pub(crate) mod gateway;
pub(crate) mod load;
pub(crate) mod memory_disk;
pub(crate) mod mqtt;
pub(crate) mod nats;
pub(crate) mod ports;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod python;
pub(crate) mod sink;
pub(crate) mod stats;
pub(crate) mod store;
pub(crate) mod tail;
pub(crate) mod until;
pub(crate) mod wire;

pub(crate) use client::{Answer, Client};
pub(crate) use engine::{Engine, Settings};
pub(crate) use gateway::{Gateway, Reply, Serving};
pub(crate) use memory_disk::MemoryDisk;
pub(crate) use nats::NatsServer;
pub(crate) use postgres::PostgresServer;
pub(crate) use proxy::Proxy;
pub(crate) use sink::{Behaviour, Sink};
pub(crate) use store::Store;
pub(crate) use tail::Tail;
pub(crate) use until::until;
