//! `stillflow eval`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::Format;
use super::input::{DeviceArgs, TextArgs, read_model};
use crate::error::Error;
use crate::eval::{ModelReport, Report, losses};

/// What models are worth on a text: cross-entropy, perplexity, bits a byte; KL and agreement with a teacher.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stillflow eval runs/quickstart --data runs/quickstart/corpus/corpus
  stillflow eval student/ other/ --teacher teacher/ --data 'text/*.jsonl'
  stillflow eval student/ --data text.txt --split '<|endoftext|>'")]
pub(super) struct Eval {
    /// Hugging Face directories, or run directories (of which the student is taken)
    #[arg(required = true)]
    models: Vec<PathBuf>,
    /// Compare with this model, of the same vocabulary
    #[arg(long, value_name = "MODEL")]
    teacher: Option<PathBuf>,
    /// The tokenizer's directory or file [default: the first model's]
    #[arg(long, value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    #[command(flatten)]
    text: TextArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print the report as this
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Eval {
    pub(super) fn run(self) -> Result<(), Error> {
        let (chosen, working) = self.device.choose()?;
        let read = |path: &PathBuf| read_model(path, &chosen.device, working);
        let models = self.models.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let teacher = self.teacher.as_ref().map(read).transpose()?;
        let vocab_size = models[0].1.config.vocab_size;
        for (path, decoder) in models.iter().chain(&teacher) {
            let found = decoder.config.vocab_size;
            if found != vocab_size {
                let found = format!("`{}` with {found}", path.display());
                return Err(Error::Flag {
                    flag: "models",
                    expected: format!("a `vocab_size` of {vocab_size}"),
                    found,
                });
            }
        }
        let tokenizer = self.tokenizer.clone().unwrap_or_else(|| models[0].0.clone());
        let (held_out, text) = self.text.read(&tokenizer, vocab_size)?;
        let teacher = teacher.map(|(_, decoder)| decoder);
        let (mut reports, mut rates) = (Vec::new(), Vec::new());
        for ((_, decoder), given) in models.iter().zip(&self.models) {
            let begun = Instant::now();
            let sums = losses::over(decoder, teacher.as_ref(), &held_out);
            #[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
            let rate = sums.tokens as f64 / begun.elapsed().as_secs_f64();
            let name = given.display().to_string();
            reports.push(ModelReport::of(
                &name,
                decoder.config.num_parameters(),
                &sums,
                teacher.is_some(),
                text,
            ));
            rates.push(Some(rate));
        }
        let (sequences, seq_tokens) = (held_out.num_sequences(), u64::from(self.text.seq_tokens));
        let report = Report { sequences, seq_tokens, entropy: None, models: reports };
        match self.format {
            Format::Json => super::print_json(&report),
            Format::Text => super::print(&report.table(&rates)),
        }
        Ok(())
    }
}
