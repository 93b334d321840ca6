//! `stillflow hand`: what `stillflow run -n` starts, and no person does.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use dataflows::Stop;

use super::input::DeviceArgs;
use crate::error::Error;
use crate::run::{Progress, RunDirectory};
use crate::stages::capture::Task;
use crate::stages::{Context, capture, hands};

/// One of the processes of a run: it meets the others by its standard input and output, and ends with the first.
#[derive(Debug, Args)]
pub(super) struct Hand {
    /// The run directory
    run: PathBuf,
    /// What is to be done, as JSON
    #[arg(long)]
    task: String,
    /// Worker threads of each process
    #[arg(short, long)]
    workers: usize,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Hand {
    pub(super) fn run(self) -> Result<(), Error> {
        let cluster = hands::meet()?;
        let task: Task = hands::parse(&self.task)?;
        let (chosen, working) = self.device.choose()?;
        let ctx = Arc::new(Context {
            run: RunDirectory::of_another(&self.run)?,
            device: chosen.device,
            working,
            workers: self.workers,
            hands: Vec::new(),
            stop: Stop::new(),
            progress: Arc::new(Progress::new(true)),
        });
        capture::hand(&ctx, &task, cluster)
    }
}
