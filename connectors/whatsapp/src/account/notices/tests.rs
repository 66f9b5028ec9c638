use std::sync::Arc;

use whatsapp_rust::types::events::{Connected, Event, EventHandler as _};

use super::{Heard, Notices, WAITING_MAX};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_tells_of_events_waits_when_the_queue_is_full_and_none_is_lost() {
    let (notices, mut forwarder) = Notices::new();
    let all = WAITING_MAX + 10;
    let telling = tokio::spawn(async move {
        for _ in 0..all {
            let connected = Connected::builder().build();
            notices.handle_event(Arc::new(Event::Connected(connected)));
        }
    });
    let is_full = || forwarder.queue.len() == WAITING_MAX;
    while !is_full() {
        tokio::task::yield_now().await;
    }
    assert!(!telling.is_finished());
    let mut heard = 0;
    while let Some(Heard::Event(_)) = forwarder.queue.recv().await {
        heard += 1;
    }
    assert_eq!(heard, all);
}
