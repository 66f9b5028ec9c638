//! Starts real actors on the test's own arbiter, so that the paused clock rules them too.

use actix::Arbiter;

use super::*;

/// Counts what it is asked; can be made to wait, to stop or to panic.
struct Counter {
    lifeline: Lifeline<Counter>,
    count: u32,
    held: Vec<Reply<u32>>,
}

impl Keyed for Counter {
    type Key = u32;
    const KIND: &'static str = "counter";
    const RUNS_UNASKED: bool = false;
}

impl Actor for Counter {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "()")]
enum Ask {
    Count(Reply<u32>),
    Hold(Reply<u32>),
    Stop(Reply<u32>),
    Retire(Reply<u32>),
}

impl Handler<Ask> for Counter {
    type Result = ();

    fn handle(&mut self, ask: Ask, ctx: &mut Context<Self>) {
        self.count += 1;
        match ask {
            Ask::Count(reply) => reply.send(self.count),
            Ask::Hold(reply) => self.held.push(reply),
            Ask::Stop(reply) => {
                drop(reply);
                ctx.stop();
            }
            Ask::Retire(reply) => {
                reply.send(self.count);
                ctx.run_later(Duration::from_millis(1), |actor, ctx| {
                    if actor.lifeline.try_retire() {
                        ctx.stop();
                    }
                });
            }
        }
    }
}

impl Handler<Poke> for Counter {
    type Result = ();

    fn handle(&mut self, _: Poke, _: &mut Context<Self>) {
        self.lifeline.take_poke();
        self.count += 100;
    }
}

impl Handler<InjectPanic> for Counter {
    type Result = ();

    fn handle(&mut self, _: InjectPanic, _: &mut Context<Self>) {
        panic!("asked to panic");
    }
}

fn registry(in_flight_max: usize) -> Registry<Counter> {
    tokio::time::pause();
    let options = RegistryOptions {
        in_flight_max,
        ask_timeout: Duration::from_secs(30),
    };
    Registry::new(
        vec![Arbiter::current()],
        tokio::runtime::Handle::current(),
        options,
        |_, lifeline| Counter {
            lifeline,
            count: 0,
            held: Vec::new(),
        },
    )
}

/// Lets time go by. The clock is paused: it moves on as soon as everybody waits for it.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

const KEY: u32 = 7;

#[actix::test]
async fn messages_in_flight_are_bounded() {
    let registry = registry(3);
    let held: Vec<_> = (0..3)
        .map(|_| registry.post(&KEY, Ask::Hold).unwrap())
        .collect();
    assert_eq!(registry.ask(&KEY, Ask::Count).await, Err(AskError::Full));
    assert_eq!(
        registry.ask(&8, Ask::Count).await,
        Ok(1),
        "a neighbour answers"
    );
    drop(held);
}

#[actix::test]
async fn an_answer_that_does_not_come_times_out_and_still_counts() {
    let registry = registry(1);
    assert_eq!(registry.ask(&KEY, Ask::Hold).await, Err(AskError::TimedOut));
    assert_eq!(registry.ask(&KEY, Ask::Count).await, Err(AskError::Full));
}

#[actix::test]
async fn a_panic_loses_one_message_and_the_next_starts_a_fresh_actor() {
    let registry = registry(3);
    assert_eq!(registry.ask(&KEY, Ask::Count).await, Ok(1));
    let held = registry.post(&KEY, Ask::Hold).unwrap();
    assert!(registry.inject_panic(&KEY));
    assert!(held.await.is_err());
    assert_eq!(registry.ask(&KEY, Ask::Count).await, Ok(1));
}

#[actix::test]
async fn an_actor_that_keeps_dying_rests_while_its_neighbour_answers() {
    let registry = registry(3);
    for _ in 0..2 {
        assert_eq!(registry.ask(&KEY, Ask::Stop).await, Err(AskError::Stopped));
    }
    let refused = registry.ask(&KEY, Ask::Count).await;
    assert!(matches!(refused, Err(AskError::Resting(_))), "{refused:?}");
    assert_eq!(registry.ask(&8, Ask::Count).await, Ok(1));
    pass(Duration::from_secs(1)).await;
    assert_eq!(registry.ask(&KEY, Ask::Count).await, Ok(1));
}

#[actix::test]
async fn an_idle_actor_retires_and_comes_back_and_that_is_no_death() {
    let registry = registry(3);
    registry.ask(&KEY, Ask::Retire).await.unwrap();
    pass(Duration::from_millis(10)).await;
    assert!(registry.is_empty());
    assert_eq!(registry.ask(&KEY, Ask::Count).await, Ok(1));
    assert_eq!(registry.infos(10, |_| None)[0].restarts, 0);
}

#[actix::test]
async fn an_actor_with_a_message_in_flight_does_not_retire() {
    let registry = registry(3);
    let held = registry.post(&KEY, Ask::Hold).unwrap();
    registry.ask(&KEY, Ask::Retire).await.unwrap();
    pass(Duration::from_millis(10)).await;
    assert_eq!(registry.len(), 1);
    drop(held);
}

#[actix::test]
async fn pokes_coalesce() {
    let registry = registry(3);
    for _ in 0..50 {
        registry.poke(&KEY);
    }
    assert_eq!(registry.ask(&KEY, Ask::Count).await, Ok(101));
    registry.poke(&KEY);
    assert_eq!(registry.ask(&KEY, Ask::Count).await, Ok(202));
}
