//! The text in a line of JSON.

use serde_json::{Map, Value};

/// What is wrong with a line.
pub(super) enum Fault {
    /// It is no JSON object.
    Json(serde_json::Error),
    /// It lacks the field.
    Missing,
    /// The field holds something else.
    Kind(&'static str),
}

/// The string in a field of a JSON object.
pub(super) fn field(line: &[u8], field: &str) -> Result<String, Fault> {
    let mut object: Map<String, Value> = serde_json::from_slice(line).map_err(Fault::Json)?;
    Err(match object.remove(field) {
        Some(Value::String(text)) => return Ok(text),
        None => Fault::Missing,
        Some(Value::Null) => Fault::Kind("null"),
        Some(Value::Bool(_)) => Fault::Kind("a boolean"),
        Some(Value::Number(_)) => Fault::Kind("a number"),
        Some(Value::Array(_)) => Fault::Kind("an array"),
        Some(Value::Object(_)) => Fault::Kind("an object"),
    })
}
