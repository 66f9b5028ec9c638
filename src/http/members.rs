//! Reads the JSON objects that requests bring: all mistakes at once, each with a pointer to it.
//!
//! Knows no resource: which members there are, and what each may be, is said by whoever reads.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use domain::time::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::problem::{Code, FieldError, Problem};

/// How deep a body may nest (API §2).
const DEPTH_MAX: usize = 64;

/// A member as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given<T> {
    /// It is not there, or it is wrong, which was noted.
    Absent,
    /// `null`.
    Null,
    /// A value.
    Value(T),
}

/// The object of a request, while it is read.
#[derive(Debug)]
pub(crate) struct Members {
    members: Map<String, Value>,
    code: Option<Code>,
    mistakes: Vec<FieldError>,
}

impl<T> Given<T> {
    /// The value, or `default` if there is none.
    pub(crate) fn or(self, default: T) -> T {
        self.value().unwrap_or(default)
    }

    /// The value, if there is one.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Given::Value(value) => Some(value),
            Given::Absent | Given::Null => None,
        }
    }

    /// Puts the value into `place`; `null` puts `default` there, and a member that is absent leaves it as it is.
    pub(crate) fn merge(self, place: &mut T, default: T) {
        match self {
            Given::Value(value) => *place = value,
            Given::Null => *place = default,
            Given::Absent => {}
        }
    }
}

impl Members {
    /// Reads an object that may have the `known` members. No body at all is an object without members.
    pub(crate) fn parse(body: &[u8], known: &[&str]) -> Result<Members, Problem> {
        let body = body.trim_ascii();
        if domain::json::depth(body) > DEPTH_MAX {
            let detail = format!("expected at most {DEPTH_MAX} levels of nesting");
            return Err(Problem::new(Code::MalformedJson, detail));
        }
        let value = if body.is_empty() {
            Value::Object(Map::new())
        } else {
            serde_json::from_slice(body).map_err(|error| {
                Problem::new(
                    Code::MalformedJson,
                    format!("the body is not JSON: {error}"),
                )
            })?
        };
        let Value::Object(members) = value else {
            return Err(Problem::invalid_field("", "expected a JSON object"));
        };
        let mut reading = Members {
            members,
            code: None,
            mistakes: Vec::new(),
        };
        let unknown: Vec<String> = reading
            .members
            .keys()
            .filter(|name| !known.contains(&name.as_str()))
            .cloned()
            .collect();
        for name in unknown {
            let detail = format!("there is no such member: expected {}", known.join(", "));
            reading.note(Code::UnknownField, pointer(&name), detail);
        }
        Ok(reading)
    }

    /// Whether the object has a member of this name, whatever it is.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Whether a member is there and `null`.
    pub(crate) fn is_null(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(Value::is_null)
    }

    /// Notes that the value at `pointer` may not be as it is.
    pub(crate) fn wrong(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.note(Code::InvalidField, pointer.into(), detail.into());
    }

    /// Notes that a member must be there.
    pub(crate) fn missing(&mut self, name: &str) {
        if !self.has(name) || self.is_null(name) {
            self.wrong(pointer(name), "it is missing");
        }
    }

