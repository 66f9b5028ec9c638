//! What happens to an ingest before it is on its way to the store: templates, duplicates, limits, numbers, hashes.
//!
//! All decisions are synchronous. What they need and memory does not hold is fetched first; then the same ingest is
//! admitted again from the start.

use std::{collections::HashSet, sync::Arc};

use actix::prelude::*;
use domain::{
    chain,
    dedup::Lookup,
    event::{Event, Hash, NewEvent, Seed},
    event_id::event_id,
    ids::{TenantId, WorkspaceId},
    rate::{Limit, Refused, Standing},
    time::Timestamp,
};
use rand::{Rng, RngExt as _};
use store::log::IdempotentAnswer;

use super::{
    Held, IdempotentRequest, Ingest, IngestError, Item, Ready, Stage, TenantActor,
    batches::Request, chains::Known,
};

/// Where an event's `dedup_id` is unique.
pub(super) type DedupKey = (WorkspaceId, Box<str>);

impl TenantActor {
    /// Admits an ingest, or holds it until the state is there.
    pub(super) fn ingest(&mut self, message: Ingest, ctx: &mut Context<Self>) {
        if let Some(why) = self.refusal() {
            message.reply.send(Err(why.into()));
            return;
        }
        match &mut self.stage {
            Stage::Gone => message.reply.send(Err(IngestError::NoTenant)),
            Stage::Ready(ready) if ready.failing.is_none() => {
                if let Some(idempotent) = &message.idempotent {
                    if !ready.answers_in_flight.insert(idempotent.key_hash) {
                        message.reply.send(Err(IngestError::IdempotencyInFlight));
                        return;
                    }
                    self.look_for_answer(message, ctx);
                } else {
                    self.admit(message, ctx);
                }
            }
            Stage::Loading | Stage::Ready(_) => self.waiting.push_back(Held::Ingest(message)),
        }
    }

    /// Numbers the events and puts them on their way.
    pub(super) fn admit(&mut self, message: Ingest, ctx: &mut Context<Self>) {
        if self.is_held() {
            self.release_key(&message);
            self.ingest(message, ctx);
            return;
        }
        if let Some(held) = self.is_replaced(&message) {
            self.release_key(&message);
            message.reply.send(Err(IngestError::DeviceFenced { held }));
            return;
        }
        if self.must_fetch(&message.events) {
            self.fetch_then_admit(message, ctx);
            return;
        }
        let now = self.shared.clock.now();
        let Stage::Ready(ready) = &mut self.stage else {
            return;
        };
        let Ingest {
            mut events,
            idempotent,
            from,
            reply,
        } = message;
        let fates = ready.decide(&mut events, now);
        let wanted = fates
            .iter()
            .filter(|fate| matches!(fate, Fate::Accept))
            .count();
        let is_beyond_plan = from.as_ref().is_some_and(|from| from.is_beyond_plan);
        let standing = match ready.take_from_plan(wanted, now) {
            Err(_) if is_beyond_plan => None,
            Ok(standing) => standing,
            Err(error) => {
                ready.undo(&events, &fates);
                if let Some(idempotent) = &idempotent {
                    ready.answers_in_flight.remove(&idempotent.key_hash);
                }
                reply.send(Err(error));
                return;
            }
        };
        let received_at = now.max(ready.received_last);
        ready.received_last = received_at;
        ready.pending.begin();
        let session = from.as_ref().map(|from| (from.device, from.fence));
        let mut steps = from.map(|from| from.steps.into_iter());
        let mut items = Vec::with_capacity(events.len());
        for (new, fate) in events.into_iter().zip(fates) {
            let step = steps.as_mut().and_then(Iterator::next).flatten();
            items.push(match fate {
                Fate::Accept => {
                    let event = ready.number(self.tenant, new, received_at, &mut self.random);
                    ready.pending.add_origin(&event, session, step);
                    Item::Accepted(event)
                }
                Fate::Answer(item) => item,
                Fate::SameAs { key } => ready.same_as(&key),
            });
        }
        let answered = idempotent.map(|idempotent| ready.keep_answer(idempotent, &items, now));
        ready.pending.end(Request {
            items,
            standing,
            key: answered,
            session,
            reply,
        });
        self.pass_on(ctx);
    }

