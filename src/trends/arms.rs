//! The arms: recipes `trends-*`, the text each is on, and where its runs lie.

use std::path::{Path, PathBuf};

use datasets::store::digest_bytes;

use crate::error::Error;
use crate::recipe::Recipe;

/// Which of the two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// What the teacher was trained on.
    Own,
    /// Another, for its correction.
    Other,
}

/// A recipe, and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm {
    /// The recipe's name, without `trends-`; with what is set beside it, if that differs.
    pub name: &'static str,
    /// The recipe, without `trends-`.
    pub recipe: &'static str,
    /// What is read.
    pub text: Text,
    /// Further keys.
    pub sets: &'static [&'static str],
    /// The arm whose sums of importance it reads.
    pub importance_of: Option<&'static str>,
}

const fn arm(name: &'static str) -> Arm {
    Arm { name, recipe: name, text: Text::Own, sets: &[], importance_of: None }
}

const fn shifted(name: &'static str) -> Arm {
    Arm { text: Text::Other, ..arm(name) }
}

const fn aggregation(name: &'static str, sets: &'static [&'static str]) -> Arm {
    Arm { recipe: "aggregation", sets, importance_of: Some("student"), ..arm(name) }
}

/// All of them: those that others read from come first.
pub const ARMS: &[Arm] = &[
    arm("student"),
    arm("control"),
    arm("random-channels"),
    arm("cross-entropy"),
    arm("cross-entropy-longer"),
    arm("mixed"),
    arm("reverse-kl"),
    arm("depth"),
    arm("depth-scattered"),
    shifted("shifted"),
    shifted("corrected"),
    shifted("corrected-beside"),
    aggregation("mean,mean", &["prune.sequence_aggregation=mean", "prune.batch_aggregation=mean"]),
    aggregation("mean,l2", &["prune.sequence_aggregation=mean", "prune.batch_aggregation=l2"]),
    aggregation(
        "mean,variance",
        &["prune.sequence_aggregation=mean", "prune.batch_aggregation=variance"],
    ),
    aggregation("l2,mean", &["prune.sequence_aggregation=l2", "prune.batch_aggregation=mean"]),
    aggregation("l2,l2", &["prune.sequence_aggregation=l2", "prune.batch_aggregation=l2"]),
    aggregation(
        "l2,variance",
        &["prune.sequence_aggregation=l2", "prune.batch_aggregation=variance"],
    ),
    aggregation(
        "variance,mean",
        &["prune.sequence_aggregation=variance", "prune.batch_aggregation=mean"],
    ),
    aggregation(
        "variance,l2",
        &["prune.sequence_aggregation=variance", "prune.batch_aggregation=l2"],
    ),
    aggregation(
        "variance,variance",
        &["prune.sequence_aggregation=variance", "prune.batch_aggregation=variance"],
    ),
    arm("importance-2"),
    arm("importance-4"),
    arm("one-jump"),
    arm("hidden"),
    arm("hidden-depth"),
    arm("search"),
];

/// The arm of a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Arm> {
    ARMS.iter().find(|arm| arm.name == name)
}

/// What the arms are made of.
#[derive(Clone, Debug)]
pub struct Materials {
    /// Where everything lies.
    pub dir: PathBuf,
    /// What the teacher is trained on.
    pub own: String,
    /// Another text.
    pub other: String,
    /// A tokenizer, where the teacher is made here.
    pub tokenizer: Option<String>,
    /// Items of multiple choice, for the arms that lose layers.
    pub probe: Option<String>,
    /// Further keys of every student.
    pub sets: Vec<String>,
}

impl Materials {
    fn resolve(&self, recipe: &str, sets: &[String]) -> Result<Recipe, Error> {
        Ok(Recipe::resolve(&format!("trends-{recipe}"), sets)?)
    }

    /// The recipe of the teacher, and where its run lies.
    ///
    /// # Errors
    /// If the recipe and what is set of it do not go together.
    pub fn teacher(&self, sets: &[String]) -> Result<(PathBuf, Recipe), Error> {
        let mut all = vec![format!("data.corpus.path={}", self.own)];
        all.extend(self.tokenizer.iter().map(|path| format!("tokens.tokenizer={path}")));
        all.extend(sets.iter().cloned());
        let recipe = self.resolve("teacher", &all)?;
        Ok((self.dir.join(by_content("teacher", &recipe)), recipe))
    }

