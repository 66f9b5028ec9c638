//! Waiting for a condition: the one place where a test lets time pass.
//!
//! No test asserts how long something takes by waiting; the cap only turns a hang into a message.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long any condition may take. Generous, because the machine may be busy with other tests.
const CAP: Duration = Duration::from_secs(180);
/// How often a condition is looked at.
const PACE: Duration = Duration::from_millis(10);

/// Looks again and again until there is something, and answers it.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up_at = Instant::now() + CAP;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            Instant::now() < give_up_at,
            "waited {CAP:?} in vain until {what}"
        );
        sleep(PACE).await;
    }
}

/// Waits for a future that must come to an end.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(CAP, future).await {
        Ok(value) => value,
        Err(_elapsed) => panic!("waited {CAP:?} in vain until {what}"),
    }
}