    fn is_held(&self) -> bool {
        !matches!(&self.stage, Stage::Ready(ready) if ready.failing.is_none())
    }

    pub(super) fn ready(&self) -> Option<&Ready> {
        match &self.stage {
            Stage::Ready(ready) => Some(ready),
            Stage::Loading | Stage::Gone => None,
        }
    }

    fn must_fetch(&mut self, events: &[NewEvent]) -> bool {
        let now = self.shared.clock.now();
        let Stage::Ready(ready) = &mut self.stage else {
            return false;
        };
        if ready.chains.is_full() && ready.pending.is_empty() && ready.flying.is_empty() {
            ready.chains.clear();
            self.epoch += 1;
        }
        events
            .iter()
            .any(|event| ready.chains.must_fetch(event.workspace) || ready.must_ask(event, now))
    }

    /// Fetches chains, templates and dedup ids that the ingest needs, then admits it.
    fn fetch_then_admit(&mut self, message: Ingest, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        let Some(ready) = self.ready() else { return };
        let mut workspaces: Vec<WorkspaceId> = message
            .events
            .iter()
            .map(|event| event.workspace)
            .filter(|workspace| ready.chains.must_fetch(*workspace))
            .collect();
        workspaces.sort_unstable();
        workspaces.dedup();
        let wanted: Vec<DedupKey> = message
            .events
            .iter()
            .filter(|event| ready.must_ask(event, now))
            .filter_map(dedup_key)
            .collect();
        let (epoch, region) = (self.epoch, ready.region);
        let fetch = super::load::fetch(
            Arc::clone(&self.shared),
            self.tenant,
            region,
            workspaces,
            wanted,
        );
        ctx.spawn(
            fetch
                .into_actor(self)
                .map(move |fetched, actor, ctx| match fetched {
                    Ok(fetched) => {
                        if let Stage::Ready(ready) = &mut actor.stage
                            && actor.epoch == epoch
                        {
                            ready.take_fetched(fetched);
                        }
                        actor.admit(message, ctx);
                    }
                    Err(error) => {
                        actor.release_key(&message);
                        message.reply.send(Err(error.into()));
                    }
                }),
        );
    }
}

/// What is to become of one event.
enum Fate {
    /// It gets a number.
    Accept,
    /// It does not, for this reason.
    Answer(Item),
    /// An earlier event of the same request has its `dedup_id`.
    SameAs { key: DedupKey },
}

impl Ready {
    /// Whether only the store knows if the event is a duplicate.
    fn must_ask(&self, event: &NewEvent, now: Timestamp) -> bool {
        event.fields.dedup_id.as_deref().is_some_and(|dedup_id| {
            let found = self.dedup.lookup(event.workspace, dedup_id, now);
            matches!(found, Lookup::Unknown)
        })
    }

    /// Applies templates and finds duplicates. Dedup ids of accepted events are taken.
    fn decide(&mut self, events: &mut [NewEvent], now: Timestamp) -> Vec<Fate> {
        let mut own = HashSet::new();
        events
            .iter_mut()
            .map(|event| self.decide_one(event, &mut own, now))
            .collect()
    }

    fn decide_one(
        &mut self,
        event: &mut NewEvent,
        own: &mut HashSet<DedupKey>,
        now: Timestamp,
    ) -> Fate {
        match self.chains.get(event.workspace) {
            None | Some(Known::Nothing) => return Fate::Answer(Item::NoWorkspace),
            Some(Known::Chain(chain)) => {
                if let Some(template) = &chain.template
                    && let Err(violations) = template.apply(event)
                {
                    return Fate::Answer(Item::Rejected(violations));
                }
            }
        }
        let Some(key) = dedup_key(event) else {
            return Fate::Accept;
        };
        match self.dedup.lookup(key.0, &key.1, now) {
            Lookup::Known(existing) => Fate::Answer(Item::Duplicate { existing }),
            Lookup::InFlight if own.contains(&key) => Fate::SameAs { key },
            Lookup::InFlight => Fate::Answer(self.same_as(&key)),
            Lookup::Absent | Lookup::Unknown => {
                self.dedup.begin(key.0, &key.1);
                own.insert(key);
                Fate::Accept
            }
        }
    }

