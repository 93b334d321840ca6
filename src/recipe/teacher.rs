//! `[teacher]`: where the teacher comes from.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::described::{DESCRIBED, described};
use super::train::Pretrain;
use super::{Recipe, RecipeError};
use crate::model::config::{ConfigError, Family, ModelConfig};

/// The longest context of a teacher trained here is this or `seq_tokens`, whichever is more.
const PRETRAIN_POSITIONS: usize = 2048;

/// A Hugging Face directory, or a shape alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Teacher {
    /// A Hugging Face directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The name of a described shape, or the path of a `config.json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
}

impl Teacher {
    /// The shape: of the directory's `config.json`, or the described one; `None` if the table names neither.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is not the configuration of a supported model.
    pub fn shape(&self) -> Result<Option<ModelConfig>, RecipeError> {
        match (&self.model, &self.config) {
            (Some(directory), _) => read(&Path::new(directory).join("config.json")).map(Some),
            (None, Some(name)) => match described(name) {
                Some(shape) => Ok(Some(shape)),
                None if Path::new(name).is_file() => read(Path::new(name)).map(Some),
                None => Err(RecipeError::UnknownShape {
                    name: name.clone(),
                    suggestion: super::suggest::nearest(
                        name,
                        DESCRIBED.iter().map(|(known, _)| *known),
                    ),
                }),
            },
            (None, None) => Ok(None),
        }
    }
}

/// The shape that a `config.json` says.
pub(super) fn read(path: &Path) -> Result<ModelConfig, RecipeError> {
    let shape = |source| RecipeError::Shape { path: PathBuf::from(path), source };
    let text = fs::read_to_string(path)
        .map_err(|source| RecipeError::Unreadable { path: path.into(), source })?;
    let object: Map<String, Value> = serde_json::from_str(&text)
        .map_err(|source| RecipeError::NotJson { path: path.into(), source })?;
    ModelConfig::from_json(&object).map_err(shape)
}

impl Pretrain {
    /// The shape of the teacher that will be trained, for a tokenizer of `vocab_size` ids.
    ///
    /// # Errors
    ///
    /// If no attention can be built of the sizes.
    pub fn shape(&self, vocab_size: usize, seq_tokens: usize) -> Result<ModelConfig, ConfigError> {
        let config = ModelConfig {
            family: Family::Llama,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
            vocab_size,
            max_position_embeddings: seq_tokens.max(PRETRAIN_POSITIONS),
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: None,
            tie_word_embeddings: self.tie_word_embeddings,
            attention_bias: false,
            mlp_bias: false,
            other: Map::new(),
        };
        config.check()?;
        Ok(config)
    }
}

impl Recipe {
    /// The teacher's shape. A teacher that the run trains has as many ids as the tokenizer, which only
    /// the caller knows: `vocab_size` is used for that alone.
    ///
    /// # Errors
    ///
    /// If the recipe names no teacher, or its shape cannot be read.
    pub fn teacher_shape(&self, vocab_size: usize) -> Result<ModelConfig, RecipeError> {
        match &self.pretrain {
            Some(pretrain) => pretrain
                .shape(vocab_size, usize::try_from(self.tokens.seq_tokens).unwrap_or(usize::MAX))
                .map_err(|source| RecipeError::PretrainShape { source }),
            None => self.teacher.shape()?.ok_or(RecipeError::NoTeacher),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(config: &str) -> (tempfile::TempDir, Recipe) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), config).unwrap();
        let teacher = Teacher { model: Some(dir.path().to_str().unwrap().into()), config: None };
        (dir, Recipe { teacher, ..Recipe::default() })
    }

    #[test]
    fn the_shape_is_the_directorys_and_not_the_tokenizers() {
        let (dir, recipe) = model(DESCRIBED[1].1);
        assert_eq!(recipe.teacher_shape(7).unwrap(), described("llama-3.2-1b").unwrap());
        let path = dir.path().join("config.json").to_str().unwrap().to_string();
        let by_path = Teacher { model: None, config: Some(path) };
        assert_eq!(by_path.shape().unwrap(), described("llama-3.2-1b"));
    }

    #[test]
    fn a_teacher_trained_here_has_the_tokenizers_vocabulary() {
        let recipe = Recipe::resolve("quickstart", &["tokens.seq_tokens=4096".into()]).unwrap();
        let shape = recipe.teacher_shape(1234).unwrap();
        assert_eq!((shape.vocab_size, shape.max_position_embeddings), (1234, 4096));
    }

    #[test]
    fn a_directory_without_a_model_of_ours_is_refused_by_its_path() {
        for (config, message) in [
            ("{", "is not a JSON object"),
            ("[]", "is not a JSON object"),
            ("{\"model_type\": \"gemma2\"}", "is not the configuration of a supported model"),
        ] {
            let (dir, recipe) = model(config);
            let path = dir.path().join("config.json");
            let error = recipe.teacher_shape(7).unwrap_err();
            assert_eq!(error.to_string(), format!("`{}` {message}", path.display()));
            assert!(std::error::Error::source(&error).is_some());
            fs::remove_file(&path).unwrap();
            let error = recipe.teacher_shape(7).unwrap_err();
            assert_eq!(error.to_string(), format!("`{}` cannot be read", path.display()));
        }
        let error = Recipe::default().teacher_shape(7).unwrap_err();
        assert!(matches!(error, RecipeError::NoTeacher), "{error}");
    }
}
