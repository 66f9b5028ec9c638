//! Draws the page from the document: every operation by its tag, with what it takes and what it answers.
//!
//! Every text of the document is escaped, so nothing in it can become markup.

use std::fmt::{self, Write};

use serde_json::{Map, Value};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
/// How deep members within members are drawn.
const DEPTH_MAX: usize = 3;

/// The document, while a page is drawn from it.
struct Drawing<'a> {
    document: &'a Value,
    html: String,
}

/// A text that becomes no markup.
struct Escaped<'a>(&'a str);

/// Draws the whole page.
pub(super) fn page(document: &Value) -> String {
    let mut drawing = Drawing {
        document,
        html: String::new(),
    };
    // Writing into a string does not fail.
    match drawing.page() {
        Ok(()) | Err(fmt::Error) => drawing.html,
    }
}

impl Drawing<'_> {
    fn page(&mut self) -> fmt::Result {
        let info = &self.document["info"];
        let title = format!("{} API {}", text(&info["title"]), text(&info["version"]));
        write!(
            self.html,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{0}</title>\
             <link rel=\"stylesheet\" href=\"/docs/docs.css\"></head><body><header><h1>{0}</h1><p>{1}</p>\
             <p>The same for machines: <a href=\"/openapi.json\">openapi.json</a></p></header><div id=\"columns\">",
            Escaped(&title),
            Escaped(text(&info["description"])),
        )?;
        self.contents()?;
        self.html.push_str("<main>");
        for tag in list(&self.document["tags"]) {
            let (name, about) = (text(&tag["name"]), text(&tag["description"]));
            write!(
                self.html,
                "<section><h2>{}</h2><p>{}</p>",
                Escaped(name),
                Escaped(about)
            )?;
            for (path, method, operation) in operations(self.document, name) {
                self.operation(path, method, operation)?;
            }
            self.html.push_str("</section>");
        }
        self.schemas()?;
        self.html.push_str("</main></div></body></html>\n");
        Ok(())
    }

    fn contents(&mut self) -> fmt::Result {
        self.html.push_str("<nav aria-label=\"Contents\">");
        for tag in list(&self.document["tags"]) {
            let name = text(&tag["name"]);
            write!(self.html, "<h2>{}</h2><ul>", Escaped(name))?;
            for (path, method, operation) in operations(self.document, name) {
                write!(
                    self.html,
                    "<li><a href=\"#{}\">{} {}</a></li>",
                    Escaped(text(&operation["operationId"])),
                    method.to_uppercase(),
                    Escaped(path)
                )?;
            }
            self.html.push_str("</ul>");
        }
        self.html.push_str("</nav>");
        Ok(())
    }

    fn operation(&mut self, path: &str, method: &str, operation: &Value) -> fmt::Result {
        write!(
            self.html,
            "<article id=\"{}\"><h3><span class=\"method\">{method}</span> <code>{}</code></h3><p>{}</p>",
            Escaped(text(&operation["operationId"])),
            Escaped(path),
            Escaped(text(&operation["summary"]))
        )?;
        if let Some(about) = operation["description"].as_str() {
            write!(self.html, "<p>{}</p>", Escaped(about))?;
        }
        if let Some(permission) = operation["x-permission"].as_str() {
            write!(
                self.html,
                "<p>Permission: <code>{}</code></p>",
                Escaped(permission)
            )?;
        }
        self.parameters(operation)?;
        self.body(operation)?;
        self.answers(operation)?;
        self.html.push_str("</article>");
        Ok(())
    }

    fn parameters(&mut self, operation: &Value) -> fmt::Result {
        let parameters = list(&operation["parameters"]);
        if parameters.is_empty() {
            return Ok(());
        }
        self.html.push_str("<h4>Parameters</h4><table>");
        for parameter in parameters {
            let parameter = self.resolve(parameter);
            let schema = &parameter["schema"];
            let about = [
                text(&parameter["description"]),
                &limits(self.resolve(schema)),
            ]
            .join(" ");
            let what = format!("{}: {}", text(&parameter["in"]), kind(schema));
            let is_required = parameter["required"] == true;
            self.row(text(&parameter["name"]), is_required, &what, &about)?;
        }
        self.html.push_str("</table>");
        Ok(())
    }

    fn body(&mut self, operation: &Value) -> fmt::Result {
        let body = &operation["requestBody"];
        for (media_type, media) in members(&body["content"]) {
            let optional = if body["required"] == true {
                ""
            } else {
                " (optional)"
            };
            write!(
                self.html,
                "<h4>Body: {}{optional}</h4>",
                Escaped(media_type)
            )?;
            self.shape(&media["schema"])?;
            if let Some(example) = media.get("example") {
                let example = serde_json::to_string_pretty(example).unwrap_or_default();
                write!(self.html, "<pre>{}</pre>", Escaped(&example))?;
            }
        }
        Ok(())
    }

    fn answers(&mut self, operation: &Value) -> fmt::Result {
        self.html.push_str("<h4>Answers</h4><table>");
        for (status, answer) in members(&operation["responses"]) {
            let answer = self.resolve(answer);
            let what = members(&answer["content"])
                .map(|(media_type, media)| match status.starts_with('2') {
                    true => format!("{media_type}: {}", kind(&media["schema"])),
                    false => media_type.clone(),
                })
                .collect::<Vec<_>>()
                .join(", ");
            self.row(status, false, &what, text(&answer["description"]))?;
        }
        self.html.push_str("</table>");
        Ok(())
    }

    /// The shapes that operations refer to, each with its members.
    fn schemas(&mut self) -> fmt::Result {
        self.html.push_str("<section><h2>Shapes</h2>");
        for (name, schema) in members(&self.document["components"]["schemas"]) {
            write!(
                self.html,
                "<article id=\"shape-{0}\"><h3><code>{0}</code></h3><p>{1}</p>",
                Escaped(name),
                Escaped(text(&schema["description"]))
            )?;
            self.shape(schema)?;
            self.html.push_str("</article>");
        }
        self.html.push_str("</section>");
        Ok(())
    }

    /// What a schema takes: a table of its members, or a few words.
    fn shape(&mut self, schema: &Value) -> fmt::Result {
        if schema.get("$ref").is_some() || schema.get("properties").is_none() {
            let about = [kind(schema), limits(schema)].join(" ");
            return write!(self.html, "<p>{}</p>", linked(&about, schema));
        }
        self.html.push_str("<table>");
        self.rows("", schema, 0)?;
        self.html.push_str("</table>");
        Ok(())
    }

    fn rows(&mut self, prefix: &str, schema: &Value, depth: usize) -> fmt::Result {
        let required = list(&schema["required"]);
        for (name, member) in members(&schema["properties"]) {
            let is_required = required.iter().any(|one| one == name);
            let target = self.resolve(member);
            let described = member.get("description").unwrap_or(&target["description"]);
            let about = [text(described), &limits(member)].join(" ");
            let name = format!("{prefix}{name}");
            self.row(&name, is_required, &kind(member), &about)?;
            let inner = member.get("items").unwrap_or(member);
            if depth < DEPTH_MAX && inner.get("properties").is_some() {
                self.rows(&format!("{name}."), inner, depth + 1)?;
            }
        }
        Ok(())
    }

    fn row(&mut self, name: &str, is_required: bool, what: &str, about: &str) -> fmt::Result {
        let star = if is_required { " *" } else { "" };
        write!(
            self.html,
            "<tr><th scope=\"row\"><code>{}</code>{star}</th><td>{}</td><td>{}</td></tr>",
            Escaped(name),
            Escaped(what),
            Escaped(about.trim())
        )
    }
}

