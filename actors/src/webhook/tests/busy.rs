//! Deliveries that our own limits hold up.

use std::time::Duration;

use super::{house::House, sink::Sink};

/// Deliveries of a tenant that are on their way to one host at once, at most.
const HOST_MAX: usize = 256;

#[actix::test]
async fn what_found_no_place_at_its_host_is_no_attempt_and_is_sent_when_there_is_one() {
    let house = House::open().await;
    let (mut slow, mut quick) = (Sink::start().await, Sink::start().await);
    let members = r#","max_in_flight":256,"timeout_ms":30000,"events":["a"]"#;
    let holder = house.webhook(&slow.url, members).await;
    // Names are made of the time and of what is random, which is always the same here.
    house.pass(Duration::from_millis(2)).await;
    let members = r#","timeout_ms":10000,"events":["b"]"#;
    let id = house.webhook(&quick.url, members).await;
    house.ingest_many("a", HOST_MAX).await;
    let mut held = Vec::with_capacity(HOST_MAX);
    for _ in 0..HOST_MAX {
        held.push(slow.next().await);
    }
    house.ingest_many("b", 1).await;
    house.until_status(id, |status| status.in_flight == 1).await;
    house.pass(Duration::from_millis(10_010)).await;
    house.view(id).await;
    assert!(quick.is_quiet());
    assert!(house.deliveries(id).await.is_empty());
    held.into_iter().for_each(|request| request.answer(204));
    house.settled(holder, HOST_MAX as u64).await;
    while quick.is_quiet() {
        house.pass(Duration::from_millis(10)).await;
    }
    let request = quick.next().await;
    assert_eq!(request.attempt(), 1);
    let position = request.position();
    request.answer(204);
    house.settled(id, position).await;
    let delivered = (position, 1, "delivered".to_owned());
    assert_eq!(house.deliveries(id).await, [delivered]);
}
