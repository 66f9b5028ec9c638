//! Messages of many devices: an event, a session to check and a row of the inbox each.

use domain::{
    device::{MessageKey, MessageStep},
    fence::Fence,
    ids::DeviceId,
    position::Position,
};
use store::log::{MessageMark, RegionLog, Write};
use uuid::Uuid;

use crate::load::{Failure, Rate, Timer, append, tenant};

/// Commits so many messages at once, of as many devices in turn.
pub(crate) async fn message_rate(
    log: &dyn RegionLog,
    devices: u64,
    batch: u64,
    commits: u64,
) -> Result<Rate, Failure> {
    let opened: Vec<Write> = (0..devices).map(open).collect();
    for outcome in log.commit(&opened).await? {
        outcome?;
    }
    let mut head = Position::ZERO;
    let mut timer = Timer::new(batch, commits);
    for _ in 0..timer.rounds() {
        let mut append = append(1, head, batch);
        for event in &append.events {
            let device = device(event.position.get() % devices);
            append.sessions.push((device, Fence::FIRST));
            append.messages.push(MessageMark {
                device,
                key: MessageKey {
                    chat: "4915112345678@s.whatsapp.net".into(),
                    sender: "4915187654321@s.whatsapp.net".into(),
                    id: format!("3EB0{:016X}", event.position.get()).into(),
                },
                step: MessageStep::Received,
                event: event.id,
                position: event.position,
                at: event.received_at,
            });
        }
        head = head.plus(batch);
        timer.begin();
        for outcome in log.commit(&[Write::Append(append)]).await? {
            outcome?;
        }
        timer.end();
    }
    Ok(timer.rate())
}

fn device(number: u64) -> DeviceId {
    // Spread as random ids are.
    DeviceId::from_uuid(Uuid::from_u128(
        u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
    ))
}

fn open(number: u64) -> Write {
    Write::OpenDevice {
        tenant: tenant(1),
        device: device(number),
        fence: Fence::FIRST,
    }
}
