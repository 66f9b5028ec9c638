//! Where the client does not go, and who waits for whom.

use std::{
    io,
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::BoxFuture;

use super::*;
use crate::{guard::Refusal, resolver::LOOKUPS_PER_TENANT_MAX};

#[tokio::test]
async fn an_inner_address_in_the_url_is_refused_right_before_the_post() {
    for url in [
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:169.254.169.254]/",
    ] {
        let result = client()
            .post(post_to(url.parse().unwrap(), AMPLE))
            .await
            .result;
        let refused = matches!(result, Err(PostError::Refused(Refusal::Address { .. })));
        assert!(refused, "{url}: {result:?}");
    }
}

#[tokio::test]
async fn a_name_that_resolves_to_inner_addresses_is_refused() {
    let client = client_with_names(&[("inner.test", &["10.0.0.1", "169.254.169.254"])]);
    let result = client
        .post(post_to("http://inner.test/".parse().unwrap(), AMPLE))
        .await
        .result;
    let host = "inner.test".to_owned();
    assert_eq!(result, Err(PostError::Refused(Refusal::Name { host })));
}

#[tokio::test]
async fn a_name_that_resolves_to_a_mix_reaches_the_allowed_address() {
    let mut target = FakeTarget::start(OK).await;
    let client = client_with_names(&[("mix.test", &["10.0.0.1", "127.0.0.1", "::1"])]);
    let answer = client
        .post(post_to(target.url_by_name("mix.test"), AMPLE))
        .await
        .result;
    assert_eq!(answer.unwrap().status, 200);
    assert!(target.request().await.contains("host: mix.test:"));
}

#[tokio::test]
async fn a_name_without_an_address_is_not_resolved() {
    let client = client_with_names(&[("empty.test", &[])]);
    for url in ["http://unknown.test/", "http://empty.test/"] {
        let result = client
            .post(post_to(url.parse().unwrap(), AMPLE))
            .await
            .result;
        assert!(
            matches!(result, Err(PostError::Resolve(_))),
            "{url}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_tenant_that_fills_its_share_of_a_host_holds_back_itself_alone() {
    let mut target = FakeTarget::start(Behaviour::StopAfter("")).await;
    let mut options = options();
    options.per_host_in_flight_max = 1;
    let client = WebhookClient::new(options).unwrap();
    let mut first = Box::pin(client.post(post_to(target.url(), AMPLE)));
    tokio::select! {
        outcome = &mut first => panic!("the target hangs, yet there is {outcome:?}"),
        _request = target.request() => {}
    }

    let second = client.post(post_to(target.url(), SCANT)).await.result;
    assert_eq!(second, Err(PostError::HostBusy));

    let mut other = post_to(target.url(), SCANT);
    other.tenant = tenant(2);
    assert_eq!(client.post(other).await.result, Err(PostError::Timeout));
    assert_eq!(target.requests_so_far(), 1);

    drop(first);
    let third = client.post(post_to(target.url(), SCANT)).await.result;
    assert_eq!(third, Err(PostError::Timeout));
}

/// Never finds an end for names that begin with `slow`, and counts them.
#[derive(Default)]
struct SlowNames(AtomicUsize);

impl Lookup for SlowNames {
    fn lookup(&self, name: Arc<str>) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        if name.starts_with("slow") {
            self.0.fetch_add(1, Ordering::SeqCst);
            return std::future::pending().boxed();
        }
        std::future::ready(Ok(vec![IpAddr::from([127, 0, 0, 1])])).boxed()
    }
}

#[tokio::test]
async fn slow_names_of_one_tenant_hold_back_no_other_tenant() {
    let target = FakeTarget::start(OK).await;
    let names = Arc::new(SlowNames::default());
    let client = WebhookClient::with_lookup(options(), names.clone()).unwrap();
    let posts = (0..40).map(|n| {
        let client = client.clone();
        let url = format!("http://slow{n}.test/").parse().unwrap();
        tokio::spawn(async move { client.post(post_to(url, AMPLE)).await })
    });
    let slow: Vec<_> = posts.collect();
    while names.0.load(Ordering::SeqCst) < LOOKUPS_PER_TENANT_MAX {
        tokio::task::yield_now().await;
    }
    let mut other = post_to(target.url_by_name("quick.test"), AMPLE);
    other.tenant = tenant(2);
    assert_eq!(client.post(other).await.result.unwrap().status, 200);
    assert_eq!(names.0.load(Ordering::SeqCst), LOOKUPS_PER_TENANT_MAX);
    assert!(slow.iter().all(|post| !post.is_finished()));
}
