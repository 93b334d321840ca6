//! The prepared tokens, as sequences.

use std::path::PathBuf;
use std::sync::Arc;

use datasets::grammar::Grammar;
use datasets::pack::{Packing, Sequences};
use datasets::shard::{Header, Sample, Shards};

use super::context::Context;
use super::prepare::{Kind, tokenizer_path};
use crate::error::Error;
use crate::eval::HeldOut;
use crate::eval::floor::entropy_floor;
use crate::eval::report::Text;
use crate::recipe::{AddToken, Recipe};

/// The prepared tokens.
pub struct Data {
    /// What is trained on.
    pub train: Arc<Sequences>,
    /// What is scored.
    pub held_out: HeldOut,
    /// What is known of the held-out text.
    pub text: Text,
    /// The tokenizer's ids, as the shards have them.
    pub header: Header,
    /// The directory with the tokenizer's files.
    pub tokenizer: PathBuf,
}

impl Data {
    /// Reads the shards that [`prepare`](super::prepare) made, every byte checked.
    ///
    /// # Errors
    /// [`Error::Shard`] for what is damaged, [`Error::Pack`] if there is too little.
    pub fn open(ctx: &Context) -> Result<Self, Error> {
        let (run, recipe) = (&ctx.run.path, &ctx.run.recipe);
        let open = |kind: Kind| -> Result<(Shards, Vec<Sample>), Error> {
            let shards = Shards::open(&kind.dir(run), None)?;
            let samples = shards.read_all()?;
            Ok((shards, samples))
        };
        let (shards, train) = open(Kind::Train)?;
        let (_, held_out) = open(Kind::HeldOut)?;
        let tokenizer = tokenizer_path(run, recipe);
        let missing = || Error::Malformed {
            path: Kind::Train.dir(run),
            reason: "the shards have no header".into(),
        };
        let header = shards.header().ok_or_else(missing)?.clone();
        let (bos, eos) = around(recipe, &header, &tokenizer)?;
        let seq_tokens = usize::try_from(recipe.tokens.seq_tokens).unwrap_or(usize::MAX);
        let packing = |shuffle| Packing { seq_tokens, bos, eos, shuffle, seed: recipe.seed };
        let bytes_per_token = bytes_per_token(&held_out, bos, eos);
        let num_around = u64::from(bos.is_some()) + u64::from(eos.is_some());
        let scored = recipe.evaluate.sequences.saturating_mul(recipe.tokens.seq_tokens);
        let generated = recipe.data.values().all(|source| source.generate.is_some());
        let entropy = (generated && recipe.tokenizer().is_none())
            .then(|| entropy_floor(&Grammar::new(recipe.seed), &held_out, num_around, scored))
            .flatten();
        let pack = |samples, shuffle, which| {
            let sequences = Sequences::new(samples, packing(shuffle));
            sequences.map(Arc::new).map_err(|source| Error::Pack { which, source })
        };
        let held_out = pack(held_out, false, "held-out")?;
        Ok(Self {
            train: pack(train, recipe.tokens.shuffle, "training")?,
            held_out: HeldOut::new(held_out, recipe.evaluate.sequences, recipe.evaluate.batch),
            text: Text { entropy, bytes_per_token },
            header,
            tokenizer,
        })
    }
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
