//! `stillflow cache import`.

use std::path::PathBuf;

use clap::Args;
use datasets::logits::Profile;
use datasets::logits::import::import;
use datasets::tokenizer::Tokenizer;

use super::super::print;
use crate::error::Error;
use crate::stages::logits::whose;

/// Take in what DistillKit captured: a folder of Parquet with `compression_config.yaml`
#[derive(Debug, Args)]
#[command(after_help = "\
The files do not say whose logits they are: --teacher and --tokenizer do. Nor do
they say whether documents begin and end with special tokens: their ids are taken
as they are, and a recipe that reads the cache needs the same `tokens.bos` and
`tokens.eos` as --bos and --eos say here.

Examples:
  stillflow cache import distillkit/ logits --teacher DIR")]
pub(super) struct Import {
    /// DistillKit's folder
    from: PathBuf,
    /// The cache; made, if it is not there
    into: PathBuf,
    /// The directory of the teacher whose logits they are
    #[arg(long, value_name = "DIR")]
    teacher: PathBuf,
    /// The tokenizer's directory or file [default: the teacher's]
    #[arg(long, value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    /// Whether samples begin with the tokenizer's token for that
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    bos: bool,
    /// Whether samples end with the tokenizer's token for that
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    eos: bool,
    /// How much is kept: k16, k32, k64, exact, top-p
    #[arg(long, default_value = "k32", value_parser = profile)]
    profile: Profile,
    /// The source that they are counted under
    #[arg(long, default_value = "distillkit")]
    source: String,
}

fn profile(text: &str) -> Result<Profile, datasets::logits::UnknownProfile> {
    text.parse()
}

impl Import {
    pub(super) fn run(self) -> Result<(), Error> {
        let path = self.tokenizer.as_ref().unwrap_or(&self.teacher);
        let tokenizer = Tokenizer::load(path)?;
        let bos = tokenizer.bos_id().filter(|_| self.bos);
        let eos = tokenizer.eos_id().filter(|_| self.eos);
        let teacher = whose::of_directory(&self.teacher)?;
        let mut identity = whose::identity(teacher, path, bos, eos, &self.profile)?;
        // The files have no log-probability of the token that came.
        identity.label = false;
        let done = import(&self.from, &self.into, &identity, self.profile, &self.source)?;
        let (samples, tokens, skipped) = (done.samples, done.tokens, done.skipped);
        print(&format!(
            "{samples} samples of {tokens} tokens came, {skipped} were there or too short\n"
        ));
        Ok(())
    }
}
