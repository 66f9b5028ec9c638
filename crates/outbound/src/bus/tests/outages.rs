//! A server that is not there, goes away and comes back.

use futures_util::StreamExt as _;

use super::{LONG, away, begin, fresh_prefix, reverse, server::Server, up};
use crate::bus::{BusError, Topic};

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
    begun.notified().await;
    server.kill();
    assert_eq!(asked.await.unwrap(), Err(BusError::TimedOut));
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
