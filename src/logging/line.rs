//! How an event of `tracing` looks as a line: one JSON object, or text for people.
//!
//! Fields that begin with `otel.` are for the exporter of spans and not shown. Written by hand instead of through a
//! tree of values, because each request logs one.

use std::{cell::RefCell, fmt, sync::Arc};

use domain::clock::Clock;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::{REQUEST_TARGET, is_moot, queue::Queue};

/// The name under which `tracing` hands on the sentence of an event.
const MESSAGE: &str = "message";
/// What a field's name begins with if it is not shown.
const HIDDEN: &str = "otel.";

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Makes lines of events and queues them.
#[derive(Debug)]
pub(super) struct LineLayer {
    pub(super) queue: Arc<Queue>,
    pub(super) clock: Clock,
    pub(super) form: Form,
    /// The node's name; empty if it has none.
    pub(super) instance: Box<str>,
    pub(super) shows_requests: bool,
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl<S: Subscriber> Layer<S> for LineLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let target = event.metadata().target();
        if is_moot(target) || (!self.shows_requests && target == REQUEST_TARGET) {
            return;
        }
        LINE.with(|line| {
            // A field that logs while it is shown finds the buffer taken; its own line is lost, not the program.
            if let Ok(mut line) = line.try_borrow_mut() {
                line.clear();
                self.write(event, &mut line);
                self.queue.push(&line);
            }
        });
    }
}

impl LineLayer {
    pub(super) fn write(&self, event: &Event<'_>, line: &mut String) {
        let time = self.clock.now().to_rfc3339();
        let time = std::str::from_utf8(&time).unwrap_or_default();
        let level = event.metadata().level().as_str();
        let target = event.metadata().target();
        match self.form {
            Form::Json => {
                line.push_str("{\"timestamp\":\"");
                line.push_str(time);
                line.push_str("\",\"level\":\"");
                line.push_str(level);
                line.push_str("\",\"target\":");
                push_json(line, target);
                event.record(&mut JsonFields(line));
                if !self.instance.is_empty() {
                    line.push_str(",\"instance\":");
                    push_json(line, &self.instance);
                }
                line.push_str("}\n");
            }
            Form::Text => {
                line.push_str(time);
                put(line, format_args!(" {level:>5} {target}:"));
                event.record(&mut TextFields(line));
                line.push('\n');
            }
        }
    }
}

/// Writes fields as members of a JSON object.
struct JsonFields<'a>(&'a mut String);

impl JsonFields<'_> {
    fn name(&mut self, field: &Field) -> bool {
        let is_shown = !field.name().starts_with(HIDDEN);
        if is_shown {
            // Names stand in the code: there is nothing in them to escape.
            self.0.push_str(",\"");
            self.0.push_str(field.name());
            self.0.push_str("\":");
        }
        is_shown
    }

    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.name(field) {
            put(self.0, value);
        }
    }
}

impl Visit for JsonFields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.put(field, format_args!("{}", rounded(value)));
        } else {
            self.put(field, format_args!("null"));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.name(field) {
            push_json(self.0, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.name(field) {
            self.0.push('"');
            put(&mut Escaped(self.0), format_args!("{value:?}"));
            self.0.push('"');
        }
    }
}

/// Writes the sentence, and after it fields as `name=value`.
struct TextFields<'a>(&'a mut String);

impl Visit for TextFields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record_debug(field, &rounded(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let is_plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
        if is_plain {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            MESSAGE => {
                self.0.push(' ');
                // A line break from outside must not look like a line of ours.
                put(&mut OneLine(self.0), format_args!("{value:?}"));
            }
            name if name.starts_with(HIDDEN) => {}
            name => put(self.0, format_args!(" {name}={value:?}")),
        }
    }
}

/// Escapes what is written as the inside of a JSON text.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Nearly every text is plain, and this looks at many bytes at once.
        if !text
            .bytes()
            .fold(false, |found, byte| found | is_special(byte))
        {
            self.0.push_str(text);
            return Ok(());
        }
        let mut plain_from = 0;
        for (place, byte) in text.bytes().enumerate() {
            if !is_special(byte) {
                continue;
            }
            self.0.push_str(&text[plain_from..place]);
            plain_from = place + 1;
            match byte {
                b'"' => self.0.push_str("\\\""),
                b'\\' => self.0.push_str("\\\\"),
                b'\n' => self.0.push_str("\\n"),
                b'\r' => self.0.push_str("\\r"),
                b'\t' => self.0.push_str("\\t"),
                other => fmt::Write::write_fmt(self.0, format_args!("\\u{other:04x}"))?,
            }
        }
        self.0.push_str(&text[plain_from..]);
        Ok(())
    }
}

/// Whether a byte may not stand in a JSON text as it is.
fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Escapes what would end a line or move a terminal's cursor.
struct OneLine<'a>(&'a mut String);

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if character.is_control() {
                self.0.extend(character.escape_default());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}

fn push_json(line: &mut String, text: &str) {
    line.push('"');
    // A text takes everything.
    fmt::Write::write_str(&mut Escaped(line), text).ok();
    line.push('"');
}

fn put(to: &mut impl fmt::Write, what: fmt::Arguments<'_>) {
    // A text takes everything; only a value's own `Display` can fail, and then the rest of the line still counts.
    to.write_fmt(what).ok();
}

/// To microseconds, when it is milliseconds: more digits would say nothing.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
