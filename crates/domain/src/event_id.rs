//! Event ids that say where the event stands.
//!
//! A `UUIDv7` (RFC 9562 §5.7) leaves 74 bits to its maker. We put the event's position into the low 40 of them, so that
//! an event is found by id through the log's primary key: no second index is written on the ingest path. The other 34
//! bits are random.

use uuid::Uuid;

use crate::{
    ids::EventId,
    position::{POSITION_MAX, Position},
    time::Timestamp,
};

const POSITION_BITS: u32 = 40;

/// Makes the id of the event at `position`. `random` should differ for each event.
///
/// # Panics
/// If `position` needs more than 40 bits.
pub fn event_id(received_at: Timestamp, position: Position, random: u64) -> EventId {
    assert!(position <= POSITION_MAX, "positions have 40 bits");
    let time = u128::from(received_at.unix_millis() & 0xffff_ffff_ffff) << 80;
    let version = 0x7_u128 << 76;
    let random_a = u128::from(random & 0xfff) << 64;
    let variant = 0b10_u128 << 62;
    let random_b = u128::from((random >> 12) & 0x3f_ffff) << POSITION_BITS;
    let place = u128::from(position.get());
    EventId::from_uuid(Uuid::from_u128(
        time | version | random_a | variant | random_b | place,
    ))
}

/// The position that an event with this id would have. Whether there is such an event only the log knows: compare the
/// whole id with what stands there.
pub fn position_in(id: EventId) -> Position {
    let low = id.uuid().as_u128() & u128::from(POSITION_MAX.get());
    Position::new(u64::try_from(low).expect("40 bits"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_position_survives_its_id(place in 0..=POSITION_MAX.get(), random: u64, micros in 0_i64..4_000_000_000_000_000) {
            let id = event_id(Timestamp::from_micros(micros), Position::new(place), random);
            prop_assert_eq!(position_in(id), Position::new(place));
            prop_assert_eq!(id.uuid().get_version_num(), 7);
            prop_assert_eq!(id.uuid().get_variant(), uuid::Variant::RFC4122);
        }
    }
}
