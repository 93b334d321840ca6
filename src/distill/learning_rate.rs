//! The learning rate as a function of the step.

use std::f64::consts::PI;

/// Linear warm-up, then a cosine down to a minimum.
///
/// With *w* warm-up steps of *T*, and steps counted from 0:
///
/// ```text
/// lr(t) = peak · (t + 1) / w                                     for t < w
/// lr(t) = min + ½ (peak − min) (1 + cos π (t + 1 − w)/(T − w))    for w ≤ t < T
/// lr(t) = min                                                    for t ≥ T
/// ```
///
/// So step *w* − 1 has the peak, step *T* − 1 has the minimum, and no step has a rate of nought by
/// accident (Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearningRate {
    /// The highest rate.
    pub peak: f64,
    /// The rate of the last step.
    pub min: f64,
    /// *w*.
    pub warmup_steps: u64,
    /// *T*.
    pub steps: u64,
}

impl LearningRate {
    /// The rate of a step, counted from 0.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "steps are far below 2^53")]
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.peak * (step + 1) as f64 / self.warmup_steps as f64;
        }
        if step >= self.steps {
            return self.min;
        }
        let done = (step + 1 - self.warmup_steps) as f64 / (self.steps - self.warmup_steps) as f64;
        self.min + 0.5 * (self.peak - self.min) * (1.0 + (PI * done).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: LearningRate = LearningRate { peak: 1e-4, min: 1e-5, warmup_steps: 40, steps: 500 };

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "expected {expected}, found {found}");
    }

    #[test]
    fn warm_up_rises_in_equal_parts_to_the_peak() {
        near(RATE.at(0), 1e-4 / 40.0);
        near(RATE.at(19), 5e-5);
        near(RATE.at(39), 1e-4);
    }

    #[test]
    fn the_cosine_passes_the_middle_half_way_and_ends_at_the_minimum() {
        near(RATE.at(269), 5.5e-5);
        near(RATE.at(499), 1e-5);
        near(RATE.at(500), 1e-5);
        near(RATE.at(u64::MAX), 1e-5);
    }

    #[test]
    fn the_rate_never_rises_after_the_warm_up() {
        for step in 40..510 {
            assert!(RATE.at(step) <= RATE.at(step - 1), "step {step}");
        }
    }

    #[test]
    fn a_run_shorter_than_its_warm_up_only_warms_up() {
        let short = LearningRate { steps: 10, ..RATE };
        near(short.at(9), 2.5e-5);
    }

    #[test]
    fn without_warm_up_the_first_step_is_already_on_the_cosine() {
        let rate = LearningRate { peak: 1.0, min: 0.0, warmup_steps: 0, steps: 4 };
        near(rate.at(0), 0.5 * (1.0 + (PI / 4.0).cos()));
        near(rate.at(1), 0.5);
        near(rate.at(3), 0.0);
    }
}
