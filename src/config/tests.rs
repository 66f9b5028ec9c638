//! Layers, sources and errors of the configuration.

mod deploy;

use std::fs;

use insta::assert_snapshot;
use tempfile::TempDir;

use super::*;

fn load(file: &str, variables: &[(&str, &str)]) -> Result<Loaded, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file.toml");
    fs::write(&path, file).unwrap();
    let pairs = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let shown_folder = format!("{}/", folder.path().display());
    Loaded::load(Some(&path), pairs).map_err(|errors| errors.to_string().replace(&shown_folder, ""))
}

fn refused(file: &str, variables: &[(&str, &str)]) -> String {
    load(file, variables).map(|_loaded| ()).unwrap_err()
}

#[test]
fn the_compiled_in_file_alone_is_a_whole_configuration() {
    let settings = load("", &[]).unwrap().settings;
    assert_eq!(settings.server.port, 8080);
    assert_eq!(settings.plans, Plans::default());
    assert_eq!(settings.storage.database_url, Database::Embedded);
    assert_eq!(settings.metrics.port, Port::Off);
    assert_eq!(settings.security.master_key.reveal(), None);
    assert!(!settings.signup.enabled);
    assert_eq!(settings.cluster.nats_ca(), None);
}

#[test]
fn a_file_beats_the_defaults_and_the_environment_beats_the_file() {
    let file = "[server]\nport = 1\nworkers = 3\n[plans.free]\nevents_per_minute = \"none\"";
    let loaded = load(file, &[("TRUNKLINE__SERVER__PORT", "2")]).unwrap();
    assert_eq!(loaded.settings.server.port, 2);
    assert_eq!(loaded.settings.server.workers, 3);
    assert_eq!(loaded.settings.plans.free.events_per_minute, None);
    assert_eq!(loaded.settings.plans.free.webhooks, Some(5));
}

#[test]
fn a_plain_name_beats_everything() {
    let variables = [
        ("PORT", "3"),
        ("TRUNKLINE__SERVER__PORT", "2"),
        ("LOG_LEVEL", "DEBUG"),
    ];
    let loaded = load("[server]\nport = 1", &variables).unwrap();
    assert_eq!(loaded.settings.server.port, 3);
    let port = loaded
        .shown()
        .into_iter()
        .find(|shown| shown.key == "server.port");
    assert_eq!(port.unwrap().source, "environment variable PORT");
}

#[test]
fn an_empty_plain_name_does_not_count() {
    let loaded = load("", &[("PORT", ""), ("NATS_URL", "")]).unwrap();
    assert_eq!(loaded.settings.server.port, 8080);
}

#[test]
fn lists_are_separated_by_commas_in_the_environment() {
    let variables = [
        ("TRUNKLINE__OUTBOUND__ALLOW", "127.0.0.0/8, 10.0.0.0/8"),
        ("TRUNKLINE__REGIONS__ENABLED", "AU,EU"),
        (
            "TRUNKLINE__SERVER__CORS_ORIGINS",
            "https://a.example,http://b.example:8080",
        ),
    ];
    let settings = load("", &variables).unwrap().settings;
    assert_eq!(settings.outbound.allow.len(), 2);
    assert_eq!(settings.regions.enabled, [Region::Au, Region::Eu]);
    assert_eq!(&*settings.server.cors_origins[1].0, "http://b.example:8080");
}

#[test]
fn numbers_booleans_and_limits_are_read_from_the_environment() {
    let variables = [
        ("TRUNKLINE__PLANS__ENTERPRISE__WEBHOOKS", "7"),
        ("TRUNKLINE__PLANS__FREE__DEVICES", "none"),
        ("TRUNKLINE__SIGNUP__ENABLED", "true"),
        ("TRUNKLINE__METRICS__PORT", "9568"),
        ("TRUNKLINE__OTEL__SAMPLE_RATIO", "0"),
    ];
    let settings = load("", &variables).unwrap().settings;
    assert_eq!(settings.plans.enterprise.webhooks, Some(7));
    assert_eq!(settings.plans.free.devices, None);
    assert!(settings.signup.enabled);
    assert_eq!(settings.metrics.port, Port::On(9568));
    assert_eq!(settings.otel.sample_ratio, Ratio(0.0));
}

