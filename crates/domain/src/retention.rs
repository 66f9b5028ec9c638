//! Decides for how long events are kept, and how much of a log has outlived that.
//!
//! Pure: time comes in as an argument. Removes nothing, and knows neither plans nor tables.

use std::{collections::HashMap, time::Duration};

use crate::{ids::WorkspaceId, time::Timestamp};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// For how long one tenant's events are kept: what its plan allows, and what its workspaces ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    plan_days: Option<u32>,
    /// Of workspaces that ask for a time of their own.
    own_days: HashMap<WorkspaceId, u32>,
}

impl Retention {
    /// What a plan allows (`None`: for ever), and what those workspaces ask for that ask for anything. A workspace that is
    /// not among them has its plan's time.
    pub fn new(
        plan_days: Option<u32>,
        own_days: impl IntoIterator<Item = (WorkspaceId, u32)>,
    ) -> Retention {
        Retention {
            plan_days,
            own_days: own_days.into_iter().collect(),
        }
    }

    /// For how many days events of a workspace are kept; `None` is for ever. Never more than the plan allows, and never less
    /// than a day: duplicates are looked for among the events of a day.
    pub fn days(&self, workspace: WorkspaceId) -> Option<u32> {
        let own = self.own_days.get(&workspace).copied();
        let days = match (self.plan_days, own) {
            (Some(plan), Some(own)) => Some(plan.min(own)),
            (plan, own) => plan.or(own),
        };
        days.map(|days| days.max(1))
    }

    /// Whether an event that a workspace received at a time is still to be kept.
    pub fn keeps(&self, workspace: WorkspaceId, received_at: Timestamp, now: Timestamp) -> bool {
        self.days(workspace)
            .is_none_or(|days| now.since(received_at) < DAY * days)
    }

    /// How many events at the old end of a log may go: those before the first that is to be kept. A log goes from its old end
    /// only, so an event that has outlived its time waits for those before it.
    pub fn outlived(
        &self,
        from_oldest: impl IntoIterator<Item = (WorkspaceId, Timestamp)>,
        now: Timestamp,
    ) -> usize {
        from_oldest
            .into_iter()
            .take_while(|(workspace, received_at)| !self.keeps(*workspace, *received_at, now))
            .count()
    }
}

/// The shortest time for which anybody's events are kept, as a moment: what was received later stays, whoever's it is. `None`
/// if everything is kept for ever.
pub fn keeps_all_since(
    days_of_anybody: impl IntoIterator<Item = u32>,
    now: Timestamp,
) -> Option<Timestamp> {
    let shortest = days_of_anybody.into_iter().min()?;
    Some(now.minus(DAY * shortest.max(1)))
}

#[cfg(test)]
mod tests;
