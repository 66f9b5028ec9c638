//! Requests and their answers.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::{sync::Semaphore, task::JoinHandle};

use super::{LONG, connected, fresh_prefix, reverse};
use crate::bus::{Bus, BusError, Handler, frame::MESSAGE_BYTES_MAX};

/// Answers when the test lets it, one request for each permit, and says so when it begins. `more` is answered at once.
fn held(begun: &Arc<Semaphore>, go_on: &Arc<Semaphore>) -> Handler {
    let (begun, go_on) = (Arc::clone(begun), Arc::clone(go_on));
    Arc::new(move |request| {
        begun.add_permits(1);
        let go_on = Arc::clone(&go_on);
        async move {
            if request != "more" {
                go_on.acquire().await.unwrap().forget();
            }
            request
        }
        .boxed()
    })
}

fn closed() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(0))
}

async fn once(begun: &Semaphore) {
    begun.acquire().await.unwrap().forget();
}

#[tokio::test]
async fn the_node_that_is_named_answers() {
    let prefix = fresh_prefix();
    let (one, two) = (connected(&prefix).await, connected(&prefix).await);
    let _serving_one = one
        .serve("one", 8, Arc::new(|_| async { "one".into() }.boxed()))
        .await
        .unwrap();
    let _serving_two = two.serve("two", 8, reverse()).await.unwrap();
    assert_eq!(one.request("two", "abc".into(), LONG).await.unwrap(), "cba");
    assert_eq!(two.request("one", "abc".into(), LONG).await.unwrap(), "one");
    assert_eq!(one.request("two", Bytes::new(), LONG).await.unwrap(), "");
}

#[tokio::test]
async fn a_name_that_nobody_has_is_answered_at_once() {
    let bus = connected(&fresh_prefix()).await;
    let answer = bus.request("nobody", "abc".into(), LONG).await;
    assert_eq!(answer, Err(BusError::NoResponder));
    let answer = bus.request("no.name", "abc".into(), LONG).await;
    assert_eq!(answer, Err(BusError::Name("no.name".into())));
}

#[tokio::test]
async fn prefixes_keep_clusters_apart() {
    let (one, two) = (
        connected(&fresh_prefix()).await,
        connected(&fresh_prefix()).await,
    );
    let _serving = one.serve("one", 8, reverse()).await.unwrap();
    let answer = two.request("one", "abc".into(), LONG).await;
    assert_eq!(answer, Err(BusError::NoResponder));
}

#[tokio::test]
async fn long_messages_go_in_pieces_both_ways() {
    let prefix = fresh_prefix();
    let (one, two) = (connected(&prefix).await, connected(&prefix).await);
    let _serving = two.serve("two", 8, reverse()).await.unwrap();
    let body: Vec<u8> = (0..5_000_000_u32)
        .map(|number| number.to_le_bytes()[number as usize % 3])
        .collect();
    let mut expected = body.clone();
    expected.reverse();
    let ask = || one.request("two", body.clone().into(), LONG);
    let answers = futures_util::future::join_all([ask(), ask(), ask()]).await;
    for answer in answers {
        assert!(answer.unwrap() == expected);
    }
}

#[tokio::test]
async fn what_is_too_long_is_not_sent() {
    let bus = connected(&fresh_prefix()).await;
    let bytes = MESSAGE_BYTES_MAX + 1;
    let answer = bus.request("one", vec![0; bytes].into(), LONG).await;
    assert_eq!(answer, Err(BusError::TooLarge { bytes }));
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_told_as_lost() {
    let bus = connected(&fresh_prefix()).await;
    let handler: Handler =
        Arc::new(|_| async { Bytes::from(vec![0; MESSAGE_BYTES_MAX + 1]) }.boxed());
    let _serving = bus.serve("one", 8, handler).await.unwrap();
    let answer = bus.request("one", "abc".into(), LONG).await;
    assert_eq!(answer, Err(BusError::AnswerLost));
}

#[tokio::test]
async fn whoever_asks_waits_no_longer_than_it_says() {
    let bus = connected(&fresh_prefix()).await;
    let (begun, go_on) = (closed(), closed());
    let serving = bus.serve("one", 8, held(&begun, &go_on)).await.unwrap();
    let within = std::time::Duration::from_millis(50);
    let answer = bus.request("one", "abc".into(), within).await;
    assert_eq!(answer, Err(BusError::TimedOut));
    // The handler was let go of as well, although nobody let it go on.
    assert!(serving.drain(LONG).await);
}

#[tokio::test]
async fn too_many_at_once_are_refused() {
    let bus = connected(&fresh_prefix()).await;
    let (begun, go_on) = (closed(), closed());
    let _serving = bus.serve("one", 1, held(&begun, &go_on)).await.unwrap();
    let first = tokio::spawn({
        let bus = bus.clone();
        async move { bus.request("one", "first".into(), LONG).await }
    });
    once(&begun).await;
    let second = bus.request("one", "second".into(), LONG).await;
    assert_eq!(second, Err(BusError::Busy));
    go_on.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap(), "first");
}

