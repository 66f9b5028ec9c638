//! Ports that are free at the moment.

use std::net::{Ipv4Addr, TcpListener};

/// A port that nobody listens on. Somebody else may be faster: whoever uses it tries again.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}
