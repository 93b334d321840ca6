//! Weights as exact integers.
//!
//! A weight is the decimal that a person wrote: the shortest one that reads as the same `f64`. All are multiples of one
//! power of ten, and, divided by their greatest common divisor, are integers whose sum is the pattern's period. Where
//! that is above [`MAX_PERIOD`], or the decimals are too far apart, the weights are rounded to parts of it: to the
//! nearest below, what is missing to the largest remainders, and at least 1 to each that is above 0.

/// The longest period of a pattern.
pub const MAX_PERIOD: u32 = 1 << 20;

/// Integers in the proportion of the weights, which are finite and not negative. All 0 if the weights are.
pub(super) fn integers(weights: &[f64]) -> Vec<u32> {
    exact(weights).unwrap_or_else(|| rounded(weights))
}

fn exact(weights: &[f64]) -> Option<Vec<u32>> {
    // `{:e}` writes the shortest digits that read as the same number: "2.5e-1".
    let decimals: Vec<(u64, i32)> =
        weights.iter().map(|weight| decimal(*weight)).collect::<Option<_>>()?;
    let lowest =
        decimals.iter().filter(|(digits, _)| *digits > 0).map(|(_, power)| *power).min()?;
    let scaled = |(digits, power): &(u64, i32)| match digits {
        0 => Some(0),
        _ => 10u128.checked_pow(u32::try_from(power - lowest).ok()?)?.checked_mul((*digits).into()),
    };
    let scaled: Vec<u128> = decimals.iter().map(scaled).collect::<Option<_>>()?;
    let divisor = scaled.iter().copied().fold(0, gcd);
    let sum = scaled.iter().try_fold(0u128, |sum, weight| sum.checked_add(*weight))?;
    let all = scaled.iter().map(|weight| u32::try_from(weight / divisor).ok()).collect();
    if sum / divisor <= MAX_PERIOD.into() { all } else { None }
}

/// A number as digits and the power of ten of the last.
fn decimal(weight: f64) -> Option<(u64, i32)> {
    let text = format!("{weight:e}");
    let (digits, power) = text.split_once('e')?;
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let power = power.parse::<i32>().ok()? - i32::try_from(part.len()).ok()?;
    Some((format!("{whole}{part}").parse().ok()?, power))
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn rounded(weights: &[f64]) -> Vec<u32> {
    let largest = weights.iter().copied().fold(0.0, f64::max);
    // Divided first: the sum of finite numbers may not be finite.
    let sum: f64 = weights.iter().map(|weight| weight / largest).sum();
    let parts = |weight: f64| weight / largest / sum * f64::from(MAX_PERIOD);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..=MAX_PERIOD")]
    let mut all: Vec<u32> = weights.iter().map(|weight| parts(*weight) as u32).collect();
    for (part, weight) in all.iter_mut().zip(weights) {
        *part = (*part).max(u32::from(*weight > 0.0));
    }
    let mut order: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] > 0.0).collect();
    let rest = |i: &usize| parts(weights[*i]).fract();
    order.sort_by(|a, b| rest(b).total_cmp(&rest(a)).then(a.cmp(b)));
    let given: u64 = all.iter().map(|part| u64::from(*part)).sum();
    let missing = usize::try_from(u64::from(MAX_PERIOD).saturating_sub(given)).unwrap_or(0);
    order.iter().take(missing).for_each(|i| all[*i] += 1);
    // Those that were raised to 1 may have made it too many: the largest give.
    for _ in u64::from(MAX_PERIOD)..given {
        if let Some(largest) = all.iter_mut().max() {
            *largest -= 1;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_small() {
        assert_eq!(integers(&[0.7, 0.2, 0.1]), [7, 2, 1]);
        assert_eq!(integers(&[0.5, 0.25, 0.25]), [2, 1, 1]);
        assert_eq!(integers(&[30.0, 0.0, 60.0]), [1, 0, 2]);
        assert_eq!(integers(&[1e300, 2e300]), [1, 2]);
        assert_eq!(integers(&[5e-324]), [1]);
        assert_eq!(integers(&[0.123, 0.877]), [123, 877]);
        assert_eq!(integers(&[0.0, 0.0]), [0, 0]);
    }

    #[test]
    fn others_are_rounded_to_parts_and_none_is_lost() {
        let close = integers(&[1.0 / 3.0, 2f64.sqrt() / 3.0]);
        assert_eq!(close.iter().sum::<u32>(), MAX_PERIOD);
        let far = integers(&[1e300, 1e-300, 1.0, 0.0]);
        assert_eq!(far, [MAX_PERIOD - 2, 1, 1, 0]);
        let many: Vec<f64> = (1..=1000).map(|i| f64::from(i).sqrt()).collect();
        let parts = integers(&many);
        assert_eq!(parts.iter().sum::<u32>(), MAX_PERIOD);
        let sum: f64 = many.iter().sum();
        for (part, weight) in parts.iter().zip(&many) {
            assert!((f64::from(*part) - weight / sum * f64::from(MAX_PERIOD)).abs() <= 1.0);
        }
        assert_eq!(integers(&[f64::MAX, f64::MAX, f64::MAX / 3.0]).iter().sum::<u32>(), MAX_PERIOD);
    }
}