impl<'a> Drawing<'a> {
    /// Follows a reference within the document.
    fn resolve<'b>(&self, value: &'b Value) -> &'b Value
    where
        'a: 'b,
    {
        let target = value["$ref"]
            .as_str()
            .and_then(|reference| reference.strip_prefix('#'));
        target
            .and_then(|pointer| self.document.pointer(pointer))
            .unwrap_or(value)
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(['<', '>', '&', '"', '\'']) {
            let plain = part.trim_end_matches(['<', '>', '&', '"', '\'']);
            f.write_str(plain)?;
            for c in part[plain.len()..].chars() {
                write!(f, "&#{};", u32::from(c))?;
            }
        }
        Ok(())
    }
}

fn operations<'a>(document: &'a Value, tag: &str) -> Vec<(&'a str, &'static str, &'a Value)> {
    let mut found = Vec::new();
    for (path, item) in members(&document["paths"]) {
        for method in METHODS {
            let operation = &item[method];
            if list(&operation["tags"]).iter().any(|one| one == tag) {
                found.push((path.as_str(), method, operation));
            }
        }
    }
    found
}

/// Says in a few words what a schema takes.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    let either = |options: &Value, between: &str| {
        list(options)
            .iter()
            .map(kind)
            .collect::<Vec<_>>()
            .join(between)
    };
    let words = |values: &Value| {
        list(values)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" | ")
    };
    if schema.get("enum").is_some() {
        return words(&schema["enum"]);
    }
    if schema.get("oneOf").is_some() {
        return either(&schema["oneOf"], " | ");
    }
    if schema.get("allOf").is_some() {
        return either(&schema["allOf"], " & ");
    }
    let types = match &schema["type"] {
        Value::String(one) if one == "array" => {
            return format!("list of {}", kind(&schema["items"]));
        }
        Value::String(one) => one.clone(),
        Value::Array(many) => many.iter().map(text).collect::<Vec<_>>().join(" | "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "anything".to_owned(),
    };
    match schema["format"].as_str() {
        Some(format) => format!("{types} ({format})"),
        None => types,
    }
}

