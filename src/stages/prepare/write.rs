//! Samples into the shards of a leg.

use std::sync::Arc;

use dataflows::roles::{Fold, Staging};
use dataflows::{At, Failure, InProcess, Step};
use datasets::shard::{Header, Sample, ShardWriter};
use datasets::store::{Checkpoints, sealed};

use super::{CHUNKS, Kind, STATE, Shards};
use crate::error::Error;
use crate::stages::commit::part;
use crate::stages::context::Context;

/// Writes the shards of a leg.
pub(super) struct Writing {
    pub(super) ctx: Arc<Context>,
    pub(super) header: Header,
    pub(super) checkpoints: Arc<Checkpoints>,
    pub(super) shards: Shards,
    pub(super) train: Option<ShardWriter>,
    pub(super) held_out: Option<ShardWriter>,
}

impl Writing {
    fn push(&mut self, kind: Kind, sample: &Sample) -> Result<(), Error> {
        let (writer, finished) = match kind {
            Kind::Train => (&mut self.train, self.shards.train.len()),
            Kind::HeldOut => (&mut self.held_out, self.shards.held_out.len()),
        };
        let writer = match writer {
            Some(writer) => writer,
            None => {
                let path =
                    kind.dir(&self.ctx.run.path).join(format!("tokens-{finished:05}.parquet"));
                writer.insert(ShardWriter::new(&path, &self.header)?)
            }
        };
        writer.push(sample)?;
        Ok(())
    }
}

impl Fold for Writing {
    type Input = InProcess<Vec<(Kind, Sample)>>;

    fn fold(&mut self, at: At, InProcess(samples): Self::Input) -> Result<(), Failure> {
        for (kind, sample) in &samples {
            self.push(*kind, sample).map_err(Failure::of)?;
        }
        self.shards.documents += samples.len() as u64;
        let done = at.step.0 * u64::from(CHUNKS) + u64::from(at.shard) + 1;
        let documents = self.shards.documents;
        self.ctx.progress.at(done, || format!("{documents} documents"));
        Ok(())
    }

    fn part(&mut self, step: Step) -> Staging {
        let (train, held_out) = (self.train.take(), self.held_out.take());
        let (mut shards, checkpoints) = (self.shards.clone(), Arc::clone(&self.checkpoints));
        Box::new(move || {
            let write = || -> Result<_, Error> {
                if let Some(writer) = train {
                    shards.train.push(writer.finish()?);
                }
                if let Some(writer) = held_out {
                    shards.held_out.push(writer.finish()?);
                }
                let path = checkpoints.part_dir(step.0)?.join(STATE);
                sealed::write(&path, &shards)?;
                let bytes = std::fs::metadata(&path).map_err(Error::io(&path, "read"))?.len();
                let digest = datasets::store::digest_file(&path)?;
                Ok(datasets::store::Written { bytes, digest })
            };
            Ok(vec![part("fold", STATE, write().map_err(Failure::of)?)])
        })
    }
}