    /// Takes a member that `read` can read; its error says what was expected.
    pub(crate) fn take<T, E: fmt::Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, E>,
    ) -> Given<T> {
        match self.members.get(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(value) => match read(value) {
                Ok(value) => Given::Value(value),
                Err(error) => {
                    self.wrong(pointer(name), error.to_string());
                    Given::Absent
                }
            },
        }
    }

    /// Takes a text of 1 to `length_max` characters, none of them a control character.
    pub(crate) fn text(&mut self, name: &str, length_max: usize) -> Given<String> {
        self.take(name, |value| {
            let text = value.as_str().filter(|text| {
                (1..=length_max).contains(&text.chars().count())
                    && !text.chars().any(char::is_control)
            });
            text.map(str::to_owned).ok_or_else(|| {
                format!("expected a text of 1 to {length_max} characters, none of them a control character")
            })
        })
    }

    /// Takes a text that stands for something.
    pub(crate) fn parsed<T>(&mut self, name: &str) -> Given<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        self.take(name, |value| match value.as_str() {
            Some(text) => text.parse().map_err(|error: T::Err| error.to_string()),
            None => Err("expected a string".to_owned()),
        })
    }

    /// Takes an RFC 3339 time.
    pub(crate) fn time(&mut self, name: &str) -> Given<Timestamp> {
        self.take(name, |value| {
            let text = value.as_str().unwrap_or_default();
            Timestamp::parse(text).map_err(|error| format!("it is {error}"))
        })
    }

    /// Takes a whole number within bounds.
    pub(crate) fn number(&mut self, name: &str, bounds: RangeInclusive<u64>) -> Given<u64> {
        self.take(name, |value| {
            let number = value.as_u64().filter(|number| bounds.contains(number));
            number.ok_or_else(|| {
                format!(
                    "expected a whole number from {} to {}",
                    bounds.start(),
                    bounds.end()
                )
            })
        })
    }

    /// Takes whatever serde can read.
    pub(crate) fn read<T: DeserializeOwned>(&mut self, name: &str, expected: &str) -> Given<T> {
        self.take(name, |value| {
            T::deserialize(value).map_err(|error| format!("expected {expected}: {error}"))
        })
    }

    /// Takes a list of at most `count_max` texts, each of which `read` can read.
    pub(crate) fn list<T, E: fmt::Display>(
        &mut self,
        name: &str,
        count_max: usize,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Given<Vec<T>> {
        let texts = self.take(name, |value| {
            texts_of(value)
                .filter(|texts| texts.len() <= count_max)
                .ok_or_else(|| format!("expected a list of at most {count_max} texts"))
        });
        let texts = match texts {
            Given::Value(texts) => texts,
            Given::Null => return Given::Null,
            Given::Absent => return Given::Absent,
        };
        let mut values = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            match read(text) {
                Ok(value) => values.push(value),
                Err(error) => self.wrong(format!("{}/{index}", pointer(name)), error.to_string()),
            }
        }
        Given::Value(values)
    }

    /// Ends the reading: nothing was wrong, or everything that was.
    pub(crate) fn end(self) -> Result<(), Problem> {
        let Some(code) = self.code else { return Ok(()) };
        Err(all_wrong(code, self.mistakes))
    }

    fn note(&mut self, code: Code, pointer: String, detail: String) {
        self.code.get_or_insert(code);
        self.mistakes.push(FieldError { pointer, detail });
    }
}

/// The problem of an input with these mistakes; `code` is the first one's.
pub(crate) fn all_wrong(code: Code, mistakes: Vec<FieldError>) -> Problem {
    let sentence = match mistakes.first() {
        Some(first) if first.pointer.is_empty() => first.detail.clone(),
        Some(first) => format!("`{}`: {}", first.pointer, first.detail),
        None => code.meaning().to_owned(),
    };
    mistakes
        .into_iter()
        .fold(Problem::new(code, sentence), |problem, mistake| {
            problem.with_error(&mistake.pointer, mistake.detail)
        })
}

/// The JSON pointer to a member at the top.
fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn texts_of(value: &Value) -> Option<Vec<String>> {
    let items = value.as_array()?;
    items
        .iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_listed_and_the_first_names_the_problem() {
        let body = br#"{"name":7,"more":1,"days":0,"list":["a",""]}"#;
        let mut members = Members::parse(body, &["name", "days", "list", "slug"]).unwrap();
        assert_eq!(members.text("name", 5), Given::Absent);
        assert_eq!(members.number("days", 1..=9), Given::Absent);
        members.list("list", 2, |text| {
            if text.is_empty() {
                Err("empty")
            } else {
                Ok(())
            }
        });
        members.missing("slug");
        let problem = members.end().unwrap_err();
        assert_eq!(problem.code(), Code::UnknownField);
        let pointers: Vec<&str> = problem
            .errors()
            .iter()
            .map(|error| &*error.pointer)
            .collect();
        assert_eq!(pointers, ["/more", "/name", "/days", "/list/1", "/slug"]);
    }

    #[test]
    fn null_resets_and_absence_keeps() {
        let mut members = Members::parse(br#"{"a":null,"b":3}"#, &["a", "b", "c"]).unwrap();
        let mut places = [1, 1, 1];
        for (name, place) in ["a", "b", "c"].into_iter().zip(&mut places) {
            members.number(name, 0..=9).merge(place, 7);
        }
        assert_eq!(places, [7, 3, 1]);
        members.end().unwrap();
    }

    #[test]
    fn no_body_is_an_object_and_anything_else_is_none() {
        Members::parse(b" ", &[]).unwrap().end().unwrap();
        assert_eq!(
            Members::parse(b"{", &[]).unwrap_err().code(),
            Code::MalformedJson
        );
        assert_eq!(
            Members::parse(b"[]", &[]).unwrap_err().code(),
            Code::InvalidField
        );
        assert_eq!(
            Members::parse(b"\xff", &[]).unwrap_err().code(),
            Code::MalformedJson
        );
    }

    #[test]
    fn a_body_nests_64_levels_deep_and_no_more() {
        let nested = |levels: usize| {
            let lists = levels - 1;
            format!(r#"{{"a":{}{}}}"#, "[".repeat(lists), "]".repeat(lists))
        };
        Members::parse(nested(64).as_bytes(), &["a"]).unwrap();
        let problem = Members::parse(nested(65).as_bytes(), &["a"]).unwrap_err();
        assert_eq!(problem.code(), Code::MalformedJson);
    }
}