/// A node that has begun with a request when it leaves.
struct Leaving {
    one: Bus,
    _two: Bus,
    asked: JoinHandle<Result<Bytes, BusError>>,
    /// Lets handlers end.
    go_on: Arc<Semaphore>,
    draining: JoinHandle<bool>,
}

async fn leaving_while_asked() -> Leaving {
    let prefix = fresh_prefix();
    let (one, two) = (connected(&prefix).await, connected(&prefix).await);
    let (begun, go_on) = (closed(), closed());
    let serving = two.serve("two", 8, held(&begun, &go_on)).await.unwrap();
    let asked = tokio::spawn({
        let one = one.clone();
        async move { one.request("two", "abc".into(), LONG).await }
    });
    once(&begun).await;
    let draining = tokio::spawn(serving.drain(LONG));
    Leaving {
        one,
        _two: two,
        asked,
        go_on,
        draining,
    }
}

#[tokio::test]
async fn a_node_that_leaves_answers_what_it_has_taken() {
    let leaving = leaving_while_asked().await;
    // Requests that arrive before the node heard that it leaves are carried out still.
    leaving.go_on.add_permits(1);
    let mut number = 0;
    while let Ok(answer) = leaving.one.request("two", "more".into(), LONG).await {
        assert_eq!(answer, "more");
        number += 1;
    }
    assert!(number < 1_000);
    assert_eq!(leaving.asked.await.unwrap().unwrap(), "abc");
    assert!(leaving.draining.await.unwrap());
    let answer = leaving.one.request("two", "late".into(), LONG).await;
    assert_eq!(answer, Err(BusError::NoResponder));
}

#[tokio::test]
async fn whoever_asks_a_node_that_leaves_is_told_at_once() {
    let leaving = leaving_while_asked().await;
    // The first is still in flight.
    loop {
        match leaving.one.request("two", "more".into(), LONG).await {
            Err(BusError::NoResponder) => break,
            answered => assert_eq!(answered.unwrap(), "more"),
        }
    }
    leaving.go_on.add_permits(1);
    assert_eq!(leaving.asked.await.unwrap().unwrap(), "abc");
    assert!(leaving.draining.await.unwrap());
}

#[tokio::test]
async fn a_request_of_another_version_is_refused() {
    let bus = connected(&fresh_prefix()).await;
    let _serving = bus.serve("one", 8, reverse()).await.unwrap();
    let link = &bus.inner.link;
    let waiting = link.asked.begin();
    let subject = link.node_subject("one").unwrap();
    let reply = link.answer_subject(waiting.token());
    let sent = link
        .client
        .publish_with_reply(subject, reply, "\u{3}future".into());
    sent.await.unwrap();
    assert_eq!(waiting.answer().await, Err(BusError::Refused));
}

#[tokio::test]
async fn a_node_of_the_version_before_hears_in_its_own_words_that_nothing_was_done() {
    let bus = connected(&fresh_prefix()).await;
    let _serving = bus.serve("one", 8, reverse()).await.unwrap();
    let link = &bus.inner.link;
    let request = "\u{1}\u{1}\0\0\0\u{9}\0\0\0\0\0\0\0\u{3}abc";
    let subject = link.node_subject("one").unwrap();
    let answer = link.client.request(subject, request.into()).await.unwrap();
    assert_eq!(&answer.payload[..], b"\x01\x04\0\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn a_node_that_dies_leaves_nobody_waiting() {
    let (one, two) = (runtime(), runtime());
    let prefix = fresh_prefix();
    let (begun, go_on) = (closed(), closed());
    let serving = two.block_on(async {
        let bus = connected(&prefix).await;
        bus.serve("two", 8, held(&begun, &go_on)).await.unwrap()
    });
    one.block_on(async {
        let bus = connected(&prefix).await;
        let asked = tokio::spawn(async move { bus.request("two", "abc".into(), LONG).await });
        once(&begun).await;
        // Its connections end with it, as those of a process do.
        two.shutdown_background();
        assert_eq!(asked.await.unwrap(), Err(BusError::TimedOut));
    });
    drop(serving);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}
