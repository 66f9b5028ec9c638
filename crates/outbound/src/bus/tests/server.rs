//! A server of NATS that belongs to one test, which may end it and start it again at the same address.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

/// See the module. Ends when it is dropped.
pub(super) struct Server {
    port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// One that does not run yet.
    pub(super) fn new(arguments: &[&str]) -> Server {
        // The port is free again when this returns; that somebody else takes it until the start is as good as impossible.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Server {
            port,
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            child: None,
        }
    }

    pub(super) fn start(&mut self) {
        let port = self.port.to_string();
        let child = Command::new("nats-server")
            .args(["--addr", "127.0.0.1", "--port", &port])
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("these tests need nats-server on the PATH");
        self.child = Some(child);
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops the server without ending it: whatever is sent to it waits.
    pub(super) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("the server runs");
        let sent = Command::new("kill")
            .args(["-s", name, &child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(super) fn url_with(&self, login: &str) -> String {
        format!("nats://{login}@127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
