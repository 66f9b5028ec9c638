//! A NATS server that a test may kill and start again.

use std::{
    net::{Ipv4Addr, TcpStream},
    process::Stdio,
};

use tokio::process::{Child, Command};

use super::{ports::free_port, until::until};

/// How often another port is tried when somebody else was faster.
const PORTS_TRIED_MAX: usize = 10;

/// A server. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct NatsServer {
    process: Option<Child>,
    port: u16,
}

impl NatsServer {
    /// Starts one on a free port.
    pub(crate) async fn start() -> NatsServer {
        for _ in 0..PORTS_TRIED_MAX {
            let mut server = NatsServer {
                process: None,
                port: free_port(),
            };
            if server.spawn_until_ready().await {
                return server;
            }
        }
        panic!("nats-server does not start");
    }

    /// Where it listens.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Kills it at once.
    pub(crate) async fn kill_9(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process
            .kill()
            .await
            .expect("one's own process can be killed");
    }

    /// Starts it again on the same port.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        assert!(self.spawn_until_ready().await, "its port was taken");
    }

    async fn spawn_until_ready(&mut self) -> bool {
        let mut process = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("nats-server can be run: ./test.sh installs it");
        let is_ready = until("NATS is ready", async || {
            if let Ok(Some(_status)) = process.try_wait() {
                return Some(false);
            }
            let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
            connection.is_ok().then_some(true)
        })
        .await;
        self.process = is_ready.then_some(process);
        is_ready
    }
}
