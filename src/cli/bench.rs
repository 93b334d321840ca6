//! `stillflow bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Format;
use crate::bench::{Experiment, Graph, Part};
use crate::error::Error;

/// Measure how fast data moves: the token path, or the dataflow alone.
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Data(Data),
    Graph(GraphArgs),
}

/// Token shards: encodings, row groups, shuffle windows, packing, workers, read-ahead, the page cache.
#[derive(Debug, Args)]
#[command(after_help = "\
Without shards, measures with tokens that it draws by a Zipf law. Writes
results.parquet, a table and charts into --out, which notebooks/throughput.ipynb
reads, and says what it would choose.

Examples:
  stillflow bench data --quick --format json
  stillflow bench data runs/quickstart/tokens/train/corpus
  stillflow bench data runs/mine --against
  stillflow bench data shards/ --sweep encoding,window --repeats 5

--against asks the peers that `python3`, or $STILLFLOW_PYTHON, has installed.")]
struct Data {
    /// Folders of token shards, by path or address, or a run directory
    shards: Vec<String>,
    /// Four numbers in under a minute, and no files: a memory copy, two list columns, and the loader
    #[arg(long)]
    quick: bool,
    /// What is varied [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    sweep: Vec<crate::bench::Knob>,
    /// Times that each is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    repeats: u64,
    /// Tokens that are drawn, or read of the shards at most
    #[arg(long, default_value = "32M")]
    tokens: crate::recipe::TokenCount,
    /// Ids of drawn tokens
    #[arg(long, default_value_t = 32_000, value_parser = clap::value_parser!(u32).range(2..))]
    vocab_size: u32,
    /// Tokens of a sequence
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(2..))]
    seq_tokens: u32,
    /// Measure the peers that Python has, on the same tokens
    #[arg(long)]
    against: bool,
    /// Where results and charts go [default: runs/bench-data]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print results as this
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Print the digest of every PARTS-th sequence from PART on, as PART/PARTS, and end: what one process of many reads
    #[arg(long, hide = true)]
    part: Option<Part>,
}

/// The dataflow alone: payloads, containers, workers, processes, windows.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stillflow bench graph
  stillflow bench graph --steps 2000 --repeats 5 --format json")]
struct GraphArgs {
    /// Steps of a measurement
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Times that each is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    repeats: u64,
    /// Where results and charts go [default: runs/bench-graph]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print results as this
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// One process of a measurement, as JSON
    #[arg(long, hide = true)]
    process: Option<String>,
}

impl Bench {
    pub(super) fn run(self) -> Result<(), Error> {
        match self.what {
            What::Data(data) => data.run(),
            What::Graph(graph) => graph.run(),
        }
    }
}

impl Data {
    fn run(self) -> Result<(), Error> {
        let format = self.format;
        let experiment = Experiment {
            shards: self.shards,
            sweep: self.sweep,
            repeats: self.repeats,
            tokens: self.tokens.get(),
            vocab_size: self.vocab_size,
            seq_tokens: self.seq_tokens as usize,
            against: self.against,
            out: self.out.unwrap_or_else(|| "runs/bench-data".into()),
        };
        if let Some(part) = self.part {
            super::print_json(&experiment.part(part)?);
            return Ok(());
        }
        if self.quick {
            let quick = experiment.quick()?;
            match format {
                Format::Json => super::print_json(&quick),
                Format::Text => super::print(&quick.text()),
            }
            return Ok(());
        }
        let found = experiment.run(&|line| eprintln!("{line}"))?;
        match format {
            Format::Json => super::print_json(&found),
            Format::Text => super::print(&found.text()),
        }
        Ok(())
    }
}

impl GraphArgs {
    fn run(self) -> Result<(), Error> {
        if let Some(process) = &self.process {
            super::print_json(&crate::bench::graph::process(process)?);
            return Ok(());
        }
        let graph = Graph {
            steps: self.steps,
            repeats: self.repeats,
            out: self.out.unwrap_or_else(|| "runs/bench-graph".into()),
        };
        let found = graph.run(&|line| eprintln!("{line}"))?;
        match self.format {
            Format::Json => super::print_json(&found),
            Format::Text => super::print(&found.text()),
        }
        Ok(())
    }
}
