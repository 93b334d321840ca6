//! The experiment on token shards: one knob is turned at a time, all others stand at their defaults.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use datasets::loader::Settings;
use datasets::order::Shuffle;
use datasets::pack::Method;
use datasets::shard::{Layout, PageCompression, Shards, TokenEncoding};
use datasets::storage::Options;
use datasets::store::create_dir_all;
use serde::Serialize;

use super::against;
use super::measure::{decode, load, load_some, memory_copy, settings};
use super::measurement::{Measurement, write};
use super::shards::{Documents, drop_cache, open};
use super::summary::{Summary, choose, summarise, table};
use crate::chart::{Bar, bars, points};
use crate::error::Error;
use crate::stages::sources::is_address;

/// What is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Knob {
    /// How tokens are arranged and compressed: read into memory, verified, one thread.
    Encoding,
    /// Tokens of a row group, through the loader.
    RowGroup,
    /// Tokens of a shuffle window.
    Window,
    /// None, windows, or global.
    Shuffle,
    /// Concatenate and cut, or best fit.
    Packing,
    /// Threads that take sequences.
    Workers,
    /// Windows that are decoded ahead.
    ReadAhead,
    /// Pages in memory, or dropped before each measurement.
    Cache,
    /// Shards where they lie on an object store: fetched each time, or kept on the disk.
    Store,
}

/// An experiment.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Folders of shards, by path or address, or run directories; none for tokens that are drawn.
    pub shards: Vec<String>,
    /// What is varied; empty for all.
    pub sweep: Vec<Knob>,
    /// How often each is measured.
    pub repeats: u64,
    /// Tokens at most.
    pub tokens: u64,
    /// Ids of drawn tokens.
    pub vocab_size: u32,
    /// Tokens of a sequence.
    pub seq_tokens: usize,
    /// Whether the peers are measured too.
    pub against: bool,
    /// Where results go.
    pub out: PathBuf,
}

/// What an experiment found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// What was measured with.
    pub tokens: String,
    /// All values of all knobs.
    pub summaries: Vec<Summary>,
    /// Knob, value and reason of what would be chosen.
    pub chosen: Vec<(String, String, String)>,
    /// The peers that could not be measured, and why.
    pub missing: Vec<(String, String)>,
    /// Where the results are.
    pub out: PathBuf,
}

impl Found {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n{}", self.tokens, table(&self.summaries));
        for (name, why) in &self.missing {
            text += &format!("\nnot measured: {name}: {why}");
        }
        text += "\nit would choose";
        for (knob, value, why) in &self.chosen {
            text += &format!("\n  {knob:<11} {value}: {why}");
        }
        let out = self.out.display();
        text + &format!("\n\nresults and charts: {out}; notebooks/throughput.ipynb reads them")
    }
}

