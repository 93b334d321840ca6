//! One measurement, and the table of many.

use std::path::Path;
use std::time::{Duration, Instant};

use datasets::table::{Column, Table, TableError};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// What was measured once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measurement {
    /// What was varied.
    pub knob: String,
    /// Its value.
    pub value: String,
    /// Which repetition, from 0.
    pub repeat: u64,
    /// Tokens that were delivered.
    pub tokens: u64,
    /// Wall clock.
    pub seconds: f64,
    /// Of all threads of the process.
    pub cpu_seconds: f64,
    /// Stored bytes a token.
    pub bytes_per_token: f64,
    /// The share of the wall clock that the consumer waited for data.
    pub wait_share: f64,
    /// Time to the next batch, in ms: the median.
    pub batch_ms_p50: f64,
    /// The 99th percentile.
    pub batch_ms_p99: f64,
    /// The longest.
    pub batch_ms_max: f64,
}

impl Measurement {
    /// Tokens a second of wall clock.
    #[must_use]
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / self.seconds.max(1e-9)
    }

    /// Tokens a second of one core.
    #[must_use]
    pub fn tokens_per_cpu_second(&self) -> f64 {
        self.tokens as f64 / self.cpu_seconds.max(1e-9)
    }
}

/// Takes the time of something that delivers batches.
#[derive(Debug)]
pub struct Watch {
    begun: Instant,
    cpu: Duration,
    last: Instant,
    batches: Vec<f64>,
}

impl Watch {
    /// Begins now.
    #[must_use]
    pub fn start() -> Self {
        let now = Instant::now();
        Self { begun: now, cpu: cpu(), last: now, batches: Vec::new() }
    }

    /// A batch is there.
    pub fn batch(&mut self) {
        let now = Instant::now();
        self.batches.push((now - self.last).as_secs_f64() * 1e3);
        self.last = now;
    }

    /// What was measured, with the rest left to the caller.
    #[must_use]
    pub fn stop(mut self, tokens: u64) -> Measurement {
        let seconds = self.begun.elapsed().as_secs_f64();
        let cpu_seconds = (cpu() - self.cpu).as_secs_f64();
        self.batches.sort_by(f64::total_cmp);
        let at = |share: f64| quantile(&self.batches, share);
        Measurement {
            knob: String::new(),
            value: String::new(),
            repeat: 0,
            tokens,
            seconds,
            cpu_seconds,
            bytes_per_token: 0.0,
            wait_share: 0.0,
            batch_ms_p50: at(0.5),
            batch_ms_p99: at(0.99),
            batch_ms_max: at(1.0),
        }
    }
}

/// CPU time of the process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The value below which `share` of the sorted values lie; 0 of none.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(index).copied().unwrap_or(0.0)
}

/// Writes measurements as a table, which a notebook reads.
///
/// # Errors
/// [`TableError`] if it cannot be written.
pub fn write(path: &Path, run: &str, rows: &[Measurement]) -> Result<(), TableError> {
    let text = |f: fn(&Measurement) -> &String| {
        Column::Text(rows.iter().map(|row| f(row).clone()).collect())
    };
    let number = |f: fn(&Measurement) -> f64| Column::F64(rows.iter().map(f).collect());
    let count = |f: fn(&Measurement) -> u64| Column::U64(rows.iter().map(f).collect());
    let table = Table::new([
        ("run", Column::Text(vec![run.to_owned(); rows.len()])),
        ("knob", text(|row| &row.knob)),
        ("value", text(|row| &row.value)),
        ("repeat", count(|row| row.repeat)),
        ("tokens", count(|row| row.tokens)),
        ("seconds", number(|row| row.seconds)),
        ("cpu_seconds", number(|row| row.cpu_seconds)),
        ("tokens_per_second", number(Measurement::tokens_per_second)),
        ("bytes_per_token", number(|row| row.bytes_per_token)),
        ("wait_share", number(|row| row.wait_share)),
        ("batch_ms_p50", number(|row| row.batch_ms_p50)),
        ("batch_ms_p99", number(|row| row.batch_ms_p99)),
        ("batch_ms_max", number(|row| row.batch_ms_max)),
    ]);
    table.write(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "they are values that were given")]
    fn quantiles_are_values_that_were_measured() {
        let sorted = [1.0, 2.0, 3.0, 4.0, 100.0];
        let found = [0.0, 0.5, 0.99, 1.0].map(|share| quantile(&sorted, share));
        assert_eq!(found, [1.0, 3.0, 100.0, 100.0]);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn a_watch_counts_the_time_of_work_and_not_of_sleep_as_cpu() {
        let mut watch = Watch::start();
        std::thread::sleep(Duration::from_millis(30));
        watch.batch();
        let slept = watch.stop(1000);
        assert!(slept.seconds >= 0.03 && slept.batch_ms_max >= 30.0, "{slept:?}");
        let begun = Instant::now();
        let watch = Watch::start();
        let mut x = 1u64;
        while begun.elapsed().as_millis() < 30 {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(watch.stop(1).cpu_seconds > 0.005);
    }
}
