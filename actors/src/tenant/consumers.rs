//! Pull readers' standings: a cursor, and what is acknowledged beyond it.
//!
//! A standing is changed in memory first and written as a whole; the answer waits for the disk. If the write fails, the
//! standing is read anew.

use std::collections::HashMap;

use actix::prelude::*;
use domain::{filter::EventFilter, position::Position};
use store::{
    StoreError,
    log::{Consume, Consumer, ConsumerName, EventQuery, Order, Write, WriteError},
};

use super::{AckError, Acknowledge, Acknowledgement, Held, Stage, TenantActor};
use crate::{placement::NotHeld, registry::Reply};

/// Consumers whose standing is kept in memory.
const CONSUMERS_MAX: usize = 1_024;
/// Events that may be acknowledged beyond one that is not.
const OPEN_MAX: usize = 10_000;
/// Events looked at to find out whether a confined consumer's cursor may move.
const LOOK_MAX: u32 = 1_000;

/// The standings in memory.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    by_name: HashMap<ConsumerName, Kept>,
}

/// A standing in memory.
#[derive(Debug)]
struct Kept {
    standing: Consumer,
    /// Writes of it on their way: until they land, the store is behind.
    writing: u32,
}

impl Consumers {
    /// The standing in memory, taken over from the store if there is none.
    fn keep(&mut self, name: ConsumerName, stored: Consumer) -> &mut Kept {
        if self.by_name.len() >= CONSUMERS_MAX && !self.by_name.contains_key(&name) {
            self.by_name.retain(|_, kept| kept.writing > 0);
        }
        self.by_name.entry(name).or_insert(Kept {
            standing: stored,
            writing: 0,
        })
    }

    /// A write of the standing has landed. If it failed, the store decides anew.
    fn landed(&mut self, name: &ConsumerName, is_written: bool) {
        if !is_written {
            self.by_name.remove(name);
        } else if let Some(kept) = self.by_name.get_mut(name) {
            kept.writing = kept.writing.saturating_sub(1);
        }
    }
}

/// Takes into account that everything up to `gone` is kept no more: nobody can acknowledge it, and nobody has to.
fn pass_over(standing: &mut Consumer, gone: Position) {
    if gone > standing.cursor {
        standing.cursor = gone;
        standing.acked.retain(|position| *position > gone);
    }
}

/// Changes a standing. `relevant` holds the first positions after the cursor that concern the consumer, or `None` if all do.
fn apply(
    standing: &mut Consumer,
    what: Acknowledgement,
    relevant: Option<&[Position]>,
) -> Result<(), AckError> {
    match what {
        Acknowledgement::Seek(position) => {
            *standing = Consumer {
                cursor: position,
                acked: Vec::new(),
            };
        }
        Acknowledgement::UpTo(position) => {
            standing.cursor = standing.cursor.max(position);
        }
        Acknowledgement::One(position) => {
            if position > standing.cursor
                && let Err(place) = standing.acked.binary_search(&position)
            {
                if standing.acked.len() >= OPEN_MAX {
                    return Err(AckError::TooManyOpen(standing.acked.len()));
                }
                standing.acked.insert(place, position);
            }
        }
    }
    settle(standing, relevant);
    Ok(())
}

/// Moves the cursor over everything that is acknowledged without a break.
fn settle(standing: &mut Consumer, relevant: Option<&[Position]>) {
    let Consumer { cursor, acked } = standing;
    acked.retain(|position| position > cursor);
    let mut done = 0;
    match relevant {
        None => {
            for position in acked.iter() {
                if *position != cursor.next() {
                    break;
                }
                *cursor = *position;
                done += 1;
            }
        }
        Some(relevant) => {
            let behind = *cursor;
            for position in relevant.iter().filter(|position| **position > behind) {
                if acked.get(done) != Some(position) {
                    break;
                }
                *cursor = *position;
                done += 1;
            }
        }
    }
    acked.drain(..done);
}