impl Experiment {
    /// The tokens that are measured with.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn documents(&self) -> Result<Documents, Error> {
        if self.shards.is_empty() {
            return Ok(Documents::drawn(self.tokens, self.vocab_size));
        }
        Documents::read(&self.shards, self.tokens)
    }

    /// Measures all that was asked for. `say` is told of each knob.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn run(&self, say: &dyn Fn(&str)) -> Result<Found, Error> {
        let documents = self.documents()?;
        create_dir_all(&self.out)?;
        let scratch = self.out.join("shards");
        let shards = documents.write(&scratch.join("default"), Layout::default())?;
        let mut rows = Vec::new();
        let flat: Vec<u32> = documents.samples.iter().flat_map(|s| &s.tokens).copied().collect();
        self.measure("floor", "memory copy", &mut rows, || Ok(memory_copy(&flat)))?;
        drop(flat);
        let knobs = if self.sweep.is_empty() { Knob::value_variants() } else { &self.sweep };
        for (done, knob) in knobs.iter().enumerate() {
            say(&format!("{}/{}: {}", done + 1, knobs.len(), knob.name()));
            self.turn(*knob, &documents, &shards, &scratch, &mut rows)?;
        }
        let mut missing = Vec::new();
        if self.sweep.contains(&Knob::Store) && !self.shards.iter().any(|at| is_address(at)) {
            let why = "none of the shards is on an object store; name one by its address";
            missing.push(("store".to_owned(), why.to_owned()));
        }
        if self.against {
            say("the peers");
            let dir = scratch.join("default");
            let (peers, failed) = against::ask(&dir, self.seq_tokens, 3.0, self.repeats)?;
            rows.extend(peers);
            missing.extend(failed);
        }
        std::fs::remove_dir_all(&scratch).map_err(Error::io(&scratch, "remove"))?;
        let name = self.out.file_name().unwrap_or_default().to_string_lossy().into_owned();
        write(&self.out.join("results.parquet"), &name, &rows)?;
        let summaries = summarise(&rows);
        self.draw(&summaries)?;
        let chosen = choose(&summaries);
        let tokens = format!(
            "{} tokens {}",
            crate::units::thousands(documents.num_tokens()),
            documents.what
        );
        Ok(Found { tokens, summaries, chosen, missing, out: self.out.clone() })
    }

    /// One value of a knob, as often as it is repeated.
    fn measure(
        &self,
        knob: &str,
        value: &str,
        rows: &mut Vec<Measurement>,
        mut once: impl FnMut() -> Result<Measurement, Error>,
    ) -> Result<(), Error> {
        for repeat in 0..self.repeats {
            let measured = once()?;
            rows.push(Measurement {
                knob: knob.to_owned(),
                value: value.to_owned(),
                repeat,
                ..measured
            });
        }
        Ok(())
    }

    fn turn(
        &self,
        knob: Knob,
        documents: &Documents,
        shards: &Arc<Shards>,
        scratch: &Path,
        rows: &mut Vec<Measurement>,
    ) -> Result<(), Error> {
        let name = knob.name();
        let with = |change: &dyn Fn(&mut Settings)| {
            let mut settings = settings(shards, self.seq_tokens);
            change(&mut settings);
            settings
        };
        match knob {
            Knob::Encoding => {
                for layout in layouts() {
                    let value = layout.to_string();
                    let shards = documents.write(&scratch.join(&value), layout)?;
                    self.measure(name, &value, rows, || decode(&shards))?;
                }
            }
            Knob::RowGroup => {
                for row_group_tokens in [1 << 18, 1 << 20, 1 << 22, 1 << 24] {
                    let layout = Layout { row_group_tokens, ..Layout::default() };
                    let value = binary(row_group_tokens);
                    let shards = documents.write(&scratch.join(format!("rg-{value}")), layout)?;
                    let settings = settings(&shards, self.seq_tokens);
                    self.measure(name, &value, rows, || load(&shards, &settings, 1))?;
                }
            }
            Knob::Window => {
                for tokens in [1 << 20, 1 << 22, 1 << 23, 1 << 24] {
                    let settings = with(&|settings| settings.window_tokens = Some(tokens));
                    self.measure(name, &binary(tokens), rows, || load(shards, &settings, 1))?;
                }
            }
            Knob::Shuffle => {
                for (value, shuffle) in [
                    ("none", Shuffle::None),
                    ("window", Shuffle::Window),
                    ("global", Shuffle::Global),
                ] {
                    let settings = with(&|settings| settings.shuffle = shuffle);
                    self.measure(name, value, rows, || load(shards, &settings, 1))?;
                }
            }
            Knob::Packing => {
                for (value, packing) in [("concat", Method::Concat), ("best_fit", Method::BestFit)]
                {
                    let settings = with(&|settings| settings.packing = packing);
                    self.measure(name, value, rows, || load(shards, &settings, 1))?;
                }
            }
            Knob::Workers => {
                for workers in [1, 2, 4] {
                    let settings = with(&|_| {});
                    self.measure(name, &workers.to_string(), rows, || {
                        load(shards, &settings, workers)
                    })?;
                }
            }
            Knob::ReadAhead => {
                for windows in [0, 1] {
                    let settings = with(&|settings| settings.read_ahead = windows);
                    let value = format!("{windows} windows");
                    self.measure(name, &value, rows, || load(shards, &settings, 1))?;
                }
            }
            Knob::Cache => {
                let (settings, dir) = (with(&|_| {}), scratch.join("cache"));
                self.measure(name, "in memory", rows, || load(shards, &settings, 1))?;
                // Files of their own: the system keeps the pages of those that are mapped.
                drop(documents.write(&dir, Layout::default())?);
                self.measure(name, "dropped", rows, || {
                    drop_cache(&dir).map_err(Error::io(&dir, "drop the cached pages of"))?;
                    load(&Arc::new(Shards::open(&dir, None)?), &settings, 1)
                })?;
            }
            Knob::Store => {
                let cache = Options {
                    cache_folder: Some(scratch.join("store")),
                    cache_bytes: u64::MAX,
                    ..Options::default()
                };
                let none = Options { cache_bytes: 0, ..Options::default() };
                for address in self.shards.iter().filter(|location| is_address(location)) {
                    let from = |options: &Options| {
                        let shards = Arc::new(open(address, options.clone())?);
                        let settings = settings(&shards, self.seq_tokens);
                        load_some(&shards, &settings, 1, self.tokens)
                    };
                    self.measure(name, &format!("{address} fetched"), rows, || from(&none))?;
                    from(&cache)?;
                    self.measure(name, &format!("{address} kept"), rows, || from(&cache))?;
                }
            }
        }
        Ok(())
    }

    fn draw(&self, summaries: &[Summary]) -> Result<(), Error> {
        let bar = |low, value, high, s: &Summary| Bar {
            label: format!("{}: {}", s.knob, s.value),
            low,
            value,
            high,
        };
        let all = |f: &dyn Fn(&Summary) -> Bar| summaries.iter().map(f).collect::<Vec<_>>();
        let rates = all(&|s| {
            let [low, median, high] = s.tokens_per_second;
            bar(low, median, high, s)
        });
        let one = |f: fn(&Summary) -> f64| all(&|s| bar(f(s), f(s), f(s), s));
        let path = |name: &str| self.out.join(name);
        bars(&path("throughput.svg"), "Tokens a second, lowest to highest", "tokens/s", &rates)?;
        let waits = one(|s| s.wait_share * 100.0);
        bars(&path("waits.svg"), "Share of the time that the consumer waited", "%", &waits)?;
        let tails = one(|s| s.batch_ms_p99);
        bars(&path("tails.svg"), "Time to a batch, 99th percentile", "ms", &tails)?;
        let sizes: Vec<_> = summaries
            .iter()
            .filter(|s| s.knob == "encoding" || s.knob == "peer")
            .filter(|s| s.bytes_per_token > 0.0)
            .map(|s| (s.value.clone(), s.bytes_per_token, s.tokens_per_cpu_second))
            .collect();
        let labels = ["stored bytes a token", "tokens/s of a core"];
        points(&path("size-and-speed.svg"), "Size and speed of encodings", labels, &sizes)?;
        Ok(())
    }
}

