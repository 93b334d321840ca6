//! The windows that a candidate's costs must lie in.

use super::cost::Cost;
use crate::recipe::Search;
use crate::units;

/// One window, as numbers, under the recipe's key.
#[derive(Clone, Debug)]
struct Limit {
    key: &'static str,
    of: fn(&Cost) -> Option<f64>,
    min: f64,
    max: f64,
}

/// All windows of a recipe.
#[derive(Clone, Debug)]
pub struct Budget {
    limits: Vec<Limit>,
}

impl Budget {
    /// As a recipe says it.
    #[must_use]
    pub fn of(search: &Search) -> Self {
        macro_rules! limit {
            ($key:ident, $number:expr, $of:expr) => {
                search.$key.as_ref().map(|window| Limit {
                    key: stringify!($key),
                    of: $of,
                    min: window.min.map_or(f64::NEG_INFINITY, $number),
                    max: window.max.map_or(f64::INFINITY, $number),
                })
            };
        }
        let limits = [
            limit!(parameters, |n| units::float(n.get()), |c| Some(units::float(c.parameters))),
            limit!(non_embedding_parameters, |n| units::float(n.get()), |c| Some(units::float(
                c.non_embedding_parameters
            ))),
            limit!(weight_bytes, |n| units::float(n.get()), |c| Some(units::float(c.weight_bytes))),
            limit!(kv_cache_bytes, |n| units::float(n.get()), |c| Some(units::float(
                c.kv_cache_bytes
            ))),
            limit!(flops_per_token, |n| units::float(n.get()), |c| Some(units::float(
                c.flops_per_token
            ))),
            limit!(prefill_ms, |ms| ms, |c| c.prefill_ms),
            limit!(decode_ms, |ms| ms, |c| c.decode_ms),
        ];
        Self { limits: limits.into_iter().flatten().collect() }
    }

    /// How far a cost lies outside of all windows, as a share of their ends; 0 inside. What is not measured yet is
    /// inside.
    #[must_use]
    pub fn excess(&self, cost: &Cost) -> f64 {
        let over = |limit: &Limit| {
            let value = (limit.of)(cost)?;
            let beyond = (value - limit.max).max(0.0) / limit.max.abs().max(f64::MIN_POSITIVE);
            let short = (limit.min - value).max(0.0) / limit.min.abs().max(f64::MIN_POSITIVE);
            Some(beyond.max(short))
        };
        self.limits.iter().filter_map(over).sum()
    }

    /// What a cost is where it lies outside: `parameters 2.3M (2.1M..2.2M)`.
    #[must_use]
    pub fn violated(&self, cost: &Cost) -> Vec<String> {
        let outside = |limit: &&Limit| {
            (limit.of)(cost).is_some_and(|value| value < limit.min || value > limit.max)
        };
        let end = |value: f64| if value.is_finite() { number(value) } else { String::new() };
        let said = |limit: &Limit| {
            let value = (limit.of)(cost).unwrap_or(f64::NAN);
            format!("{} {} ({}..{})", limit.key, number(value), end(limit.min), end(limit.max))
        };
        self.limits.iter().filter(outside).map(said).collect()
    }
}

/// A number as people say it: four digits and a suffix.
fn number(value: f64) -> String {
    let (unit, suffix) = match value.abs() {
        v if v >= 1e9 => (1e9, "B"),
        v if v >= 1e6 => (1e6, "M"),
        v if v >= 1e4 => (1e3, "K"),
        _ => (1.0, ""),
    };
    format!("{}{suffix}", (value / unit * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Cost = Cost {
        parameters: 2_300_000,
        non_embedding_parameters: 2_000_000,
        weight_bytes: 4_600_000,
        kv_cache_bytes: 1 << 20,
        flops_per_token: 5_000_000,
        prefill_ms: None,
        decode_ms: None,
    };

    fn budget(text: &str) -> Budget {
        Budget::of(&toml::from_str(text).unwrap())
    }

    #[test]
    fn inside_of_every_window_there_is_no_excess() {
        let all = "parameters = \"2.3M..2.3M\"\nnon_embedding_parameters = \"..2M\"\nweight_bytes = \"1MB..\"\n\
            kv_cache_bytes = \"..1MiB\"\nflops_per_token = \"..5M\"\nprefill_ms = \"..1\"\ndecode_ms = \"..1\"";
        assert!(budget(all).excess(&COST).abs() < 1e-12);
        assert!(budget(all).violated(&COST).is_empty());
    }

    #[test]
    fn outside_the_excess_is_a_share_and_the_key_is_said() {
        let both = budget("parameters = \"..2M\"\nkv_cache_bytes = \"2MiB..\"");
        assert!((both.excess(&COST) - (0.15 + 0.5)).abs() < 1e-12);
        assert_eq!(
            both.violated(&COST),
            ["parameters 2.3M (..2M)", "kv_cache_bytes 1.049M (2.097M..)"]
        );
        let timed = budget("decode_ms = \"..4\"");
        let slow = Cost { decode_ms: Some(5.0), ..COST };
        assert!((timed.excess(&slow) - 0.25).abs() < 1e-12);
    }
}