    /// The event in flight that has this `dedup_id`: the answer waits behind it in the same queue, so it is only given if
    /// that event is stored.
    fn same_as(&self, key: &DedupKey) -> Item {
        let in_flight = |flying: &super::Flying| flying.find_dedup(key);
        let existing = self
            .pending
            .find_dedup(key)
            .or_else(|| self.flying.iter().find_map(in_flight))
            .expect("a dedup id is in flight exactly while its event is");
        Item::Duplicate { existing }
    }

    fn take_from_plan(
        &mut self,
        count: usize,
        now: Timestamp,
    ) -> Result<Option<Standing>, IngestError> {
        let Some(per_minute) = self.events_per_minute else {
            return Ok(None);
        };
        let limit = Limit::per_minute(per_minute);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        match self.bucket.take(count, now, limit) {
            Ok(standing) => Ok(Some(standing)),
            Err(Refused::ForNow {
                retry_after,
                standing,
            }) => Err(IngestError::RateLimited {
                retry_after,
                standing,
            }),
            Err(Refused::Ever { standing }) => Err(IngestError::OverLimit { standing }),
        }
    }

    fn undo(&mut self, events: &[NewEvent], fates: &[Fate]) {
        for (event, fate) in events.iter().zip(fates) {
            if matches!(fate, Fate::Accept)
                && let Some(key) = dedup_key(event)
            {
                self.dedup.abort(key.0, &key.1);
            }
        }
    }

    /// Gives the event its place in the log and in its chain.
    fn number(
        &mut self,
        tenant: TenantId,
        new: NewEvent,
        received_at: Timestamp,
        random: &mut impl Rng,
    ) -> Arc<Event> {
        let Some(Known::Chain(chain)) = self.chains.get(new.workspace) else {
            unreachable!("an event is accepted only into a chain that is in memory");
        };
        let position = self.numbered.next();
        let mut seed = Seed([0; 32]);
        random.fill_bytes(&mut seed.0);
        let mut event = Event {
            position,
            seq: chain.next_seq(),
            id: event_id(received_at, position, random.random()),
            workspace: new.workspace,
            received_at,
            kind: new.kind,
            fields: new.fields,
            payload: new.payload,
            seed,
            prev_hash: Hash::default(),
            hash: Hash::default(),
        };
        chain::link(tenant, &mut event, chain.hash);
        let mut nodes = Vec::new();
        chain.push(event.hash, &mut nodes);
        self.numbered = position;
        let event = Arc::new(event);
        self.pending.add_event(Arc::clone(&event), nodes);
        event
    }

    /// Renders the answer now, so that it is stored with the events.
    fn keep_answer(
        &mut self,
        idempotent: IdempotentRequest,
        items: &[Item],
        now: Timestamp,
    ) -> [u8; 32] {
        let (status, body) = (idempotent.render)(items);
        self.pending.add_answer(IdempotentAnswer {
            key_hash: idempotent.key_hash,
            request_hash: idempotent.request_hash,
            status,
            body,
            expires_at: now.plus(idempotent.keep_for),
        });
        idempotent.key_hash
    }

    fn take_fetched(&mut self, fetched: super::load::Fetched) {
        for (workspace, chain) in fetched.chains {
            self.chains.put(workspace, chain);
        }
        for ((workspace, dedup_id), found) in fetched.dedup {
            self.dedup.learn(workspace, &dedup_id, found);
        }
    }
}

/// Where the event's `dedup_id` is unique, if it has one.
pub(super) fn dedup_key(event: &NewEvent) -> Option<DedupKey> {
    let dedup_id = event.fields.dedup_id.clone()?;
    Some((event.workspace, dedup_id))
}
