//! Reads where NATS is and how to log in there, from the URLs that an operator gives.
//!
//! Connects to nothing. What is secret in a URL leaves it here: addresses appear in logs.

use std::{fmt, io, path::Path, sync::Arc};

use async_nats::{ConnectOptions, ServerAddr};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use url::Url;

use super::BusError;

/// See the module.
pub(super) struct Address {
    /// Servers of one cluster of NATS, without credentials.
    pub(super) servers: Vec<ServerAddr>,
    login: Login,
}

/// Who the server takes us for.
#[derive(Debug, PartialEq, Eq)]
enum Login {
    Nobody,
    Token(String),
    User { name: String, password: String },
}

impl Address {
    /// Reads one URL, or several with commas between them. The credentials of the first that has some hold for all.
    pub(super) fn parse(text: &str) -> Result<Address, BusError> {
        let mut login = Login::Nobody;
        let mut servers = Vec::new();
        for url in text.split(',').map(str::trim) {
            let mut url: Url = url.parse().map_err(|_syntax| unusable())?;
            if !matches!(url.scheme(), "nats" | "tls") || !url.has_host() {
                return Err(unusable());
            }
            if login == Login::Nobody {
                login = Login::of(&url)?;
            }
            url.set_username("").map_err(|()| unusable())?;
            url.set_password(None).map_err(|()| unusable())?;
            let server = ServerAddr::from_url(url).map_err(|_scheme: io::Error| unusable())?;
            servers.push(server);
        }
        Ok(Address { servers, login })
    }

    /// Options that log in, and that trust what the authorities in a PEM file sign, or public ones if there is no file.
    pub(super) fn options(&self, authorities: Option<&Path>) -> Result<ConnectOptions, BusError> {
        let options = match &self.login {
            Login::Nobody => ConnectOptions::new(),
            Login::Token(token) => ConnectOptions::with_token(token.clone()),
            Login::User { name, password } => {
                ConnectOptions::with_user_and_password(name.clone(), password.clone())
            }
        };
        Ok(options.tls_client_config(tls(authorities)?))
    }
}

impl Login {
    /// A name without a password is a token, as everywhere with NATS.
    fn of(url: &Url) -> Result<Login, BusError> {
        let name = decoded(url.username())?;
        Ok(match url.password() {
            Some(password) => Login::User {
                name,
                password: decoded(password)?,
            },
            None if name.is_empty() => Login::Nobody,
            None => Login::Token(name),
        })
    }
}

fn unusable() -> BusError {
    BusError::Address("expected nats://HOST:PORT or tls://HOST:PORT")
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Result<String, BusError> {
    let wrong = || BusError::Address("the name or password is wrongly percent-encoded");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = after.get(..2).ok_or_else(wrong)?;
            let digits = std::str::from_utf8(digits).map_err(|_not_text| wrong())?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_not_hex| wrong())?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).map_err(|_not_text| wrong())
}

fn tls(authorities: Option<&Path>) -> Result<ClientConfig, BusError> {
    let roots = match authorities {
        Some(path) => roots_in(path)?,
        None => RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        },
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(BusError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn roots_in(path: &Path) -> Result<RootCertStore, BusError> {
    let unusable = |why: &dyn fmt::Display| BusError::Authorities {
        path: path.to_owned(),
        why: why.to_string(),
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"it holds no certificate"));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(url: &str) -> Login {
        Address::parse(url).unwrap().login
    }

    #[test]
    fn credentials_are_read_and_leave_the_address() {
        let address = Address::parse("nats://me:p%40ss%2Fword@bus.example:4333").unwrap();
        assert_eq!(
            address.login,
            Login::User {
                name: "me".into(),
                password: "p@ss/word".into()
            }
        );
        assert_eq!(address.servers[0].as_url_str(), "nats://bus.example:4333");
        assert_eq!(login("nats://t0ken@bus"), Login::Token("t0ken".into()));
        assert_eq!(login("nats://bus"), Login::Nobody);
    }

    #[test]
    fn several_servers_may_be_named() {
        let address = Address::parse("nats://a:1, tls://me:x@b:2").unwrap();
        assert_eq!(address.servers.len(), 2);
        assert!(address.servers[1].tls_required());
        assert_ne!(address.login, Login::Nobody);
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for url in [
            "",
            "bus",
            "http://bus",
            "nats://",
            "nats://me:%zz@bus",
            "nats://a,",
        ] {
            let Err(error) = Address::parse(url) else {
                panic!("{url} was taken");
            };
            assert!(!error.to_string().contains("zz"), "{error}");
        }
    }

    #[test]
    fn a_file_without_authorities_is_refused_by_its_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let address = Address::parse("tls://bus").unwrap();
        let path = file.path();
        for text in ["", "no certificate"] {
            std::fs::write(path, text).unwrap();
            let error = address.options(Some(path)).map(drop).unwrap_err();
            let said = error.to_string();
            assert!(said.contains(path.to_str().unwrap()), "{said}");
            assert!(said.contains("holds no certificate"), "{said}");
        }
        let error = address.options(Some(Path::new("/nowhere.pem"))).map(drop);
        assert!(error.unwrap_err().to_string().contains("/nowhere.pem"));
    }
}
