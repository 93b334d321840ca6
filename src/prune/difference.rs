//! How two plans of one model differ, in lines for people.

use std::collections::BTreeSet;

use super::plan::{LayerPlan, PrunePlan};

impl PrunePlan {
    /// One line for each thing that `other` keeps otherwise; none if they make the same student. The order of a list
    /// is not a difference.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = vec![];
        let mut say = |what: String, mine: String, theirs: String| {
            if mine != theirs {
                lines.push(format!("{what}: {mine} → {theirs}"));
            }
        };
        let digest = |digest: &Option<String>| digest.as_deref().unwrap_or("(none)").to_owned();
        say("teacher".into(), digest(&self.teacher), digest(&other.teacher));
        say("scores".into(), digest(&self.scores), digest(&other.scores));
        let sign = |plan: &Self| plan.head_add_back.name().to_owned();
        say("head_add_back".into(), sign(self), sign(other));
        say("norm_gain".into(), format!("{:?}", self.norm_gain), format!("{:?}", other.norm_gain));
        lines.extend(lists("hidden", &self.hidden, &other.hidden));
        let layers = |plan: &Self| plan.layers.iter().map(|l| l.source).collect::<Vec<_>>();
        lines.extend(lists("layers", &layers(self), &layers(other)));
        for mine in &self.layers {
            let Some(theirs) = other.layers.iter().find(|l| l.source == mine.source) else {
                continue;
            };
            lines.extend(of_layer(mine, theirs));
        }
        lines
    }
}

fn of_layer(mine: &LayerPlan, theirs: &LayerPlan) -> Vec<String> {
    let name = |key: &str| format!("layer {}, {key}", mine.source);
    let mut lines = vec![];
    lines.extend(lists(&name("heads"), &mine.heads, &theirs.heads));
    lines.extend(lists(&name("neurons"), &mine.neurons, &theirs.neurons));
    for (key, mine, theirs) in [
        ("kv_groups", format!("{:?}", mine.kv_groups), format!("{:?}", theirs.kv_groups)),
        ("add_back", format!("{:?}", mine.add_back), format!("{:?}", theirs.add_back)),
        ("norm_gains", format!("{:?}", mine.norm_gains), format!("{:?}", theirs.norm_gains)),
    ] {
        if mine != theirs {
            lines.push(format!("{}: {mine} → {theirs}", name(key)));
        }
    }
    lines
}

/// `hidden: 2 of 96 differ: −3 −17 +4 +90`; the first of many.
fn lists(what: &str, mine: &[usize], theirs: &[usize]) -> Option<String> {
    const SHOWN: usize = 8;
    let sets = [mine, theirs].map(|list| list.iter().copied().collect::<BTreeSet<_>>());
    let some = |sign: char, (a, b): (usize, usize)| {
        let all: Vec<String> = sets[a].difference(&sets[b]).map(|i| format!("{sign}{i}")).collect();
        let more = all.len().saturating_sub(SHOWN);
        let mut shown = all.into_iter().take(SHOWN).collect::<Vec<_>>();
        shown.extend((more > 0).then(|| format!("and {more} more")));
        shown.join(" ")
    };
    if sets[0] == sets[1] {
        return None;
    }
    let [gone, come] = [some('−', (0, 1)), some('+', (1, 0))];
    let shown: Vec<String> = [gone, come].into_iter().filter(|text| !text.is_empty()).collect();
    let (before, after) = (mine.len(), theirs.len());
    let sizes = if before == after { format!("{before}") } else { format!("{before} → {after}") };
    Some(format!("{what} ({sizes}): {}", shown.join("  ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_what_goes_and_what_comes() {
        let layer = LayerPlan {
            source: 2,
            heads: vec![0, 1],
            neurons: vec![1, 2, 3],
            ..LayerPlan::default()
        };
        let plan = PrunePlan {
            schema: 1,
            hidden: (0..20).collect(),
            layers: vec![layer],
            ..PrunePlan::default()
        };
        let mut other = plan.clone();
        other.hidden.reverse();
        assert_eq!(plan.differences(&other), Vec::<String>::new());
        other.hidden.truncate(10);
        other.scores = Some("ab".into());
        other.layers[0].neurons[0] = 7;
        other.layers[0].kv_groups = Some(vec![vec![0, 1]]);
        assert_eq!(
            plan.differences(&other),
            [
                "scores: (none) → ab",
                "hidden (20 → 10): −0 −1 −2 −3 −4 −5 −6 −7 and 2 more",
                "layer 2, neurons (3): −1  +7",
                "layer 2, kv_groups: None → Some([[0, 1]])",
            ]
        );
    }
}
