//! Decimal numbers with a unit, exactly: no float stands between what was written and the count.

/// `digits` (such as `1.5` or `94` or `1_000`) times `unit`, if that is a whole number that fits.
pub(super) fn scaled(digits: &str, unit: u64) -> Option<u64> {
    let number = |text: &str| -> Option<u64> {
        let plain: String = text.chars().filter(|c| *c != '_').collect();
        let all_digits = !plain.is_empty() && plain.bytes().all(|b| b.is_ascii_digit());
        if all_digits { plain.parse().ok() } else { None }
    };
    let Some((whole, fraction)) = digits.split_once('.') else {
        return number(digits)?.checked_mul(unit);
    };
    let parts = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction = u128::from(number(fraction)?) * u128::from(unit);
    if fraction % u128::from(parts) != 0 || digits.contains('_') {
        return None;
    }
    let fraction = u64::try_from(fraction / u128::from(parts)).ok()?;
    number(whole)?.checked_mul(unit)?.checked_add(fraction)
}
