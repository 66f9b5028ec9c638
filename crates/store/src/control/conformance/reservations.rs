//! Cases: idempotency keys.

use domain::ids::TenantId;

use super::{Home, Place, at, expire};
use crate::control::{Answer, Control, Reservation, Reserve};

fn reservation(key: u8, request: u8) -> Reservation {
    Reservation {
        key_hash: [key; 32],
        request_hash: [request; 32],
        boot: "boot 1".to_owned(),
        expires_at: at(100),
    }
}

fn answer() -> Answer {
    Answer {
        status: 201,
        body: "sealed".to_owned(),
    }
}

async fn reserve(
    control: &Control,
    tenant: TenantId,
    reservation: &Reservation,
    second: u64,
) -> Reserve {
    control
        .reserve(tenant, reservation, at(second))
        .await
        .unwrap()
}

pub(super) async fn of_many_requests_at_once_exactly_one_is_new(place: &Place) {
    let home = Home::new(place).await;
    let mut reserving = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (control, tenant) = (home.control.clone(), home.tenant);
        reserving.spawn(async move { reserve(&control, tenant, &reservation(1, 1), 0).await });
    }
    let outcomes = reserving.join_all().await;
    let count = |wanted| {
        outcomes
            .iter()
            .filter(|outcome| **outcome == wanted)
            .count()
    };
    assert_eq!((count(Reserve::New), count(Reserve::InFlight)), (1, 49));
}

pub(super) async fn an_answer_is_replayed_until_it_expires(place: &Place) {
    let Home {
        control, tenant, ..
    } = Home::new(place).await;
    let first = reservation(1, 1);
    assert_eq!(reserve(&control, tenant, &first, 0).await, Reserve::New);
    assert!(control.complete(tenant, &first, &answer()).await.unwrap());
    let mut later = first.clone();
    later.boot = "boot 2".to_owned();
    later.expires_at = at(200);
    assert_eq!(
        reserve(&control, tenant, &later, 99).await,
        Reserve::Answered(answer())
    );
    assert_eq!(reserve(&control, tenant, &later, 100).await, Reserve::New);
    assert_eq!(
        reserve(&control, tenant, &later, 101).await,
        Reserve::InFlight
    );
}

pub(super) async fn another_request_with_the_same_key_is_a_mismatch(place: &Place) {
    let Home {
        control, tenant, ..
    } = Home::new(place).await;
    let (first, other) = (reservation(1, 1), reservation(1, 2));
    assert_eq!(reserve(&control, tenant, &first, 0).await, Reserve::New);
    assert_eq!(
        reserve(&control, tenant, &other, 0).await,
        Reserve::Mismatch
    );
    control.complete(tenant, &first, &answer()).await.unwrap();
    assert_eq!(
        reserve(&control, tenant, &other, 0).await,
        Reserve::Mismatch
    );
    assert_eq!(reserve(&control, tenant, &other, 100).await, Reserve::New);
}

pub(super) async fn a_released_key_is_free_again(place: &Place) {
    let Home {
        control, tenant, ..
    } = Home::new(place).await;
    let (first, other) = (reservation(1, 1), reservation(1, 2));
    assert_eq!(reserve(&control, tenant, &first, 0).await, Reserve::New);
    control.release_reservation(tenant, &other).await.unwrap();
    assert_eq!(
        reserve(&control, tenant, &first, 0).await,
        Reserve::InFlight
    );
    control.release_reservation(tenant, &first).await.unwrap();
    assert_eq!(reserve(&control, tenant, &other, 0).await, Reserve::New);
}

pub(super) async fn an_answer_that_is_kept_cannot_be_released_or_replaced(place: &Place) {
    let Home {
        control, tenant, ..
    } = Home::new(place).await;
    let first = reservation(1, 1);
    assert_eq!(reserve(&control, tenant, &first, 0).await, Reserve::New);
    control.complete(tenant, &first, &answer()).await.unwrap();
    let other = Answer {
        status: 500,
        body: String::new(),
    };
    assert!(!control.complete(tenant, &first, &other).await.unwrap());
    control.release_reservation(tenant, &first).await.unwrap();
    assert_eq!(
        reserve(&control, tenant, &first, 0).await,
        Reserve::Answered(answer())
    );
}

pub(super) async fn a_reservation_of_a_process_that_died_is_taken_over(place: &Place) {
    let Home {
        control, tenant, ..
    } = Home::new(place).await;
    let dead = reservation(1, 1);
    assert_eq!(reserve(&control, tenant, &dead, 0).await, Reserve::New);
    let mut other = reservation(1, 2);
    other.boot = "boot 2".to_owned();
    assert_eq!(
        reserve(&control, tenant, &other, 1).await,
        Reserve::Mismatch
    );
    let mut heir = dead.clone();
    heir.boot = "boot 2".to_owned();
    assert_eq!(reserve(&control, tenant, &heir, 1).await, Reserve::New);
    assert_eq!(reserve(&control, tenant, &heir, 1).await, Reserve::InFlight);
    assert!(!control.complete(tenant, &dead, &answer()).await.unwrap());
    control.release_reservation(tenant, &dead).await.unwrap();
    assert!(control.complete(tenant, &heir, &answer()).await.unwrap());
}

pub(super) async fn a_reservation_of_a_session_that_lives_is_not_taken_over(place: &Place) {
    let Home {
        control, tenant, ..
    } = Home::new(place).await;
    let ttl = std::time::Duration::from_secs(3_600);
    let session = control.begin_session("a", ttl).await.unwrap();
    let first = Reservation {
        boot: session.to_string(),
        ..reservation(1, 1)
    };
    let other = reservation(1, 1);
    assert_eq!(reserve(&control, tenant, &first, 0).await, Reserve::New);
    assert_eq!(
        reserve(&control, tenant, &other, 1).await,
        Reserve::InFlight
    );
    expire(&control, session).await;
    assert_eq!(reserve(&control, tenant, &other, 1).await, Reserve::New);
}

pub(super) async fn the_same_key_of_another_tenant_is_another_key(place: &Place) {
    let home = Home::new(place).await;
    let foreign = home.neighbour().await;
    let first = reservation(1, 1);
    let control = &home.control;
    assert_eq!(reserve(control, home.tenant, &first, 0).await, Reserve::New);
    let done = control
        .complete(foreign.tenant, &first, &answer())
        .await
        .unwrap();
    assert!(!done);
    assert_eq!(
        reserve(control, foreign.tenant, &first, 0).await,
        Reserve::New
    );
    control
        .release_reservation(foreign.tenant, &first)
        .await
        .unwrap();
    assert_eq!(
        reserve(control, home.tenant, &first, 0).await,
        Reserve::InFlight
    );
}

pub(super) async fn a_sweep_takes_what_has_expired_only(place: &Place) {
    let Home {
        control, tenant, ..
    } = Home::new(place).await;
    let (old, mut young) = (reservation(1, 1), reservation(2, 1));
    young.expires_at = at(101);
    for reservation in [&old, &young] {
        assert_eq!(
            reserve(&control, tenant, reservation, 0).await,
            Reserve::New
        );
    }
    assert_eq!(control.sweep_reservations(at(99)).await.unwrap(), 0);
    assert_eq!(control.sweep_reservations(at(100)).await.unwrap(), 1);
    assert_eq!(
        reserve(&control, tenant, &young, 100).await,
        Reserve::InFlight
    );
    assert_eq!(reserve(&control, tenant, &old, 0).await, Reserve::New);
}
