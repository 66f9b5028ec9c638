//! What the engine itself says about a device in the log, exactly once a change: how it is named there, and what of it is
//! there already.
//!
//! A session may come and go in its device's network many times: each time has a number, and the event's name holds it. So
//! what is appended twice is there once, and whoever follows a session that ended without a trace finds out what it said last.

use domain::{
    device::{DeviceEvent, DeviceState, Fact},
    fence::Fence,
    ids::{DeviceId, TenantId, WorkspaceId},
    position::Position,
    time::Timestamp,
};
use store::{StoreError, log::RegionLog};

use super::intake::{Batch, Word};

/// Times that are looked for at once.
const LOOKED_FOR_AT_ONCE: u32 = 16;

/// Sessions that are looked at at once when it is looked back, and how often: a device whose sessions all died at their very
/// beginning is looked at no further.
const FENCES_AT_ONCE: u64 = 64;
const LOOKED_BACK_MAX: u32 = 16;
/// The types of what the engine says.
const CONNECTED: &str = "device.connected";
const DISCONNECTED: &str = "device.disconnected";

/// Something that has to be appended.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) workspace: WorkspaceId,
    /// The session that appends it.
    pub(super) fence: Fence,
    pub(super) event: DeviceEvent,
    /// Whose word it is: the engine's has a name in the log.
    word: Word,
}

/// One time that a device was connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time {
    /// Under which session.
    pub(super) fence: Fence,
    /// Which of its times, counted from 1.
    pub(super) no: u32,
}

impl Owed {
    /// What the engine says, appended by the session with this fence.
    pub(super) fn fact(
        device: DeviceId,
        (workspace, fence): (WorkspaceId, Fence),
        time: Time,
        event: DeviceEvent,
    ) -> Owed {
        let word = Word::Engine(name(device, time, event.kind.as_str()));
        Owed {
            workspace,
            fence,
            event,
            word,
        }
    }

    /// What the device left to be said.
    pub(super) fn will((workspace, fence): (WorkspaceId, Fence), event: DeviceEvent) -> Owed {
        Owed {
            workspace,
            fence,
            event,
            word: Word::Will,
        }
    }

    pub(super) fn batch(&self, tenant: TenantId, device: DeviceId) -> Batch {
        Batch {
            tenant,
            device,
            workspace: self.workspace,
            fence: self.fence,
            events: vec![self.event.clone()],
            word: self.word.clone(),
        }
    }
}

/// The event that says a fact. `will` is what the device left to be said instead of our own words.
pub(super) fn event(
    fact: &Fact,
    gateway: Option<&str>,
    fence: Fence,
    now: Timestamp,
    will: Option<bytes::Bytes>,
) -> DeviceEvent {
    DeviceEvent {
        id: Box::default(),
        kind: fact.kind(),
        at: Some(now),
        key: None,
        data: will.unwrap_or_else(|| fact.data(gateway, fence)),
    }
}

fn name(device: DeviceId, time: Time, kind: &str) -> Box<str> {
    format!("{device}/session:{}/{}/{kind}", time.fence, time.no).into()
}

/// The time of which the log does not say yet that it ended, as far as the session with this fence knew: it stood in `state`
/// when it ended without a word, and can write nothing more.
///
/// One that had only begun may not have said yet what those before it had not said.
pub(super) async fn open_time(
    log: &dyn RegionLog,
    tenant: TenantId,
    (workspace, device): (WorkspaceId, DeviceId),
    fence: Fence,
    state: DeviceState,
) -> Result<Option<Time>, StoreError> {
    match state {
        DeviceState::Connected => last_time(log, tenant, workspace, device, fence).await,
        DeviceState::Connecting => {
            match connected_before(log, tenant, workspace, device, fence).await? {
                Some(before) => last_time(log, tenant, workspace, device, before).await,
                None => Ok(None),
            }
        }
        DeviceState::Offline | DeviceState::Pairing | DeviceState::Replaced => Ok(None),
    }
}

/// The highest fence below this one whose session was connected once.
async fn connected_before(
    log: &dyn RegionLog,
    tenant: TenantId,
    workspace: WorkspaceId,
    device: DeviceId,
    fence: Fence,
) -> Result<Option<Fence>, StoreError> {
    let mut below = fence.get();
    for _ in 0..LOOKED_BACK_MAX {
        let from = below.saturating_sub(FENCES_AT_ONCE).max(1);
        let named = (from..below).rev().map(|fence| {
            let fence = Fence::new(fence);
            (fence, name(device, Time { fence, no: 1 }, CONNECTED))
        });
        let named: Vec<(Fence, Box<str>)> = named.collect();
        if named.is_empty() {
            break;
        }
        let wanted = named.iter().map(|(_, name)| (workspace, name.clone()));
        let wanted: Vec<_> = wanted.collect();
        let since = Timestamp::from_micros(0);
        let found = log.find_dedup_ids(tenant, &wanted, since).await?;
        let is_there = |name: &str| found.iter().any(|entry| &*entry.dedup_id == name);
        if let Some((fence, _)) = named.iter().find(|(_, name)| is_there(name)) {
            return Ok(Some(*fence));
        }
        below = from;
    }
    Ok(None)
}

/// The time in which a session was connected last, if the log does not say that it ended. The log may have lost what it said of
/// the first times, or of all.
async fn last_time(
    log: &dyn RegionLog,
    tenant: TenantId,
    workspace: WorkspaceId,
    device: DeviceId,
    fence: Fence,
) -> Result<Option<Time>, StoreError> {
    // The last time that the log says anything of, and whether it is open.
    let mut last: Option<(Time, bool)> = None;
    let mut has_forgotten = None;
    for page in 0_u32.. {
        let from = page * LOOKED_FOR_AT_ONCE + 1;
        let times = (from..from + LOOKED_FOR_AT_ONCE).map(|no| Time { fence, no });
        let wanted: Vec<_> = times
            .clone()
            .flat_map(|time| {
                [CONNECTED, DISCONNECTED].map(|kind| (workspace, name(device, time, kind)))
            })
            .collect();
        let since = Timestamp::from_micros(0);
        let found = log.find_dedup_ids(tenant, &wanted, since).await?;
        let is_there = |time: Time, kind| {
            let name = name(device, time, kind);
            found.iter().any(|entry| entry.dedup_id == name)
        };
        let said = times
            .map(|time| {
                (
                    time,
                    is_there(time, CONNECTED),
                    is_there(time, DISCONNECTED),
                )
            })
            .rfind(|(_, begins, ends)| *begins || *ends);
        if let Some((time, _, ends)) = said {
            last = Some((time, !ends));
        }
        let is_full = said.is_some_and(|(time, _, _)| time.no + 1 == from + LOOKED_FOR_AT_ONCE);
        if is_full {
            continue;
        }
        if let Some((time, is_open)) = last {
            return Ok(is_open.then_some(time));
        }
        // It never was, or it was so long ago that the log has forgotten its first times.
        let forgotten = match has_forgotten {
            Some(forgotten) => forgotten,
            None => begins_later(log, tenant).await?,
        };
        has_forgotten = Some(forgotten);
        if !forgotten {
            break;
        }
        if page + 1 == LOOKED_BACK_MAX {
            return Ok(Some(Time { fence, no: 1 }));
        }
    }
    Ok(None)
}

/// Whether a tenant's log has lost its first event.
async fn begins_later(log: &dyn RegionLog, tenant: TenantId) -> Result<bool, StoreError> {
    let oldest = match log.oldest(tenant).await? {
        Some(oldest) => oldest,
        None => log.head(tenant).await?.next(),
    };
    Ok(oldest > Position::new(1))
}
