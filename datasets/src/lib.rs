//! How data rests: durable files, raw text, token shards, order, packing.
//!
//! | module | what |
//! |---|---|
//! | [`store`] | durable bytes: atomic files, digests, the run's lock, checkpoints. The only code that calls fsync |
//! | [`text`] | raw documents out of text, JSON lines and Parquet, in chunks that any worker can read alone |
//! | [`tokenizer`] | Hugging Face's `tokenizer.json`, text to ids and back |
//! | [`shard`] | token shards: Parquet, one row a sample, with a manifest of hashes |
//! | [`random`] | random numbers as functions of (seed, purpose, epoch, index) |
//! | [`order`] | in which order an epoch visits the samples |
//! | [`pack`] | samples concatenated and cut into sequences |
//! | [`storage`] | files, here and on object stores, with a bounded cache of the latter |
//! | [`mixture`] | many sources in one order, by weights in tokens |
//! | [`loader`] | sequences out of token shards: order, packing, mixture, read ahead, and the cursor |
//! | [`logits`] | the logit cache: what a teacher thinks of samples |
//! | [`near`] | signatures by which near-duplicates are found |
//! | [`report`] | what is known of a corpus |
//! | [`table`] | small tables of numbers in Parquet: metrics, scores |
//! | [`grammar`] | a corpus whose entropy is known exactly |
//!
//! Nothing here knows tensors or operators, and no function keeps a position: what comes at an index is a
//! function of the data, the seed and the index.

pub mod grammar;
pub mod loader;
pub mod logits;
pub mod mixture;
pub mod near;
pub mod order;
pub mod pack;
mod parquet_file;
pub mod random;
pub mod report;
pub mod shard;
pub mod storage;
pub mod store;
pub mod table;
pub mod text;
pub mod tokenizer;
mod tokens;

pub use parquet_file::{ParquetFault, panic_is_caught};
pub use tokens::TokenLists;
