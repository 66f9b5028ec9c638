//! Turns what a commit writes about devices into rows.
//!
//! What it writes is decided in [`crate::log::device::joined`].

use std::collections::BTreeSet;

use domain::{device::MessageState, position::Position};
use uuid::Uuid;

use super::super::{
    batch::{Batch, Row},
    statement::Kind,
};
use crate::log::{
    FORGOTTEN_AT_ONCE, MessageOutcome,
    device::{
        joined::{DeviceFold, DeviceKey, Joined, NetworkKey, ORIGIN_OUTGOING, Settled},
        rows::message_state_no,
    },
    stored::signed,
};

/// Adds the rows of everything that was folded.
pub(super) fn write<'a>(fold: DeviceFold<'a>, batch: &mut Batch<'a>) {
    for device in fold.forgotten {
        keyed(batch, Kind::DevicesForgotten, device).int(FORGOTTEN_AT_ONCE.into());
    }
    let opened: BTreeSet<i64> = fold
        .fences
        .keys()
        .map(|(tenant_no, _)| *tenant_no)
        .collect();
    for (device, fence) in fold.fences {
        keyed(batch, Kind::DeviceFences, device).count(fence.get());
    }
    for tenant_no in opened {
        batch.row(Kind::Openings).int(tenant_no);
    }
    for (device, credentials) in fold.credentials {
        keyed(batch, Kind::Credentials, device)
            .count(credentials.fence.get())
            .int(credentials.at.micros())
            .bytes(&credentials.sealed[..]);
    }
    for ((device, id), message) in fold.outgoing {
        keyed(batch, Kind::Outgoing, device)
            .uuid(id)
            .int(ORIGIN_OUTGOING)
            .int(message.at.micros())
            .int(message_state_no(MessageState::Pending))
            .bytes(message.chat.as_bytes())
            .bytes(&message.body[..]);
    }
    for ((device, id), settled) in fold.outcomes {
        write_outcome(batch, device, id, settled);
    }
    for (key, joined) in fold.messages {
        write_message(batch, key, &joined);
    }
}

/// Begins a row with the number of the tenant and its device.
fn keyed<'s, 'a>(
    batch: &'s mut Batch<'a>,
    kind: Kind,
    (tenant_no, device): DeviceKey,
) -> Row<'s, 'a> {
    batch.row(kind).int(tenant_no).uuid(device.uuid())
}

fn write_outcome<'a>(batch: &mut Batch<'a>, device: DeviceKey, id: Uuid, settled: Settled<'a>) {
    let (kind, state) = match settled.outcome {
        MessageOutcome::Sent(Some(_)) => (Kind::Sent, MessageState::Sent),
        MessageOutcome::Sent(None) => (Kind::Settled, MessageState::Sent),
        MessageOutcome::Failed(_) => (Kind::Settled, MessageState::Failed),
    };
    let row = keyed(batch, kind, device)
        .uuid(id)
        .int(settled.at.micros())
        .int(message_state_no(state));
    match settled.outcome {
        MessageOutcome::Sent(Some(key)) => row
            .bytes(key.chat.as_bytes())
            .bytes(key.sender.as_bytes())
            .bytes(key.id.as_bytes()),
        MessageOutcome::Sent(None) => row.maybe_text(None).maybe_text(None),
        MessageOutcome::Failed(error) => row
            .maybe_text(Some(&error.code))
            .maybe_text(Some(&error.message)),
    };
}

fn write_message<'a>(batch: &mut Batch<'a>, (device, key): NetworkKey<'a>, joined: &Joined) {
    let [chat, sender, network_id] = key;
    let place = |position: Option<Position>| position.map(|position| signed(position.get()));
    keyed(batch, Kind::Messages, device)
        .uuid(joined.id)
        .int(joined.origin)
        .int(joined.at.micros())
        .int(joined.changed_at.micros())
        .maybe_int(joined.state.map(message_state_no))
        .maybe_int(place(joined.position))
        .maybe_int(place(joined.edited))
        .maybe_int(place(joined.deleted))
        .bytes(chat.as_bytes())
        .bytes(sender.as_bytes())
        .bytes(network_id.as_bytes());
}
