//! A reader of server-sent events.

use std::collections::VecDeque;

use serde_json::Value;

use super::until::soon;

/// An open stream.
#[derive(Debug)]
pub(crate) struct Tail {
    response: reqwest::Response,
    unread: Vec<u8>,
    frames: VecDeque<Frame>,
    /// What `retry:` said last.
    pub(crate) retry_ms: Option<u64>,
}

/// One frame with an id or an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// `id:`
    pub(crate) id: Option<u64>,
    /// `event:`
    pub(crate) event: Option<String>,
    /// `data:`
    pub(crate) data: Option<String>,
}

impl Tail {
    /// Takes an answer that must be a stream.
    pub(crate) async fn of(response: reqwest::Response) -> Tail {
        let status = response.status();
        if status != 200 {
            let text = response.text().await.unwrap_or_default();
            panic!("the tail was answered {status}: {text}");
        }
        let media_type = response.headers().get("content-type").cloned();
        assert_eq!(media_type.expect("a media type"), "text/event-stream");
        Tail {
            response,
            unread: Vec::new(),
            frames: VecDeque::new(),
            retry_ms: None,
        }
    }

    /// A header of the answer.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    }

    /// The next frame, heartbeats too; `None` when the stream has ended.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            let chunk = soon("the tail says something", self.response.chunk()).await;
            // A connection that breaks ends the stream as an orderly end does: a reader reconnects either way.
            let chunk = chunk.ok().flatten()?;
            self.unread.extend_from_slice(&chunk);
            self.parse();
        }
    }

    /// The next event with data; `None` when the stream has ended.
    pub(crate) async fn event(&mut self) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if frame.data.is_some() {
                return Some(frame);
            }
        }
    }

    /// The next `count` events.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<Frame> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.event().await.expect("the tail goes on"));
        }
        events
    }

    fn parse(&mut self) {
        while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.unread.drain(..end + 2).collect();
            let block = String::from_utf8(block).expect("frames are UTF-8");
            let mut frame = Frame::default();
            for line in block.lines() {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                match name {
                    "id" => frame.id = Some(value.parse().expect("ids are positions")),
                    "event" => frame.event = Some(value.to_owned()),
                    "data" => {
                        let data = frame.data.get_or_insert_default();
                        data.push_str(value);
                    }
                    "retry" => self.retry_ms = value.parse().ok(),
                    // An empty name is a comment, an empty line the end.
                    "" => {}
                    other => panic!("a frame has no `{other}`: {block}"),
                }
            }
            if frame != Frame::default() {
                self.frames.push_back(frame);
            }
        }
    }
}

impl Frame {
    /// The data as JSON.
    pub(crate) fn json(&self) -> Value {
        let data = self.data.as_deref().expect("a frame with data");
        serde_json::from_str(data).expect("data are JSON")
    }
}
