//! The prepared tokens, as sequences.

use std::path::PathBuf;
use std::sync::Arc;

use datasets::grammar::Grammar;
use datasets::loader::{Loader, Sequence};
use datasets::shard::{Header, Sample, Shards};

use super::context::Context;
use super::prepare::{Kind, tokenizer_path};
use super::sources;
use super::train::feed::sequences;
use crate::error::Error;
use crate::eval::HeldOut;
use crate::eval::floor::entropy_floor;
use crate::eval::report::Text;
use crate::recipe::{AddToken, Recipe};

/// The prepared tokens; cheap to clone, but for the header.
#[derive(Clone)]
pub struct Data {
    /// What is trained on.
    pub train: Arc<Loader>,
    /// What is scored.
    pub held_out: HeldOut,
    /// What is known of the held-out text.
    pub text: Text,
    /// The tokenizer's ids, as the shards have them.
    pub header: Header,
    /// What each document begins with, if the recipe has it begin with something.
    pub bos: Option<u32>,
    /// What each document ends with, likewise.
    pub eos: Option<u32>,
    /// The directory with the tokenizer's files.
    pub tokenizer: PathBuf,
}

impl Data {
    /// Opens the shards that [`prepare`](super::prepare) made or took in; every byte is checked when it is read.
    ///
    /// # Errors
    /// [`Error::Shard`] for what is missing or damaged, [`Error::Loader`] if there is too little.
    pub fn open(ctx: &Context) -> Result<Self, Error> {
        let (run, recipe) = (&ctx.run.path, &ctx.run.recipe);
        let tokenizer = tokenizer_path(run, recipe);
        let train = sources::open(run, recipe, Kind::Train)?;
        let held_out = sources::open(run, recipe, Kind::HeldOut)?;
        let header = sources::header(run, &train)?;
        let (bos, eos) = around(recipe, &header, &tokenizer)?;
        let scored_tokens = recipe.evaluate.sequences.saturating_mul(recipe.tokens.seq_tokens);
        let samples = scored(&held_out, scored_tokens)?;
        let num_around = u64::from(bos.is_some()) + u64::from(eos.is_some());
        let is_generated = recipe.data.values().all(|source| source.generate.is_some());
        let entropy = (is_generated && recipe.data.len() == 1 && recipe.tokenizer().is_none())
            .then(|| entropy_floor(&Grammar::new(recipe.seed), &samples, num_around, scored_tokens))
            .flatten();
        let text = Text { entropy, bytes_per_token: bytes_per_token(&samples, bos, eos) };
        let apart = recipe.tokens.document_mask;
        let held_out = {
            let loader = sources::loader(run, recipe, held_out, Kind::HeldOut, bos, eos)?;
            let count = recipe.evaluate.sequences.min(loader.num_sequences().unwrap_or(u64::MAX));
            let sequences: Vec<Sequence> = sequences(&loader, 0..count)?;
            HeldOut::new(sequences, recipe.evaluate.batch, apart)
        };
        let train = Arc::new(sources::loader(run, recipe, train, Kind::Train, bos, eos)?);
        Ok(Self { train, held_out, text, header, bos, eos, tokenizer })
    }

    /// Whether a stage finds as many sequences as it reads.
    ///
    /// # Errors
    /// [`Error::TooFewSequences`] if the sources end before: they are read so often and no more.
    pub fn enough(&self, stage: &'static str, needed: u64) -> Result<(), Error> {
        match self.train.num_sequences() {
            Some(found) if found < needed => Err(Error::TooFewSequences { stage, needed, found }),
            _ => Ok(()),
        }
    }
}

/// The samples of the first `tokens` of each source.
fn scored(sources: &[(String, Arc<Shards>)], tokens: u64) -> Result<Vec<Sample>, Error> {
    let mut samples: Vec<Sample> = Vec::new();
    for (_, shards) in sources {
        let mut left = tokens;
        'shards: for shard in 0..shards.len() {
            for row_group in 0..shards.num_row_groups(shard) {
                for sample in shards.read_row_group(shard, row_group)? {
                    left = left.saturating_sub(sample.tokens.len() as u64);
                    samples.push(sample);
                    if left == 0 {
                        break 'shards;
                    }
                }
            }
        }
    }
    Ok(samples)
}

/// The tokens put around documents.
fn around(
    recipe: &Recipe,
    header: &Header,
    tokenizer: &std::path::Path,
) -> Result<(Option<u32>, Option<u32>), Error> {
    let choose = |which, add, id: Option<u32>| match (add, id) {
        (AddToken::Never, _) => Ok(None),
        (AddToken::Always, None) => {
            Err(Error::NoSpecial { which, tokenizer: tokenizer.to_owned() })
        }
        (AddToken::Always | AddToken::Auto, id) => Ok(id),
    };
    Ok((
        choose("bos", recipe.tokens.bos, header.bos_id)?,
        choose("eos", recipe.tokens.eos, header.eos_id)?,
    ))
}

/// Bytes of text a token, those around documents counted as tokens.
#[expect(clippy::cast_precision_loss, reason = "counts of bytes and tokens")]
pub fn bytes_per_token(samples: &[Sample], bos: Option<u32>, eos: Option<u32>) -> Option<f64> {
    let around = usize::from(bos.is_some()) + usize::from(eos.is_some());
    let bytes: u64 = samples.iter().map(|sample| u64::from(sample.num_bytes)).sum();
    let tokens: usize = samples.iter().map(|sample| sample.tokens.len() + around).sum();
    (bytes > 0 && tokens > 0).then(|| bytes as f64 / tokens as f64)
}
