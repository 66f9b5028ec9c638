//! Remembers which commands were carried out, and what came of them.
//!
//! Pure, and bounded in number and bytes: the oldest results are forgotten first, what is under way never.

use std::collections::{HashMap, VecDeque};

use tokio_tungstenite::tungstenite::Utf8Bytes;

const RESULTS_MAX: usize = 1_024;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is known of a command.
#[derive(Debug)]
pub(super) enum Known {
    /// It is being carried out, or waits for it.
    UnderWay,
    /// It was carried out; the frame of its result.
    Done(Utf8Bytes),
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    known: HashMap<Box<str>, Known>,
    /// Those that were carried out, the oldest first.
    done: VecDeque<Box<str>>,
    bytes: usize,
}

impl Memory {
    pub(super) fn find(&self, id: &str) -> Option<&Known> {
        self.known.get(id)
    }

    pub(super) fn begin(&mut self, id: Box<str>) {
        self.known.insert(id, Known::UnderWay);
    }

    pub(super) fn finish(&mut self, id: Box<str>, text: Utf8Bytes) {
        self.bytes += text.len();
        self.done.push_back(id.clone());
        self.known.insert(id, Known::Done(text));
        while self.done.len() > RESULTS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.done.pop_front() else {
                break;
            };
            if let Some(Known::Done(text)) = self.known.remove(&oldest) {
                self.bytes -= text.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_results_are_forgotten_and_what_is_under_way_is_not() {
        let mut memory = Memory::default();
        memory.begin("under way".into());
        for number in 0..=RESULTS_MAX {
            let id: Box<str> = number.to_string().into();
            memory.begin(id.clone());
            memory.finish(id, "{}".into());
        }
        assert!(memory.find("0").is_none());
        assert!(matches!(memory.find("1"), Some(Known::Done(_))));
        assert!(matches!(memory.find("under way"), Some(Known::UnderWay)));
    }

    #[test]
    fn large_results_are_forgotten_sooner() {
        let mut memory = Memory::default();
        for number in 0..3 {
            let id: Box<str> = number.to_string().into();
            memory.finish(id, "x".repeat(BYTES_MAX / 2).into());
        }
        assert!(memory.find("0").is_none());
        assert!(memory.find("1").is_some());
        assert!(memory.find("2").is_some());
    }
}
