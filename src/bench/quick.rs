//! Four numbers in under a minute: what memory gives, two list columns, and the loader.

use datasets::shard::{Layout, PageCompression, TokenEncoding};
use serde::Serialize;

use super::data::Experiment;
use super::measure::{decode, load, memory_copy, settings};
use super::measurement::Measurement;
use crate::error::Error;

/// Tokens a second of one core, the best of some repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quick {
    /// From memory to a batch.
    pub memory_copy: f64,
    /// A list column without compression, verified, into memory.
    pub list_plain: f64,
    /// A list column of split bytes and zstd, verified, into memory.
    pub list_bss_zstd: f64,
    /// Sequences out of the latter: a global shuffle, packed, with the starts of documents, at any cursor.
    pub loader: f64,
    /// Sequences out of the former.
    pub loader_plain: f64,
}

impl Quick {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let line = |name: &str, rate: f64| format!("{name:<52} {:>8.0} M tokens/s\n", rate / 1e6);
        line("memory copy", self.memory_copy)
            + &line("list column, plain", self.list_plain)
            + &line("list column, byte_stream_split + zstd(1)", self.list_bss_zstd)
            + &line("loader on that: shuffled, packed, masks", self.loader)
            + &line("loader on plain", self.loader_plain)
    }
}

impl Experiment {
    /// Measures the four numbers, in a scratch folder that is gone afterwards.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn quick(&self) -> Result<Quick, Error> {
        let documents = self.documents()?;
        let scratch = self.out.join("quick");
        let plain = Layout {
            encoding: TokenEncoding::Plain,
            compression: PageCompression::None,
            ..Layout::default()
        };
        let split = Layout {
            encoding: TokenEncoding::ByteStreamSplit,
            compression: PageCompression::Zstd(1),
            ..Layout::default()
        };
        let plain = documents.write(&scratch.join("plain"), plain)?;
        let split = documents.write(&scratch.join("split"), split)?;
        let flat: Vec<u32> = documents.samples.iter().flat_map(|s| &s.tokens).copied().collect();
        drop(documents);
        let best = |once: &dyn Fn() -> Result<Measurement, Error>| {
            let mut best = 0.0f64;
            for _ in 0..self.repeats.max(3) {
                best = best.max(once()?.tokens_per_cpu_second());
            }
            Ok::<_, Error>(best)
        };
        let on = |shards: &_| load(shards, &settings(shards, self.seq_tokens), 1);
        let quick = Quick {
            memory_copy: best(&|| Ok(memory_copy(&flat)))?,
            list_plain: best(&|| decode(&plain))?,
            list_bss_zstd: best(&|| decode(&split))?,
            loader: best(&|| on(&split))?,
            loader_plain: best(&|| on(&plain))?,
        };
        drop((plain, split));
        std::fs::remove_dir_all(&scratch).map_err(Error::io(&scratch, "remove"))?;
        Ok(quick)
    }
}
