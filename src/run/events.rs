//! `events.jsonl`: what happened, one JSON object a line, for people and notebooks.
//!
//! Nothing is ever read back to decide anything but the number of the incarnation, so a line that a kill tore
//! costs that line.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::error::Error;

/// The log of a run.
#[derive(Debug)]
pub struct Events {
    /// None where nothing is to be logged.
    file: Option<Mutex<File>>,
    incarnation: u64,
}

impl Events {
    /// Opens the log, and begins an incarnation: each start of a run is one, counted from 1.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read or written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(Error::io(path, "open"))?;
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.read_to_end(&mut text))
            .map_err(Error::io(path, "read"))?;
        let starts = text
            .split(|b| *b == b'\n')
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let starts =
            starts.filter(|line| line["event"] == "started" || line["event"] == "resumed").count();
        if !text.is_empty() && !text.ends_with(b"\n") {
            file.write_all(b"\n").map_err(Error::io(path, "write"))?;
        }
        let events = Self { file: Some(Mutex::new(file)), incarnation: starts as u64 + 1 };
        events.push(
            if starts == 0 { "started" } else { "resumed" },
            json!({"version": env!("CARGO_PKG_VERSION")}),
        );
        Ok(events)
    }

    /// A log that nobody reads, of a process that helps another.
    pub fn nowhere() -> Self {
        Self { file: None, incarnation: 0 }
    }

    /// How often the run was started, this time included.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Appends an event; `fields` is an object. That it cannot be written is no reason to end a run.
    pub fn push(&self, event: &str, fields: Value) {
        let Some(file) = &self.file else { return };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut line = Map::new();
        line.insert("unix_ms".into(), json!(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)));
        line.insert("incarnation".into(), json!(self.incarnation));
        line.insert("event".into(), json!(event));
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        let text = format!("{}\n", Value::Object(line));
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // One write a line: lines are whole, or torn at the end of the file.
        let _ = file.write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_is_an_incarnation_and_a_torn_line_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        assert_eq!(Events::open(&path).unwrap().incarnation(), 1);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"event\": \"resu").unwrap();
        let events = Events::open(&path).unwrap();
        assert_eq!(events.incarnation(), 2);
        events.push("sealed", json!({"stage": "prepare"}));
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Option<Value>> =
            text.lines().map(|line| serde_json::from_str(line).ok()).collect();
        let names: Vec<_> =
            lines.iter().flatten().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(names, ["started", "resumed", "sealed"]);
        assert_eq!(lines.len(), 4);
    }
}
