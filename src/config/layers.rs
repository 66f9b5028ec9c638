//! Puts the layers of the configuration on top of each other, and remembers where each value comes from.
//!
//! Values are set one at a time and the whole is read again after each, so that an error names the one place and key that
//! caused it, and a wrong value never hides the next one.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{ConfigError, Settings, show::HIDDEN, urls};

/// The compiled-in file: every setting, and its default.
const REFERENCE: &str = include_str!("../../config.toml");
/// What the name of a setting's variable begins with.
const PREFIX: &str = "TRUNKLINE__";
/// The variables that others rely on, and what they set.
const PLAIN_NAMES: [(&str, &str); 10] = [
    ("PORT", "server.port"),
    ("INSTANCE_ID", "server.instance_id"),
    ("DATA_DIR", "storage.data_dir"),
    ("DATABASE_URL", "storage.database_url"),
    ("NATS_URL", "cluster.nats_url"),
    ("INTERNAL_TOKEN", "security.internal_token"),
    ("MASTER_KEY", "security.master_key"),
    ("LOG_LEVEL", "log.level"),
    ("OTEL_SERVICE_NAME", "otel.service_name"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "otel.endpoint"),
];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The compiled-in file.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

/// The values in force, and where they come from.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    table: Table,
    sources: BTreeMap<String, Source>,
}

impl Layers {
    /// The compiled-in file alone.
    pub(crate) fn reference() -> Layers {
        let table = toml::from_str(REFERENCE).expect("the compiled-in configuration is TOML");
        Layers {
            table,
            sources: BTreeMap::new(),
        }
    }

    /// Adds a file.
    pub(crate) fn add_file(&mut self, path: &Path, errors: &mut Vec<ConfigError>) {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(cause) => {
                let path = path.to_owned();
                return errors.push(ConfigError::Unreadable { path, cause });
            }
        };
        let table: Table = match toml::from_str(&text) {
            Ok(table) => table,
            Err(error) => {
                let start = error.span().map_or(0, |span| span.start);
                let before = text.get(..start).unwrap_or_default();
                return errors.push(ConfigError::Syntax {
                    path: path.to_owned(),
                    line: 1 + before.matches('\n').count(),
                    message: error.message().to_owned(),
                });
            }
        };
        let source = Source::File(path.to_owned());
        let mut leaves = Vec::new();
        collect_leaves(&table, "", &mut leaves);
        for (key, value) in leaves {
            // Regions are written in capitals, and may be here too.
            let key = key.to_ascii_lowercase();
            errors.extend(self.set(&key, value, &source).err());
        }
    }

    /// Adds the environment.
    pub(crate) fn add_variables(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
        errors: &mut Vec<ConfigError>,
    ) {
        let variables: BTreeMap<String, String> = variables.into_iter().collect();
        for (name, text) in &variables {
            if let Some(path) = name.strip_prefix(PREFIX) {
                let key = path.to_ascii_lowercase().replace("__", ".");
                errors.extend(self.set_text(&key, text, name).err());
            }
        }
        let given = |name: &str| variables.get(name).filter(|text| !text.is_empty());
        for (name, key) in PLAIN_NAMES {
            if let Some(text) = given(name) {
                errors.extend(self.set_text(key, text, name).err());
            }
        }
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> Settings {
        Settings::deserialize_table(self.table.clone())
            .expect("every value was read when it was set, and the compiled-in ones are tested")
    }

    /// Every setting's dotted name and value, in the order of the names.
    pub(crate) fn leaves(&self) -> Vec<(String, Value)> {
        let mut leaves = Vec::new();
        collect_leaves(&self.table, "", &mut leaves);
        leaves
    }

    /// Where a setting's value comes from.
    pub(crate) fn source_of(&self, key: &str) -> Source {
        self.sources.get(key).cloned().unwrap_or(Source::Default)
    }

    /// An error about the value that a setting has.
    pub(crate) fn wrong(&self, key: &str, expected: &str) -> ConfigError {
        ConfigError::Value {
            source_of: self.source_of(key),
            key: key.to_owned(),
            message: expected.to_owned(),
        }
    }

    fn set_text(&mut self, key: &str, text: &str, name: &str) -> Result<(), ConfigError> {
        let source = Source::Variable(name.to_owned());
        let value = match find(&mut self.table, key) {
            Some(present) => read_as(present, text),
            None => Value::String(text.to_owned()),
        };
        self.set(key, value, &source)
    }

    fn set(&mut self, key: &str, value: Value, source: &Source) -> Result<(), ConfigError> {
        let known = self.known_beside(key);
        let unknown = || ConfigError::UnknownKey {
            source_of: source.clone(),
            key: key.to_owned(),
            known,
        };
        let place = find(&mut self.table, key).ok_or_else(unknown)?;
        let before = std::mem::replace(place, value);
        match Settings::deserialize_table(self.table.clone()) {
            Ok(_fits) => {
                self.sources.insert(key.to_owned(), source.clone());
                Ok(())
            }
            Err(error) => {
                if let Some(place) = find(&mut self.table, key) {
                    *place = before;
                }
                Err(ConfigError::Value {
                    source_of: source.clone(),
                    key: key.to_owned(),
                    message: say_expected(key, error.message()),
                })
            }
        }
    }

    /// What could have been meant: the keys of the same section, or else the sections.
    fn known_beside(&self, key: &str) -> String {
        let names = |table: &Table| table.keys().cloned().collect::<Vec<_>>().join(", ");
        let (mut section, mut known) = (String::new(), &self.table);
        for part in key.split('.') {
            match known.get(part) {
                Some(Value::Table(inner)) => {
                    section.push_str(if section.is_empty() { "" } else { "." });
                    section.push_str(part);
                    known = inner;
                }
                Some(_) | None => break,
            }
        }
        if section.is_empty() {
            format!("the sections are {}", names(known))
        } else {
            format!("`{section}` has {}", names(known))
        }
    }
}

