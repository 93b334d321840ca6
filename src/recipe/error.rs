//! What is wrong with a recipe.

use std::io;
use std::path::PathBuf;

use crate::model::config::ConfigError;

/// What is wrong with a recipe, and where.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// No built-in recipe and no file has this name.
    #[error("no recipe is called `{name}`, and no file is")]
    UnknownRecipe {
        /// What was asked for.
        name: String,
        /// The built-in recipe that was perhaps meant.
        suggestion: Option<String>,
    },
    /// No described shape and no file has this name.
    #[error("`teacher.config`: no model shape is called `{name}`, and no file is")]
    UnknownShape {
        /// What was asked for.
        name: String,
        /// The shape that was perhaps meant.
        suggestion: Option<String>,
    },
    /// A file could not be read.
    #[error("`{path}` cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A plan could not be read.
    #[error("the plan `{path}` cannot be read")]
    NoPlan {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A `config.json` is not JSON.
    #[error("`{path}` is not a JSON object")]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A `config.json` does not describe a model of ours.
    #[error("`{path}` is not the configuration of a supported model")]
    Shape {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ConfigError,
    },
    /// No attention can be built of the sizes in `[pretrain]`.
    #[error("the sizes in `[pretrain]` do not go together")]
    PretrainShape {
        /// Why.
        source: ConfigError,
    },
    /// The recipe does not say where the teacher comes from.
    #[error(
        "the recipe has no teacher: none of `teacher.model`, `teacher.config` and `[pretrain]` is set"
    )]
    NoTeacher,
    /// The text is not a recipe.
    #[error("{origin}, line {line}, column {column}: {message}\n{excerpt}")]
    Malformed {
        /// The file's path, or the built-in recipe's name.
        origin: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What is wrong there.
        message: String,
        /// The line, with the place marked under it.
        excerpt: String,
        /// What to do.
        advice: Option<String>,
    },
    /// A `--set` does not fit the recipe.
    #[error("`--set {assignment}`: {message}")]
    Set {
        /// What was given.
        assignment: String,
        /// What is wrong with it.
        message: String,
        /// What to do.
        advice: Option<String>,
    },
    /// A recipe extends one that extends another.
    #[error(
        "{origin} extends `{base}`, which extends `{further}` itself; one level is all there is"
    )]
    ExtendsTwice {
        /// The recipe.
        origin: String,
        /// What it extends.
        base: String,
        /// What that extends.
        further: String,
    },
    /// Two keys exclude one another.
    #[error("`{first}` and `{second}` are both set; a recipe has one of them")]
    Both {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// One of several keys is needed.
    #[error("neither `{first}` nor `{second}` is set; a recipe has one of them")]
    Neither {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// A value is of the right type and wrong all the same.
    #[error("`{key}`: expected {expected}, found {found}")]
    Value {
        /// The key.
        key: String,
        /// What it may hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// A table has no effect without another.
    #[error("`[{table}]` needs `[{needed}]`, which the recipe does not have")]
    Alone {
        /// The table.
        table: &'static str,
        /// What it needs.
        needed: &'static str,
    },
}

impl RecipeError {
    /// One thing to do about it, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let meant = |name: &str| format!("did you mean `{name}`?");
        match self {
            Self::UnknownRecipe { suggestion, .. } => Some(match suggestion {
                Some(name) => format!("{} `stillflow ls recipes` lists them all", meant(name)),
                None => "`stillflow ls recipes` lists them all".into(),
            }),
            Self::UnknownShape { suggestion, .. } => Some(match suggestion {
                Some(name) => meant(name),
                None => {
                    let names: Vec<_> =
                        super::DESCRIBED.iter().map(|(name, _)| format!("`{name}`")).collect();
                    format!("the shapes built in are {}", names.join(", "))
                }
            }),
            Self::Malformed { advice, .. } | Self::Set { advice, .. } => advice.clone(),
            Self::NoPlan { .. } => {
                Some("a run that prunes writes one: `plan.toml` in its directory".into())
            }
            Self::NoTeacher => Some("`--set teacher.model=<Hugging Face directory>`".into()),
            Self::ExtendsTwice { further, .. } => {
                Some(format!("extend `{further}`, and copy what is between"))
            }
            Self::Both { first, second }
                if first.starts_with("teacher.") && second == "pretrain" =>
            {
                Some(format!("remove `[pretrain]`, or `{first}`"))
            }
            Self::Unreadable { .. }
            | Self::NotJson { .. }
            | Self::Shape { .. }
            | Self::PretrainShape { .. }
            | Self::Both { .. }
            | Self::Neither { .. }
            | Self::Value { .. }
            | Self::Alone { .. } => None,
        }
    }
}
