//! What operators and owners ask of a webhook: change, resume, replay, describe, drain.
//!
//! A message that comes before the state is loaded waits for it.

use std::sync::Arc;

use actix::prelude::*;
use domain::{
    breaker::Breaker,
    webhook::{Webhook, WebhookState},
};

use super::{
    Describe, Discard, Drain, Held, Reconfigure, Redeliver, Resume, Stage, StartReplay,
    WebhookActor, WebhookStatus,
    parcel::Tries,
    ready::{Ready, filter_of},
    request::Recipe,
    schedule::Retry,
};

impl WebhookActor {
    pub(super) fn reconfigure(&mut self, message: Reconfigure, ctx: &mut Context<Self>) {
        match &mut self.stage {
            Stage::Loading => self.waiting.push(Held::Reconfigure(message)),
            Stage::Gone => message.reply.send(()),
            Stage::Ready(ready) => {
                match message.webhook {
                    Some(webhook) => {
                        if let Some(handle) = ready.stating.take() {
                            // The owner has decided since.
                            ctx.cancel_future(handle);
                        }
                        ready.take_over(webhook);
                    }
                    None => self.gone(ctx),
                }
                message.reply.send(());
                self.step(ctx);
            }
        }
    }

    pub(super) fn resume(&mut self, message: Resume, ctx: &mut Context<Self>) {
        match &mut self.stage {
            Stage::Loading => self.waiting.push(Held::Resume(message)),
            Stage::Gone => message.reply.send(()),
            Stage::Ready(ready) => {
                if let Some(handle) = ready.stating.take() {
                    ctx.cancel_future(handle);
                }
                ready.breaker.reset();
                if ready.webhook.state != WebhookState::Active {
                    let webhook = Webhook {
                        state: WebhookState::Active,
                        ..(*ready.webhook).clone()
                    };
                    ready.webhook = Arc::new(webhook);
                }
                ready.settlement.replies.push(message.reply);
                self.step(ctx);
            }
        }
    }

    pub(super) fn redeliver(&mut self, message: Redeliver, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        match &mut self.stage {
            Stage::Loading => self.waiting.push(Held::Redeliver(message)),
            Stage::Gone => message.reply.send(()),
            Stage::Ready(ready) => {
                for letter in message.letters {
                    let position = letter.position;
                    if ready.slots.is_taken(position) || ready.settlement.has(position) {
                        continue;
                    }
                    // Asked for twice, it is due once.
                    ready.schedule.remove(position);
                    let tries = Tries::anew(letter.attempts);
                    let retry = Retry {
                        position,
                        tries,
                        due: now,
                    };
                    ready.settlement.revive(letter, retry);
                }
                let cursor = ready.slots.cursor_on_disk();
                ready.settlement.replies.push(message.reply);
                self.shared.board.restore(self.key, cursor, cursor);
                self.step(ctx);
            }
        }
    }

    pub(super) fn discard(&mut self, message: Discard, ctx: &mut Context<Self>) {
        match &mut self.stage {
            Stage::Loading => self.waiting.push(Held::Discard(message)),
            Stage::Gone => message.reply.send(()),
            Stage::Ready(ready) => {
                for position in message.positions {
                    let is_moving = ready.slots.is_taken(position)
                        || ready.slots.is_open(position)
                        || ready.settlement.has(position);
                    if !is_moving {
                        ready.schedule.remove(position);
                        ready.drop_delivery(position);
                    }
                }
                ready.settlement.replies.push(message.reply);
                self.step(ctx);
            }
        }
    }

    pub(super) fn start_replay(&mut self, message: StartReplay, ctx: &mut Context<Self>) {
        match &mut self.stage {
            Stage::Loading => self.waiting.push(Held::StartReplay(message)),
            Stage::Gone => message.reply.send(()),
            Stage::Ready(ready) => {
                ready.replays.push(message.replay, false);
                let cursor = ready.slots.cursor_on_disk();
                ready.settlement.replies.push(message.reply);
                self.shared.board.restore(self.key, cursor, cursor);
                self.write(ctx);
                self.step(ctx);
            }
        }
    }

    pub(super) fn describe(&mut self, message: Describe) {
        match &self.stage {
            Stage::Loading => self.waiting.push(Held::Describe(message)),
            Stage::Gone => message.reply.send(None),
            Stage::Ready(ready) => message.reply.send(Some(WebhookStatus {
                breaker: ready.breaker,
                in_flight: ready.slots.taken(),
                retrying: ready.schedule.len(),
                cursor: ready.slots.cursor(),
            })),
        }
    }
}

impl Ready {
    /// Takes over how the webhook is now. What was read for another choice of events is read anew; what is on its way ends
    /// as it began.
    fn take_over(&mut self, webhook: Arc<Webhook>) {
        let old = &self.webhook;
        self.is_stale |= webhook.ordered != old.ordered
            || webhook.events != old.events
            || webhook.workspace != old.workspace;
        self.recipe = Arc::new(Recipe::new(&webhook));
        self.filter = filter_of(&webhook);
        self.pages = None;
        self.webhook = webhook;
        if self.webhook.state == WebhookState::Active && self.breaker == Breaker::Suspended {
            // Only its owner can have made it active.
            self.breaker.reset();
            self.settlement.is_due = true;
        }
    }
}

impl Handler<Reconfigure> for WebhookActor {
    type Result = ();

    fn handle(&mut self, message: Reconfigure, ctx: &mut Context<Self>) {
        self.reconfigure(message, ctx);
    }
}

impl Handler<Resume> for WebhookActor {
    type Result = ();

    fn handle(&mut self, message: Resume, ctx: &mut Context<Self>) {
        self.resume(message, ctx);
    }
}

impl Handler<Redeliver> for WebhookActor {
    type Result = ();

    fn handle(&mut self, message: Redeliver, ctx: &mut Context<Self>) {
        self.redeliver(message, ctx);
    }
}

impl Handler<Discard> for WebhookActor {
    type Result = ();

    fn handle(&mut self, message: Discard, ctx: &mut Context<Self>) {
        self.discard(message, ctx);
    }
}

impl Handler<StartReplay> for WebhookActor {
    type Result = ();

    fn handle(&mut self, message: StartReplay, ctx: &mut Context<Self>) {
        self.start_replay(message, ctx);
    }
}

impl Handler<Describe> for WebhookActor {
    type Result = ();

    fn handle(&mut self, message: Describe, _: &mut Context<Self>) {
        self.describe(message);
    }
}

impl Handler<Drain> for WebhookActor {
    type Result = ();

    fn handle(&mut self, Drain { reply }: Drain, ctx: &mut Context<Self>) {
        self.is_draining = true;
        match self.stage {
            Stage::Loading | Stage::Gone => reply.send(()),
            Stage::Ready(_) => {
                self.drained.push(reply);
                self.step(ctx);
            }
        }
    }
}
