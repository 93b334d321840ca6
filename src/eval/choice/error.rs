//! What can be wrong with a file of multiple-choice items, by line.

use std::path::PathBuf;

use datasets::tokenizer::TokenizerError;

/// What can be wrong with a file of items, and at which line of it, counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// It could not be read.
    #[error("the items `{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is none.
    #[error("`{}` has no item", path.display())]
    None {
        /// The file.
        path: PathBuf,
    },
    /// A line is not JSON.
    #[error("`{}`, line {line}: not JSON", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// Where it stopped making sense.
        source: serde_json::Error,
    },
    /// An item lacks a key.
    #[error("`{}`, line {line}: the item has no `{key}`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// `context`, `choices` or `answer`.
        key: &'static str,
    },
    /// A value does not do.
    #[error("`{}`, line {line}: `{key}`: expected {expected}, found {found}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The key, with its place if it is a list.
        key: String,
        /// What it may hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// Context and choice are longer than what the model reads at once.
    #[error(
        "`{}`, line {line}: choice {choice} is {found} tokens with its context, the model reads {expected}",
        path.display()
    )]
    Long {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// Counted from 0, as answers are.
        choice: usize,
        /// The model's `max_position_embeddings`.
        expected: usize,
        /// Tokens that it would have to read.
        found: usize,
    },
    /// A choice without a token of its own.
    #[error(
        "`{}`, line {line}: choice {choice} has no token of its own: the tokenizer joins it to the end of the context",
        path.display()
    )]
    Joined {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// Counted from 0.
        choice: usize,
    },
    /// No context, and no token that could stand for one.
    #[error(
        "`{}`, line {line}: the context is empty, and the tokenizer has no token that begins or ends a text",
        path.display()
    )]
    NoBeginning {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// The tokenizer refused a text.
    #[error("`{}`, line {line}: the item cannot be encoded", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// Why.
        source: TokenizerError,
    },
}
