//! `stillflow generate`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use datasets::tokenizer::Tokenizer;

use super::input::{DeviceArgs, read_model};
use crate::error::Error;
use crate::model::generate::{Sampling, generate};

/// Continue a prompt.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stillflow generate runs/quickstart --prompt 'the old'
  stillflow generate student/ --prompt 'Once upon a time' --temperature 0.8 --seed 7")]
pub(super) struct Generate {
    /// A Hugging Face directory, or a run directory (of which the student is taken)
    model: PathBuf,
    /// What to continue
    #[arg(long)]
    prompt: String,
    /// Tokens at most
    #[arg(long, default_value_t = 128)]
    max_new_tokens: usize,
    /// 0 takes the likeliest token each time
    #[arg(long, default_value_t = 0.0, value_parser = temperature, allow_negative_numbers = true)]
    temperature: f64,
    /// Of the draws
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    device: DeviceArgs,
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("expected 0 or a number above it".to_owned()),
    }
}

impl Generate {
    pub(super) fn run(self) -> Result<(), Error> {
        let (chosen, working) = self.device.choose()?;
        let (path, decoder) = read_model(&self.model, &chosen.device, working)?;
        let tokenizer = Tokenizer::load(&path)?;
        let mut ids: Vec<u32> = tokenizer.bos_id().into_iter().collect();
        ids.extend(tokenizer.encode(&self.prompt)?);
        if ids.is_empty() {
            let expected = "some text: the model has no token that begins one".to_owned();
            return Err(Error::Flag { flag: "--prompt", expected, found: "none".to_owned() });
        }
        if let Some(id) = ids.iter().find(|id| **id as usize >= decoder.config.vocab_size) {
            return Err(Error::Vocabulary {
                tokenizer: path,
                expected: decoder.config.vocab_size,
                found: id + 1,
            });
        }
        // The token that begins a text is not part of it.
        let begins = usize::from(tokenizer.bos_id().is_some());
        let mut said = tokenizer.decode(&ids[begins..])?;
        super::print(&said);
        let sampling = Sampling { temperature: self.temperature, seed: self.seed };
        let mut failed = None;
        let end = tokenizer.eos_id();
        generate(&decoder, &ids.clone(), self.max_new_tokens, end, sampling, &mut |id| {
            if Some(id) == end {
                return;
            }
            ids.push(id);
            // All of it anew each time: a token by itself may be half a character, or lack its space.
            match tokenizer.decode(&ids[begins..]) {
                Ok(text) => {
                    if let Some(new) =
                        text.strip_prefix(&said).filter(|new| !new.ends_with('\u{fffd}'))
                    {
                        super::print(new);
                        let _ = std::io::stdout().flush();
                        said = text;
                    }
                }
                Err(error) => failed = Some(error),
            }
        });
        super::print("\n");
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}
