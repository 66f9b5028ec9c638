//! That the files in `deploy/` name settings that there are, and leave the engine the time that it takes to end.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_norway::Value;

use super::*;

/// What comes after `server.shutdown_seconds`, rounded up: the engine's last writes, connections' last answers, the last log
/// lines.
const AFTER_DRAIN: Duration = Duration::from_secs(7);

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(file: &str) -> Value {
    let mut value: Value = serde_norway::from_str(&read(file)).unwrap();
    value.apply_merge().unwrap();
    value
}

/// The configuration that a node gets from a file and from variables.
fn settings(file: &str, variables: &BTreeMap<String, String>) -> Settings {
    let pairs: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    load(file, &pairs).unwrap().settings
}

/// What compose makes of `${NAME:?message}`, with a secret that fits everywhere.
fn filled(text: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (_name, after) = after.split_once('}').unwrap();
        filled += before;
        filled += &"5".repeat(64);
        rest = after;
    }
    filled + rest
}

fn seconds(text: &str) -> Duration {
    let number = text.trim_end_matches('s').parse().unwrap();
    Duration::from_secs(number)
}

/// `NAME=value` of all lines of a text that begin with `key`, and of those that they go on in.
fn assigned(text: &str, key: &str) -> BTreeMap<String, String> {
    let whole = text.replace("\\\n", " ");
    let lines = whole.lines().filter_map(|line| line.strip_prefix(key));
    let pairs = lines.flat_map(str::split_whitespace);
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_image_names_settings_and_ports_that_there_are() {
    let image = read("Dockerfile");
    let mut variables = assigned(&image, "ENV ");
    variables.remove("CARGO_PROFILE_RELEASE_STRIP");
    let settings = settings("", &variables);
    assert_eq!(settings.storage.data_dir, Path::new("/data"));
    let metrics = match settings.metrics.port {
        Port::On(port) => port,
        Port::Off => panic!("the image shows metrics"),
    };
    let exposed = format!("EXPOSE {} {metrics}\n", settings.server.port);
    assert!(image.contains(&exposed), "{exposed}");
}

#[test]
fn nodes_of_compose_are_a_cluster_and_may_end_in_peace() {
    let compose = yaml("compose/compose.yaml");
    let image = assigned(&read("Dockerfile"), "ENV ");
    for name in ["node1", "node2", "node3"] {
        let node = &compose["services"][name];
        let mut variables = image.clone();
        variables.remove("CARGO_PROFILE_RELEASE_STRIP");
        for (key, value) in node["environment"].as_mapping().unwrap() {
            let value = filled(value.as_str().unwrap());
            variables.insert(key.as_str().unwrap().to_owned(), value);
        }
        let settings = settings("", &variables);
        assert!(settings.storage.database_url.is_shared());
        assert_ne!(settings.cluster.nats_url, Nats::None);
        assert_eq!(settings.server.instance_id, name);
        let grace = seconds(node["stop_grace_period"].as_str().unwrap());
        assert!(grace >= settings.server.shutdown_within() + AFTER_DRAIN);
        // The root may only be read because what is written goes to a volume.
        assert_eq!(node["read_only"], Value::Bool(true));
        let volume = node["volumes"][0].as_str().unwrap();
        assert_eq!(volume, format!("{name}:/data"));
    }
}

#[test]
fn pods_have_settings_and_ports_that_there_are_and_may_end_in_peace() {
    let pod = &yaml("kubernetes/statefulset.yaml")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let variables = assigned(&read("Dockerfile"), "ENV ");
    let mut variables: BTreeMap<_, _> = variables
        .into_iter()
        .filter(|(name, _)| name != "CARGO_PROFILE_RELEASE_STRIP")
        .collect();
    for variable in container["env"].as_sequence().unwrap() {
        let name = variable["name"].as_str().unwrap();
        let value = variable["value"].as_str().unwrap_or("trunkline-0");
        variables.insert(name.to_owned(), value.to_owned());
    }
    let settings = settings(&read("kubernetes/config.toml"), &variables);
    let mut ports = BTreeMap::new();
    for port in container["ports"].as_sequence().unwrap() {
        let name = port["name"].as_str().unwrap();
        ports.insert(name, port["containerPort"].as_u64().unwrap());
    }
    assert_eq!(ports["http"], u64::from(settings.server.port));
    assert_eq!(settings.metrics.port, Port::On(9568));
    assert_eq!(ports["metrics"], 9568);
    let mounts = container["volumeMounts"].as_sequence().unwrap();
    let data = settings.storage.data_dir.to_str().unwrap();
    assert!(mounts.iter().any(|mount| mount["mountPath"] == *data));
    let of_seconds = |value: &Value| Duration::from_secs(value.as_u64().unwrap());
    let pause = of_seconds(&container["lifecycle"]["preStop"]["sleep"]["seconds"]);
    let grace = of_seconds(&pod["terminationGracePeriodSeconds"]);
    assert!(grace >= pause + settings.server.shutdown_within() + AFTER_DRAIN);
}

#[test]
fn the_unit_names_settings_that_there_are_and_waits_for_the_end() {
    let unit = read("systemd/trunkline.service");
    let settings = settings("", &assigned(&unit, "Environment="));
    assert_eq!(settings.storage.data_dir, Path::new("/var/lib/trunkline"));
    // Behind ProcSubset=pid nobody can find out what the machine is called.
    assert_eq!(settings.server.instance_id, "%H");
    let stop = assigned(&unit, "TimeoutStopSec");
    let stop = stop.get("").map(String::as_str).unwrap();
    assert!(seconds(stop) >= settings.server.shutdown_within() + AFTER_DRAIN);
}
