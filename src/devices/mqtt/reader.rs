//! Reads the fields of a packet, one after the other.

use mqtt_protocol_core::mqtt::packet::{Properties, PropertiesParse as _, Property, UserProperty};

use super::ending::Ending;

/// What is left of a packet.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    packet: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads a packet from its beginning. `packet` is what messages call it.
    pub(super) fn new(body: &'a [u8], packet: &'static str) -> Reader<'a> {
        Reader { rest: body, packet }
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, Ending> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// A number of two bytes.
    pub(super) fn number(&mut self) -> Result<u16, Ending> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Bytes behind their number.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Ending> {
        let length = self.number()?;
        self.take(usize::from(length))
    }

    /// A text behind its number of bytes.
    pub(super) fn text(&mut self) -> Result<&'a str, Ending> {
        let packet = self.packet;
        let wrong = || Ending::malformed(format!("a text in the {packet} packet is not UTF-8"));
        let text = std::str::from_utf8(self.bytes()?).map_err(|_not_utf8| wrong())?;
        if text.contains('\0') {
            return Err(wrong());
        }
        Ok(text)
    }

    /// Properties, which only version 5 has. `allowed` has a bit for each that may be here.
    pub(super) fn properties(&mut self, allowed: u64) -> Result<Properties, Ending> {
        let (properties, length) =
            Properties::parse(self.rest).map_err(|error| Ending::found(error, self.packet))?;
        self.take(length)?;
        let mut seen = 0;
        for property in &properties {
            let bit = bit(property.id().as_u8());
            let is_repeated = seen & bit != 0 && !matches!(property, Property::UserProperty(_));
            if allowed & bit == 0 || is_repeated {
                let (id, packet) = (property.id(), self.packet);
                let text = format!("the {packet} packet has a {id} that may not be there");
                return Err(Ending::protocol(text));
            }
            seen |= bit;
        }
        Ok(properties)
    }

    /// Whatever is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes on only if nothing is left.
    pub(super) fn end(&self) -> Result<(), Ending> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let packet = self.packet;
        Err(Ending::malformed(format!(
            "the {packet} packet goes on after its end"
        )))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Ending> {
        let packet = self.packet;
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| Ending::malformed(format!("the {packet} packet ends too early")))?;
        self.rest = rest;
        Ok(taken)
    }
}

/// The bits of these ids of properties.
pub(super) const fn bits(ids: &[u8]) -> u64 {
    let (mut bits, mut index) = (0, 0);
    while index < ids.len() {
        bits |= 1 << ids[index];
        index += 1;
    }
    bits
}

/// The value of a user property: the first with this name.
pub(super) fn said<'a>(properties: &'a [Property], name: &str) -> Option<&'a str> {
    properties.iter().find_map(|property| {
        let Property::UserProperty(pair) = property else {
            return None;
        };
        let pair: &UserProperty = pair;
        (pair.key() == name).then(|| pair.val())
    })
}

fn bit(id: u8) -> u64 {
    // Every id of version 5 is below 43.
    1_u64.checked_shl(u32::from(id)).unwrap_or(0)
}
