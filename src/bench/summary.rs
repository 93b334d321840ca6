//! What the measurements say: a table of medians with their spread, and what they would choose.

use std::fmt::Write;

use serde::Serialize;

use super::measurement::{Measurement, quantile};

/// All repetitions of one value of a knob.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What was varied.
    pub knob: String,
    /// Its value.
    pub value: String,
    /// Tokens a second of wall clock: lowest, median, highest.
    pub tokens_per_second: [f64; 3],
    /// Tokens a second of one core, the median.
    pub tokens_per_cpu_second: f64,
    /// Stored bytes a token.
    pub bytes_per_token: f64,
    /// The share of the time that the consumer waited, the median.
    pub wait_share: f64,
    /// The 99th percentile of the time to a batch, in ms, the median of the repetitions.
    pub batch_ms_p99: f64,
}

/// Sums up measurements, in the order in which their values came first.
#[must_use]
pub fn summarise(rows: &[Measurement]) -> Vec<Summary> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for row in rows {
        let name = (row.knob.as_str(), row.value.as_str());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let of = |(knob, value): (&str, &str)| {
        let of: Vec<&Measurement> =
            rows.iter().filter(|row| row.knob == knob && row.value == value).collect();
        let sorted = |f: fn(&Measurement) -> f64| {
            let mut values: Vec<f64> = of.iter().map(|row| f(row)).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let rates = sorted(Measurement::tokens_per_second);
        let median = |f| quantile(&sorted(f), 0.5);
        Summary {
            knob: knob.to_owned(),
            value: value.to_owned(),
            tokens_per_second: [0.0, 0.5, 1.0].map(|share| quantile(&rates, share)),
            tokens_per_cpu_second: median(Measurement::tokens_per_cpu_second),
            bytes_per_token: median(|row| row.bytes_per_token),
            wait_share: median(|row| row.wait_share),
            batch_ms_p99: median(|row| row.batch_ms_p99),
        }
    };
    names.into_iter().map(of).collect()
}

/// The table for people.
#[must_use]
pub fn table(summaries: &[Summary]) -> String {
    let width = |f: fn(&Summary) -> &String| {
        summaries.iter().map(|s| f(s).chars().count()).max().unwrap_or(0).max(5)
    };
    let (knob, value) = (width(|s| &s.knob), width(|s| &s.value));
    let mut text = format!(
        "{:knob$}  {:value$}  {:>9}  {:>17}  {:>9}  {:>6}  {:>6}  {:>9}\n",
        "knob", "value", "M tok/s", "lowest to highest", "a core", "B/tok", "waits", "p99 batch"
    );
    let mut last = "";
    for s in summaries {
        let [low, median, high] = s.tokens_per_second.map(|rate| rate / 1e6);
        let name = if s.knob == last { "" } else { &s.knob };
        last = &s.knob;
        let spread = format!("{low:.1} to {high:.1}");
        let bytes = if s.bytes_per_token > 0.0 {
            format!("{:.3}", s.bytes_per_token)
        } else {
            "-".to_owned()
        };
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "{name:knob$}  {:value$}  {median:>9.1}  {spread:>17}  {:>9.1}  {bytes:>6}  {:>5.1}%  {:>6.2} ms",
            s.value,
            s.tokens_per_cpu_second / 1e6,
            s.wait_share * 100.0,
            s.batch_ms_p99,
        );
    }
    text
}

/// For each knob that changes only the speed and the size, the value that would be chosen, and why. Which order and
/// packing to take is a question of the model, not of the clock.
///
/// The fastest by a core's time, unless another within a tenth of it stores fewer bytes: the disk is paid for too.
#[must_use]
pub fn choose(summaries: &[Summary]) -> Vec<(String, String, String)> {
    let mut knobs: Vec<&str> = Vec::new();
    let is_free =
        |s: &&Summary| !["peer", "floor", "shuffle", "packing", "cache"].contains(&s.knob.as_str());
    for s in summaries.iter().filter(is_free) {
        if !knobs.contains(&s.knob.as_str()) {
            knobs.push(&s.knob);
        }
    }
    let mut chosen = Vec::new();
    for knob in knobs {
        let of: Vec<&Summary> = summaries.iter().filter(|s| s.knob == knob).collect();
        let rate = |s: &Summary| s.tokens_per_cpu_second;
        let Some(fastest) = of.iter().max_by(|a, b| rate(a).total_cmp(&rate(b))) else { continue };
        let near = of.iter().filter(|s| rate(s) >= 0.9 * rate(fastest));
        let Some(best) = near.min_by(|a, b| a.bytes_per_token.total_cmp(&b.bytes_per_token)) else {
            continue;
        };
        let why = if of.len() == 1 {
            "the only one".to_owned()
        } else if best.value == fastest.value {
            format!("{:.0} M tokens/s of a core", rate(best) / 1e6)
        } else {
            format!(
                "{:.0} M tokens/s of a core at {:.2} bytes a token; {} is {:.0} % faster at {:.2}",
                rate(best) / 1e6,
                best.bytes_per_token,
                fastest.value,
                (rate(fastest) / rate(best) - 1.0) * 100.0,
                fastest.bytes_per_token
            )
        };
        chosen.push((knob.to_owned(), best.value.clone(), why));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: &str, repeat: u64, tokens: u64, bytes_per_token: f64) -> Measurement {
        Measurement {
            knob: "encoding".into(),
            value: value.into(),
            repeat,
            tokens,
            seconds: 1.0,
            cpu_seconds: 1.0,
            bytes_per_token,
            wait_share: 0.5,
            batch_ms_p50: 1.0,
            batch_ms_p99: 2.0,
            batch_ms_max: 3.0,
        }
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "they are values that were given")]
    fn the_median_stands_between_the_lowest_and_the_highest() {
        let rows =
            [row("a", 0, 3_000_000, 4.0), row("a", 1, 1_000_000, 4.0), row("a", 2, 2_000_000, 4.0)];
        let summaries = summarise(&rows);
        assert_eq!(summaries.len(), 1);
        assert_eq!(summaries[0].tokens_per_second, [1e6, 2e6, 3e6]);
        let table = table(&summaries);
        assert!(table.contains("2.0") && table.contains("1.0 to 3.0"), "{table}");
    }

    #[test]
    fn of_two_nearly_as_fast_the_smaller_is_chosen_and_of_unlike_the_faster() {
        let near = [row("plain", 0, 1_000_000, 4.0), row("split", 0, 950_000, 1.5)];
        assert_eq!(choose(&summarise(&near))[0].1, "split");
        let far = [row("plain", 0, 1_000_000, 4.0), row("split", 0, 500_000, 1.5)];
        assert_eq!(choose(&summarise(&far))[0].1, "plain");
    }
}
