//! How the kernel shares the cores among the engine's threads.
//!
//! Work passes from a connection's thread to an actor's, to the store's and back. Under the usual policy each hand-over may
//! push the one who hands over off its core, before it has handed over the next: with few cores half of the time goes into
//! changing threads. Under `SCHED_BATCH` (sched(7)) whoever is awake goes on until it waits, so that work is handed over in
//! batches. A thread that is woken on an idle core runs at once under either.

#[cfg(target_os = "linux")]
use thread_priority::{
    NormalThreadSchedulePolicy::{Batch, Other},
    ThreadPriority, ThreadPriorityOsValue,
    ThreadSchedulePolicy::Normal,
    set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
};

/// Sets the policy of the calling thread, and so of all threads that it starts from now on. A process that somebody has given
/// a policy or a niceness of its own is left as it is; so is one on a system without this policy.
#[cfg(target_os = "linux")]
pub(crate) fn work_in_batches() {
    let is_as_usual = matches!(thread_schedule_policy(), Ok(Normal(Other)))
        && rustix::process::getpriority_process(None) == Ok(0);
    if is_as_usual {
        let niceness = ThreadPriority::Os(ThreadPriorityOsValue::default());
        // Where it is not allowed, the engine is slower and otherwise the same.
        set_thread_priority_and_policy(thread_native_id(), niceness, Normal(Batch)).ok();
    }
}

/// Other systems have no such policy.
#[cfg(not(target_os = "linux"))]
pub(crate) fn work_in_batches() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use super::*;

    /// What a thread that is started afterwards runs under.
    fn policy_after(prepare: fn()) -> thread_priority::ThreadSchedulePolicy {
        let prepared = thread::spawn(move || {
            prepare();
            work_in_batches();
            let started = thread::spawn(thread_schedule_policy);
            started.join().expect("the policy can be asked for")
        });
        let policy = prepared.join().expect("nothing here panics");
        policy.expect("every thread has a policy")
    }

    /// The policy that these tests themselves were started with, and whether nobody has chosen it.
    fn as_started() -> (thread_priority::ThreadSchedulePolicy, bool) {
        let policy = thread_schedule_policy().expect("every thread has a policy");
        let niceness = rustix::process::getpriority_process(None);
        (policy, policy == Normal(Other) && niceness == Ok(0))
    }

    #[test]
    fn threads_that_are_started_later_work_in_batches() {
        let (started_with, is_as_usual) = as_started();
        let expected = if is_as_usual {
            Normal(Batch)
        } else {
            started_with
        };
        assert_eq!(policy_after(|| ()), expected);
    }

    #[test]
    fn a_niceness_that_somebody_chose_stays_and_so_does_the_policy() {
        const LEAST_WANTED: i32 = 19;
        let (started_with, _) = as_started();
        let make_nice = || {
            let made = rustix::process::setpriority_process(None, LEAST_WANTED);
            made.expect("everybody may stand back");
        };
        assert_eq!(policy_after(make_nice), started_with);
    }
}
