//! One recipe's keys over another's.

use toml::{Table, Value};

/// Keys of one table of which a recipe has one: naming the first takes the others away from the base.
const RIVALS: [(&str, &[&str]); 6] = [
    ("model", &["config"]),
    ("config", &["model"]),
    ("path", &["generate", "num_stories"]),
    ("generate", &["path"]),
    ("steps", &["tokens"]),
    ("tokens", &["steps"]),
];

/// `over`'s keys over `base`'s, table by table.
///
/// Where keys exclude one another the newer one stays: a `path` takes the base's generator away, and a
/// teacher that is named takes the base's `[pretrain]` away.
pub(super) fn merge(mut base: Table, over: Table) -> Table {
    let names_teacher = over
        .get("teacher")
        .and_then(Value::as_table)
        .is_some_and(|t| t.contains_key("model") || t.contains_key("config"));
    if names_teacher && !over.contains_key("pretrain") {
        base.remove("pretrain");
    }
    merge_tables(&mut base, over, 0);
    base
}

fn merge_tables(base: &mut Table, over: Table, depth: usize) {
    // At the top `tokens` is a table and rivals nothing.
    if depth > 0 {
        for (key, rivals) in RIVALS {
            if over.contains_key(key) {
                let gone = |name: &str| rivals.contains(&name) && !over.contains_key(name);
                base.retain(|name, _| !gone(name));
            }
        }
    }
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => {
                merge_tables(below, above, depth + 1)
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(base: &str, over: &str) -> String {
        toml::to_string(&merge(base.parse().unwrap(), over.parse().unwrap())).unwrap()
    }

    #[test]
    fn tables_are_merged_key_by_key() {
        let text = merged("seed = 1\n[a]\nx = 1\ny = 2\n", "[a]\ny = 3\nz = 4\n[b]\nw = 5\n");
        assert_eq!(text, "seed = 1\n\n[a]\nx = 1\ny = 3\nz = 4\n\n[b]\nw = 5\n");
    }

    #[test]
    fn a_list_is_replaced_and_not_continued() {
        assert_eq!(
            merged("[prune]\ndrop_layers = [1, 2]\n", "[prune]\ndrop_layers = [3]\n"),
            "[prune]\ndrop_layers = [3]\n"
        );
    }

    #[test]
    fn the_newer_of_two_keys_that_exclude_one_another_stays() {
        assert_eq!(
            merged(
                "[data.a]\ngenerate = \"stories\"\nnum_stories = 9\n",
                "[data.a]\npath = \"x\"\n"
            ),
            "[data.a]\npath = \"x\"\n"
        );
        assert_eq!(
            merged("[distil]\nsteps = 9\n", "[distil]\ntokens = \"1M\"\n"),
            "[distil]\ntokens = \"1M\"\n"
        );
        assert_eq!(
            merged("[pretrain]\nsteps = 9\n", "[teacher]\nmodel = \"x\"\n"),
            "[teacher]\nmodel = \"x\"\n"
        );
    }

    #[test]
    fn two_keys_that_exclude_one_another_in_one_recipe_stay_both_to_be_refused() {
        let both = "[distil]\nsteps = 1\ntokens = \"1M\"\n";
        assert_eq!(merged("[distil]\nsteps = 9\n", both), both);
    }
}
