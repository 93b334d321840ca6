//! `[then.<name>]`: after a run its student is cut again, and learns again; size by size, in the order of the names
//! (Muralidharan et al. 2024, arXiv:2407.14679, best practices 1 and 8).

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::size::Size;
use super::teacher::Teacher;
use super::token_count::TokenCount;
use super::{Prune, Recipe, Train};

/// Who teaches the smaller student.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// The first teacher of all.
    #[default]
    First,
    /// The student that is cut.
    Previous,
}

/// A further size. What it does not say is as the run's own tables say it; shares are of the student that is cut.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Then {
    /// Who teaches.
    pub teacher: Whose,
    /// Width of the residual stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_size: Option<Size>,
    /// Neurons of one MLP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intermediate_size: Option<Size>,
    /// Query heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_attention_heads: Option<Size>,
    /// Key and value heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_key_value_heads: Option<Size>,
    /// Layers that stay; which, is searched for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_hidden_layers: Option<Size>,
    /// Optimizer steps; those of `[distil]`, if neither is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Tokens to train on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenCount>,
}

impl Recipe {
    /// The run that follows one in `run`, of a `[then.<name>]` whose student is cut out of the one of the run in
    /// `previous`.
    #[must_use]
    pub fn following(&self, then: &Then, run: &Path, previous: &Path) -> Self {
        let model =
            |run: &Path, name: &str| run.join("models").join(name).to_string_lossy().into_owned();
        let given = self.teacher.model.clone().filter(|_| !self.makes_teacher());
        let student = model(previous, "student");
        let teacher = match then.teacher {
            Whose::First => given.unwrap_or_else(|| model(run, "teacher")),
            Whose::Previous => student.clone(),
        };
        let prune = Prune {
            model: Some(student),
            hidden_size: then.hidden_size,
            intermediate_size: then.intermediate_size,
            num_attention_heads: then.num_attention_heads,
            num_key_value_heads: then.num_key_value_heads,
            num_hidden_layers: then.num_hidden_layers,
            drop_layers: Vec::new(),
            plan: None,
            importance: None,
            ..self.prune.clone().unwrap_or_default()
        };
        let distil = self.distil.clone().map(|train| match (then.steps, then.tokens) {
            (None, None) => train,
            (steps, tokens) => Train { steps, tokens, ..train },
        });
        Self {
            teacher: Teacher { model: Some(teacher), config: None },
            pretrain: None,
            correct: None,
            capture: None,
            prune: Some(prune),
            search: None,
            distil,
            control: None,
            then: std::collections::BTreeMap::new(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_student_is_cut_and_the_first_or_the_previous_teaches() {
        let text = "[teacher]\nmodel = \"big\"\n[prune]\nhidden_size = \"50%\"\n[distil]\nsteps = 9\n\
            [then.a]\nhidden_size = \"50%\"\ntokens = \"1M\"\n[then.b]\nteacher = \"previous\"\n";
        let recipe = Recipe::resolve(text, &[]).unwrap();
        let (run, then) = (Path::new("runs/x"), &recipe.then);
        let first = recipe.following(&then["a"], run, run);
        assert_eq!(first.teacher.model.as_deref(), Some("big"));
        let prune = first.prune.clone().unwrap();
        assert_eq!(prune.model.as_deref(), Some("runs/x/models/student"));
        let distil = first.distil.clone().unwrap();
        assert_eq!((distil.steps, distil.tokens), (None, Some(TokenCount::new(1_000_000))));
        first.check().unwrap();
        let second = recipe.following(&then["b"], run, Path::new("runs/x/then/a"));
        assert_eq!(second.teacher.model.as_deref(), Some("runs/x/then/a/models/student"));
        assert_eq!(second.prune.unwrap().hidden_size, None);
        assert_eq!(second.distil.unwrap().steps, Some(9));
    }
}
