//! A run directory: what a run leaves, and what it goes on from.
//!
//! ```text
//! recipe.toml        every key, defaults written out; `stillflow run <dir>` reads it
//! origin.json        version, device, and the digests of the teacher's files
//! events.jsonl       append-only: started, resumed, hands, sealed, finished, stopped, failed, passed over
//! lock               held by the process that works here
//! tokens/            token shards: training and held-out
//! stages/<stage>.json          a seal: the stage is finished, and is never done again
//! checkpoints/<stage>/step-…/  where a stage that is not finished goes on
//! metrics/<stage>/   a row a step, a row an evaluation; the same bytes however often the run was stopped
//! timing/            what the wall clock says: it is not the same twice
//! scores/            importance          plan.toml    what is kept
//! eval/*.json        what the models are worth
//! models/<name>/     Hugging Face directories
//! ```
//!
//! Nothing is edited in place but `events.jsonl`, which only grows.

mod absolute;
mod directory;
mod events;
mod memory;
mod origin;
mod progress;
mod seal;

pub use directory::RunDirectory;
pub use events::Events;
pub use memory::{peak_memory_bytes, resident_memory_bytes};
pub use origin::Origin;
pub use progress::{Progress, duration};
pub use seal::Seal;
