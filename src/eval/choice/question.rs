//! An item in tokens, by the rule of lm-evaluation-harness 0.4.13 (`TemplateLM._encode_pair`).

use std::path::Path;

use datasets::tokenizer::Tokenizer;

use super::{ChoiceError, Item};

/// One choice in tokens, behind its context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The context's, then its own.
    pub tokens: Vec<u32>,
    /// How many are the context's: one at least.
    pub context_tokens: usize,
    /// Unicode characters, without the space between it and the context: what `acc_norm` divides by.
    pub num_chars: usize,
}

/// One item in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// In the item's order.
    pub choices: Vec<Choice>,
    /// The place of the right one.
    pub answer: usize,
}

impl Question {
    /// Tokens of the longest choice, with its context.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.choices.iter().map(|choice| choice.tokens.len()).max().unwrap_or(0)
    }
}

/// How items become tokens.
#[derive(Clone, Copy, Debug)]
pub struct Encoding<'a> {
    /// The model's.
    pub tokenizer: &'a Tokenizer,
    /// What every text begins with, as the documents that the model was trained on do: the tokenizer's default
    /// specials, in the harness's words.
    pub bos: Option<u32>,
    /// Tokens that the model reads at once.
    pub max_tokens: usize,
}

impl Encoding<'_> {
    /// An item of `path` in tokens.
    ///
    /// Between context and choice stands a space, unless the choice brings white space of its own. White space at the
    /// context's end goes over to the choice. Both are encoded together, and what is behind as many tokens as the
    /// context alone has is the choice's. What the model reads before it are the tokens of the context alone: where the
    /// tokenizer joins the end of the one to the beginning of the other, that is another text than both together, and
    /// it is what the harness's numbers are of. For an empty context stands the token that begins a text, or the one
    /// that ends it.
    ///
    /// # Errors
    ///
    /// [`ChoiceError`] if a choice has no token or too many; if nothing can stand for an empty context.
    pub fn question(&self, path: &Path, item: &Item) -> Result<Question, ChoiceError> {
        let choices = (0..item.choices.len()).map(|i| self.choice(path, item, i));
        Ok(Question { choices: choices.collect::<Result<_, _>>()?, answer: item.answer })
    }

    fn choice(&self, path: &Path, item: &Item, place: usize) -> Result<Choice, ChoiceError> {
        let (line, path) = (item.line, || path.to_owned());
        let encode = |text: &str| {
            let tokens = self.tokenizer.encode(text);
            tokens.map_err(|source| ChoiceError::Encode { path: path(), line, source })
        };
        let (context, choice) = (&item.contexts[place], &item.choices[place]);
        let is_spaced = choice.starts_with(char::is_whitespace);
        let space = if is_spaced { "" } else { " " };
        let before = context.trim_end();
        let own = format!("{}{space}{choice}", &context[before.len()..]);
        let mut tokens: Vec<u32> = self.bos.into_iter().collect();
        let mut is_behind = 0;
        if !before.is_empty() {
            let context = encode(before)?;
            is_behind = context.len();
            tokens.extend(context);
        }
        if tokens.is_empty() {
            let first = self.tokenizer.bos_id().or(self.tokenizer.eos_id());
            tokens.push(first.ok_or(ChoiceError::NoBeginning { path: path(), line })?);
        }
        let context_tokens = tokens.len();
        tokens.extend(encode(&format!("{before}{own}"))?.into_iter().skip(is_behind));
        if tokens.len() == context_tokens {
            return Err(ChoiceError::Joined { path: path(), line, choice: place });
        }
        // The last token is predicted, and not read.
        let (expected, found) = (self.max_tokens, tokens.len() - 1);
        if found > expected {
            return Err(ChoiceError::Long { path: path(), line, choice: place, expected, found });
        }
        let num_chars = choice.chars().count() - usize::from(is_spaced);
        Ok(Choice { tokens, context_tokens, num_chars })
    }
}
