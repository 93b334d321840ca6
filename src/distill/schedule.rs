//! The learning rate, a pure function of the step.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// Linear warm-up, then half a cosine down to the floor.
///
/// With `w` warm-up steps of `n`: `lr(t) = peak (t + 1) / w` for `t < w`, then
/// `floor + (peak − floor) (1 + cos(π (t − w) / (n − w))) / 2`, so the last step is just above the floor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The highest rate.
    pub peak: f64,
    /// The rate at the end.
    pub floor: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// All steps.
    pub steps: u64,
}

impl Schedule {
    /// The rate of step `step`, from zero.
    #[must_use]
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let length = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let progress = ((step - self.warmup) as f64 / length).min(1.0);
        self.floor + (self.peak - self.floor) * 0.5 * (1.0 + (PI * progress).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_to_the_peak_then_falls_to_the_floor() {
        let schedule = Schedule { peak: 1.0, floor: 0.1, warmup: 4, steps: 104 };
        let rate = |step| (schedule.rate(step) * 1e6).round() / 1e6;
        assert_eq!([rate(0), rate(1), rate(3), rate(4), rate(54), rate(104)], [0.25, 0.5, 1.0, 1.0, 0.55, 0.1]);
        let falling = (4..104).all(|step| schedule.rate(step + 1) < schedule.rate(step));
        assert!(falling);
    }
}
