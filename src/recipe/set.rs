//! `--set key=value`.

use toml::{Table, Value};

use super::explain::explain;
use super::merge::merge;
use super::{Recipe, RecipeError};

/// The recipe with one key set.
///
/// The value is TOML, or else a string; it is a string as well where a string is what the key holds, so
/// that `--set data.corpus.path=2024` needs no quotes.
pub(super) fn apply(table: &Table, assignment: &str) -> Result<Table, RecipeError> {
    let fail = |message: String, advice| RecipeError::Set {
        assignment: assignment.into(),
        message,
        advice,
    };
    let form = || {
        fail("expected `key=value`".into(), Some("for instance `--set distil.steps=100`".into()))
    };
    let (key, value) = assignment.split_once('=').ok_or_else(form)?;
    let (key, value) = (key.trim(), value.trim());
    let path = path(key).ok_or_else(form)?;
    if path == ["extends"] {
        return Err(fail("a recipe says itself what it extends".into(), None));
    }
    let parsed = value.parse::<Value>().ok();
    let text = Value::String(value.into());
    let mut first = None;
    for value in [parsed, Some(text)].into_iter().flatten() {
        let over = nested(&path, value);
        let merged = merge(table.clone(), over);
        match typed(&merged) {
            Ok(()) => return Ok(merged),
            Err(message) => {
                first.get_or_insert(message);
            }
        }
    }
    let explained = explain(&first.unwrap_or_default());
    Err(fail(explained.message, explained.advice))
}

/// Whether the table has the keys and types of a recipe; if not, what serde says.
fn typed(table: &Table) -> Result<(), String> {
    table.clone().try_into::<Recipe>().map(drop).map_err(|error| error.message().into())
}

/// The parts of a dotted key, quotes as in TOML.
fn path(key: &str) -> Option<Vec<String>> {
    if key.contains(['\n', '#']) {
        return None;
    }
    let mut table: Table = format!("{key} = 0").parse().ok()?;
    let mut parts = Vec::new();
    loop {
        let (name, value) = table.into_iter().next()?;
        parts.push(name);
        match value {
            Value::Table(below) => table = below,
            _ => return Some(parts),
        }
    }
}

fn nested(path: &[String], value: Value) -> Table {
    let mut value = value;
    for name in path.iter().skip(1).rev() {
        value = Value::Table(Table::from_iter([(name.clone(), value)]));
    }
    path.first().map(|name| Table::from_iter([(name.clone(), value)])).unwrap_or_default()
}
