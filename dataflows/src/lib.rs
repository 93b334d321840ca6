//! How work moves: timely operators, and the graphs built of them.
//!
//! A run is a dataflow whose timestamp is the optimizer [`Step`]. What the stages of a graph *do* is not
//! here: a graph is generic over the small traits of [`roles`], which the root crate implements and a test
//! replaces with ten lines. What is here is *when* they do it, and what is known to be finished:
//!
//! - [`graphs`] are the pictures: [`pass`](graphs::pass) over data, and [`distil`](graphs::distil).
//! - [`operators`] are the nodes, one a file.
//! - [`ledger`] is which samples lack teacher logits, and [`corpus`] which documents are kept: collections, by differential.
//! - [`time`] and [`course`] are the steps of a run, its checkpoints, and how a stop moves its end.
//!
//! # The checkpoint
//!
//! The state of a stage at step *t* is a function of the messages with times `< t`. At a checkpoint step a
//! stage stages that state aside and sends a description of it on the stream of *parts*; when the frontier
//! of the parts passes *t* they are all durable, and [`Commit`](roles::Commit) makes them the checkpoint.
//! No barrier travels, nothing is counted, and no stage waits for another.
//!
//! # Failing
//!
//! Fail-stop. A role that fails is reported to the [`Halt`] of the run, which is expected to end the
//! process; until then its operator is wedged: it keeps its capabilities and sends nothing, so that nobody
//! mistakes its silence for completion and no later checkpoint is committed.

pub mod corpus;
pub mod course;
pub mod device;
pub mod failure;
pub mod graphs;
pub mod in_process;
pub mod ledger;
pub mod operators;
pub mod recipes;
pub mod roles;
pub mod time;

pub use failure::{Failure, Halt};
pub use graphs::{Outcome, RunError, Shape};
pub use in_process::InProcess;
pub use time::{At, Span, Step, Stop};
