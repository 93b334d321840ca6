//! A report in tables: names to the left, numbers to the right.

use super::{CorpusReport, SourceReport};

const HEAD: [&str; 12] = [
    "source",
    "documents",
    "kept",
    "exact dup",
    "near dup",
    "empty",
    "too long",
    "tokens",
    "share",
    "bytes/token",
    "mean length",
    "held out",
];

/// A row a source, and one of all if there are several.
pub(super) fn sources(report: &CorpusReport) -> String {
    let total = report.total();
    let row = |name: &str, source: &SourceReport| {
        let counts = [
            source.documents,
            source.kept,
            source.exact_duplicates,
            source.near_duplicates,
            source.empty,
            source.too_long,
            source.tokens,
        ];
        let share = percent(source.tokens, total.tokens);
        let number = |value: Option<f64>, digits| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let mut cells = vec![name.to_owned()];
        cells.extend(counts.map(grouped));
        cells.push(share);
        cells.push(number(source.bytes_per_token(), 2));
        cells.push(number(source.mean_length(), 1));
        cells.push(percent(source.held_out_tokens, source.tokens));
        cells
    };
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    rows.extend(report.sources.iter().map(|(name, source)| row(name, source)));
    if report.sources.len() != 1 {
        rows.push(row("all", &total));
    }
    aligned(&rows)
}

/// A row for each length that some document has.
pub(super) fn lengths(report: &CorpusReport) -> String {
    let total = report.total();
    let mut rows = vec![["tokens in a document", "documents", "share"].map(str::to_owned).to_vec()];
    let first = total.length_histogram.iter().position(|count| *count > 0).unwrap_or(0);
    for (bits, count) in total.length_histogram.iter().enumerate().skip(first) {
        let range = match bits {
            0 => "0".to_owned(),
            1 => "1".to_owned(),
            _ => {
                let low = 1u64 << (bits - 1);
                format!("{} to {}", grouped(low), grouped(low - 1 + low))
            }
        };
        rows.push(vec![range, grouped(*count), percent(*count, total.kept)]);
    }
    aligned(&rows)
}

fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        _ => format!("{:.1} %", 100.0 * part as f64 / whole as f64),
    }
}

/// Digits in threes.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(n, (cell, width))| match n {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}
