//! The nodes of the graphs, one a file.
//!
//! The timestamp is the step, as timely's `u64`. A message of step *t* travels at time *t*; a part of the
//! checkpoint at *t*, which is the state that step *t - 1* made, travels at time *t* as well.

mod commit;
mod halve;
mod in_order;
mod on_device;
mod paced;
mod record;
mod split_frontier;
mod stage;

pub use commit::{CommitWhole, NotWhole};
pub use halve::{Halve, Verdict, rank};
pub use in_order::InOrder;
pub use on_device::OnDevice;
pub use paced::paced;
pub use record::RecordRows;
pub use split_frontier::SplitFrontier;
pub use stage::{Stage, Staged};
