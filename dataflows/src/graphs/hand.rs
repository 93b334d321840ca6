//! A process of a pass that is not the first.

use std::convert::Infallible;
use std::marker::PhantomData;

use super::cluster::Cluster;
use super::pass::{Pass, graph};
use super::run::Once;
use super::{RunError, Shape};
use crate::failure::{Failure, Halt};
use crate::roles::{Commit, Feed, Fold, Message, Part, Staging, Work};
use crate::time::{At, Step, Stop};

/// Feeds and works for [`pass_with_hands`](super::pass_with_hands), which another process runs, until that has all. It
/// is given the same shape, and roles that do the same at each place.
///
/// # Errors
/// Where the workers cannot be started, or one panics. Failures of roles, and a process that is lost, go to `halt`.
pub fn hand<F, W, FeedRole, WorkRole>(
    cluster: Cluster,
    shape: &Shape,
    feed: F,
    work: W,
    halt: Halt,
) -> Result<(), RunError>
where
    F: Fn(usize) -> FeedRole + Send + Sync + 'static,
    W: Fn(usize) -> WorkRole + Send + Sync + 'static,
    FeedRole: Feed,
    WorkRole: Work<Batch = FeedRole::Batch>,
{
    let fold = Once::<Nobody<WorkRole::Output>>::elsewhere();
    let commit = Once::<Nobody<()>>::elsewhere();
    // It is the first process that is asked to stop.
    let roles = Pass { feed, work, fold, commit };
    graph(Some(cluster), shape, roles, &Stop::new(), halt).map(drop)
}

/// A role that another process has: there is no value of it.
struct Nobody<M>(Infallible, PhantomData<fn(M)>);

impl<M: Message> Fold for Nobody<M> {
    type Input = M;

    fn fold(&mut self, _: At, _: M) -> Result<(), Failure> {
        match self.0 {}
    }

    fn part(&mut self, _: Step) -> Staging {
        match self.0 {}
    }
}

impl<M: Message> Commit for Nobody<M> {
    fn commit(&mut self, _: Step, _: Vec<Part>) -> Result<(), Failure> {
        match self.0 {}
    }
}
