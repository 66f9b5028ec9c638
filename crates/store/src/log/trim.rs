//! What goes from the old end of logs, piece by piece.
//!
//! Decides nothing about who may lose what: the caller brings the rule ([`Retention`]) and the time. A tenant's log goes from its
//! oldest event on and has no holes, so whatever interrupts the work, what is left is one piece.

use async_trait::async_trait;
use domain::{
    ids::{TenantId, WorkspaceId},
    position::{Position, Seq},
    retention::Retention,
    time::Timestamp,
};

use crate::StoreError;

/// Removes what has outlived its retention.
///
/// Heads, positions, seqs, hashes and proofs of other events stay as they are. Several may do it at the same time: each event
/// goes once, and what was decided stays right.
#[async_trait]
pub trait Trim: Send + Sync {
    /// The oldest events of those tenants, in the order of their ids after `after`, whose oldest event was received before
    /// `before`. Looks at `limit` tenants.
    async fn oldest_events(
        &self,
        after: Option<TenantId>,
        before: Timestamp,
        limit: u32,
    ) -> Result<OldestPage, StoreError>;

    /// The next piece of the tenant's log that has outlived its time, of a bounded size; `None` if there is none.
    async fn outlived(
        &self,
        tenant: TenantId,
        retention: &Retention,
        now: Timestamp,
    ) -> Result<Option<Cut>, StoreError>;

    /// Deletes a bounded number of rows that hang on events up to a cut: messages, attempts and exceptions of deliveries.
    /// Answers how many went; 0 when none is left. To be called before the events go: whoever is interrupted finds them again.
    async fn forget_up_to(&self, tenant: TenantId, cut: Cut) -> Result<u64, StoreError>;

    /// Removes the events up to a cut that [`Trim::outlived`] answered. Answers how many went.
    async fn remove_up_to(&self, tenant: TenantId, cut: Cut) -> Result<u64, StoreError>;

    /// What time it is on the database's own clock; `None` if that is ours.
    async fn database_now(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    /// Months of events that can be dropped as a whole and that ended before a time, oldest first. None on a database without
    /// partitions.
    async fn past_months(&self, _before: Timestamp) -> Result<Vec<PastMonth>, StoreError> {
        Ok(Vec::new())
    }

    /// What workspaces have in a month, in an order of the store's own after `after`, at most `limit` of them.
    async fn month_page(
        &self,
        _month: &PastMonth,
        _after: Option<u64>,
        _limit: u32,
    ) -> Result<MonthPage, StoreError> {
        Ok(MonthPage::default())
    }

    /// Drops a month if it still holds what was found in it, and if that takes no longer than a moment.
    async fn drop_month(
        &self,
        _month: &PastMonth,
        _found: MonthSum,
    ) -> Result<DropOutcome, StoreError> {
        Ok(DropOutcome::Changed)
    }
}

/// One page of tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OldestPage {
    /// Those whose log may have something to lose.
    pub found: Vec<Oldest>,
    /// Go on after this one; `None` at the end.
    pub next: Option<TenantId>,
}

/// The oldest event that a tenant's log keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// Whose log.
    pub tenant: TenantId,
    /// The event's workspace.
    pub workspace: WorkspaceId,
    /// When it was received.
    pub received_at: Timestamp,
}

/// Where a piece of a log ends that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The last event that goes.
    pub upto: Position,
    /// When it was received.
    pub at: Timestamp,
}

/// A month that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastMonth {
    /// What the store calls it.
    pub name: String,
    /// When its first event may have been received.
    pub begins_at: Timestamp,
    /// Every event in it was received before.
    pub ends_at: Timestamp,
}

/// One page of a month's workspaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonthPage {
    /// The workspaces.
    pub found: Vec<InMonth>,
    /// Go on after this; `None` at the end.
    pub next: Option<u64>,
}

