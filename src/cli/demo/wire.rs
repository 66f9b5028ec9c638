//! A connection that can be cut: between the simulated gateway and the server.
//!
//! Passes bytes on and looks at none. While it is cut nobody gets through.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// See the module. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Wire {
    address: SocketAddr,
    is_whole: watch::Sender<bool>,
}

impl Wire {
    /// Lays a wire to this address.
    pub(super) async fn lay(to: SocketAddr) -> io::Result<Wire> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (is_whole, seen) = watch::channel(true);
        drop(actix_rt::spawn(async move {
            let mut wire = seen.clone();
            loop {
                tokio::select! {
                    changed = wire.changed() => if changed.is_err() {
                        // The wire was dropped.
                        return;
                    },
                    accepted = listener.accept() => if let Ok((near, _)) = accepted
                        && *seen.borrow()
                    {
                        drop(actix_rt::spawn(pass(near, to, seen.clone())));
                    },
                }
            }
        }));
        Ok(Wire { address, is_whole })
    }

    /// Where the near end is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection that there is.
    pub(super) fn cut(&self) {
        self.is_whole.send_replace(false);
    }

    /// Lets connections through again.
    pub(super) fn mend(&self) {
        self.is_whole.send_replace(true);
    }
}

async fn pass(mut near: TcpStream, to: SocketAddr, mut is_whole: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(to).await else {
        return;
    };
    tokio::select! {
        // How either side ends is theirs to notice.
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = is_whole.wait_for(|is_whole| !is_whole) => {}
    }
}
