//! Takes server-sent events apart (HTML Living Standard §9.2.6).
//!
//! Pure: bytes in, frames out. Knows nothing of connections.

use std::time::Duration;

/// One event of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What kind it is; `message` if it does not say so.
    pub(crate) event: String,
    /// Its lines, joined by LF.
    pub(crate) data: String,
}

/// Gathers bytes until there are whole frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decoder {
    rest: Vec<u8>,
    event: String,
    data: String,
    has_data: bool,
    last_id: Option<String>,
    retry: Option<Duration>,
}

impl Decoder {
    /// Takes the next bytes, and answers the frames that are whole now. A frame without data is none: it only moves the
    /// last id.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<(Frame, Option<String>)> {
        self.rest.extend_from_slice(bytes);
        let mut frames = Vec::new();
        let mut start = 0;
        while let Some(length) = self.rest[start..].iter().position(|b| *b == b'\n') {
            let line = &self.rest[start..start + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let line = String::from_utf8_lossy(line).into_owned();
            start += length + 1;
            if let Some(frame) = self.line(&line) {
                frames.push((frame, self.last_id.clone()));
            }
        }
        self.rest.drain(..start);
        frames
    }

    /// The id of the last event or heartbeat.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server wants a reader to wait before it comes back.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn line(&mut self, line: &str) -> Option<Frame> {
        if line.is_empty() {
            return self.end();
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            "id" => self.last_id = Some(value.to_owned()),
            "retry" => self.retry = value.parse().map(Duration::from_millis).ok().or(self.retry),
            // A comment, or a field of a later version.
            _ => {}
        }
        None
    }

    fn end(&mut self) -> Option<Frame> {
        let event = std::mem::take(&mut self.event);
        let data = std::mem::take(&mut self.data);
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        let event = if event.is_empty() {
            "message".to_owned()
        } else {
            event
        };
        Some(Frame { event, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"retry: 2000\n\n: hi\nid: 7\nevent: a.b\ndata: {\"x\":\ndata: 1}\n\nid: 9\n\ndata: y\r\n\r\n";

    fn frame(event: &str, data: &str, id: &str) -> (Frame, Option<String>) {
        let frame = Frame {
            event: event.to_owned(),
            data: data.to_owned(),
        };
        (frame, Some(id.to_owned()))
    }

    #[test]
    fn frames_come_out_however_the_bytes_are_cut() {
        let expected = [frame("a.b", "{\"x\":\n1}", "7"), frame("message", "y", "9")];
        for size in 1..=STREAM.len() {
            let mut decoder = Decoder::default();
            let found: Vec<_> = STREAM
                .chunks(size)
                .flat_map(|chunk| decoder.take(chunk))
                .collect();
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_heartbeat_moves_the_last_id_and_is_no_frame() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.take(b"id: 12\n\n"), []);
        assert_eq!(decoder.last_id(), Some("12"));
        assert_eq!(decoder.retry(), None);
        decoder.take(b"retry: 50\nretry: x\n\n");
        assert_eq!(decoder.retry(), Some(Duration::from_millis(50)));
    }
}
