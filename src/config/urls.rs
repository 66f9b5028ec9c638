//! Settings that are URLs of servers: what may stand there, and how they are shown without their secrets.
//!
//! Connects to nothing.

use std::fmt;

use serde::Deserialize;
use url::Url;

use super::kinds::Secret;

/// Settings whose values are URLs that may hold a password or a token.
pub(crate) const WITH_SECRETS: [&str; 6] = [
    "cluster.nats_url",
    "regions.apac.url",
    "regions.au.url",
    "regions.eu.url",
    "regions.us.url",
    "storage.database_url",
];

const HIDDEN: &str = "(hidden)";
const SSL_MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

/// Where something is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Database {
    /// SQLite files in the data folder.
    Embedded,
    /// A PostgreSQL server.
    Postgres(ServerUrl),
}

/// Where a region's log is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum RegionDatabase {
    /// Where the control plane is.
    Same,
    /// Somewhere of its own.
    Own(Database),
}

/// Where NATS is, if there is any.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Nats {
    /// Nowhere: this node is alone.
    None,
    /// At these servers, separated by commas.
    Servers(ServerUrl),
}

/// A URL that may hold a secret: it is shown without.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl(Secret);

impl ServerUrl {
    /// The whole URL.
    pub(crate) fn reveal(&self) -> &str {
        self.0.reveal().unwrap_or_default()
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_secrets(self.reveal()))
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Database {
    /// Whether other nodes can reach it.
    pub(crate) fn is_shared(&self) -> bool {
        match self {
            Database::Embedded => false,
            Database::Postgres(_) => true,
        }
    }
}

impl TryFrom<String> for Database {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Database, &'static str> {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        match (scheme, text.as_str()) {
            (_, "" | "sqlite:" | "sqlite://") => Ok(Database::Embedded),
            ("sqlite", _) => {
                Err("expected \"sqlite:\" without a path: the files lie in storage.data_dir")
            }
            ("postgres" | "postgresql", _) => {
                check_postgres(&text)?;
                Ok(Database::Postgres(ServerUrl(Secret::new(&text))))
            }
            _ => {
                Err("expected nothing, \"sqlite:\", or \"postgres://USER:PASSWORD@HOST/DATABASE\"")
            }
        }
    }
}

impl TryFrom<String> for RegionDatabase {
    type Error = &'static str;

    fn try_from(text: String) -> Result<RegionDatabase, &'static str> {
        match text.as_str() {
            "" => Ok(RegionDatabase::Same),
            _ => Database::try_from(text).map(RegionDatabase::Own),
        }
    }
}

impl TryFrom<String> for Nats {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Nats, &'static str> {
        if text.is_empty() {
            return Ok(Nats::None);
        }
        let fits = |server: &str| {
            Url::parse(server.trim())
                .is_ok_and(|url| matches!(url.scheme(), "nats" | "tls") && url.has_host())
        };
        if text.split(',').all(fits) {
            Ok(Nats::Servers(ServerUrl(Secret::new(&text))))
        } else {
            Err("expected nothing, or URLs such as nats://host:4222, separated by commas")
        }
    }
}

fn check_postgres(text: &str) -> Result<(), &'static str> {
    let url = Url::parse(text)
        .map_err(|_no_url| "expected a URL such as postgres://USER:PASSWORD@HOST/DATABASE")?;
    let mut has_host = url.host_str().is_some_and(|host| !host.is_empty());
    for (name, value) in url.query_pairs() {
        match &*name {
            "sslmode" if !SSL_MODES.contains(&&*value) => {
                return Err(
                    "expected sslmode to be disable, allow, prefer, require, verify-ca or verify-full",
                );
            }
            "host" | "hostaddr" => has_host = true,
            _ => {}
        }
    }
    if has_host {
        Ok(())
    } else {
        Err("expected a URL with a host, such as postgres://USER:PASSWORD@HOST/DATABASE")
    }
}

/// The URLs without their passwords and tokens. What is not understood is hidden whole.
pub(crate) fn without_secrets(text: &str) -> String {
    let shown: Vec<String> = text.split(',').map(one_without_secrets).collect();
    shown.join(",")
}

fn one_without_secrets(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || matches!(text, "sqlite:" | "sqlite://") {
        return text.to_owned();
    }
    let Ok(url) = Url::parse(text) else {
        return HIDDEN.to_owned();
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        return HIDDEN.to_owned();
    };
    // A password may hold any character but a slash: only the last `@` before the path ends it.
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let shown = match authority.rsplit_once('@') {
        None => authority.to_owned(),
        // A lone name in a URL of NATS is a token.
        Some((user, host)) => match user.split_once(':') {
            None if scheme.starts_with("postgres") => format!("{user}@{host}"),
            None => format!("{HIDDEN}@{host}"),
            Some((user, _password)) => format!("{user}:{HIDDEN}@{host}"),
        },
    };
    let has_secret = |name: &str| name.contains("password") || name.contains("pass");
    let path = after.split(['?', '#']).next().unwrap_or_default();
    let query: Vec<String> = url
        .query_pairs()
        .map(|(name, value)| {
            let value = if has_secret(&name) { HIDDEN } else { &*value };
            format!("{name}={value}")
        })
        .collect();
    let query = match &query[..] {
        [] => String::new(),
        pairs => format!("?{}", pairs.join("&")),
    };
    format!("{scheme}://{shown}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_tokens_are_hidden_and_nothing_else() {
        for (given, shown) in [
            ("", ""),
            ("sqlite:", "sqlite:"),
            ("postgres://u:p@h:5432/d", "postgres://u:(hidden)@h:5432/d"),
            (
                "postgres://u:p%40:@h/d?sslmode=require&password=x",
                "postgres://u:(hidden)@h/d?sslmode=require&password=(hidden)",
            ),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("postgres://h/d", "postgres://h/d"),
            (
                "nats://t0ken@a:4222,nats://u:p@b",
                "nats://(hidden)@a:4222,nats://u:(hidden)@b",
            ),
            ("nonsense", "(hidden)"),
        ] {
            assert_eq!(without_secrets(given), shown, "{given}");
        }
    }

    #[test]
    fn urls_of_databases_are_checked() {
        let database = |text: &str| Database::try_from(text.to_owned());
        for good in [
            "postgres://h/d",
            "postgresql://u:p@h:5432/d?sslmode=verify-full",
            "postgres:///d?host=/run/postgresql",
        ] {
            assert!(database(good).unwrap().is_shared(), "{good}");
        }
        assert_eq!(database("sqlite:"), Ok(Database::Embedded));
        for bad in [
            "sqlite:/tmp/a.db",
            "mysql://h/d",
            "postgres:d",
            "postgres:///d",
            "postgres://h/d?sslmode=maybe",
            "h/d",
        ] {
            assert!(database(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn servers_of_nats_are_checked() {
        let nats = |text: &str| Nats::try_from(text.to_owned());
        assert_eq!(nats(""), Ok(Nats::None));
        for good in ["nats://h:4222", "nats://u:p@h, tls://t@h:1"] {
            assert!(matches!(nats(good), Ok(Nats::Servers(_))), "{good}");
        }
        for bad in ["h:4222", "http://h", "ws://h", "nats://h,", "nats:h"] {
            assert!(nats(bad).is_err(), "{bad}");
        }
    }
}
