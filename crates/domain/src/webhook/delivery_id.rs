//! Delivery ids that say which webhook and which event they are about.
//!
//! A `UUIDv7` leaves 74 bits to its maker: 34 hold the webhook's number and 40 the event's position, so that a delivery
//! is found through the keys that the log has anyway, and one that was never written down has an id all the same.

use uuid::Uuid;

use crate::{
    ids::DeliveryId,
    position::{POSITION_MAX, Position},
    time::Timestamp,
};

/// The highest webhook number that a delivery id has room for (34 bits).
pub const NUMBER_MAX: u64 = (1 << 34) - 1;

const POSITION_BITS: u32 = 40;
/// How many bits of the number stand beside the position; the others stand before the variant.
const LOW_BITS: u32 = 22;
const LOW_MASK: u64 = (1 << LOW_BITS) - 1;
const HIGH_MASK: u64 = (1 << 12) - 1;

/// Makes the id of the delivery of the event at `position`, received at `received_at`, to the webhook with number `no`.
/// The same delivery always has the same id.
///
/// # Panics
/// If `no` needs more than 34 bits or `position` more than 40.
pub fn delivery_id(no: u64, position: Position, received_at: Timestamp) -> DeliveryId {
    assert!(no <= NUMBER_MAX, "webhook numbers have 34 bits");
    assert!(position <= POSITION_MAX, "positions have 40 bits");
    let time = u128::from(received_at.unix_millis() & 0xffff_ffff_ffff) << 80;
    let version = 0x7_u128 << 76;
    let high = u128::from(no >> LOW_BITS) << 64;
    let variant = 0b10_u128 << 62;
    let low = u128::from(no & LOW_MASK) << POSITION_BITS;
    let place = u128::from(position.get());
    DeliveryId::from_uuid(Uuid::from_u128(
        time | version | high | variant | low | place,
    ))
}

/// The number of the webhook and the position of the event that a delivery with this id would be about; `None` if no
/// delivery can have this id. Whether there is such a delivery only the log knows, and the time in the id is not checked:
/// make the id anew and compare.
pub fn delivery_place(id: DeliveryId) -> Option<(u64, Position)> {
    let uuid = id.uuid();
    if uuid.get_version_num() != 7 || uuid.get_variant() != uuid::Variant::RFC4122 {
        return None;
    }
    let (upper, lower) = uuid.as_u64_pair();
    let no = ((upper & HIGH_MASK) << LOW_BITS) | ((lower >> POSITION_BITS) & LOW_MASK);
    let position = Position::new(lower & POSITION_MAX.get());
    Some((no, position))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uuid_of_another_version_is_no_delivery() {
        assert_eq!(delivery_place(DeliveryId::from_uuid(Uuid::nil())), None);
        assert_eq!(delivery_place(DeliveryId::from_uuid(Uuid::max())), None);
    }

    proptest! {
        #[test]
        fn number_and_position_survive_the_id(
            no in 0..=NUMBER_MAX,
            place in 0..=POSITION_MAX.get(),
            micros in 0_i64..4_000_000_000_000_000,
        ) {
            let id = delivery_id(no, Position::new(place), Timestamp::from_micros(micros));
            prop_assert_eq!(delivery_place(id), Some((no, Position::new(place))));
            prop_assert_eq!(id.uuid().get_version_num(), 7);
        }
    }
}
