//! Samples into shards, in the order of the text.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataflows::roles::{Fold, Staging};
use dataflows::{At, Failure, InProcess, Step};
use datasets::shard::{Header, Sample, ShardWriter};
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
    shards: Shards,
    /// By source and kind, in the order in which the finished ones are listed.
    writers: BTreeMap<(usize, Kind), ShardWriter>,
}

impl Writing {
    pub(super) fn new(
        ctx: &Arc<Context>,
        header: &Header,
        checkpoints: Arc<Checkpoints>,
        corpora: &Corpora,
        shards: Shards,
    ) -> Self {
        Self {
            ctx: Arc::clone(ctx),
            header: header.clone(),
            names: corpora.names().map(str::to_owned).collect(),
            checkpoints,
            shards,
            writers: BTreeMap::new(),
        }
    }

    fn push(&mut self, source: usize, kind: Kind, sample: &Sample) -> Result<(), Error> {
        if let Some(writer) = self.writers.get_mut(&(source, kind)) {
            return Ok(writer.push(sample)?);
        }
        let finished = self.shards.of(kind, source).len();
        let dir = kind.dir(&self.ctx.run.path, &self.names[source]);
        let path = dir.join(format!("tokens-{finished:05}.parquet"));
        let mut writer = ShardWriter::new(&path, &self.header)?;
        writer.push(sample)?;
        self.writers.insert((source, kind), writer);
        Ok(())
    }
}

impl Fold for Writing {
    type Input = InProcess<Option<Tokenised>>;

    fn fold(&mut self, at: At, InProcess(tokenised): Self::Input) -> Result<(), Failure> {
        let Some(Tokenised { source, samples, report }) = tokenised else { return Ok(()) };
        for (kind, sample) in &samples {
            self.push(source, *kind, sample).map_err(Failure::of)?;
            self.shards.report.unigrams.count(&sample.tokens);
        }
        self.shards.documents += report.documents;
        self.shards.report.source(&self.names[source]).add(&report);
        let done = at.step.0 * u64::from(CHUNKS) + u64::from(at.shard) + 1;
        let documents = self.shards.documents;
        self.ctx.progress.at(done, || format!("{documents} documents"));
        Ok(())
    }

    fn part(&mut self, step: Step) -> Staging {
        let writers = std::mem::take(&mut self.writers);
        let (mut shards, checkpoints) = (self.shards.clone(), Arc::clone(&self.checkpoints));
        Box::new(move || {
            let write = || -> Result<_, Error> {
                for ((source, kind), writer) in writers {
                    shards.of(kind, source).push(writer.finish()?);
                }
                sealed_part("fold", STATE, &checkpoints.part_dir(step.0)?, &shards)
            };
            Ok(vec![write().map_err(Failure::of)?])
        })
    }
}