impl TenantActor {
    /// Acknowledges, or holds the message until the state is there.
    pub(super) fn acknowledge(&mut self, message: Acknowledge, ctx: &mut Context<Self>) {
        let ready = match &self.stage {
            Stage::Loading => {
                self.waiting.push_back(Held::Acknowledge(message));
                return;
            }
            Stage::Gone => {
                message.reply.send(Err(AckError::NoTenant));
                return;
            }
            Stage::Ready(ready) => ready,
        };
        if let Some(why) = self.refusal() {
            message.reply.send(Err(why.into()));
            return;
        }
        let head = ready.feed.head();
        let place = match message.what {
            Acknowledgement::One(place)
            | Acknowledgement::UpTo(place)
            | Acknowledgement::Seek(place) => place,
        };
        if place > head {
            message.reply.send(Err(AckError::BeyondHead { head }));
            return;
        }
        let kept = ready.consumers.by_name.get(&message.name);
        let cached = kept.map(|kept| kept.standing.clone());
        let log = self.shared.logs.get(ready.region);
        let (tenant, name) = (self.tenant, message.name.clone());
        let what = message.what;
        let look = async move {
            let mut standing = match cached {
                Some(standing) => standing,
                None => log.consumer(tenant, &name).await?.unwrap_or_default(),
            };
            let gone = match leaves_a_gap(&standing, what) {
                true => log.oldest(tenant).await?.unwrap_or(head.next()).prev(),
                false => Position::ZERO,
            };
            pass_over(&mut standing, gone);
            let relevant = match name.workspace {
                None => None,
                Some(_) => Some(relevant(&*log, tenant, &name, standing.cursor).await?),
            };
            Ok((standing, relevant, gone))
        };
        ctx.spawn(
            look.into_actor(self)
                .map(move |found, actor, ctx| match found {
                    Ok((standing, relevant, gone)) => {
                        let found = (standing, gone);
                        actor.change_standing(message, found, relevant.as_deref(), ctx);
                    }
                    Err(error) => message.reply.send(Err(AckError::Store(error))),
                }),
        );
    }

    fn change_standing(
        &mut self,
        message: Acknowledge,
        (found, gone): (Consumer, Position),
        relevant: Option<&[Position]>,
        ctx: &mut Context<Self>,
    ) {
        let Acknowledge { name, what, reply } = message;
        let Stage::Ready(ready) = &mut self.stage else {
            let gone = StoreError::Unavailable("the tenant is being loaded anew".into());
            reply.send(Err(gone.into()));
            return;
        };
        let kept = ready.consumers.keep(name.clone(), found);
        pass_over(&mut kept.standing, gone);
        if let Err(error) = apply(&mut kept.standing, what, relevant) {
            reply.send(Err(error));
            return;
        }
        kept.writing += 1;
        let standing = kept.standing.clone();
        self.write_standing(name, standing, reply, ctx);
    }

    fn write_standing(
        &mut self,
        name: ConsumerName,
        standing: Consumer,
        reply: Reply<Result<Consumer, AckError>>,
        ctx: &mut Context<Self>,
    ) {
        let Some(ready) = self.ready() else { return };
        let part = Write::Consume(Consume {
            tenant: self.tenant,
            fence: ready.hold.fence(),
            name: name.clone(),
            standing: standing.clone(),
        });
        let region = ready.region;
        let offer = part.into();
        let posted = self
            .shared
            .regions
            .post(&region, |reply| crate::region::Enqueue { offer, reply });
        let written = crate::region::landed(posted);
        ctx.spawn(written.into_actor(self).map(move |outcome, actor, _| {
            if let Stage::Ready(ready) = &mut actor.stage {
                ready.consumers.landed(&name, outcome.is_ok());
            }
            if let Err(WriteError::Fenced { held }) = outcome {
                actor.fenced(held);
            }
            reply.send(outcome.map(|()| standing).map_err(|error| match error {
                WriteError::Store(error) => error.into(),
                WriteError::Fenced { .. } => NotHeld::Leaving.into(),
                other @ (WriteError::HeadMoved { .. }
                | WriteError::DeviceFenced { .. }
                | WriteError::AnswerTaken) => StoreError::Unavailable(other.to_string()).into(),
            }));
        }));
    }
}

