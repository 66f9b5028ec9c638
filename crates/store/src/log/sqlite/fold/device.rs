//! Turns what a commit writes about devices into rows.
//!
//! What it writes is decided in [`crate::log::device::joined`].

use domain::position::Position;
use uuid::Uuid;

use super::super::{batch::Batch, statement::Kind};
use crate::log::{
    FORGOTTEN_AT_ONCE, MessageOutcome,
    device::{
        joined::{DeviceFold, DeviceKey, Joined, NetworkKey, ORIGIN_OUTGOING, Settled},
        rows::message_state_no,
    },
    stored::signed,
};
use domain::device::MessageState;

/// Adds the rows of everything that was folded.
pub(super) fn write(fold: DeviceFold<'_>, batch: &mut Batch) {
    for (tenant_no, device) in fold.forgotten {
        batch
            .row(Kind::DevicesForgotten)
            .int(tenant_no)
            .bytes(device.as_bytes())
            .int(FORGOTTEN_AT_ONCE.into());
    }
    for ((tenant_no, device), fence) in fold.fences {
        batch
            .row(Kind::DeviceFences)
            .int(tenant_no)
            .bytes(device.as_bytes())
            .count(fence.get());
    }
    for ((tenant_no, device), credentials) in fold.credentials {
        batch
            .row(Kind::Credentials)
            .int(tenant_no)
            .bytes(device.as_bytes())
            .count(credentials.fence.get())
            .int(credentials.at.micros())
            .bytes(&credentials.sealed);
    }
    for (((tenant_no, device), id), message) in fold.outgoing {
        batch
            .row(Kind::Outgoing)
            .int(tenant_no)
            .bytes(device.as_bytes())
            .bytes(id.as_bytes())
            .int(ORIGIN_OUTGOING)
            .int(message.at.micros())
            .int(message.at.micros())
            .int(message_state_no(MessageState::Pending))
            .text(&message.chat)
            .text("")
            .bytes(&message.body);
    }
    for ((device, id), settled) in fold.outcomes {
        write_outcome(batch, device, id, settled);
    }
    for (key, joined) in fold.messages {
        write_message(batch, key, &joined);
    }
}

fn write_outcome(
    batch: &mut Batch,
    (tenant_no, device): DeviceKey,
    id: Uuid,
    settled: Settled<'_>,
) {
    let kind = match settled.outcome {
        MessageOutcome::Sent(Some(_)) => Kind::Sent,
        MessageOutcome::Sent(None) | MessageOutcome::Failed(_) => Kind::Settled,
    };
    let row = batch
        .row(kind)
        .int(tenant_no)
        .bytes(device.as_bytes())
        .bytes(id.as_bytes())
        .int(settled.at.micros());
    match settled.outcome {
        MessageOutcome::Sent(Some(key)) => row.text(&key.chat).text(&key.sender).text(&key.id),
        MessageOutcome::Sent(None) => row
            .int(message_state_no(MessageState::Sent))
            .maybe_text(None)
            .maybe_text(None),
        MessageOutcome::Failed(error) => row
            .int(message_state_no(MessageState::Failed))
            .text(&error.code)
            .text(&error.message),
    };
}

fn write_message(batch: &mut Batch, key: NetworkKey<'_>, joined: &Joined) {
    let ((tenant_no, device), [chat, sender, network_id]) = key;
    let place = |position: Option<Position>| position.map(|position| signed(position.get()));
    batch
        .row(Kind::Messages)
        .int(tenant_no)
        .bytes(device.as_bytes())
        .bytes(joined.id.as_bytes())
        .int(joined.origin)
        .int(joined.at.micros())
        .int(joined.changed_at.micros())
        .maybe_int(joined.state.map(message_state_no))
        .maybe_int(place(joined.position))
        .maybe_int(place(joined.edited))
        .maybe_int(place(joined.deleted))
        .text(chat)
        .text(sender)
        .text(network_id);
}
