//! Small JSON bodies: read strictly, with a pointer to what is wrong.

use serde::de::DeserializeOwned;

use super::problem::{Code, Problem};

/// How deep a body may nest (API §2).
const DEPTH_MAX: usize = 64;

/// Reads a body into what the handler needs.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if domain::json::depth(body) > DEPTH_MAX {
        let detail = format!("expected at most {DEPTH_MAX} levels of nesting");
        return Err(Problem::new(Code::MalformedJson, detail));
    }
    let mut from = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let pointer = pointer_of(error.path());
        wrong(&pointer, error.inner())
    })?;
    from.end().map_err(|error| wrong("", &error))?;
    Ok(parsed)
}

fn wrong(pointer: &str, error: &serde_json::Error) -> Problem {
    if error.is_data() {
        let said = error.to_string();
        let detail = said.split(" at line ").next().unwrap_or(&said);
        let code = if detail.starts_with("unknown field") {
            Code::UnknownField
        } else {
            Code::InvalidField
        };
        return Problem::new(code, format!("`{pointer}`: {detail}")).with_error(pointer, detail);
    }
    Problem::new(
        Code::MalformedJson,
        format!("expected one JSON value: {error}"),
    )
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        pointer.push('/');
        match segment {
            Segment::Seq { index } => pointer.push_str(&index.to_string()),
            Segment::Map { key } => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => pointer.push_str(variant),
            Segment::Unknown => pointer.push('?'),
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[expect(dead_code, reason = "only its type matters")]
        limits: Vec<u32>,
    }

    #[test]
    fn a_wrong_body_says_what_is_wrong_and_where() {
        let cases = [
            (r#"{"limits":[1,"x"]}"#, Code::InvalidField, "/limits/1"),
            (r#"{"limits":[],"more":1}"#, Code::UnknownField, "/more"),
            (r"{}", Code::InvalidField, ""),
        ];
        for (body, code, pointer) in cases {
            let problem = parse::<Body>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.code(), code, "{body}");
            assert_eq!(problem.errors()[0].pointer, pointer, "{body}");
        }
        for body in ["", "{", "{} x", "nope"] {
            let problem = parse::<Body>(body.as_bytes()).unwrap_err();
            let expected = if body == "{} x" {
                Code::InvalidField
            } else {
                Code::MalformedJson
            };
            assert_eq!(problem.code(), expected, "{body}");
        }
    }
}
