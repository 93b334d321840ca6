//! Samples into shards, in the order of the text.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use dataflows::roles::{Fold, Staging};
use dataflows::{At, Failure, InProcess, Step};
use datasets::report::CorpusReport;
use datasets::shard::{Header, Samples, ShardWriter};
use datasets::store::Checkpoints;

use super::read::Corpora;
use super::tokenise::Tokenised;
use super::{CHUNKS, Kind, STATE, Shards};
use crate::error::Error;
use crate::stages::commit::sealed_part;
use crate::stages::context::Context;

/// Writes the shards of a leg: one of each kind for each source that it comes upon.
pub(super) struct Writing {
    ctx: Arc<Context>,
    header: Header,
    names: Vec<String>,
    checkpoints: Arc<Checkpoints>,
    documents: u64,
    report: CorpusReport,
    /// The finished shards, as of the newest checkpoint: its staging adds to them.
    shards: Arc<Mutex<Shards>>,
    /// How many shards there are before those in the making.
    numbers: BTreeMap<(usize, Kind), usize>,
    /// By source and kind, in the order in which the finished ones are listed.
    writers: BTreeMap<(usize, Kind), ShardWriter>,
}

impl Writing {
    pub(super) fn new(
        ctx: &Arc<Context>,
        header: &Header,
        checkpoints: Arc<Checkpoints>,
        corpora: &Corpora,
        mut shards: Shards,
    ) -> Self {
        let names: Vec<String> = corpora.names().map(str::to_owned).collect();
        let keys = (0..names.len()).flat_map(|n| [(n, Kind::Train), (n, Kind::HeldOut)]);
        Self {
            ctx: Arc::clone(ctx),
            header: header.clone(),
            numbers: keys.map(|key| (key, shards.of(key.1, key.0).len())).collect(),
            names,
            checkpoints,
            documents: shards.documents,
            report: shards.report.clone(),
            shards: Arc::new(Mutex::new(shards)),
            writers: BTreeMap::new(),
        }
    }

    fn push(&mut self, source: usize, kind: Kind, samples: &Samples) -> Result<(), Error> {
        if samples.is_empty() {
            return Ok(());
        }
        let writer = match self.writers.entry((source, kind)) {
            Entry::Occupied(writer) => writer.into_mut(),
            Entry::Vacant(place) => {
                let number = self.numbers.entry((source, kind)).or_default();
                let dir = kind.dir(&self.ctx.run.path, &self.names[source]);
                let path = dir.join(format!("tokens-{number:05}.parquet"));
                *number += 1;
                place.insert(ShardWriter::new(&path, &self.header)?)
            }
        };
        Ok(writer.push_all(samples)?)
    }
}

impl Fold for Writing {
    type Input = InProcess<Option<Tokenised>>;

    fn fold(&mut self, at: At, InProcess(tokenised): Self::Input) -> Result<(), Failure> {
        let Some(tokenised) = tokenised else { return Ok(()) };
        let Tokenised { source, samples, report, unigrams } = tokenised;
        for (kind, samples) in &samples {
            self.push(source, *kind, samples).map_err(Failure::of)?;
        }
        self.documents += report.documents;
        self.report.source(&self.names[source]).add(&report);
        self.report.unigrams.add(&unigrams);
        let done = at.step.0 * u64::from(CHUNKS) + u64::from(at.shard) + 1;
        let documents = self.documents;
        self.ctx.progress.at(done, || format!("{documents} documents"));
        Ok(())
    }

    fn part(&mut self, step: Step) -> Staging {
        let writers = std::mem::take(&mut self.writers);
        let (shards, checkpoints) = (Arc::clone(&self.shards), Arc::clone(&self.checkpoints));
        let (documents, report) = (self.documents, self.report.clone());
        Box::new(move || {
            let write = || -> Result<_, Error> {
                // Stagings follow one another, so what is there is what was there at the checkpoint before.
                let mut shards = shards.lock().unwrap_or_else(PoisonError::into_inner);
                for ((source, kind), writer) in writers {
                    shards.of(kind, source).push(writer.finish()?);
                }
                (shards.documents, shards.report) = (documents, report);
                sealed_part("fold", STATE, &checkpoints.part_dir(step.0)?, &*shards)
            };
            Ok(vec![write().map_err(Failure::of)?])
        })
    }
}
