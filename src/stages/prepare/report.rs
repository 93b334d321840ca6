//! What is known of the text, for people: `tokens/report.{txt,json,svg}`.

use std::path::Path;

use datasets::report::CorpusReport;
use datasets::store::write_atomic;

use crate::chart::{Bar, bars};
use crate::error::Error;

/// Writes the report of a run.
///
/// # Errors
/// [`Error::Store`] or [`Error::Chart`] if it cannot be written.
pub fn write(run: &Path, report: &CorpusReport) -> Result<(), Error> {
    let dir = run.join("tokens");
    let malformed = |error: serde_json::Error| Error::Malformed {
        path: dir.join("report.json"),
        reason: error.to_string(),
    };
    let json = serde_json::to_string_pretty(report).map_err(malformed)?;
    for (name, text) in [("report.json", json + "\n"), ("report.txt", report.text())] {
        write_atomic(&dir.join(name), |file| file.write_all(text.as_bytes()))?;
    }
    let mut lengths = Vec::new();
    for (name, source) in &report.sources {
        for (power, documents) in source.length_histogram.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a length that is drawn")]
            lengths.push(Bar::new(
                format!("{name}: from {} tokens", 1u64 << power),
                *documents as f64,
            ));
        }
    }
    bars(&dir.join("report.svg"), "Lengths of documents", "documents", &lengths)?;
    Ok(())
}

/// Reads the report of a run, if it has one.
pub fn read(run: &Path) -> Option<CorpusReport> {
    serde_json::from_slice(&std::fs::read(run.join("tokens/report.json")).ok()?).ok()
}
