//! Whether a plan fits a model, wherever it came from, and what is wrong with it, where.

use std::fmt;

use super::add_back::HeadAddBack;
use super::plan::{LayerPlan, PrunePlan, SCHEMA};
use crate::model::ModelConfig;

/// A place in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The student's layer, counted from 0; none for what stands above the layers.
    pub layer: Option<usize>,
    /// The key.
    pub key: &'static str,
    /// Which of a list's, where it is one of them.
    pub index: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "`{}` of layer {layer}", self.key),
            None => write!(f, "`{}`", self.key),
        }
    }
}

/// A plan that does not fit a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// What a plan says cannot be.
    #[error("{place}: expected {expected}, found {found}")]
    Value {
        /// Where.
        place: Place,
        /// What may stand there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// The key-value heads cannot be merged into as many.
    #[error("key-value heads: expected a number that divides {expected}, found {found}")]
    Merge {
        /// The teacher's.
        expected: usize,
        /// The student's.
        found: usize,
    },
    /// The scores are not those of this model.
    #[error(
        "scores of {what}: expected {expected}, found {found}: these are another model's scores"
    )]
    Scores {
        /// Which scores.
        what: &'static str,
        /// By the model.
        expected: usize,
        /// In the scores.
        found: usize,
    },
    /// The plan is of another model, or by other scores.
    #[error("the plan is of another model: expected {what} {expected}, found {found}")]
    Other {
        /// `teacher` or `scores`.
        what: &'static str,
        /// The digest here.
        expected: String,
        /// The plan's.
        found: String,
    },
    /// Two plans of which the second is not of the first's student, or that cannot be one.
    #[error("the plans do not compose: {reason}")]
    Compose {
        /// Why.
        reason: String,
    },
}

impl PlanError {
    /// Where in the plan it is wrong.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Value { place, .. } => Some(*place),
            Self::Merge { .. }
            | Self::Scores { .. }
            | Self::Other { .. }
            | Self::Compose { .. } => None,
        }
    }
}

/// A layer of a plan that is being looked at, or what stands above the layers.
#[derive(Clone, Copy)]
struct Looking(Option<usize>);

