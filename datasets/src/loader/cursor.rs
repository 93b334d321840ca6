//! Where a run is in its data, and what data and order that is a place in.
//!
//! A cursor is all that the order of sequences is a function of, and the index of the next one. Another loader goes on
//! from it at once, after [`Loader::check`](super::Loader::check) has found nothing that differs. Weights are written as
//! the shortest decimals that read as the same number.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::order::Shuffle;
use crate::pack::Method;

/// The version of the format. A cursor of another one is refused.
pub const CURSOR_VERSION: u32 = 1;

/// A place in the order of all sequences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// [`CURSOR_VERSION`].
    pub version: u32,
    /// [`ORDER_VERSION`](crate::order::ORDER_VERSION).
    pub order_version: u32,
    /// The sources, in their order.
    pub sources: Vec<CursorSource>,
    /// The seed of the orders.
    pub seed: u64,
    /// How much the order differs from the stored one.
    pub shuffle: Shuffle,
    /// How many tokens a window of a source has at least.
    pub window_tokens: u64,
    /// How many tokens a sequence predicts.
    pub seq_tokens: u64,
    /// How documents fill sequences.
    pub packing: Method,
    /// The token put before each document.
    pub bos: Option<u32>,
    /// The token put after each document.
    pub eos: Option<u32>,
    /// Changes of the sources' weights.
    pub schedule: Vec<CursorStep>,
    /// The first sequence that was not used yet.
    pub next_sequence: u64,
}

/// A source, as a cursor knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CursorSource {
    /// Its name.
    pub name: String,
    /// The digest of its data.
    pub digest: String,
    /// Its weight.
    pub weight: String,
    /// After how many epochs it ends.
    pub epochs: Option<u64>,
}

/// A change of weights, as a cursor knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CursorStep {
    /// How many tokens come before.
    pub from_tokens: u64,
    /// Names and weights.
    pub weights: Vec<(String, String)>,
}

/// What of a cursor is not as the loader has it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is a place in other data or another order: {}", listed(.fields))]
pub struct CursorMismatch {
    /// Everything that differs.
    pub fields: Vec<Difference>,
}

/// A difference between a cursor and a loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is: `seed`, `source "web": weight`.
    pub field: String,
    /// What the cursor says.
    pub expected: String,
    /// What the loader has.
    pub found: String,
}

fn listed(fields: &[Difference]) -> String {
    let mut text = String::new();
    for Difference { field, expected, found } in fields {
        let comma = if text.is_empty() { "" } else { "; " };
        write!(text, "{comma}{field} was {expected} and is {found}").expect("a string takes it");
    }
    text
}

/// All that differs, but for the place itself.
pub(super) fn differences(cursor: &Cursor, loader: &Cursor) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut compare = |field: &str, expected: String, found: String| {
        if expected != found {
            all.push(Difference { field: field.to_owned(), expected, found });
        }
    };
    let (c, l) = (cursor, loader);
    compare("version", c.version.to_string(), l.version.to_string());
    compare("order_version", c.order_version.to_string(), l.order_version.to_string());
    compare("seed", c.seed.to_string(), l.seed.to_string());
    compare("shuffle", json(&c.shuffle), json(&l.shuffle));
    compare("window_tokens", c.window_tokens.to_string(), l.window_tokens.to_string());
    compare("seq_tokens", c.seq_tokens.to_string(), l.seq_tokens.to_string());
    compare("packing", json(&c.packing), json(&l.packing));
    compare("bos", or_none(c.bos), or_none(l.bos));
    compare("eos", or_none(c.eos), or_none(l.eos));
    let names = |cursor: &Cursor| {
        let names: Vec<&str> = cursor.sources.iter().map(|source| &*source.name).collect();
        format!("{names:?}")
    };
    compare("sources", names(c), names(l));
    for source in &c.sources {
        let Some(other) = l.sources.iter().find(|other| other.name == source.name) else {
            continue;
        };
        let field = |what: &str| format!("source {:?}: {what}", source.name);
        compare(&field("digest"), source.digest.clone(), other.digest.clone());
        compare(&field("weight"), source.weight.clone(), other.weight.clone());
        compare(&field("epochs"), or_none(source.epochs), or_none(other.epochs));
    }
    compare("schedule", json(&c.schedule), json(&l.schedule));
    all
}

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names and numbers are JSON")
}