/// Whether something between the cursor and what is acknowledged is not: it may be that it is kept no more.
fn leaves_a_gap(standing: &Consumer, what: Acknowledgement) -> bool {
    match what {
        Acknowledgement::Seek(_) => false,
        Acknowledgement::UpTo(_) => !standing.acked.is_empty(),
        Acknowledgement::One(place) => !standing.acked.is_empty() || place > standing.cursor.next(),
    }
}

/// The first positions after `cursor` in the consumer's workspace.
async fn relevant(
    log: &dyn store::log::RegionLog,
    tenant: domain::ids::TenantId,
    name: &ConsumerName,
    cursor: Position,
) -> Result<Vec<Position>, StoreError> {
    let query = EventQuery {
        filter: EventFilter {
            workspace: name.workspace,
            ..EventFilter::default()
        },
        after: Some(cursor),
        before: None,
        order: Order::Ascending,
        limit: LOOK_MAX,
        scan_max: 50 * LOOK_MAX,
        bytes_max: usize::MAX,
    };
    let page = log.search(tenant, &query).await?;
    Ok(page.events.iter().map(|event| event.position).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(places: &[u64]) -> Vec<Position> {
        places.iter().copied().map(Position::new).collect()
    }

    #[test]
    fn acknowledging_the_gap_moves_the_cursor_over_all_behind_it() {
        let mut standing = Consumer::default();
        for place in [2, 3, 5] {
            apply(
                &mut standing,
                Acknowledgement::One(Position::new(place)),
                None,
            )
            .unwrap();
        }
        assert_eq!(standing.cursor, Position::ZERO);
        apply(&mut standing, Acknowledgement::One(Position::new(1)), None).unwrap();
        assert_eq!(standing.cursor, Position::new(3));
        assert_eq!(standing.acked, at(&[5]));
    }

    #[test]
    fn a_confined_consumer_steps_over_what_is_not_for_it() {
        let mut standing = Consumer::default();
        let relevant = at(&[4, 9, 12]);
        apply(
            &mut standing,
            Acknowledgement::One(Position::new(4)),
            Some(&relevant),
        )
        .unwrap();
        assert_eq!(standing.cursor, Position::new(4));
        apply(
            &mut standing,
            Acknowledgement::One(Position::new(12)),
            Some(&relevant),
        )
        .unwrap();
        assert_eq!(standing.cursor, Position::new(4));
    }

    #[test]
    fn what_is_kept_no_more_holds_no_cursor_back() {
        let mut standing = Consumer {
            cursor: Position::new(3),
            acked: at(&[5, 11]),
        };
        assert!(leaves_a_gap(
            &standing,
            Acknowledgement::One(Position::new(12))
        ));
        pass_over(&mut standing, Position::new(10));
        apply(&mut standing, Acknowledgement::One(Position::new(12)), None).unwrap();
        let expected = Consumer {
            cursor: Position::new(12),
            acked: vec![],
        };
        assert_eq!(standing, expected);
        pass_over(&mut standing, Position::new(2));
        assert_eq!(standing, expected);
    }

    #[test]
    fn seeking_back_brings_everything_again() {
        let mut standing = Consumer {
            cursor: Position::new(9),
            acked: at(&[11]),
        };
        apply(&mut standing, Acknowledgement::Seek(Position::new(3)), None).unwrap();
        assert_eq!(
            standing,
            Consumer {
                cursor: Position::new(3),
                acked: vec![]
            }
        );
    }

    proptest! {
        #[test]
        fn the_cursor_never_passes_what_is_not_acknowledged(places in proptest::collection::vec(1_u64..40, 0..60)) {
            let mut standing = Consumer::default();
            let mut acked = std::collections::BTreeSet::new();
            for place in places {
                apply(&mut standing, Acknowledgement::One(Position::new(place)), None).unwrap();
                acked.insert(place);
                let cursor = standing.cursor.get();
                prop_assert!((1..=cursor).all(|place| acked.contains(&place)));
                prop_assert!(!acked.contains(&(cursor + 1)));
            }
        }
    }
}
