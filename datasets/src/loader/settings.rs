//! What a loader is told.

use std::sync::Arc;

use super::Groups;
use super::pack_plan::PackPlan;
use crate::order::Shuffle;
use crate::pack::Method;

/// Tokens of the windows of all sources together, unless the settings say otherwise.
pub const DEFAULT_WINDOW_TOKENS: u64 = 4 << 20;
/// The memory that decoded windows should stay below, unless the settings say otherwise.
pub const DEFAULT_MEMORY_BYTES: u64 = 192 << 20;

/// A source of sequences.
#[derive(Clone)]
pub struct Source {
    /// Its name, of which there is one. It is part of the order.
    pub name: String,
    /// Where its documents are.
    pub groups: Arc<dyn Groups>,
    /// Its weight in tokens, in proportion to the others'.
    pub weight: f64,
    /// After how many passes over its documents it ends; never if `None`.
    pub epochs: Option<u64>,
    /// The plan of best-fit packing, if there is one from before. One of other data or settings is ignored.
    pub pack_plan: Option<PackPlan>,
}

/// New weights from a number of tokens on.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// How many tokens of all sources come before: the weights hold from the first sequence that begins there or later.
    pub from_tokens: u64,
    /// The sources whose weight changes, by name. The others keep theirs.
    pub weights: Vec<(String, f64)>,
}

/// How sources become sequences.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many tokens a sequence predicts: it has one more.
    pub seq_tokens: usize,
    /// The number of ids: a token that is not below it is an error where it is read.
    pub vocab_size: u32,
    /// The token put before each document, if any.
    pub bos: Option<u32>,
    /// The token put after each document, if any. Also what pads a sequence; without it, 0 does.
    pub eos: Option<u32>,
    /// How documents fill sequences.
    pub packing: Method,
    /// How much the order differs from the stored one.
    pub shuffle: Shuffle,
    /// How many tokens a window of a source has at least; [`DEFAULT_WINDOW_TOKENS`] by the number of sources if `None`.
    pub window_tokens: Option<u64>,
    /// The seed of the orders.
    pub seed: u64,
    /// Changes of the sources' weights.
    pub schedule: Vec<Step>,
    /// The memory that decoded windows should stay below. Each source holds three windows if they fit, else two, even
    /// where two do not. No part of the order.
    pub memory_bytes: u64,
    /// Threads that decode windows before they are asked for. No part of the order.
    pub read_ahead: usize,
}

impl Settings {
    /// Global shuffle, concatenated, one thread that reads ahead.
    pub fn new(seq_tokens: usize, vocab_size: u32) -> Self {
        Self {
            seq_tokens,
            vocab_size,
            bos: None,
            eos: None,
            packing: Method::default(),
            shuffle: Shuffle::default(),
            window_tokens: None,
            seed: 0,
            schedule: Vec::new(),
            memory_bytes: DEFAULT_MEMORY_BYTES,
            read_ahead: 1,
        }
    }
}
