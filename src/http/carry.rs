//! Brings a request to the node that holds its tenant, and the answer back.
//!
//! A request is carried whole and runs there through the same handlers, so that every resource is the same on every node.
//! Which requests need the owner is said in the table of routes; where the owner is, by the engine. On a node that is alone
//! nothing of this is on the path of a request.

mod answering;
mod layer;
mod search;
mod wire;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use actix_web::Route;
use outbound::Bus;

use crate::config::Settings;

pub(crate) use answering::{Answering, AnsweringOptions};
pub(crate) use layer::AtOwner;

/// Where a request has to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// On any node: the stores know the answer.
    Anywhere,
    /// Where the tenant lives.
    Owner,
    /// Where the tenant lives, and it takes one step: if that is refused because the tenant does not live there any more,
    /// nothing was done, and the request may go to the next owner.
    OwnerAgain,
    /// Where the tenant lives, and the answer waits for somebody outside.
    OwnerSlow,
    /// Where the tenant lives, whose actors know most; it changes nothing, and if nobody there can be reached, the stores know
    /// enough of the answer.
    OwnerOrHere,
}

/// What is needed to carry requests. One for all workers.
#[derive(Debug)]
pub(crate) struct Carrier {
    bus: Option<Bus>,
    within: Duration,
    slow_within: Duration,
}

/// How much longer than the owner's own limit an answer may take on its way.
const WAY: Duration = Duration::from_secs(2);
/// The longest that a webhook's target may take to answer, and what comes before and after it.
const TARGET_WITHIN: Duration = Duration::from_secs(40);

impl Carrier {
    /// For a node among others. Without a bus, tenants that live elsewhere cannot be reached.
    pub(crate) fn new(bus: Option<Bus>, settings: &Settings) -> Arc<Carrier> {
        let ask = Duration::from_millis(settings.engine.ask_timeout_ms.get());
        Arc::new(Carrier {
            bus,
            within: ask + WAY,
            slow_within: ask + TARGET_WITHIN,
        })
    }

    fn within(&self, needs: Needs) -> Duration {
        match needs {
            Needs::Anywhere | Needs::Owner | Needs::OwnerAgain | Needs::OwnerOrHere => self.within,
            Needs::OwnerSlow => self.slow_within,
        }
    }
}

/// A route that finds its owner, if it needs one and there is more than one node.
pub(crate) fn route(carrier: Option<&Arc<Carrier>>, needs: Needs, route: Route) -> Route {
    match (carrier, needs) {
        (None, _) | (Some(_), Needs::Anywhere) => route,
        (
            Some(carrier),
            Needs::Owner | Needs::OwnerAgain | Needs::OwnerSlow | Needs::OwnerOrHere,
        ) => route.wrap(AtOwner::new(Arc::clone(carrier), needs)),
    }
}
