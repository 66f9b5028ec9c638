//! The order in which a real region's actor writes what it is offered, on a real SQLite log.

use std::time::Duration;

use actix::Arbiter;
use bytes::Bytes;
use domain::{
    chain,
    event::{Event, EventType, Fields, Hash, Seed},
    event_id::event_id,
    fence::Fence,
    ids::WorkspaceId,
    position::{Position, Seq},
    time::Timestamp,
};
use store::log::{Append, Dispatch, sqlite::SqliteLog};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::registry::RegistryOptions;

struct Stand {
    log: Arc<dyn RegionLog>,
    regions: Registry<RegionActor>,
    _folder: TempDir,
}

type Posted = Result<oneshot::Receiver<WriteOutcome>, AskError>;

impl Stand {
    async fn open() -> Stand {
        let folder = tempfile::tempdir().unwrap();
        let log: Arc<dyn RegionLog> =
            Arc::new(SqliteLog::open(folder.path(), Region::Au).await.unwrap());
        let options = RegistryOptions {
            in_flight_max: 16,
            ask_timeout: Duration::from_secs(60),
        };
        let of_actors = Arc::clone(&log);
        let regions = Registry::new(
            vec![Arbiter::current()],
            tokio::runtime::Handle::current(),
            options,
            move |region, lifeline| RegionActor::new(region, Arc::clone(&of_actors), lifeline),
        );
        Stand {
            log,
            regions,
            _folder: folder,
        }
    }

    fn offer(&self, offer: Offer) -> Posted {
        self.regions
            .post(&Region::Au, |reply| Enqueue { offer, reply })
    }

    /// Offers two appends of one tenant, the second after the first, and a mark, while the writer is at work for another
    /// tenant; answers what became of them.
    async fn offer_in_a_row(&self, first_expects: u64) -> [WriteOutcome; 3] {
        let (busy, tenant) = (tenant(1), tenant(2));
        let others = self.offer(Write::Append(append(busy, 0, 1)).into());
        let first = GrowingAppend::new(append(tenant, first_expects, 1), None);
        let second = GrowingAppend::new(append(tenant, 1, 2), Some(Arc::clone(&first)));
        let first = self.offer(Offer::Growing(first));
        let second = self.offer(Offer::Growing(second));
        let mark = self.offer(mark(tenant).into());
        landed(others).await.unwrap();
        [
            landed(first).await,
            landed(second).await,
            landed(mark).await,
        ]
    }
}

fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number))
}

fn append(tenant: TenantId, expected_head: u64, position: u64) -> Append {
    let (at, place) = (
        Timestamp::from_micros(1_700_000_000_000_000),
        Position::new(position),
    );
    let mut event = Event {
        position: place,
        seq: Seq::new(position),
        id: event_id(at, place, 9),
        workspace: WorkspaceId::from_uuid(Uuid::from_u128(3)),
        received_at: at,
        kind: EventType::new("order.paid").unwrap(),
        fields: Fields::default(),
        payload: Bytes::from_static(b"{}"),
        seed: Seed([9; 32]),
        prev_hash: Hash::default(),
        hash: Hash::default(),
    };
    chain::link(tenant, &mut event, Hash::default());
    Append {
        tenant,
        expected_head: Position::new(expected_head),
        events: vec![Arc::new(event)],
        nodes: Vec::new(),
        answers: Vec::new(),
        sessions: Vec::new(),
        messages: Vec::new(),
    }
}

fn mark(tenant: TenantId) -> Write {
    Write::Dispatch(Dispatch {
        tenant,
        fence: Fence::new(1),
        position: Position::new(1),
        woken: Vec::new(),
        rested: Vec::new(),
    })
}

#[actix::test]
async fn an_append_waits_for_the_one_before_it_and_what_follows_waits_with_it() {
    let stand = Stand::open().await;
    let outcomes = stand.offer_in_a_row(0).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(stand.log.head(tenant(2)).await.unwrap(), Position::new(2));
}

#[actix::test]
async fn an_append_after_one_that_failed_is_refused_and_what_is_no_append_is_written() {
    let stand = Stand::open().await;
    let [first, second, mark] = stand.offer_in_a_row(7).await;
    assert!(
        matches!(first, Err(WriteError::HeadMoved { .. })),
        "{first:?}"
    );
    assert!(matches!(second, Err(WriteError::Store(_))), "{second:?}");
    assert!(mark.is_ok(), "{mark:?}");
    assert_eq!(stand.log.head(tenant(2)).await.unwrap(), Position::ZERO);
}
