//! The first start: makes the tenant that one can begin with, and shows its key this once.
//!
//! Nothing stays half done if the process is killed in between: the tenant, its workspace and its key are one transaction,
//! and a note in the data folder remembers a key that nobody may have seen.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use actors::{EngineError, engine::TenantInput};
use domain::{plan::PlanName, region::Region};

use crate::assemble::{AssembleError, DataFolder, KeyOrigin, Node};

/// What the first tenant is called, in keys and by people.
const SLUG: &str = "default";
const NAME: &str = "Default";

/// What a start found, or made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// There was no tenant: there is one now, with this key, which nobody has seen yet.
    First {
        /// The key's text.
        key: String,
        /// Where the tenant lives.
        region: Region,
    },
    /// The first tenant is there, but the process ended before it could show its key.
    KeyNotShown,
    /// One start of many.
    Later,
}

/// Why there is no first tenant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirstStartError {
    /// The engine did not make it.
    #[error("the first tenant cannot be made")]
    Engine(#[from] EngineError),
    /// The data folder cannot be written to.
    #[error(transparent)]
    Folder(#[from] AssembleError),
}

/// Makes the first tenant if there is none at all.
pub(crate) async fn make_tenant(node: &Node, region: Region) -> Result<Start, FirstStartError> {
    if !node.engine.tenants(None, 1).await?.is_empty() {
        let was_cut_short = node.folder.has_key_not_shown();
        return Ok(if was_cut_short {
            Start::KeyNotShown
        } else {
            Start::Later
        });
    }
    node.folder.note_key_not_shown()?;
    let input = TenantInput {
        name: NAME.to_owned(),
        slug: SLUG.to_owned(),
        plan: PlanName::Enterprise,
        region,
    };
    let made = match node.engine.create_tenant(input).await {
        // Of several nodes that start on one empty store, another one was first: it shows the key.
        Err(EngineError::Conflict(_)) => {
            node.folder.note_key_shown()?;
            return Ok(Start::Later);
        }
        made => made?,
    };
    let key = made.key.secret.reveal().to_owned();
    Ok(Start::First { key, region })
}

/// What people read when a server has started.
pub(crate) fn greeting(start: &Start, url: &str, node: &Node) -> String {
    text(start, url, &node.place, &node.folder, node.key_origin)
}

fn text(
    start: &Start,
    url: &str,
    place: &str,
    folder: &DataFolder,
    key_origin: KeyOrigin,
) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text =
        format!("Trunkline {version} serves {url} from {place}\nAPI documentation: {url}/docs\n");
    let is_first = matches!(start, Start::First { .. });
    // A first start that was cut short may have made the master key without a word.
    if key_origin == KeyOrigin::Made || (is_first && key_origin == KeyOrigin::Kept) {
        text += &format!(
            "\nA master key was made, and lies in {}. Keep a copy in a safe place:\n\
             whatever is sealed in this folder cannot be opened without it.\n",
            folder.master_key_path().display()
        );
    }
    match start {
        Start::First { key, region } => {
            text += &format!(
                "\nThis is the first start: the tenant `{SLUG}` (plan enterprise, region {region}) was made,\n\
                 with the workspace `default`. Its API key is shown this once:\n\n    {key}\n\n\
                 Send an event, read it, and watch events come in:\n"
            );
            for example in examples(url, key) {
                text += &format!("\n    {example}\n");
            }
        }
        Start::KeyNotShown => {
            text += &format!(
                "\nThe first start ended before it could show the key of the tenant `{SLUG}`. Make another one:\n\n    \
                 trunkline keys create --tenant {SLUG}\n"
            );
        }
        Start::Later => {}
    }
    text
}

fn examples(url: &str, key: &str) -> [String; 3] {
    let bearer = format!("-H 'Authorization: Bearer {key}'");
    let json = "-H 'Content-Type: application/json'";
    let event = r#"{"type":"hello.world","payload":{"greeting":"Hello"}}"#;
    [
        format!("curl -sS {url}/v1/events {bearer} {json} -d '{event}'"),
        format!("curl -sS '{url}/v1/events?limit=10' {bearer}"),
        format!("curl -sSN '{url}/v1/events/tail?from=earliest' {bearer}"),
    ]
}

/// An address that a client on this machine can call: a server that listens everywhere listens here too.
pub(crate) fn url_to_call(address: SocketAddr, has_tls: bool) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    let scheme = if has_tls { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    const URL: &str = "http://127.0.0.1:8080";

    fn shown(start: &Start, origin: KeyOrigin) -> String {
        let home = tempfile::TempDir::new().unwrap();
        let folder = DataFolder::make(&home.path().join("data")).unwrap();
        let place = folder.path().display().to_string();
        let text = text(start, URL, &place, &folder, origin);
        let parent = format!("{}/", home.path().display());
        text.replace(env!("CARGO_PKG_VERSION"), "VERSION")
            .replace(&parent, "")
    }

    #[test]
    fn the_first_start_shows_the_key_and_what_to_try() {
        let first = Start::First {
            key: "ak_default_0f".to_owned(),
            region: Region::Au,
        };
        assert_snapshot!(shown(&first, KeyOrigin::Made), @r#"
        Trunkline VERSION serves http://127.0.0.1:8080 from data
        API documentation: http://127.0.0.1:8080/docs

        A master key was made, and lies in data/master.key. Keep a copy in a safe place:
        whatever is sealed in this folder cannot be opened without it.

        This is the first start: the tenant `default` (plan enterprise, region AU) was made,
        with the workspace `default`. Its API key is shown this once:

            ak_default_0f

        Send an event, read it, and watch events come in:

            curl -sS http://127.0.0.1:8080/v1/events -H 'Authorization: Bearer ak_default_0f' -H 'Content-Type: application/json' -d '{"type":"hello.world","payload":{"greeting":"Hello"}}'

            curl -sS 'http://127.0.0.1:8080/v1/events?limit=10' -H 'Authorization: Bearer ak_default_0f'

            curl -sSN 'http://127.0.0.1:8080/v1/events/tail?from=earliest' -H 'Authorization: Bearer ak_default_0f'
        "#);
    }

    #[test]
    fn a_later_start_shows_no_key() {
        assert_snapshot!(shown(&Start::Later, KeyOrigin::Kept), @r#"
        Trunkline VERSION serves http://127.0.0.1:8080 from data
        API documentation: http://127.0.0.1:8080/docs
        "#);
    }

    #[test]
    fn a_key_that_nobody_saw_can_be_replaced() {
        assert_snapshot!(shown(&Start::KeyNotShown, KeyOrigin::Kept), @r#"
        Trunkline VERSION serves http://127.0.0.1:8080 from data
        API documentation: http://127.0.0.1:8080/docs

        The first start ended before it could show the key of the tenant `default`. Make another one:

            trunkline keys create --tenant default
        "#);
    }

    #[test]
    fn a_server_that_listens_everywhere_is_called_on_this_machine() {
        let url = |address: &str| url_to_call(address.parse().unwrap(), false);
        assert_eq!(url("0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(url("[::]:80"), "http://[::1]:80");
        assert_eq!(url("10.0.0.1:80"), "http://10.0.0.1:80");
        assert_eq!(
            url_to_call("0.0.0.0:443".parse().unwrap(), true),
            "https://127.0.0.1:443"
        );
    }
}
