//! The runtime on which everything that leaves the machine runs.
//!
//! It runs no actors: a connection is driven by the runtime that opened it, so a connection opened on an actor's
//! thread would stand still whenever a handler there is busy.

use std::{io, time::Duration};

use tokio::runtime::{Builder, Handle, Runtime};

/// A multi-thread runtime without actors. Dropping it ends whatever still runs on it, at once.
#[derive(Debug)]
pub struct Outside {
    /// Taken out by whoever shuts the runtime down first.
    runtime: Option<Runtime>,
}

impl Outside {
    /// Starts the runtime with `threads` workers, at least one.
    pub fn start(threads: usize) -> io::Result<Outside> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("outside")
            .enable_all()
            .build()?;
        Ok(Outside {
            runtime: Some(runtime),
        })
    }

    /// What a client needs to run here.
    pub fn handle(&self) -> Handle {
        self.runtime
            .as_ref()
            .expect("the runtime is taken only by shutdown and drop, which end this value")
            .handle()
            .clone()
    }

    /// Ends the runtime; blocks the calling thread until name lookups in progress have ended, at most `within`.
    ///
    /// Posts still in flight are broken off, so wait for them first if they shall finish.
    pub fn shutdown(mut self, within: Duration) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        // Tokio panics when a runtime is shut down from within another; a thread of its own may always do it.
        let ending = std::thread::spawn(move || runtime.shutdown_timeout(within));
        if ending.join().is_err() {
            tracing::error!("the outbound runtime panicked while it shut down");
        }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_runs_on_the_runtime_from_elsewhere() {
        let outside = Outside::start(1).unwrap();
        let (done, waiting) = std::sync::mpsc::channel();
        outside.handle().spawn(async move {
            let name = std::thread::current().name().map(str::to_owned);
            done.send(name).unwrap();
        });
        assert_eq!(waiting.recv().unwrap().as_deref(), Some("outside"));
        outside.shutdown(Duration::from_secs(1));
    }

    #[tokio::test]
    async fn it_may_be_dropped_or_shut_down_inside_another_runtime() {
        drop(Outside::start(1).unwrap());
        Outside::start(1).unwrap().shutdown(Duration::from_secs(1));
    }
}
