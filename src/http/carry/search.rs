//! The search for the node that carries a request out: look where the tenant lives, try it there, look again if it has moved.
//!
//! Decides how often and how long. Sends nothing itself, and never tries again what may have been done.

use std::{pin::pin, time::Duration};

use actors::placement::Place;
use tokio::time::{Instant, sleep, timeout};

use crate::http::problem::{Code, Problem};

/// How long a tenant is looked for. As a rule it is found at once; a hand-over takes a moment.
const LOOK_FOR: Duration = Duration::from_secs(4);
/// How long a node may take to answer before others are led to look anew where the tenant lives: one that hangs is believed to
/// be there until its lease has run out, and nobody should go on asking it after that.
const DOUBTED_AFTER: Duration = Duration::from_secs(1);
/// Pauses between looks: the second look is at once, then they double.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(300);

/// What became of a try.
pub(super) enum Tried<A> {
    /// It was carried out.
    Done(A),
    /// It was surely not carried out, because the tenant lives elsewhere or the node is gone. The problem is for the client,
    /// in case that nobody else is found.
    NotThere(Problem),
}

/// The ways to carry one request out.
pub(super) trait Ways {
    /// What comes back.
    type Answer;

    /// Where the tenant lives.
    async fn locate(&mut self) -> Result<Place, Problem>;
    /// The place was wrong.
    fn forget(&mut self);
    /// Carries the request out on this node.
    async fn here(&mut self) -> Result<Tried<Self::Answer>, Problem>;
    /// Carries it out on another one.
    async fn there(&mut self, session: &str) -> Result<Tried<Self::Answer>, Problem>;
}

/// Finds the owner and has the request carried out there.
pub(super) async fn carry_out<W: Ways>(ways: &mut W) -> Result<W::Answer, Problem> {
    let ends_at = Instant::now() + LOOK_FOR;
    let mut pause = Duration::ZERO;
    loop {
        let tried = match ways.locate().await? {
            Place::Here => ways.here().await?,
            Place::There { session, .. } => ways.there(&session.to_string()).await?,
        };
        let problem = match tried {
            Tried::Done(answer) => return Ok(answer),
            Tried::NotThere(problem) => problem,
        };
        if Instant::now() + pause >= ends_at {
            return Err(problem);
        }
        ways.forget();
        sleep(pause).await;
        pause = (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
    }
}

/// Waits for an answer, and has the place doubted if it takes long.
pub(super) async fn answered<A>(answer: impl Future<Output = A>, doubt: impl FnOnce()) -> A {
    let mut answer = pin!(answer);
    if let Ok(answer) = timeout(DOUBTED_AFTER, &mut answer).await {
        return answer;
    }
    doubt();
    answer.await
}

/// Nobody is found who carries the request out.
pub(super) fn unreachable() -> Problem {
    let detail = "the node that is responsible for this tenant cannot be reached; nothing was done";
    Problem::new(Code::OwnerUnreachable, detail).retry_after(Duration::from_secs(1))
}

/// The owner was asked, and nothing came back.
pub(super) fn unknown_fate() -> Problem {
    let detail = "the node that is responsible for this tenant did not answer; whether the request was carried out is \
                  unknown: a repetition with the same `dedup_id` or Idempotency-Key is safe";
    Problem::new(Code::OwnerUnreachable, detail).retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use store::control::SessionId;

    use super::*;

    /// What the world says to each look and each try, in order; the last of each is said for ever.
    struct Script {
        places: VecDeque<Place>,
        tries: VecDeque<Try>,
        log: Vec<&'static str>,
    }

    #[derive(Clone, Copy)]
    enum Try {
        Done,
        NotThere,
        Fails,
    }

    const SESSION: &str = "0198c7a0-0000-7000-8000-00000000000a";

    fn there() -> Place {
        let session: SessionId = SESSION.parse().unwrap();
        Place::There {
            session,
            node: "b".into(),
        }
    }

    fn script(places: &[Place], tries: &[Try]) -> Script {
        Script {
            places: places.iter().cloned().collect(),
            tries: tries.iter().copied().collect(),
            log: Vec::new(),
        }
    }

    fn next<T: Clone>(said: &mut VecDeque<T>) -> T {
        match said.len() {
            1 => said[0].clone(),
            _ => said.pop_front().unwrap(),
        }
    }

    impl Script {
        fn tried(&mut self, place: &'static str) -> Result<Tried<&'static str>, Problem> {
            self.log.push(place);
            match next(&mut self.tries) {
                Try::Done => Ok(Tried::Done(place)),
                Try::NotThere => Ok(Tried::NotThere(unreachable())),
                Try::Fails => Err(unknown_fate()),
            }
        }
    }

    impl Ways for Script {
        type Answer = &'static str;

        async fn locate(&mut self) -> Result<Place, Problem> {
            Ok(next(&mut self.places))
        }

        fn forget(&mut self) {
            self.log.push("forget");
        }

        async fn here(&mut self) -> Result<Tried<&'static str>, Problem> {
            self.tried("here")
        }

        async fn there(&mut self, session: &str) -> Result<Tried<&'static str>, Problem> {
            assert_eq!(session, SESSION);
            self.tried("there")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_lives_here_is_not_looked_for_any_further() {
        let mut script = script(&[Place::Here], &[Try::Done]);
        assert_eq!(carry_out(&mut script).await.unwrap(), "here");
        assert_eq!(script.log, ["here"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_place_is_forgotten_and_the_next_one_tried_at_once() {
        let began_at = Instant::now();
        let mut script = script(&[there(), Place::Here], &[Try::NotThere, Try::Done]);
        assert_eq!(carry_out(&mut script).await.unwrap(), "here");
        assert_eq!(script.log, ["there", "forget", "here"]);
        assert!(began_at.elapsed() < PAUSE_MIN);
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_away_from_here_is_followed() {
        let mut script = script(&[Place::Here, there()], &[Try::NotThere, Try::Done]);
        assert_eq!(carry_out(&mut script).await.unwrap(), "there");
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_stays_away_is_given_up_after_a_while() {
        let began_at = Instant::now();
        let mut script = script(&[there()], &[Try::NotThere]);
        let problem = carry_out(&mut script).await.unwrap_err();
        assert_eq!(problem.code(), Code::OwnerUnreachable);
        let took = began_at.elapsed();
        assert!(took <= LOOK_FOR && took >= LOOK_FOR - PAUSE_MAX, "{took:?}");
        // It is not asked more often than is of use.
        assert!(script.log.len() < 60, "{}", script.log.len());
    }

    #[tokio::test(start_paused = true)]
    async fn the_place_of_a_node_that_hangs_is_doubted_while_its_answer_is_awaited() {
        for (takes, is_doubted) in [(DOUBTED_AFTER / 2, false), (DOUBTED_AFTER * 5, true)] {
            let mut doubted_at = None;
            let began_at = Instant::now();
            let answer = async {
                sleep(takes).await;
                "there"
            };
            let doubt = || doubted_at = Some(began_at.elapsed());
            assert_eq!(answered(answer, doubt).await, "there");
            assert_eq!(began_at.elapsed(), takes);
            assert_eq!(doubted_at, is_doubted.then_some(DOUBTED_AFTER));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_been_done_is_never_tried_again() {
        let mut script = script(&[there()], &[Try::NotThere, Try::Fails]);
        let problem = carry_out(&mut script).await.unwrap_err();
        assert_eq!(problem.code(), Code::OwnerUnreachable);
        assert_eq!(script.log, ["there", "forget", "there"]);
    }
}