/// What one workspace has in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InMonth {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which one.
    pub workspace: WorkspaceId,
    /// Its first event there.
    pub first: Seq,
    /// Its last event there.
    pub last: Seq,
    /// The position of that.
    pub upto: Position,
    /// Whether the tenant's log begins in this month: nothing older is kept.
    pub begins_here: bool,
}

/// What was found in a month, boiled down: it is looked at again before the month goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonthSum {
    /// Workspaces.
    pub workspaces: u64,
    /// Events.
    pub events: u64,
    /// The sum of the workspaces' last seqs.
    pub seqs: u64,
}

/// What became of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropOutcome {
    /// It is gone, with all its events.
    Gone,
    /// Others are at work on the events, and nobody is to wait for this. Try again.
    Busy,
    /// It does not hold what was found. Look again.
    Changed,
}

impl MonthSum {
    /// Takes one workspace in.
    pub fn add(&mut self, found: &InMonth) {
        self.workspaces += 1;
        self.events += found.last.get() + 1 - found.first.get();
        self.seqs = self.seqs.wrapping_add(found.last.get());
    }
}

/// An event at the old end of a log, as far as it matters here.
pub(in crate::log) struct Candidate {
    pub(in crate::log) position: Position,
    pub(in crate::log) workspace: WorkspaceId,
    pub(in crate::log) received_at: Timestamp,
    /// About how much there is to delete.
    pub(in crate::log) bytes: i64,
}

/// How many of these events, the oldest first, go at once.
pub(in crate::log) fn cut(
    from_oldest: &[Candidate],
    retention: &Retention,
    now: Timestamp,
    bytes_max: i64,
) -> Option<Cut> {
    let mut bytes = 0_i64;
    let piece = from_oldest.iter().take_while(|candidate| {
        let fits = bytes < bytes_max;
        bytes = bytes.saturating_add(candidate.bytes);
        fits
    });
    let count = retention.outlived(
        piece.map(|candidate| (candidate.workspace, candidate.received_at)),
        now,
    );
    let last = from_oldest.get(count.checked_sub(1)?)?;
    Some(Cut {
        upto: last.position,
        at: last.received_at,
    })
}

/// Ids that were made at or before a time are lower than this: what was told of up to a cut has such an id.
pub(in crate::log) fn first_id_after(at: Timestamp) -> uuid::Uuid {
    let next = at.unix_millis().saturating_add(1);
    uuid::Uuid::from_u128(u128::from(next) << 80)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn candidates(bytes: &[i64]) -> Vec<Candidate> {
        let events = (1..).zip(bytes);
        events
            .map(|(position, bytes)| Candidate {
                position: Position::new(position),
                workspace: WorkspaceId::from_uuid(Uuid::nil()),
                received_at: Timestamp::from_micros(0),
                bytes: *bytes,
            })
            .collect()
    }

    #[test]
    fn a_piece_ends_where_it_is_large_enough_and_is_one_event_at_least() {
        let now = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        let retention = Retention::new(Some(1), []);
        let upto = |bytes: &[i64]| {
            let cut = cut(&candidates(bytes), &retention, now, 100);
            cut.map(|cut| cut.upto.get())
        };
        assert_eq!(upto(&[]), None);
        assert_eq!(upto(&[500]), Some(1));
        assert_eq!(upto(&[60, 60, 60]), Some(2));
        assert_eq!(upto(&[10, 10, 10]), Some(3));
        let for_ever = Retention::default();
        assert_eq!(cut(&candidates(&[1]), &for_ever, now, 100), None);
    }

    #[test]
    fn ids_of_a_millisecond_are_below_the_first_of_the_next() {
        let at = Timestamp::from_micros(1_700_000_000_123_999);
        let of_it = domain::event_id::event_id(at, domain::position::POSITION_MAX, u64::MAX);
        let of_next = domain::event_id::event_id(
            Timestamp::from_micros(1_700_000_000_124_000),
            Position::ZERO,
            0,
        );
        assert!(of_it.uuid() < first_id_after(at));
        assert!(of_next.uuid() >= first_id_after(at));
    }
}
