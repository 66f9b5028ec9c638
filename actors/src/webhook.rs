//! TEMPORARY, replaced by the real one.
use std::sync::Arc;
use actix::prelude::*;
use domain::clock::Clock;
use rand::rngs::StdRng;
use store::control::Control;
use crate::{engine::secrets::Secrets, feed::{Feeds, RingLimits}, region::{RegionActor, RegionLogs}, registry::{InjectPanic, Keyed, Lifeline, Poke, Registry, Reply}, webhook_board::{WebhookBoard, WebhookKey}};
pub struct WebhookContext { pub clock: Clock, pub random: Arc<dyn Fn() -> StdRng + Send + Sync>, pub control: Control, pub logs: RegionLogs, pub regions: Registry<RegionActor>, pub feeds: Arc<Feeds>, pub board: Arc<WebhookBoard>, pub client: outbound::WebhookClient, pub outside: tokio::runtime::Handle, pub secrets: Arc<Secrets>, pub ring: RingLimits, pub tuning: WebhookTuning }
#[derive(Clone, Copy)]
pub struct WebhookTuning {}
pub struct WebhookActor { _l: Lifeline<WebhookActor> }
impl WebhookActor { pub fn new(_: WebhookKey, _: Arc<WebhookContext>, l: Lifeline<WebhookActor>) -> Self { WebhookActor { _l: l } } }
impl Keyed for WebhookActor { type Key = WebhookKey; const KIND: &'static str = "webhook"; const RUNS_UNASKED: bool = true; }
impl Actor for WebhookActor { type Context = Context<Self>; }
impl Handler<Poke> for WebhookActor { type Result = (); fn handle(&mut self, _: Poke, _: &mut Context<Self>) {} }
impl Handler<InjectPanic> for WebhookActor { type Result = (); fn handle(&mut self, _: InjectPanic, _: &mut Context<Self>) {} }
#[derive(Message)] #[rtype(result = "()")] pub struct Drain { pub reply: Reply<()> }
impl Handler<Drain> for WebhookActor { type Result = (); fn handle(&mut self, m: Drain, _: &mut Context<Self>) { m.reply.send(()) } }
