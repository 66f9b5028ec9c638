//! What the resolver hands back, and how lookups share their work.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::*;
use crate::fake_target::{Names, tenant};

fn resolver(guard: Guard, names: &[(&str, &[&str])]) -> GuardedResolver {
    GuardedResolver::new(guard, Arc::new(Names::new(names)))
}

async fn resolve(resolver: &GuardedResolver, name: &str) -> Result<Vec<IpAddr>, Refusal> {
    match resolver.resolve(tenant(1), name).await {
        Ok(addrs) => Ok(addrs),
        Err(PostError::Refused(refusal)) => Err(refusal),
        Err(other) => panic!("{other:?}"),
    }
}

/// Counts the lookups and holds each until it is let go.
#[derive(Clone)]
struct Held {
    started: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Held {
    fn new() -> Held {
        Held {
            started: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    /// Lets every other task of this single-threaded runtime run until it can do no more.
    async fn settled(&self) -> usize {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.started.load(Ordering::SeqCst)
    }
}

impl Lookup for Held {
    fn lookup(&self, _: Arc<str>) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let held = self.clone();
        async move {
            held.started.fetch_add(1, Ordering::SeqCst);
            drop(held.gate.acquire().await);
            Ok(vec![IpAddr::from([8, 8, 8, 8])])
        }
        .boxed()
    }
}

#[tokio::test]
async fn a_name_of_this_machine_is_refused_as_the_system_resolves_it() {
    let resolver = GuardedResolver::new(Guard::new(Vec::new()), Arc::new(SystemLookup));
    let refused = Err(Refusal::Name {
        host: "localhost".to_owned(),
    });
    assert_eq!(resolve(&resolver, "localhost").await, refused);
}

#[tokio::test]
async fn of_a_mix_only_the_allowed_addresses_are_dialled() {
    let names: &[(&str, &[&str])] =
        &[("mix.test", &["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1"])];
    let found = resolve(&resolver(Guard::new(Vec::new()), names), "mix.test").await;
    let expected = ["8.8.8.8", "2606:4700::1"].map(|addr| addr.parse().unwrap());
    assert_eq!(found, Ok(expected.to_vec()));
}

#[tokio::test]
async fn a_name_that_resolves_to_inner_addresses_only_is_refused() {
    let inner = ["169.254.169.254", "::ffff:10.0.0.1", "fd00::1"];
    let names: &[(&str, &[&str])] = &[("inner.test", &inner)];
    let refused = Err(Refusal::Name {
        host: "inner.test".to_owned(),
    });
    assert_eq!(
        resolve(&resolver(Guard::new(Vec::new()), names), "inner.test").await,
        refused
    );
}

#[tokio::test]
async fn each_resolution_is_judged_anew() {
    let names = Arc::new(Names::new(&[("rebind.test", &["8.8.8.8"])]));
    let resolver = GuardedResolver::new(Guard::new(Vec::new()), names.clone());
    assert!(resolve(&resolver, "rebind.test").await.is_ok());
    names.set("rebind.test", &["127.0.0.1"]);
    assert!(resolve(&resolver, "rebind.test").await.is_err());
}

#[tokio::test]
async fn lookups_of_one_name_at_one_moment_are_one() {
    let held = Held::new();
    let resolver = GuardedResolver::new(Guard::new(Vec::new()), Arc::new(held.clone()));
    let asking: Vec<_> = (0..100)
        .map(|_| resolver.resolve(tenant(1), "a.test"))
        .collect();
    let all = futures_util::future::join_all(asking);
    held.gate.add_permits(1);
    assert!(all.await.iter().all(Result::is_ok));
    assert_eq!(held.started.load(Ordering::SeqCst), 1);
    assert!(resolver.flights.lock().is_empty());
}

#[tokio::test]
async fn a_tenant_with_slow_names_leaves_lookups_to_others() {
    let held = Held::new();
    let resolver = GuardedResolver::new(Guard::new(Vec::new()), Arc::new(held.clone()));
    let names: Vec<String> = (0..100).map(|n| format!("{n}.test")).collect();
    let slow: Vec<_> = names
        .iter()
        .map(|name| resolver.resolve(tenant(1), name))
        .collect();
    assert_eq!(held.settled().await, LOOKUPS_PER_TENANT_MAX);
    let other = resolver.resolve(tenant(2), "other.test");
    assert_eq!(held.settled().await, LOOKUPS_PER_TENANT_MAX + 1);
    held.gate.add_permits(1_000);
    assert!(other.await.is_ok());
    assert!(
        futures_util::future::join_all(slow)
            .await
            .iter()
            .all(Result::is_ok)
    );
}
