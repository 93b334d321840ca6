//! The logit cache: what a teacher thinks of samples, at rest.
//!
//! Parquet, one row a sample, named by its content. A cache does not know in which order, packing or batch its samples will
//! be read, and serves all of them; it says whose logits it holds, and can be checked. `reference/distillation.md`,
//! section 6, is where the format comes from.
//!
//! ```text
//! <dir>/_tlc/format.json          whose logits they are: identity, and its fingerprint
//! <dir>/_tlc/log/<number>.json    commits: the shards that come and go
//! <dir>/data/af/af13….parquet     shards, each named by the digest of its bytes
//! <dir>/tmp/                      shards in the making
//!
//! sample_id   binary(16)     half a BLAKE3 digest of tokenizer, context and tokens
//! n_tokens    uint32         position i is the distribution of token i + 1: there are n_tokens - 1
//! source      utf8           where the text came from
//! k_max       uint32         entries of every position; 0 where they differ
//! input_ids   list<uint32>   what the teacher read
//! k           list<uint32>   entries of each position, if they differ; empty if not
//! ids         list<uint32>   the entries' ids, those of a position the most probable first
//! top1_lp     list<uint16>   log-probability of each position's first entry             -n / 2048
//! dcode       list<uint8>    first differences of the codes of its other entries        (uint16 where values are fixed16)
//! tail_lp     list<uint16>   mass that is not among the entries, exact                  -n / 2048; 65535: none
//! label_lp    list<uint16>   log-probability of the token that came; may be empty       -n / 2048
//! logz        list<uint16>   log Σ exp(log p / T) for each further T; may be empty      n / 2048
//! tau         list<uint16>   the weight of entries that were drawn; may be empty        -n / 2048
//! n_tail      list<uint16>   how many of the last entries those are; may be empty
//! row_crc     uint64         XXH3-64 of the row
//! ```
//!
//! All lists are BYTE_STREAM_SPLIT integers of 32 bits under zstd, which every reader knows; the zero bytes of narrow types
//! cost nothing. No value is null. A row group is what is read at once; its stored bytes are hashed, and the commit holds the
//! hashes, as the manifest of token shards does.
//!
//! | step of a commit | a kill before it loses | point |
//! |---|---|---|
//! | the shard is written aside and synced | the shard, of which nobody knows | `half-written`, `written` |
//! | it gets the name of its content | the same | `renamed` |
//! | the commit is written aside, synced, and linked to the next free number | the same: a file that no commit names | `staged` |
//! | the directory is synced | nothing | `committed` |

mod cache;
mod code;
mod decode;
mod encode;
mod error;
mod group;
mod identity;
pub mod import;
mod in_memory;
mod layout;
mod log;
mod maintain;
mod open;
mod profile;
mod reader;
pub mod sampling;
mod scored;
mod shard_writer;
mod sql;
mod stat;
mod stored;
mod verify;
mod writer;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod measure;
#[cfg(test)]
mod tests;

pub use cache::{Cache, CacheGroup, Entry, Lost};
pub use code::{STEPS, ValueCode};
pub use error::{LogitError, RowFault, SampleFault};
pub use identity::{Difference, Identity, Names, Teacher, TokenizerIdentity, probes};
pub use log::{Added, Commit};
pub use maintain::{Done, collect, compact, merge, retire};
pub use profile::{Keep, Profile, UnknownProfile};
pub use reader::Reader;
pub use scored::{Drawn, Scored};
pub use sql::sql;
pub use stat::{ColumnBytes, MassBin, SourceCount, Stat, stat};
pub use verify::{Finding, TeacherCheck, Verdict, verify};
pub use writer::{CacheWriter, Sizes};
