//! Opens connections to targets: finds the addresses, checks each, dials what was checked.
//!
//! Does not decide which addresses may be reached; see [`crate::guard`].

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use domain::ids::TenantId;
use rustls::{ClientConfig, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::{
    guard::{Guard, Refusal},
    link::Link,
    post_error::PostError,
    resolver::GuardedResolver,
    stream::Stream,
};

/// After how much silence the system probes whether an idle connection still leads anywhere.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// What a connection is good for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    is_https: bool,
    host: Host<Box<str>>,
    port: u16,
}

/// See the module.
pub(crate) struct Dialler {
    guard: Guard,
    resolver: GuardedResolver,
    tls: TlsConnector,
    connect_timeout: Duration,
}

impl Origin {
    /// Where a URL leads.
    pub(crate) fn of(url: &Url) -> Result<Origin, Refusal> {
        let host = match url.host() {
            Some(Host::Domain(name)) => Some(Host::Domain(Box::from(name))),
            Some(Host::Ipv4(addr)) => Some(Host::Ipv4(addr)),
            Some(Host::Ipv6(addr)) => Some(Host::Ipv6(addr)),
            None => None,
        };
        let (Some(host), Some(port)) = (host, url.port_or_known_default()) else {
            return Err(Refusal::Malformed {
                reason: "it has no host".to_owned(),
            });
        };
        Ok(Origin {
            is_https: url.scheme() == "https",
            host,
            port,
        })
    }
}

impl Dialler {
    /// A dialler that trusts whom `tls` says.
    pub(crate) fn new(
        guard: Guard,
        resolver: GuardedResolver,
        tls: ClientConfig,
        connect_timeout: Duration,
    ) -> Dialler {
        Dialler {
            guard,
            resolver,
            tls: TlsConnector::from(Arc::new(tls)),
            connect_timeout,
        }
    }

    /// Opens a connection, within the time for connecting.
    pub(crate) async fn dial(&self, tenant: TenantId, origin: &Origin) -> Result<Link, PostError> {
        match timeout(self.connect_timeout, self.open(tenant, origin)).await {
            Ok(opened) => opened,
            Err(_elapsed) => Err(PostError::Connect(
                "no answer within the time for connecting".to_owned(),
            )),
        }
    }

    async fn open(&self, tenant: TenantId, origin: &Origin) -> Result<Link, PostError> {
        let (addrs, name) = match &origin.host {
            Host::Domain(name) => {
                let addrs = self.resolver.resolve(tenant, name).await?;
                let name = ServerName::try_from(name.to_string()).ok();
                (addrs, name)
            }
            Host::Ipv4(addr) => (vec![IpAddr::V4(*addr)], Some(IpAddr::V4(*addr).into())),
            Host::Ipv6(addr) => (vec![IpAddr::V6(*addr)], Some(IpAddr::V6(*addr).into())),
        };
        let stream = self.connect(&addrs, origin.port).await?;
        let stream = if origin.is_https {
            let name = name.ok_or_else(|| {
                PostError::Tls("the host name cannot be one of a certificate".to_owned())
            })?;
            let secured = self.tls.connect(name, stream).await;
            let secured = secured.map_err(|error| PostError::Tls(error.to_string()))?;
            Stream::Tls(Box::new(secured))
        } else {
            Stream::Plain(stream)
        };
        Link::new(stream).await
    }

    /// Dials one address after the other. Each but the last has its share of the time only.
    async fn connect(&self, addrs: &[IpAddr], port: u16) -> Result<TcpStream, PostError> {
        let share = self.connect_timeout / u32::try_from(addrs.len().max(1)).unwrap_or(u32::MAX);
        let mut last = "the name has no address".to_owned();
        for (index, addr) in addrs.iter().enumerate() {
            // What was resolved was checked there; this covers addresses in URLs, and costs nothing.
            self.guard.check_addr(*addr)?;
            let connecting = TcpStream::connect(SocketAddr::new(*addr, port));
            let connected = if index + 1 == addrs.len() {
                Ok(connecting.await)
            } else {
                timeout(share, connecting).await
            };
            match connected {
                Ok(Ok(stream)) => return Ok(prepared(stream)),
                Ok(Err(error)) => last = error.to_string(),
                Err(_elapsed) => "no answer within the time for connecting".clone_into(&mut last),
            }
        }
        Err(PostError::Connect(last))
    }
}

/// Sets what a connection of ours has. A system that cannot do one of these still has a connection.
fn prepared(stream: TcpStream) -> TcpStream {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    let is_set = stream
        .set_nodelay(true)
        .and_then(|()| SockRef::from(&stream).set_tcp_keepalive(&keepalive));
    if let Err(error) = is_set {
        tracing::debug!(%error, "a connection has not all options: {error}");
    }
    stream
}