/// The limits that a schema sets.
fn limits(schema: &Value) -> String {
    let mut words = Vec::new();
    for (low, high, unit) in [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
    ] {
        match (schema.get(low), schema.get(high)) {
            (Some(low), Some(high)) => words.push(format!("{low} to {high}{unit}.")),
            (None, Some(high)) => words.push(format!("At most {high}{unit}.")),
            (Some(low), None) => words.push(format!("At least {low}{unit}.")),
            (None, None) => {}
        }
    }
    if let Some(default) = schema.get("default") {
        words.push(format!("Default {default}."));
    }
    words.join(" ")
}

/// The words for a schema, which lead to its shape if it has a name.
fn linked(words: &str, schema: &Value) -> String {
    match schema["$ref"]
        .as_str()
        .and_then(|reference| reference.rsplit('/').next())
    {
        Some(name) => format!("<a href=\"#shape-{0}\">{0}</a>", Escaped(name)),
        None => Escaped(words).to_string(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_in_a_document_becomes_markup() {
        let document = json!({"info": {"title": "<b>\"&'x", "version": ""}});
        let html = page(&document);
        assert!(html.contains("&#60;b&#62;&#34;&#38;&#39;x"), "{html}");
    }

    #[test]
    fn a_schema_is_said_in_a_few_words() {
        for (schema, words) in [
            (json!({"$ref": "#/components/schemas/Key"}), "Key"),
            (
                json!({"type": "array", "items": {"type": "string"}}),
                "list of string",
            ),
            (
                json!({"type": ["string", "null"], "format": "date-time"}),
                "string | null (date-time)",
            ),
            (json!({"enum": ["a", "b"]}), "\"a\" | \"b\""),
            (json!({}), "anything"),
        ] {
            assert_eq!(kind(&schema), words);
        }
        assert_eq!(
            limits(&json!({"minimum": 1, "maximum": 5, "default": 2})),
            "1 to 5. Default 2."
        );
    }
}
