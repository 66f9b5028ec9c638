//! Cuts what comes from a socket into packets.
//!
//! Decides how large a packet may be and which flags each kind has; what is in it is read elsewhere. Nothing is reserved for
//! what a packet only says that it will have.

use bytes::{Buf as _, Bytes, BytesMut};
use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;

use super::ending::Ending;

/// What a client may send, by the number in the packet's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// CONNECT.
    Connect,
    /// PUBLISH.
    Publish,
    /// PUBACK.
    Puback,
    /// PUBREC.
    Pubrec,
    /// PUBREL.
    Pubrel,
    /// PUBCOMP.
    Pubcomp,
    /// SUBSCRIBE.
    Subscribe,
    /// UNSUBSCRIBE.
    Unsubscribe,
    /// PINGREQ.
    Ping,
    /// DISCONNECT.
    Disconnect,
    /// AUTH.
    Auth,
}

/// One packet, not yet read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// What it is.
    pub(super) kind: Kind,
    /// The lower half of its first byte; of anything but PUBLISH it says nothing.
    pub(super) flags: u8,
    /// What follows its length.
    pub(super) body: Bytes,
}

/// Takes the first packet out of what was read, or `None` until more of it has come.
pub(super) fn take(inbox: &mut BytesMut, bytes_max: usize) -> Result<Option<Frame>, Ending> {
    let Some(&first) = inbox.first() else {
        return Ok(None);
    };
    let (kind, flags) = kind(first)?;
    let Some((length, digits)) = length(&inbox[1..])? else {
        return Ok(None);
    };
    let head = 1 + digits;
    if head + length > bytes_max {
        let text = format!("a packet may have {bytes_max} bytes, and this one has more");
        return Err(Ending::new(DisconnectReasonCode::PacketTooLarge, text));
    }
    if inbox.len() < head + length {
        return Ok(None);
    }
    inbox.advance(head);
    let body = inbox.split_to(length).freeze();
    Ok(Some(Frame { kind, flags, body }))
}

fn kind(first: u8) -> Result<(Kind, u8), Ending> {
    let (kind, expected) = match first >> 4 {
        1 => (Kind::Connect, 0),
        3 => return Ok((Kind::Publish, first & 0x0f)),
        4 => (Kind::Puback, 0),
        5 => (Kind::Pubrec, 0),
        6 => (Kind::Pubrel, 2),
        7 => (Kind::Pubcomp, 0),
        8 => (Kind::Subscribe, 2),
        10 => (Kind::Unsubscribe, 2),
        12 => (Kind::Ping, 0),
        14 => (Kind::Disconnect, 0),
        15 => (Kind::Auth, 0),
        2 | 9 | 11 | 13 => return Err(Ending::protocol("only a server sends such a packet")),
        _ => return Err(Ending::malformed("there is no such packet")),
    };
    let flags = first & 0x0f;
    if flags == expected {
        Ok((kind, flags))
    } else {
        Err(Ending::malformed(
            "the packet's flags are not those of its kind",
        ))
    }
}

/// The number after the first byte, and of how many bytes it is made.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Ending> {
    let mut length = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((length, index + 1)));
        }
    }
    if bytes.len() < 4 {
        Ok(None)
    } else {
        Err(Ending::malformed("the packet's length has no end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(bytes: &[u8]) -> BytesMut {
        BytesMut::from(bytes)
    }

    #[test]
    fn packets_come_one_after_the_other_and_the_rest_waits() {
        let mut inbox = inbox(&[0xc0, 0, 0x32, 3, b'a', b'b', b'c', 0xe0]);
        let ping = take(&mut inbox, 64).unwrap().unwrap();
        assert_eq!((ping.kind, ping.body.len()), (Kind::Ping, 0));
        let publish = take(&mut inbox, 64).unwrap().unwrap();
        assert_eq!((publish.kind, publish.flags), (Kind::Publish, 2));
        assert_eq!(&publish.body[..], b"abc");
        assert_eq!(take(&mut inbox, 64).unwrap(), None);
        assert_eq!(inbox.len(), 1);
    }

    #[test]
    fn a_packet_that_is_too_large_is_known_by_its_length_alone() {
        let mut inbox = inbox(&[0x30, 0xff, 0xff, 0x7f]);
        let ending = take(&mut inbox, 1_000).unwrap_err();
        assert_eq!(ending.code, DisconnectReasonCode::PacketTooLarge);
    }

    #[test]
    fn a_packet_may_have_exactly_the_bytes_that_it_may_have() {
        let mut whole = inbox(&[0x30, 2, 0, 0]);
        assert!(take(&mut whole, 4).unwrap().is_some());
        assert!(take(&mut inbox(&[0x30, 2, 0, 0]), 3).is_err());
    }

    #[test]
    fn flags_and_kinds_that_do_not_exist_are_malformed() {
        for first in [0x00, 0x60, 0x80, 0xa0, 0xc1, 0xe1] {
            let ending = take(&mut inbox(&[first, 0]), 64).unwrap_err();
            assert_eq!(ending.code, DisconnectReasonCode::MalformedPacket);
        }
        let ending = take(&mut inbox(&[0x20, 0]), 64).unwrap_err();
        assert_eq!(ending.code, DisconnectReasonCode::ProtocolError);
    }

    #[test]
    fn a_length_without_an_end_is_malformed() {
        assert_eq!(take(&mut inbox(&[0x30, 0x80, 0x80, 0x80]), 64), Ok(None));
        assert!(take(&mut inbox(&[0x30, 0x80, 0x80, 0x80, 0x80]), 64).is_err());
    }
}