impl Looking {
    fn wrong(
        self,
        (key, index): (&'static str, Option<usize>),
        expected: impl Into<String>,
        found: impl fmt::Display,
    ) -> PlanError {
        let place = Place { layer: self.0, key, index };
        PlanError::Value { place, expected: expected.into(), found: found.to_string() }
    }

    /// Indices below `size`, each once, one at least.
    fn distinct(self, key: &'static str, list: &[usize], size: usize) -> Result<(), PlanError> {
        let expected = || format!("different indices below {size}");
        if list.is_empty() {
            return Err(self.wrong((key, None), expected(), "none"));
        }
        let mut seen = vec![false; size];
        for (i, index) in list.iter().enumerate() {
            match seen.get_mut(*index) {
                None => return Err(self.wrong((key, Some(i)), expected(), index)),
                Some(true) => {
                    return Err(self.wrong((key, Some(i)), expected(), format!("{index} twice")));
                }
                Some(seen) => *seen = true,
            }
        }
        Ok(())
    }

    fn gain(self, place: (&'static str, Option<usize>), gain: f64) -> Result<(), PlanError> {
        let holds = gain > 0.0 && gain.is_finite();
        if holds { Ok(()) } else { Err(self.wrong(place, "a number above 0", gain)) }
    }
}

impl PrunePlan {
    /// Refuses a plan that says it is of another teacher, or by other scores, where it says so.
    ///
    /// # Errors
    ///
    /// [`PlanError::Other`].
    pub fn check_origin(&self, teacher: &str, scores: Option<&str>) -> Result<(), PlanError> {
        for (what, found, expected) in [
            ("teacher", self.teacher.as_deref(), Some(teacher)),
            ("scores", self.scores.as_deref(), scores),
        ] {
            if let (Some(found), Some(expected)) = (found, expected)
                && found != expected
            {
                let (expected, found) = (expected.to_owned(), found.to_owned());
                return Err(PlanError::Other { what, expected, found });
            }
        }
        Ok(())
    }

    /// Refuses a plan that does not fit the model.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(&self, teacher: &ModelConfig) -> Result<(), PlanError> {
        let above = Looking(None);
        if self.schema != SCHEMA {
            return Err(above.wrong(("schema", None), SCHEMA.to_string(), self.schema));
        }
        above.distinct("hidden", &self.hidden, teacher.hidden_size)?;
        self.norm_gain.map_or(Ok(()), |gain| above.gain(("norm_gain", None), gain))?;
        if self.layers.is_empty() {
            return Err(above.wrong(("layers", None), "one layer at least", "none"));
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let looking = Looking(Some(i));
            let before = i.checked_sub(1).map(|i| self.layers[i].source);
            let first = before.map_or(0, |before| before + 1);
            let expected =
                || format!("{first} to {}, as layers stay in order", teacher.num_hidden_layers - 1);
            if layer.source < first || layer.source >= teacher.num_hidden_layers {
                return Err(looking.wrong(("source", None), expected(), layer.source));
            }
            let groups = check_heads(looking, layer, teacher)?;
            looking.distinct("neurons", &layer.neurons, teacher.intermediate_size)?;
            check_add_back(looking, layer, teacher, &groups, self.head_add_back)?;
            for (i, gain) in layer.norm_gains.iter().flatten().enumerate() {
                looking.gain(("norm_gains", Some(i)), *gain)?;
            }
            let zero = &self.layers[0];
            for (key, expected, found) in [
                ("heads", zero.heads.len(), layer.heads.len()),
                ("neurons", zero.neurons.len(), layer.neurons.len()),
                ("kv_groups", zero.groups(teacher).len(), groups.len()),
            ] {
                if expected != found {
                    let expected = format!("{expected} of them, as in layer 0");
                    return Err(looking.wrong((key, None), expected, found));
                }
            }
        }
        Ok(())
    }
}

/// Key-value groups of different heads, and query heads group by group, as many of each.
fn check_heads(
    looking: Looking,
    layer: &LayerPlan,
    teacher: &ModelConfig,
) -> Result<Vec<Vec<usize>>, PlanError> {
    let groups = layer.groups(teacher);
    if let Some(empty) = groups.iter().position(Vec::is_empty) {
        return Err(looking.wrong(("kv_groups", Some(empty)), "one head at least in each", "none"));
    }
    looking.distinct("kv_groups", &groups.concat(), teacher.num_key_value_heads)?;
    looking.distinct("heads", &layer.heads, teacher.num_attention_heads)?;
    let each = teacher.num_attention_heads / teacher.num_key_value_heads;
    let per_group = layer.heads.len() / groups.len();
    if per_group * groups.len() != layer.heads.len() {
        let expected = format!("a multiple of the {} key-value heads", groups.len());
        return Err(looking.wrong(("heads", None), expected, layer.heads.len()));
    }
    for (i, head) in layer.heads.iter().enumerate() {
        let group = &groups[i / per_group];
        if !group.contains(&(head / each)) {
            let ranges: Vec<String> =
                group.iter().map(|g| format!("{} to {}", g * each, (g + 1) * each - 1)).collect();
            let expected =
                format!("as many heads of each key-value group, here one of {}", ranges.join(", "));
            return Err(looking.wrong(("heads", Some(i)), expected, head));
        }
    }
    Ok(groups)
}

/// Each pair a head that stays, once, and one of its group that goes.
fn check_add_back(
    looking: Looking,
    layer: &LayerPlan,
    teacher: &ModelConfig,
    groups: &[Vec<usize>],
    sign: HeadAddBack,
) -> Result<(), PlanError> {
    let each = teacher.num_attention_heads / teacher.num_key_value_heads;
    if sign.is_off() && !layer.add_back.is_empty() {
        let expected = "none where `head_add_back` is off";
        return Err(looking.wrong(("add_back", None), expected, layer.add_back.len()));
    }
    let mut used = vec![];
    for (i, [stays, goes]) in layer.add_back.iter().enumerate() {
        let group = groups.iter().find(|group| group.contains(&(stays / each)));
        let holds = layer.heads.contains(stays)
            && !layer.heads.contains(goes)
            && !used.contains(stays)
            && group.is_some_and(|group| group.contains(&(goes / each)));
        if !holds {
            let expected = "a head that stays, once, and one of its group that goes";
            let found = format!("{stays} and {goes}");
            return Err(looking.wrong(("add_back", Some(i)), expected, found));
        }
        used.push(*stays);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::described;

    fn small() -> ModelConfig {
        ModelConfig {
            hidden_size: 6,
            intermediate_size: 5,
            num_hidden_layers: 3,
            num_attention_heads: 8,
            num_key_value_heads: 4,
            ..described("llama-3.1-8b").unwrap()
        }
    }

    fn said(change: impl FnOnce(&mut PrunePlan)) -> String {
        let mut plan = PrunePlan::whole(&small());
        change(&mut plan);
        plan.check(&small()).map_or_else(|error| error.to_string(), |()| "fits".into())
    }

    #[test]
    fn indices_that_cannot_be_are_refused_with_their_place() {
        let below_6 = "`hidden`: expected different indices below 6, found";
        assert_eq!(said(|_| {}), "fits");
        assert_eq!(said(|p| p.hidden.reverse()), "fits");
        assert_eq!(said(|p| p.hidden.clear()), format!("{below_6} none"));
        assert_eq!(said(|p| p.hidden[2] = 6), format!("{below_6} 6"));
        assert_eq!(said(|p| p.hidden[2] = 1), format!("{below_6} 1 twice"));
        assert_eq!(
            said(|p| p.layers[1].source = 0),
            "`source` of layer 1: expected 1 to 2, as layers stay in order, found 0"
        );
        assert_eq!(said(|p| p.layers.clear()), "`layers`: expected one layer at least, found none");
        assert_eq!(said(|p| p.schema = 2), "`schema`: expected 1, found 2");
        assert_eq!(
            said(|p| {
                p.layers[2].neurons.pop();
            }),
            "`neurons` of layer 2: expected 5 of them, as in layer 0, found 4"
        );
    }

    #[test]
    fn heads_that_would_meet_the_keys_of_another_group_are_refused() {
        let swapped = |p: &mut PrunePlan| p.layers[0].heads.swap(1, 2);
        assert_eq!(
            said(swapped),
            "`heads` of layer 0: expected as many heads of each key-value group, here one of 0 to 1, found 2"
        );
        assert_eq!(said(|p| p.layers.iter_mut().for_each(|l| l.heads.swap(0, 1))), "fits");
        assert_eq!(
            said(|p| p.layers[0].heads.truncate(7)),
            "`heads` of layer 0: expected a multiple of the 4 key-value heads, found 7"
        );
        // Merged 0 with 2 and 1 with 3: the heads of 2 come before those of 1.
        let merged = |heads: &[usize], p: &mut PrunePlan| {
            for layer in &mut p.layers {
                layer.kv_groups = Some(vec![vec![0, 2], vec![1, 3]]);
                layer.heads = heads.to_vec();
            }
        };
        assert_eq!(said(|p| merged(&[0, 1, 4, 5, 2, 3, 6, 7], p)), "fits");
        assert_eq!(
            said(|p| merged(&[0, 1, 2, 3, 4, 5, 6, 7], p)),
            "`heads` of layer 0: expected as many heads of each key-value group, here one of 0 to 1, 4 to 5, found 2"
        );
    }

    #[test]
    fn a_pair_is_a_head_that_stays_and_one_of_its_group_that_goes() {
        let paired = |pair: [usize; 2]| {
            said(move |p| {
                p.head_add_back = HeadAddBack::Plus;
                for layer in &mut p.layers {
                    layer.heads = vec![0, 2, 4, 6];
                    layer.add_back = vec![pair];
                }
            })
        };
        assert_eq!(paired([0, 1]), "fits");
        for pair in [[0, 3], [1, 0], [0, 2], [8, 1]] {
            let [a, b] = pair;
            assert_eq!(
                paired(pair),
                format!(
                    "`add_back` of layer 0: expected a head that stays, once, and one of its group that goes, found {a} and {b}"
                )
            );
        }
        assert_eq!(
            said(|p| p.layers[0].norm_gains = Some([1.0, f64::NAN])),
            "`norm_gains` of layer 0: expected a number above 0, found NaN"
        );
    }
}
