//! What differs between two recipes, key by key.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::Recipe;

impl Recipe {
    /// One line a key that differs, `distil.learning_rate: 0.0001 → 0.001`, in the order of the keys.
    #[must_use]
    pub fn diff(&self, other: &Self) -> Vec<String> {
        let (before, after) = (keys(self), keys(other));
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let show =
            |value: Option<&Value>| value.map_or_else(|| "(absent)".into(), ToString::to_string);
        names
            .into_iter()
            .filter(|name| before.get(*name) != after.get(*name))
            .map(|name| format!("{name}: {} → {}", show(before.get(name)), show(after.get(name))))
            .collect()
    }
}

/// Every value of a recipe by its dotted key.
fn keys(recipe: &Recipe) -> Table {
    let mut flat = Table::new();
    flatten("", recipe.to_toml().parse().unwrap_or_default(), &mut flat);
    flat
}

fn flatten(prefix: &str, table: Table, into: &mut Table) {
    for (name, value) in table {
        match value {
            Value::Table(below) => flatten(&format!("{prefix}{name}."), below, into),
            value => {
                into.insert(format!("{prefix}{name}"), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "[data.corpus]\npath = \"a\"\n[distil]\nsteps = 5\n";

    #[test]
    fn a_recipe_does_not_differ_from_itself() {
        let recipe = Recipe::resolve(BASE, &[]).unwrap();
        assert_eq!(recipe.diff(&recipe), [""; 0]);
    }

    #[test]
    fn every_key_that_differs_has_a_line() {
        let before = Recipe::resolve(BASE, &[]).unwrap();
        let sets =
            ["distil.learning_rate=1e-3", "distil.tokens=1M", "prune.hidden_size=75%", "seed=2"];
        let after = Recipe::resolve(BASE, &sets.map(String::from)).unwrap();
        let lines = before.diff(&after);
        for line in [
            "distil.learning_rate: 0.0001 → 0.001",
            "distil.steps: 5 → (absent)",
            "distil.tokens: (absent) → \"1M\"",
            "prune.hidden_size: (absent) → \"75%\"",
            "seed: 1 → 2",
        ] {
            assert!(lines.iter().any(|l| l == line), "{line} is not in {lines:#?}");
        }
        // The rest is the defaults of the new table.
        assert!(lines.iter().filter(|l| !l.starts_with("prune.")).count() == 4, "{lines:#?}");
    }
}
