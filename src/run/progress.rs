//! How far a stage is: a bar on a terminal, else a line an interval.

#![expect(clippy::print_stderr, reason = "stderr is for people, and this is where they look")]

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Seconds between two lines, where there is no terminal.
const INTERVAL: Duration = Duration::from_secs(10);

/// Shows people how far a run is, on stderr.
#[derive(Debug)]
pub struct Progress {
    quiet: bool,
    stage: Mutex<Option<Stage>>,
    /// Of a run inside of another: whose steps these are a part of.
    whole: Option<Arc<Progress>>,
    /// How many of its steps that one knows of.
    told: AtomicU64,
}

#[derive(Debug)]
struct Stage {
    name: String,
    unit: &'static str,
    first: u64,
    done: u64,
    total: u64,
    begun: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Says nothing if `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self { quiet, stage: Mutex::new(None), whole: None, told: AtomicU64::new(0) }
    }

    /// Of a run inside of another: what it does is counted, and said, by that one.
    pub fn part_of(whole: &Arc<Self>) -> Self {
        Self { whole: Some(Arc::clone(whole)), ..Self::new(true) }
    }

    /// So many more were done before, and are not done now.
    pub fn already(&self, more: u64) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stage) = stage.as_mut() {
            stage.done += more;
            stage.first += more;
        }
    }

    /// So many more are done; `what` is said of them.
    fn more(&self, more: u64, what: impl FnOnce() -> String) {
        let done = {
            let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(stage) = stage.as_mut() else { return };
            stage.done += more;
            stage.done
        };
        self.at(done, what);
    }

    /// A line for people, above the bar.
    pub fn say(&self, line: &str) {
        if self.quiet {
            return;
        }
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        match stage.as_ref().and_then(|stage| stage.bar.as_ref()) {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// A stage begins, `done` of `total` being done already.
    pub fn begin(&self, name: &str, unit: &'static str, done: u64, total: u64) {
        if let Some(whole) = &self.whole {
            whole.already(done);
            self.told.store(done, Ordering::Relaxed);
        }
        if self.quiet {
            return;
        }
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5));
            let template = "{prefix:>9} {bar:28} {pos}/{len} {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar.set_prefix(name.to_owned());
            bar.set_position(done);
            bar
        });
        if bar.is_none() {
            let from = if done > 0 { format!(", going on at {done}") } else { String::new() };
            eprintln!("{name:>9}: {total} {unit}{from}");
        }
        let now = Instant::now();
        let name = name.to_owned();
        let stage = Stage { name, unit, first: done, done, total, begun: now, said: now, bar };
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = Some(stage);
    }

    /// `done` are done; `what` is said of them.
    pub fn at(&self, done: u64, what: impl FnOnce() -> String) {
        if let Some(whole) = &self.whole {
            let told = self.told.swap(done, Ordering::Relaxed);
            return whole.more(done.saturating_sub(told), what);
        }
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stage) = stage.as_mut() else { return };
        let is_due = stage.said.elapsed() >= INTERVAL;
        if stage.bar.is_none() && !is_due {
            return;
        }
        let elapsed = stage.begun.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
        let (made, left) =
            ((done - stage.first.min(done)) as f64, stage.total.saturating_sub(done) as f64);
        let rate = made / elapsed.max(1e-9);
        let left = if made > 0.0 { duration(left / rate) } else { "?".to_owned() };
        let text = format!("{rate:.1} {}/s, {left} left  {}", stage.unit, what());
        match &stage.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(text);
            }
            None => {
                stage.said = Instant::now();
                eprintln!("{:>9}: {done}/{}  {text}", stage.name, stage.total);
            }
        }
    }

    /// The stage is over.
    pub fn end(&self, what: &str) {
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(stage) = stage else { return };
        if let Some(bar) = &stage.bar {
            bar.finish_and_clear();
        }
        let took = duration(stage.begun.elapsed().as_secs_f64());
        eprintln!(
            "{:>9}: done in {took}{}{what}",
            stage.name,
            if what.is_empty() { "" } else { "  " }
        );
    }
}

/// Seconds as people say them: `850 ms`, `12 s`, `3 min 5 s`, `2 h 4 min`, `3 d 2 h`.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time that is shown")]
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        _ if seconds < 1.0 => format!("{:.0} ms", seconds.max(0.0) * 1e3),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86400 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86400, whole % 86400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn times_are_said_in_two_units_at_most() {
        let said = [0.85, 12.0, 185.0, 7440.0, 266_400.0].map(duration);
        assert_eq!(said, ["850 ms", "12 s", "3 min 5 s", "2 h 4 min", "3 d 2 h"]);
    }
}
