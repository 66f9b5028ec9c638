//! A server that is not there, goes away and comes back.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{LONG, away, begin, fresh_prefix, reverse, server::Server, up};
use crate::bus::{BusError, Handler, Topic, requests::WAY_MAX};

#[tokio::test]
async fn it_starts_without_a_server_and_works_when_there_is_one() {
    let mut server = Server::new(&[]);
    let prefix = fresh_prefix();
    let bus = begin(&server.url(), &prefix);
    let mut heard = bus.subscribe(&Topic::Changes);
    let _serving = bus.serve("one", 8, reverse()).await.unwrap();
    assert!(!bus.is_connected());
    let answer = bus.request("one", "abc".into(), LONG).await;
    assert_eq!(answer, Err(BusError::Disconnected));
    server.start();
    up(&bus).await;
    assert_eq!(bus.request("one", "abc".into(), LONG).await.unwrap(), "cba");
    bus.publish(&Topic::Changes, "hello".into());
    assert_eq!(heard.next().await.unwrap(), "hello");
}

#[tokio::test]
async fn a_server_whose_name_stands_for_no_address_is_told_of() {
    // Too long for a name, so that nobody has to be asked for it.
    let name = "n".repeat(64);
    let bus = begin(&format!("nats://{name}:4222"), &fresh_prefix());
    let trouble = loop {
        match bus.inner.link.trouble() {
            Some(trouble) => break trouble,
            None => tokio::task::yield_now().await,
        }
    };
    assert!(trouble.contains("cannot be resolved"), "{trouble}");
    assert!(trouble.contains(&name), "{trouble}");
}

#[tokio::test]
async fn subscriptions_and_servers_outlive_an_outage_and_others_hear_of_it() {
    let mut server = Server::new(&[]);
    server.start();
    let prefix = fresh_prefix();
    let (one, two) = (begin(&server.url(), &prefix), begin(&server.url(), &prefix));
    let before = up(&one).await;
    up(&two).await;
    let mut heard = one.subscribe(&Topic::Changes);
    assert!(heard.settled(LONG).await);
    let _serving = one.serve("one", 8, reverse()).await.unwrap();
    server.kill();
    away(&one).await;
    away(&two).await;
    // What is published now waits for the connection.
    two.publish(&Topic::Nodes, "not heard by anybody".into());
    server.start();
    assert!(up(&one).await > before);
    up(&two).await;
    assert_eq!(two.request("one", "abc".into(), LONG).await.unwrap(), "cba");
    two.publish(&Topic::Changes, "again".into());
    assert_eq!(heard.next().await.unwrap(), "again");
}

#[tokio::test]
async fn what_is_published_during_an_outage_is_kept() {
    let mut server = Server::new(&[]);
    let prefix = fresh_prefix();
    let bus = begin(&server.url(), &prefix);
    let mut heard = bus.subscribe(&Topic::Changes);
    bus.publish(&Topic::Changes, "kept".into());
    server.start();
    up(&bus).await;
    bus.publish(&Topic::Changes, "last".into());
    // The first may have been sent before the subscription was; the last is heard in any case.
    let mut last = heard.next().await.unwrap();
    if last == "kept" {
        last = heard.next().await.unwrap();
    }
    assert_eq!(last, "last");
}

#[tokio::test]
async fn a_request_in_flight_ends_with_the_server() {
    let mut server = Server::new(&[]);
    server.start();
    let bus = begin(&server.url(), &fresh_prefix());
    up(&bus).await;
    let begun = std::sync::Arc::new(tokio::sync::Notify::new());
    let handler = {
        let begun = std::sync::Arc::clone(&begun);
        std::sync::Arc::new(move |_| {
            begun.notify_one();
            Box::pin(std::future::pending()) as futures_util::future::BoxFuture<'static, _>
        })
    };
    let _serving = bus.serve("one", 8, handler).await.unwrap();
    let asked = tokio::spawn({
        let bus = bus.clone();
        async move { bus.request("one", "abc".into(), LONG).await }
    });
    let began_at = Instant::now();
    begun.notified().await;
    server.kill();
    assert_eq!(asked.await.unwrap(), Err(BusError::TimedOut));
    // The request could still have been on its way: it is not given up before it may not be begun any more.
    assert!(began_at.elapsed() >= WAY_MAX);
}

#[tokio::test]
async fn what_was_held_up_on_its_way_is_not_begun_after_its_answer_was_given_up() {
    let mut server = Server::new(&[]);
    server.start();
    let prefix = fresh_prefix();
    let (one, two) = (begin(&server.url(), &prefix), begin(&server.url(), &prefix));
    up(&one).await;
    up(&two).await;
    let begun = Arc::new(Mutex::new(Vec::new()));
    let handler: Handler = {
        let begun = Arc::clone(&begun);
        Arc::new(move |body: Bytes| {
            begun.lock().push(body.clone());
            async move { body }.boxed()
        })
    };
    let _serving = two.serve("two", 8, handler).await.unwrap();
    one.request("two", "before".into(), LONG).await.unwrap();
    server.freeze();
    let short = Duration::from_millis(100);
    for body in [Bytes::from("late"), vec![7; 600_000].into()] {
        let answer = one.request("two", body, short).await;
        assert_eq!(answer, Err(BusError::TimedOut));
    }
    server.thaw();
    // What one node sends arrives in order: this comes behind them.
    one.request("two", "after".into(), LONG).await.unwrap();
    assert_eq!(*begun.lock(), ["before", "after"]);
}

#[tokio::test]
async fn a_node_that_was_never_heard_of_is_not_asked_for_anything_while_it_is_silent() {
    let mut server = Server::new(&[]);
    server.start();
    let bus = begin(&server.url(), &fresh_prefix());
    up(&bus).await;
    let _serving = bus.serve("one", 8, reverse()).await.unwrap();
    server.freeze();
    let answer = bus.request("one", "abc".into(), Duration::from_millis(50));
    assert_eq!(answer.await, Err(BusError::Late));
    server.thaw();
    assert_eq!(bus.request("one", "abc".into(), LONG).await.unwrap(), "cba");
}

#[tokio::test]
async fn it_logs_in_with_what_the_url_says() {
    let mut server = Server::new(&["--user", "me", "--pass", "p@ss/word"]);
    server.start();
    let bus = begin(&server.url_with("me:p%40ss%2Fword"), &fresh_prefix());
    up(&bus).await;
    let mut server = Server::new(&["--auth", "s3cret"]);
    server.start();
    let bus = begin(&server.url_with("s3cret"), &fresh_prefix());
    up(&bus).await;
}

#[tokio::test]
async fn a_server_that_takes_little_at_once_gets_smaller_pieces() {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), "max_payload: 1024").unwrap();
    let mut server = Server::new(&["--config", config.path().to_str().unwrap()]);
    server.start();
    let bus = begin(&server.url(), &fresh_prefix());
    up(&bus).await;
    let _serving = bus.serve("one", 8, reverse()).await.unwrap();
    let body = vec![7; 100_000];
    let answer = bus.request("one", body.clone().into(), LONG).await;
    assert!(answer.unwrap() == body);
}
