//! The connector's own program, run for a test.

use std::process::{Child, Command, ExitStatus, Stdio};

/// See the module. Killed when it is dropped.
pub(crate) struct Connector {
    program: Program,
}

impl Connector {
    /// Starts it for a device of the engine at this address.
    pub(crate) fn start(engine: &str, device: &str, key: &str, network: &str) -> Connector {
        Connector::start_with(&[], engine, device, key, network)
    }

    /// Starts it with more arguments.
    pub(crate) fn start_with(
        more: &[&str],
        engine: &str,
        device: &str,
        key: &str,
        network: &str,
    ) -> Connector {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whatsapp"));
        let level = std::env::var("TEST_LOG").unwrap_or_else(|_unset| "off".to_owned());
        command
            .args(["--engine", engine, "--device", device, "--key", key])
            .args(["--network-url", network])
            .args(more)
            .env("LOG_LEVEL", level);
        Connector {
            program: Program::start(&mut command),
        }
    }

    /// Asks it to end, and waits for that.
    pub(crate) async fn terminate(self) -> ExitStatus {
        let id = self.program.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.expect("`kill` can be run").success());
        self.ended().await
    }

    /// Ends it without a chance to say anything.
    pub(crate) fn kill(self) {
        drop(self.program);
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(self) -> ExitStatus {
        self.program.ended().await
    }
}

/// A child process. Killed when it is dropped.
pub(crate) struct Program {
    child: Option<Child>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Program {
        let child = command.stdin(Stdio::null()).spawn();
        Program {
            child: Some(child.expect("the program can be run")),
        }
    }

    /// What it says, if that was asked for.
    pub(crate) fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("it is there until it has ended")
    }

    fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    async fn ended(mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it is there until it has ended");
        let waiting = tokio::task::spawn_blocking(move || child.wait());
        let status = waiting.await.expect("waiting does not panic");
        status.expect("it is a child of this process")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