impl Settings {
    fn deserialize_table(table: Table) -> Result<Settings, toml::de::Error> {
        Value::Table(table).try_into()
    }
}

/// The place of a setting; `None` if there is no setting of this name.
fn find<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    let (section, name) = key.rsplit_once('.')?;
    let mut place = table;
    for part in section.split('.') {
        place = place.get_mut(part)?.as_table_mut()?;
    }
    place.get_mut(name).filter(|value| !value.is_table())
}

fn collect_leaves(table: &Table, section: &str, leaves: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let key = match section {
            "" => name.clone(),
            section => format!("{section}.{name}"),
        };
        match value {
            Value::Table(inner) => collect_leaves(inner, &key, leaves),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => leaves.push((key, value.clone())),
        }
    }
}

/// Reads a variable's text as the kind of value that the setting has. What does not read stays a text: it may be the name of
/// "no limit", or else an error that says what was expected.
fn read_as(present: &Value, text: &str) -> Value {
    let as_text = || Value::String(text.to_owned());
    match present {
        Value::Integer(_) => text
            .parse()
            .map_or_else(|_not_whole| as_text(), Value::Integer),
        Value::Float(_) => text
            .parse()
            .map_or_else(|_no_number| as_text(), Value::Float),
        Value::Boolean(_) => text
            .parse()
            .map_or_else(|_neither| as_text(), Value::Boolean),
        Value::Array(_) => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        Value::String(_) | Value::Datetime(_) | Value::Table(_) => as_text(),
    }
}

/// Serde's sentence, with our words for the types' names, and without what a secret's value is.
fn say_expected(key: &str, message: &str) -> String {
    if HIDDEN.contains(&key) || urls::WITH_SECRETS.contains(&key) {
        let expected = message
            .rsplit_once("expected ")
            .map_or("another text", |(_, what)| what);
        return format!("expected {expected}");
    }
    const WORDS: [(&str, &str); 8] = [
        ("a nonzero usize", "a whole number above 0"),
        ("a nonzero u64", "a whole number above 0"),
        ("a nonzero u32", "a whole number from 1 to 4294967295"),
        ("u16", "a whole number from 0 to 65535"),
        ("u32", "a whole number from 0 to 4294967295"),
        ("u64", "a whole number from 0"),
        ("usize", "a whole number from 0"),
        ("a boolean", "true or false"),
    ];
    let Some((given, expected)) = message.rsplit_once("expected ") else {
        return match key {
            "server.host" => format!("{message}: expected an address such as 127.0.0.1"),
            "server.trusted_proxies" | "outbound.allow" => {
                format!("{message}: expected networks such as 10.0.0.0/8")
            }
            _ => message.to_owned(),
        };
    };
    let words = WORDS.iter().find(|(rust, _)| *rust == expected.trim());
    format!(
        "{given}expected {}",
        words.map_or(expected, |(_, words)| words)
    )
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(path) => path.display().fmt(f),
            Source::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}
