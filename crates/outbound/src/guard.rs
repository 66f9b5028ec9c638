//! Decides which URLs and addresses may be reached from inside.
//!
//! Pure: resolves nothing and dials nothing. The resolver asks it about every address that a name stands for, and the
//! client asks it about every address that stands in a URL itself, because no resolver ever hears of those.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use url::{Host, Url};

pub use self::address_class::AddressClass;

mod address_class;

/// Which addresses may be reached: public unicast, and what the operator has opened.
#[derive(Clone, Debug)]
pub struct Guard {
    allow: Arc<[IpNet]>,
}

/// Why a URL or an address may not be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text cannot be used as a URL.
    #[error("this is not a URL that can be posted to: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// The scheme is neither `http` nor `https`.
    #[error("the scheme `{scheme}` is not allowed: use https or http")]
    Scheme {
        /// The scheme that was given.
        scheme: String,
    },
    /// The host name ends in a dot, which would name the same host in a second spelling.
    #[error("the host name `{host}` ends in a dot: leave it out")]
    TrailingDot {
        /// The name that was given.
        host: String,
    },
    /// The host name means this machine.
    #[error("the host name `{host}` means this machine, which may not be reached")]
    LocalName {
        /// The name that was given.
        host: String,
    },
    /// The URL holds an address that may not be reached.
    #[error("the address {addr} may not be reached: {class}")]
    Address {
        /// The address as it was given.
        addr: IpAddr,
        /// What kind of address it is.
        class: AddressClass,
    },
    /// The name resolves, but to nothing that may be reached. The addresses stay unsaid: the text is shown to tenants.
    #[error("the host name `{host}` resolves only to addresses that may not be reached")]
    Name {
        /// The name that was resolved.
        host: String,
    },
}

impl Guard {
    /// A guard that lets through public addresses and everything within `allow`.
    ///
    /// Two things `allow` does not open on the way: an address of a cloud's metadata service needs an entry of exactly
    /// that address, and an IPv6 address that carries an IPv4 address needs that one to be allowed as well.
    pub fn new(allow: Vec<IpNet>) -> Guard {
        Guard {
            allow: allow.into(),
        }
    }

    /// Reads a URL and checks all of it that can be checked without resolving a name.
    pub fn check_url(&self, url: &str) -> Result<Url, Refusal> {
        let url = Url::parse(url).map_err(|error| Refusal::Malformed {
            reason: error.to_string(),
        })?;
        self.check_parsed(&url)?;
        Ok(url)
    }

    /// Checks a URL that is parsed already: its scheme, and its host unless that is a name to resolve.
    pub fn check_parsed(&self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme {
                scheme: url.scheme().to_owned(),
            });
        }
        match url.host() {
            Some(Host::Domain(name)) => self.check_name(name),
            Some(Host::Ipv4(addr)) => self.check_addr(IpAddr::V4(addr)),
            Some(Host::Ipv6(addr)) => self.check_addr(IpAddr::V6(addr)),
            None => Err(Refusal::Malformed {
                reason: "it has no host".to_owned(),
            }),
        }
    }

    /// Checks one address, whatever it was written or resolved from.
    pub fn check_addr(&self, addr: IpAddr) -> Result<(), Refusal> {
        match self.class_refused(addr) {
            None => Ok(()),
            Some(class) => Err(Refusal::Address { addr, class }),
        }
    }

    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        let host = || name.to_owned();
        if name.ends_with('.') {
            return Err(Refusal::TrailingDot { host: host() });
        }
        // The parser has lower-cased the name and turned other scripts into ASCII.
        if (name == "localhost" || name.ends_with(".localhost")) && !self.opens_loopback() {
            return Err(Refusal::LocalName { host: host() });
        }
        let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if !name.bytes().all(is_host_byte) {
            return Err(Refusal::Malformed {
                reason: format!("`{name}` is not a host name"),
            });
        }
        Ok(())
    }

    /// The class for which an address is refused, if it is. The embedded address is asked first: a translator would
    /// send the packet there, whatever the outer address says.
    fn class_refused(&self, addr: IpAddr) -> Option<AddressClass> {
        let addr = address_class::canonical(addr);
        if let Some(inner) = address_class::embedded(addr)
            && let Some(class) = self.class_refused(IpAddr::V4(inner))
        {
            return Some(class);
        }
        let class = AddressClass::of(addr);
        let is_open = if class == AddressClass::Metadata {
            self.allow.contains(&IpNet::from(addr))
        } else {
            class == AddressClass::Public || self.opens(addr)
        };
        (!is_open).then_some(class)
    }

    fn opens(&self, addr: IpAddr) -> bool {
        self.allow.iter().any(|net| net.contains(&addr))
    }

    fn opens_loopback(&self) -> bool {
        let v4 = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        let v6 = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
        self.opens(v4) || self.opens(v6)
    }
}

#[cfg(test)]
mod tests;
