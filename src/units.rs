//! Numbers as people read them.

/// An integer as a float; exact below 2⁵³.
#[expect(clippy::cast_precision_loss, reason = "what is shown has three digits")]
pub(crate) fn float(n: u64) -> f64 {
    n as f64
}

/// `4,512,746,496`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits and a power of a thousand.
fn scaled(mut n: f64, prefixes: &[&str]) -> String {
    let mut prefix = 0;
    while n >= 999.5 && prefix + 1 < prefixes.len() {
        n /= 1000.0;
        prefix += 1;
    }
    let decimals = if prefix == 0 || n >= 99.95 {
        0
    } else if n >= 9.995 {
        1
    } else {
        2
    };
    format!("{n:.decimals$} {}", prefixes[prefix])
}

/// `9.03 GB`; powers of a thousand.
pub(crate) fn bytes(n: u64) -> String {
    scaled(float(n), &["B", "KB", "MB", "GB", "TB", "PB"])
}

/// `4.05 ZFLOP`.
pub(crate) fn flops(n: f64) -> String {
    scaled(n, &["FLOP", "KFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP", "ZFLOP", "YFLOP"])
}

/// `94.0 B`.
pub(crate) fn count(n: u64) -> String {
    scaled(float(n), &["", "K", "M", "B", "T"]).trim_end().into()
}

/// The two largest units: `117 d 5 h`, `3 min 20 s`, `0.4 s`.
pub(crate) fn duration(seconds: f64) -> String {
    const YEAR: f64 = 365.0 * 86_400.0;
    if !seconds.is_finite() {
        return "for ever".into();
    }
    if seconds < 59.5 {
        return format!("{seconds:.1} s");
    }
    for (unit, name, below, below_name) in [
        (YEAR, "y", 86_400.0, "d"),
        (86_400.0, "d", 3_600.0, "h"),
        (3_600.0, "h", 60.0, "min"),
        (60.0, "min", 1.0, "s"),
    ] {
        let whole = (seconds / below).round() * below;
        if whole >= unit {
            let first = (whole / unit).floor();
            return format!("{first:.0} {name} {:.0} {below_name}", (whole - first * unit) / below);
        }
    }
    format!("{seconds:.0} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated_from_the_right() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (4_512_746_496, "4,512,746,496")]
        {
            assert_eq!(thousands(n), text);
        }
    }

    #[test]
    fn three_digits_are_shown_whatever_the_size() {
        for (n, text) in [
            (7, "7 B"),
            (999, "999 B"),
            (1000, "1.00 KB"),
            (9_025_492_992, "9.03 GB"),
            (99_960, "100 KB"),
            (999_600, "1.00 MB"),
            (u64::MAX, "18447 PB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        assert_eq!(flops(4.05e21), "4.05 ZFLOP");
        assert_eq!(count(94_000_000_000), "94.0 B");
        assert_eq!(count(12), "12");
    }

    #[test]
    fn durations_carry_into_the_larger_unit() {
        for (seconds, text) in [
            (0.44, "0.4 s"),
            (59.6, "1 min 0 s"),
            (200.0, "3 min 20 s"),
            (3_599.7, "1 h 0 min"),
            (86_399.0, "1 d 0 h"),
            (10_130_000.0, "117 d 6 h"),
            (400.0 * 86_400.0, "1 y 35 d"),
            (f64::INFINITY, "for ever"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