#[test]
fn a_wrong_key_or_value_names_its_place_and_what_was_expected() {
    let file = "[server]\nport = 99999\nprot = 1\nhost = \"localhost\"\n[plans.free]\ntail = \"yes\"\n[serve]\nport = 1";
    assert_snapshot!(refused(file, &[]), @r#"
    the configuration is wrong
      file.toml: `plans.free.tail`: invalid type: string "yes", expected true or false
      file.toml: `serve.port` is not a setting: the sections are cluster, devices, engine, ingest, log, metrics, mqtt, otel, outbound, plans, postgres, regions, security, server, signup, storage, webhooks
      file.toml: `server.host`: invalid IP address syntax: expected an address such as 127.0.0.1
      file.toml: `server.port`: invalid value: integer `99999`, expected a whole number from 0 to 65535
      file.toml: `server.prot` is not a setting: `server` has body_bytes_max, body_seconds, connections_max, cors_origins, head_seconds, header_bytes_max, host, instance_id, keep_alive_seconds, port, shutdown_seconds, tls_cert, tls_key, trusted_proxies, workers
    "#);
    let variables = [
        ("TRUNKLINE__SERVER__PORT", "many"),
        ("TRUNKLINE__SERVER", "x"),
        ("TRUNKLINE__SERVER__SPEED", "1"),
        ("TRUNKLINE__LOG__FORMAT", "xml"),
        ("TRUNKLINE__LOG__LEVEL", "loud"),
        ("TRUNKLINE__REGIONS__ENABLED", "AU,MARS"),
        ("TRUNKLINE__PLANS__FREE__WEBHOOKS", "-1"),
        ("TRUNKLINE__ENGINE__RING_EVENTS_MAX", "0"),
        ("TRUNKLINE__OUTBOUND__ALLOW", "everything"),
        ("TRUNKLINE__OTEL__SAMPLE_RATIO", "2"),
        ("TRUNKLINE__METRICS__PORT", "70000"),
        ("TRUNKLINE__SERVER__CORS_ORIGINS", "https://a.example/path"),
    ];
    assert_snapshot!(refused("", &variables), @r#"
    the configuration is wrong
      environment variable TRUNKLINE__ENGINE__RING_EVENTS_MAX: `engine.ring_events_max`: invalid value: integer `0`, expected a whole number above 0
      environment variable TRUNKLINE__LOG__FORMAT: `log.format`: unknown variant `xml`, expected one of `auto`, `json`, `text`
      environment variable TRUNKLINE__LOG__LEVEL: `log.level`: `loud`: `loud` is no level: expected a level such as info, or a list such as info,actors=debug
      environment variable TRUNKLINE__METRICS__PORT: `metrics.port`: invalid value: string "70000", expected a port from 0 to 65535, or "off"
      environment variable TRUNKLINE__OTEL__SAMPLE_RATIO: `otel.sample_ratio`: 2: expected a number from 0.0 to 1.0
      environment variable TRUNKLINE__OUTBOUND__ALLOW: `outbound.allow`: invalid IP address syntax: expected networks such as 10.0.0.0/8
      environment variable TRUNKLINE__PLANS__FREE__WEBHOOKS: `plans.free.webhooks`: invalid value: integer `-1`, expected a number, or "none" for no limit
      environment variable TRUNKLINE__REGIONS__ENABLED: `regions.enabled`: unknown variant `MARS`, expected one of `AU`, `US`, `EU`, `APAC`
      environment variable TRUNKLINE__SERVER: `server` is not a setting: `server` has body_bytes_max, body_seconds, connections_max, cors_origins, head_seconds, header_bytes_max, host, instance_id, keep_alive_seconds, port, shutdown_seconds, tls_cert, tls_key, trusted_proxies, workers
      environment variable TRUNKLINE__SERVER__CORS_ORIGINS: `server.cors_origins`: `https://a.example/path`: expected origins such as https://app.example.com
      environment variable TRUNKLINE__SERVER__PORT: `server.port`: invalid type: string "many", expected a whole number from 0 to 65535
      environment variable TRUNKLINE__SERVER__SPEED: `server.speed` is not a setting: `server` has body_bytes_max, body_seconds, connections_max, cors_origins, head_seconds, header_bytes_max, host, instance_id, keep_alive_seconds, port, shutdown_seconds, tls_cert, tls_key, trusted_proxies, workers
    "#);
}

#[test]
fn what_only_makes_no_sense_together_is_refused_too() {
    let file = "[server]\ntls_cert = \"a.pem\"\n[regions]\nenabled = [\"EU\", \"EU\"]";
    assert_snapshot!(refused(file, &[]), @r#"
    the configuration is wrong
      default: `server.tls_key`: expected a file, because server.tls_cert is set
      default: `regions.default`: expected one of regions.enabled
      file.toml: `regions.enabled`: expected each region once
    "#);
    let file = "[storage]\ndatabase_url = \"postgres://h/db\"\n[cluster]\nlease_seconds = 14";
    assert_snapshot!(refused(file, &[]), @r#"
    the configuration is wrong
      file.toml: `cluster.lease_seconds`: expected at least 15, half as long again as postgres.statement_timeout_ms (10000): raise this, or lower that
    "#);
    let file = "[engine]\nretention_every_seconds = 43201";
    assert_snapshot!(refused(file, &[]), @r#"
    the configuration is wrong
      file.toml: `engine.retention_every_seconds`: expected no more than 43200, which is half a day
    "#);
}

#[test]
fn mqtt_is_off_until_it_has_a_port_and_needs_a_certificate_for_tls() {
    let settings = load("", &[]).unwrap().settings;
    assert_eq!((settings.mqtt.port, settings.mqtt.host), (Port::Off, None));
    let file = "[mqtt]\nport = 1883\nhost = \"0.0.0.0\"";
    let settings = load(file, &[]).unwrap().settings;
    assert_eq!(settings.mqtt.port, Port::On(1883));
    assert_eq!(settings.mqtt.host, Some("0.0.0.0".parse().unwrap()));
    let file = "[mqtt]\ntls_port = 8883\nhost = \"everywhere\"";
    assert_snapshot!(refused(file, &[]), @r#"
    the configuration is wrong
      file.toml: `mqtt.host`: `everywhere`: invalid IP address syntax: expected an address such as 127.0.0.1, or nothing
      file.toml: `mqtt.tls_port`: expected "off", because server.tls_cert is not set
    "#);
}

#[test]
fn servers_are_named_by_plain_names_and_shown_without_their_secrets() {
    let variables = [
        (
            "DATABASE_URL",
            "postgres://user:s3cret@host/db?sslmode=require",
        ),
        ("NATS_URL", "nats://t0ken@host:4222"),
        ("TRUNKLINE__REGIONS__EU__URL", "postgres://u:s3cret@eu/db"),
    ];
    let file = "
        [regions.US]
        url = \"postgres://u:s3cret@us/db\"
        [cluster]
        nats_ca = \"/etc/ca.pem\"
        lease_seconds = 3
        [postgres]
        statement_timeout_ms = 2000";
    let loaded = load(file, &variables).unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.cluster.nats_ca(), Some(Path::new("/etc/ca.pem")));
    let shown = Region::ALL.map(|region| format!("{:?}", settings.database_of(region)));
    assert_eq!(
        shown,
        [
            "Postgres(postgres://user:(hidden)@host/db?sslmode=require)",
            "Postgres(postgres://u:(hidden)@us/db)",
            "Postgres(postgres://u:(hidden)@eu/db)",
            "Postgres(postgres://user:(hidden)@host/db?sslmode=require)",
        ]
    );
    let Database::Postgres(url) = settings.database_of(Region::Eu) else {
        panic!("a server")
    };
    assert_eq!(
        settings.postgres.options(url).url,
        "postgres://u:s3cret@eu/db"
    );
    let shown = format!("{settings:?} {:?}", loaded.shown());
    assert!(
        !shown.contains("s3cret") && !shown.contains("t0ken"),
        "{shown}"
    );
    assert!(shown.contains("nats://(hidden)@host:4222"), "{shown}");
}

#[test]
fn a_url_that_does_not_fit_is_refused_and_not_told() {
    let variables = [
        (
            "DATABASE_URL",
            "postgres://user:s3cret@host/db?sslmode=maybe",
        ),
        ("NATS_URL", "http://user:s3cret@host"),
        ("TRUNKLINE__REGIONS__EU__URL", "mysql://user:s3cret@host"),
    ];
    let refusal = refused("", &variables);
    assert!(!refusal.contains("s3cret"));
    assert_snapshot!(refusal, @r#"
    the configuration is wrong
      environment variable TRUNKLINE__REGIONS__EU__URL: `regions.eu.url`: expected nothing, "sqlite:", or "postgres://USER:PASSWORD@HOST/DATABASE"
      environment variable DATABASE_URL: `storage.database_url`: expected sslmode to be disable, allow, prefer, require, verify-ca or verify-full
      environment variable NATS_URL: `cluster.nats_url`: expected nothing, or URLs such as nats://host:4222, separated by commas
    "#);
}

#[test]
fn what_nodes_share_must_be_within_their_reach() {
    let alone = refused("", &[("NATS_URL", "nats://host:4222")]);
    let unused = refused("[cluster]\nnats_ca = \"ca.pem\"", &[]);
    let file = "[regions.eu]\nurl = \"sqlite:\"";
    let apart = refused(file, &[("DATABASE_URL", "postgres://host/db")]);
    assert_snapshot!(format!("{alone}\n{unused}\n{apart}"), @"
    the configuration is wrong
      environment variable NATS_URL: `cluster.nats_url`: expected nothing, because storage.database_url is no URL of PostgreSQL: only there can nodes share it
    the configuration is wrong
      file.toml: `cluster.nats_ca`: expected nothing, because cluster.nats_url is not set
    the configuration is wrong
      file.toml: `regions.eu.url`: expected nothing, or a URL of PostgreSQL, because storage.database_url is one
    ");
    assert!(load(file, &[]).is_ok());
}

#[test]
fn a_file_that_is_no_toml_names_its_line() {
    assert_snapshot!(refused("[server]\n\nport = = 1", &[]), @r#"
    the configuration is wrong
      file.toml: line 3: extra `=`, expected nothing
    "#);
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let refusal = Loaded::load(Some(Path::new("/nowhere/at/all.toml")), []).unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("/nowhere/at/all.toml: cannot be read")
    );
}

#[test]
fn secrets_are_never_shown() {
    let key = "5ec2e7".repeat(11);
    let refusal = refused(
        "[security]\ninternal_token = 424242",
        &[("MASTER_KEY", &key)],
    );
    assert!(
        !refusal.contains("5ec2e7") && !refusal.contains("424242"),
        "{refusal}"
    );
    let key = "5ec2e700".repeat(8);
    let loaded = load("", &[("MASTER_KEY", &key)]).unwrap();
    assert_eq!(loaded.settings.security.master_key.reveal(), Some(&*key));
    let shown = format!("{:?} {:?}", loaded.settings, loaded.shown());
    assert!(!shown.contains("5ec2e700"));
}