    /// The recipe of an arm with a seed, and where its run lies. What arms read of others lies there as well.
    ///
    /// # Errors
    /// As [`teacher`](Self::teacher).
    pub fn arm(&self, arm: &Arm, teacher: &Path, seed: u64) -> Result<(PathBuf, Recipe), Error> {
        let text = match arm.text {
            Text::Own => &self.own,
            Text::Other => &self.other,
        };
        let mut sets = vec![
            format!("data.corpus.path={text}"),
            format!("teacher.model={}", teacher.display()),
            format!("seed={seed}"),
        ];
        // A key that an arm does not have, the length of no training, is none of its.
        let trains = arm.importance_of.is_none();
        sets.extend(self.sets.iter().filter(|set| trains || !set.starts_with("distil.")).cloned());
        if let Some(of) = arm.importance_of.and_then(named) {
            let (path, _) = self.arm(of, teacher, seed)?;
            sets.push(format!("prune.importance={}", path.join("scores/sums.parquet").display()));
        }
        sets.extend(arm.sets.iter().map(ToString::to_string));
        if arm.recipe.starts_with("depth") {
            sets.extend(self.probe.iter().map(|path| format!("evaluate.choices={path}")));
        }
        if arm.recipe == "search" {
            sets.push(self.window(&sets)?);
        }
        let recipe = self.resolve(arm.recipe, &sets)?;
        let name = by_content(&format!("{}-seed-{seed}", arm.name), &recipe);
        Ok((self.dir.join("arms").join(name), recipe))
    }
}

impl Materials {
    /// The budget of the search: the student's parameters, and five per cent to each side (P1, section 4).
    fn window(&self, sets: &[String]) -> Result<String, Error> {
        let student = self.resolve("student", sets)?;
        let parameters = match student.teacher_shape(0) {
            Ok(teacher) => student.student_config(&teacher)?.num_parameters(),
            // It is not made yet; the recipe has a window of its own.
            Err(_) => return Ok("search.candidates=15".to_owned()),
        };
        let end = |percent: u64| parameters.saturating_mul(percent) / 100;
        Ok(format!("search.parameters={}..{}", end(95), end(105)))
    }
}

/// A name with the beginning of the digest of what the run is: another recipe is another directory.
fn by_content(name: &str, recipe: &Recipe) -> String {
    let digest = digest_bytes(recipe.to_toml().as_bytes()).to_string();
    let short = digest.rsplit(':').next().unwrap_or(&digest);
    format!("{name}-{}", &short[..short.len().min(8)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn materials(sets: &[&str]) -> Materials {
        Materials {
            dir: "trends".into(),
            own: "novels".into(),
            other: "manuals".into(),
            tokenizer: None,
            probe: None,
            sets: sets.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn every_arm_resolves_and_its_directory_is_its_content() {
        let teacher = Path::new("trends/teacher/models/teacher");
        for arm in ARMS {
            let (path, recipe) = materials(&[]).arm(arm, teacher, 2).unwrap();
            assert_eq!(recipe.seed, 2);
            assert!(recipe.missing().is_empty(), "{}", arm.name);
            let again = materials(&[]).arm(arm, teacher, 2).unwrap().0;
            assert_eq!(path, again);
            assert_ne!(path, materials(&[]).arm(arm, teacher, 3).unwrap().0);
            if arm.importance_of.is_none() {
                let longer = materials(&["distil.warmup_steps=7"]).arm(arm, teacher, 2).unwrap().0;
                assert_ne!(path, longer, "{}", arm.name);
            }
        }
    }

    #[test]
    fn only_the_correction_is_on_another_text() {
        let other: Vec<&str> =
            ARMS.iter().filter(|arm| arm.text == Text::Other).map(|arm| arm.name).collect();
        assert_eq!(other, ["shifted", "corrected", "corrected-beside"]);
    }
}
