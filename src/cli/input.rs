//! What several verbs take: a device, a model, a text.

use std::path::{Path, PathBuf};

use clap::Args;
use datasets::loader::Sequence;
use datasets::pack::{Packing, Sequences};
use datasets::text::Corpus;
use datasets::tokenizer::Tokenizer;
use kernels::device::{Choice, Chosen, DeviceError, choose, cuda_devices, working_dtype};
use kernels::{DType, Device};

use crate::error::Error;
use crate::eval::HeldOut;
use crate::eval::report::Text;
use crate::model::Decoder;
use crate::recipe::{Format, Recipe, Source, Split};
use crate::stages::data::bytes_per_token;
use crate::stages::inputs::check_vocabulary;
use crate::stages::prepare::{sample, spec};
use crate::weights::{ModelDirectory, load};

/// Where numbers are made.
#[derive(Debug, Args)]
pub(super) struct DeviceArgs {
    /// auto, cuda[:n], wgpu[:n] or cpu; auto is CUDA where there is a driver, else a GPU through wgpu, else the CPU
    #[arg(long, default_value = "auto", value_parser = choice, value_name = "DEVICE")]
    pub(super) device: Choice,
}

fn choice(text: &str) -> Result<Choice, DeviceError> {
    text.parse()
}

impl DeviceArgs {
    /// The device, and the type of weights and activations there.
    pub(super) fn choose(&self) -> Result<(Chosen, DType), Error> {
        let chosen = choose(self.device)?;
        let working = working_dtype(&chosen.name, &chosen.device);
        Ok((chosen, working))
    }

    /// The names of the devices of a run's other processes, of which the first has the chosen one: where `auto` took CUDA,
    /// each has one of its own if there are as many; otherwise they share the first's.
    pub(super) fn of_hands(&self, chosen: &Chosen, processes: u16) -> Vec<String> {
        let shares =
            processes == 1 || self.device != Choice::Auto || !chosen.name.starts_with("cuda");
        let count = if shares { 0 } else { cuda_devices().len() };
        let own = |n| if n < count { format!("cuda:{n}") } else { chosen.name.clone() };
        (1..usize::from(processes)).map(own).collect()
    }
}

/// Reads a model in the device's working type; of a run directory its student.
pub(super) fn read_model(
    path: &Path,
    device: &Device,
    working: DType,
) -> Result<(PathBuf, Decoder), Error> {
    let path = model_path(path)?;
    let decoder = load(&ModelDirectory::open(&path)?, device, working)?;
    Ok((path, decoder))
}

/// A Hugging Face directory; of a run directory its student.
pub(super) fn model_path(path: &Path) -> Result<PathBuf, Error> {
    if !path.join("recipe.toml").is_file() {
        return Ok(path.to_owned());
    }
    let student = path.join("models").join("student");
    if student.is_dir() { Ok(student) } else { Err(Error::NoStudent { path: path.to_owned() }) }
}

/// The recipe of a run directory, and its file.
pub(super) fn recipe_of(run: &Path) -> Result<(PathBuf, Recipe), Error> {
    let file = run.join("recipe.toml");
    if !file.is_file() {
        return Err(Error::NoRun { path: run.to_owned() });
    }
    let recipe = Recipe::resolve(&file.to_string_lossy(), &[])?;
    Ok((file, recipe))
}

/// Text to score.
#[derive(Debug, Args)]
pub(super) struct TextArgs {
    /// Text: a file, a folder or a glob of .txt, .jsonl or .parquet
    #[arg(long, value_name = "PATH")]
    pub(super) data: String,
    /// The JSON field or Parquet column that holds the text
    #[arg(long, default_value = "text")]
    pub(super) field: String,
    /// What ends a document in plain text: blank_line, line, file, or a delimiter such as <|endoftext|>
    #[arg(long, default_value = "blank_line")]
    pub(super) split: String,
    /// Tokens of one sequence
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) seq_tokens: u32,
    /// Score the first sequences only
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) sequences: Option<u64>,
    /// Sequences of one forward pass
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) batch: u64,
}

impl TextArgs {
    /// The text as sequences, tokenised by the model's own tokenizer.
    pub(super) fn read(
        &self,
        tokenizer: &Path,
        vocab_size: usize,
    ) -> Result<(HeldOut, Text), Error> {
        let split = Split::from(self.split.clone());
        let source = Source {
            format: Format::Auto,
            split,
            field: Some(self.field.clone()),
            ..Source::default()
        };
        let corpus = Corpus::open(&spec(self.data.clone(), &source))?;
        let tokenizer_path = tokenizer;
        let tokenizer = Tokenizer::load(tokenizer_path)?;
        check_vocabulary(tokenizer_path, tokenizer.vocab_size(), vocab_size)?;
        let mut samples = Vec::new();
        for chunk in 0..corpus.num_chunks() {
            for document in corpus.chunk(chunk)? {
                samples.push(sample(&tokenizer, document)?);
            }
        }
        let (bos, eos) = (tokenizer.bos_id(), tokenizer.eos_id());
        let text = Text { entropy: None, bytes_per_token: bytes_per_token(&samples, bos, eos) };
        let packing =
            Packing { seq_tokens: self.seq_tokens as usize, bos, eos, shuffle: false, seed: 0 };
        let sequences = Sequences::new(samples, packing)
            .map_err(|source| Error::Pack { which: "given", source })?;
        let count = self.sequences.unwrap_or(u64::MAX).min(sequences.num_sequences());
        let sequence = |index| {
            let tokens = sequences.get(index).tokens;
            let len = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
            Sequence { tokens, starts: vec![0], len, ..Sequence::default() }
        };
        Ok((HeldOut::new((0..count).map(sequence).collect(), self.batch, false), text))
    }
}
