//! `stillflow cache verify`.

use std::path::PathBuf;

use clap::Args;
use datasets::logits::{Cache, Finding, Identity, LogitError, TeacherCheck, verify};
use serde_json::json;

use super::super::input::{DeviceArgs, read_model};
use super::super::{Format, print, print_json};
use crate::error::Error;
use crate::logits::{Scorer, audit, replay};
use crate::stages::logits::whose;

/// Whether a cache is what it says; every damaged file is named
#[derive(Debug, Args)]
#[command(after_help = "\
Levels, each with those below it:
  0  format, log, and of each shard its file, length, footer and names of rows
  1  the digest of every file
  2  every row, decoded
  3  samples replayed by the teacher, beside a control that must fail
  4  how much is lost with the words that are not kept, and which K is enough

Examples:
  stillflow cache verify runs/capture-tiny/logits
  stillflow cache verify logits --level 4 --teacher DIR")]
pub(super) struct Verify {
    /// The cache
    dir: PathBuf,
    /// How much is looked at
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=4))]
    level: u8,
    /// The teacher's directory, for levels 3 and 4
    #[arg(long, value_name = "DIR")]
    teacher: Option<PathBuf>,
    /// Samples that levels 3 and 4 look at
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print what is found as this
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Verify {
    pub(super) fn run(self) -> Result<(), Error> {
        let mut numbers = serde_json::Map::new();
        let verdict = match &self.teacher {
            Some(teacher) if self.level > 2 => {
                let scorer = self.scorer(teacher)?;
                let count = self.samples as usize;
                let mut check =
                    |level: u8, cache: &Cache| look(level, cache, &scorer, count, &mut numbers);
                verify(&self.dir, self.level, Some(&mut check as &mut TeacherCheck<'_>))?
            }
            _ => verify(&self.dir, self.level, None)?,
        };
        match self.format {
            Format::Json => {
                let mut value = serde_json::to_value(&verdict).unwrap_or_default();
                value["good"] = verdict.is_good().into();
                value["level"] = self.level.into();
                value.as_object_mut().into_iter().for_each(|object| object.append(&mut numbers));
                print_json(&value);
            }
            Format::Text => {
                verdict.findings.iter().for_each(|finding| print(&format!("{finding}\n")));
                let (shards, samples, tokens) = (verdict.shards, verdict.samples, verdict.tokens);
                let good = if verdict.is_good() { "good" } else { "damaged" };
                let level = self.level;
                print(&format!(
                    "{good} to level {level}: {shards} shards, {samples} samples, {tokens} tokens\n"
                ));
            }
        }
        if verdict.is_good() {
            return Ok(());
        }
        let damaged = verdict.findings.iter().filter(|finding| finding.is_damage).count();
        Err(Error::DamagedCache { path: self.dir, damaged })
    }

    /// The teacher, if it is the cache's.
    fn scorer(&self, teacher: &PathBuf) -> Result<Scorer, Error> {
        let cache = Cache::open(&self.dir, None)?;
        let kept = cache.identity();
        let expected = Identity { teacher: whose::of_directory(teacher)?, ..kept.clone() };
        let differences = expected.differences(kept);
        if !differences.is_empty() {
            return Err(LogitError::Other { path: self.dir.clone(), differences }.into());
        }
        let profile = cache.shards().last().map(|(_, added)| added.profile).unwrap_or_default();
        let vocab_size = kept.vocab_size;
        let (chosen, working) = self.device.choose()?;
        let (_, teacher) = read_model(teacher, &chosen.device, working)?;
        Ok(Scorer { teacher, vocab_size, profile })
    }
}

type Found = Result<Vec<Finding>, Box<dyn std::error::Error + Send + Sync>>;

fn look(
    level: u8,
    cache: &Cache,
    scorer: &Scorer,
    count: usize,
    numbers: &mut serde_json::Map<String, serde_json::Value>,
) -> Found {
    if level == 3 {
        let replay = replay::replay(cache, scorer, count)?;
        numbers.insert("replay".into(), json!(replay));
        return Ok(replay.findings(cache));
    }
    let cuts = audit::audit(cache, scorer, count)?;
    numbers.insert("cuts".into(), json!(cuts));
    numbers.insert("recommended_k".into(), json!(audit::recommended(&cuts)));
    Ok(audit::findings(&cuts, cache))
}