impl Knob {
    /// Its name in the results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::RowGroup => "row_group",
            Self::Window => "window",
            Self::Shuffle => "shuffle",
            Self::Packing => "packing",
            Self::Workers => "workers",
            Self::ReadAhead => "read_ahead",
            Self::Cache => "cache",
            Self::Store => "store",
        }
    }
}

fn layouts() -> Vec<Layout> {
    use PageCompression::{Lz4, None, Zstd};
    use TokenEncoding::{ByteStreamSplit, Delta, Dictionary, Plain};
    [
        (Plain, None),
        (Plain, Lz4),
        (Plain, Zstd(1)),
        (Plain, Zstd(3)),
        (ByteStreamSplit, None),
        (ByteStreamSplit, Lz4),
        (ByteStreamSplit, Zstd(1)),
        (ByteStreamSplit, Zstd(3)),
        (Delta, None),
        (Dictionary, Zstd(1)),
    ]
    .map(|(encoding, compression)| Layout { encoding, compression, ..Layout::default() })
    .to_vec()
}

/// A power of two as people say it: `256 Ki`, `4 Mi`.
fn binary(tokens: u64) -> String {
    if tokens >= 1 << 20 { format!("{} Mi", tokens >> 20) } else { format!("{} Ki", tokens >> 10) }
}
