//! Tails that reconnect for ever, as browsers do, and check that they see every position once and in order.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{task::JoinHandle, time::sleep};

use crate::harness::{Client, Tail, client::text, until};

/// How soon a reader connects again.
const PAUSE: Duration = Duration::from_millis(50);

/// A tail of one tenant on one node. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Reader {
    what: String,
    seen: Arc<Mutex<Vec<String>>>,
    reading: JoinHandle<()>,
}

impl Reader {
    /// Starts one from the beginning of the log.
    pub(super) fn start(what: String, client: Client) -> Reader {
        let seen = Arc::default();
        let reading = tokio::spawn(read(what.clone(), client, Arc::clone(&seen)));
        Reader {
            what,
            seen,
            reading,
        }
    }

    /// Waits until it has seen so many events, and answers their ids in order.
    pub(super) async fn has_seen(&mut self, count: usize) -> Vec<String> {
        let seen = Arc::clone(&self.seen);
        let what = format!("{} has seen {count} events", self.what);
        until(&what, async || {
            if self.reading.is_finished() {
                // It never ends by itself but when it found a fault.
                (&mut self.reading)
                    .await
                    .expect("tails show what they should");
            }
            let seen = seen.lock().expect("not poisoned");
            (seen.len() >= count).then(|| seen.clone())
        })
        .await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn read(what: String, client: Client, seen: Arc<Mutex<Vec<String>>>) {
    // What the server said last, also by a heartbeat: this is what browsers come back with.
    let mut last_id = 0;
    loop {
        let tail = client.get("/v1/events/tail");
        let tail = tail.header("last-event-id", &last_id.to_string());
        match tail.try_stream().await {
            Ok(response) if response.status() == 200 => {
                let mut tail = Tail::of(response).await;
                while let Some(frame) = tail.frame().await {
                    last_id = frame.id.unwrap_or(last_id);
                    if frame.data.is_none() {
                        continue;
                    }
                    let mut seen = seen.lock().expect("not poisoned");
                    let next = seen.len() as u64 + 1;
                    assert_eq!(frame.id, Some(next), "{what}: neither gap nor duplicate");
                    seen.push(text(&frame.json(), "id").to_owned());
                }
            }
            Ok(response) => {
                let status = response.status();
                let said = response.text().await.unwrap_or_default();
                assert!(status == 503, "{what}: {status} {said}");
            }
            Err(_nobody_answers) => {}
        }
        sleep(PAUSE).await;
    }
}
