//! A server that goes away and comes back, and one that speaks TLS. Needs a server of its own for that.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use domain::region::Region;
use tempfile::TempDir;

use super::{super::PostgresLog, ground::Database};
use crate::{
    PostgresOptions, StoreError,
    log::{
        RegionLog as _, Write,
        conformance::author::{Author, commit, read_all},
    },
};

/// A server that a test may stop.
struct OwnServer {
    folder: TempDir,
    port: String,
}

/// Runs a program that must end well; answers what it printed.
fn run(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    let program = program.as_ref();
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{} cannot be run: {error}", program.display()));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}: {printed}{failed}",
        program.display()
    );
    printed
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/servers.sh")
}

impl OwnServer {
    fn start() -> OwnServer {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        // PostgreSQL runs as a user of its own, who has to pass through.
        run("chmod", &["711", &path]);
        let printed = run(script(), &["start", &path]);
        let (_, rest) = printed.split_once("postgres@127.0.0.1:").unwrap();
        let (port, _) = rest.split_once('/').unwrap();
        OwnServer {
            port: port.to_owned(),
            folder,
        }
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("postgres/data")
    }

    /// Runs `pg_ctl` as whoever owns the data.
    fn control(&self, arguments: &[&str]) {
        let found = run(
            "bash",
            &[
                "-c",
                "ls -d /usr/lib/postgresql/*/bin/pg_ctl | sort -V | tail -n 1",
            ],
        );
        let owner = run("stat", &["-c", "%u", self.data().to_str().unwrap()]);
        let mut all = vec![
            format!("--reuid={}", owner.trim()),
            "--clear-groups".to_owned(),
            found.trim().to_owned(),
            format!("--pgdata={}", self.data().display()),
            format!(
                "--log={}",
                self.folder.path().join("postgres/log").display()
            ),
            format!("--options=-p {}", self.port),
            "--silent".to_owned(),
            "--wait".to_owned(),
        ];
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        run("setpriv", &all);
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let path = self.folder.path().to_str().unwrap();
        let stopped = Command::new(script()).args(["stop", path]).status();
        assert!(
            stopped.is_ok_and(|status| status.success()),
            "a server is left behind"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_goes_on_after_a_restart_of_the_server() {
    let server = OwnServer::start();
    let database = Database::on(server.url()).await;
    let log = database.log().await;
    let mut author = Author::new(1);
    let mut written = author.write(&log, 3).await;
    for mode in ["--mode=fast", "--mode=immediate"] {
        server.control(&["stop", mode]);
        let events = author.events(2);
        let parts = [Write::Append(author.append(events.clone()))];
        for _ in 0..2 {
            let refused = log.commit(&parts).await;
            assert!(
                matches!(refused, Err(StoreError::Unavailable(_))),
                "{refused:?}"
            );
            let refused = log.head(author.tenant).await;
            assert!(
                matches!(refused, Err(StoreError::Unavailable(_))),
                "{refused:?}"
            );
        }
        server.control(&["start"]);
        assert_eq!(read_all(&log, author.tenant).await, written);
        let outcomes = commit(&log, &parts).await;
        assert!(outcomes[0].is_ok(), "{outcomes:?}");
        written.extend(events);
        assert_eq!(read_all(&log, author.tenant).await, written);

        // A restart that nobody noticed, because nothing was asked in between.
        server.control(&["restart", mode]);
        written.extend(author.write(&log, 1).await);
        assert_eq!(read_all(&log, author.tenant).await, written);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_ended_are_replaced() {
    const END_ALL: &str = "
        SELECT count(pg_terminate_backend(pid))
        FROM   pg_stat_activity
        WHERE  datname = current_database() AND pid <> pg_backend_pid()";

    let database = Database::new().await;
    let log = database.log().await;
    let client = database.look().await;
    let mut author = Author::new(1);
    let mut written = Vec::new();
    for _ in 0..10 {
        written.extend(author.write(&log, 1).await);
        assert_eq!(read_all(&log, author.tenant).await, written);
        let row = client.query_one(END_ALL, &[]).await.unwrap();
        assert!(row.get::<_, i64>(0) > 0);
    }
}

/// Makes an authority and a certificate for `localhost`, and has the server use them.
fn secure(server: &OwnServer) -> PathBuf {
    let folder = server.folder.path().to_str().unwrap();
    let make = format!(
        "cd {folder}
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
             -subj /CN=authority -keyout ca.key -out ca.pem
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
             -keyout server.key -out server.csr
         printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE\\n' > names
         openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile names -out server.pem
         cp server.pem server.key postgres/data/
         chown --reference=postgres/data postgres/data/server.pem postgres/data/server.key
         chmod 600 postgres/data/server.key
         printf \"ssl = on\\nssl_cert_file = 'server.pem'\\nssl_key_file = 'server.key'\\n\" \
             >> postgres/data/postgresql.conf
         printf 'local all all trust\\nhostssl all all 127.0.0.1/32 trust\\n' > postgres/data/pg_hba.conf"
    );
    run("bash", &["-euc", &make]);
    server.control(&["restart", "--mode=fast"]);
    server.folder.path().join("ca.pem")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sslmode_means_what_it_means_to_others() {
    let server = OwnServer::start();
    let ca = secure(&server);
    let ca = ca.to_str().unwrap();
    let stranger = format!("{ca}.other");
    let other_authority = format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
             -subj /CN=other -keyout {stranger}.key -out {stranger}"
    );
    run("bash", &["-c", &other_authority]);
    let opens = async |host: &str, query: String| {
        let url = format!(
            "postgres://postgres@{host}:{}/postgres?{query}",
            server.port
        );
        let options = PostgresOptions {
            pool_size: 2,
            ..PostgresOptions::new(url)
        };
        let opened = PostgresLog::open(&options, Region::Au).await;
        match opened {
            Ok(log) => log.head(Author::new(1).tenant).await.is_ok(),
            Err(error) => {
                assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
                false
            }
        }
    };
    for (host, query, expected) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), false),
        ("127.0.0.1", "sslmode=prefer".to_owned(), true),
        ("127.0.0.1", "sslmode=require".to_owned(), true),
        (
            "127.0.0.1",
            format!("sslmode=require&sslrootcert={stranger}"),
            false,
        ),
        ("127.0.0.1", "sslmode=verify-ca".to_owned(), false),
        (
            "127.0.0.1",
            format!("sslmode=verify-ca&sslrootcert={ca}"),
            true,
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-ca&sslrootcert={stranger}"),
            false,
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-full&sslrootcert={ca}"),
            false,
        ),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={ca}"),
            true,
        ),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={ca}.none"),
            false,
        ),
    ] {
        assert_eq!(opens(host, query.clone()).await, expected, "{host} {query}");
    }
}
