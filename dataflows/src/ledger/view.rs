//! The dataflow of the ledger, on a worker in this thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use differential_dataflow::input::{Input, InputSession};
use serde::{Deserialize, Serialize};
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::dataflow::ProbeHandle;
use timely::worker::Worker;

/// What is known of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Claim {
    /// A source wants it.
    Want { source: u32, tokens: u32 },
    /// A shard has it.
    Have { shard: u32 },
}

/// What follows for a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Fact {
    /// A source wants it, and this shard gives it, or none. Of all that want one sample one is the first: by it samples are
    /// counted, and not wishes.
    Wanted { source: u32, tokens: u32, shard: Option<u32>, is_first: bool },
    /// It is there, and nobody wants it.
    Garbage,
}

/// The worker, and what goes in and comes out.
pub(super) struct Views {
    worker: Worker,
    claims: InputSession<u64, (u128, Claim), isize>,
    changes: Rc<RefCell<Vec<((u128, Fact), isize)>>>,
    touched: Rc<Cell<u64>>,
    done: ProbeHandle<u64>,
}

impl Views {
    pub(super) fn new() -> Self {
        let allocator = Allocator::Thread(Thread::default());
        let mut worker = Worker::new(WorkerConfig::default(), allocator, None);
        let changes = Rc::new(RefCell::new(vec![]));
        let touched = Rc::new(Cell::new(0));
        let (out, count) = (Rc::clone(&changes), Rc::clone(&touched));
        let (claims, done) = worker.dataflow(|scope| {
            let (input, claims) = scope.new_collection();
            let (done, _) = claims
                .reduce_named("Facts", move |_, claims, facts| {
                    count.set(count.get() + 1);
                    follow(claims, facts);
                })
                .inspect(move |(fact, _, diff)| out.borrow_mut().push((*fact, *diff)))
                .probe();
            (input, done)
        });
        Views { worker, claims, changes, touched, done }
    }

    /// A source wants a sample where `diff` is one, and no longer where it is minus one.
    pub(super) fn want(&mut self, id: u128, source: u32, tokens: u32, diff: isize) {
        self.claims.update((id, Claim::Want { source, tokens }), diff);
    }

    /// A shard has a sample where `diff` is one, and no longer where it is minus one.
    pub(super) fn have(&mut self, id: u128, shard: u32, diff: isize) {
        self.claims.update((id, Claim::Have { shard }), diff);
    }

    /// Works until all updates are through. Returns what follows now and did not, or did and does not, and how many samples
    /// were looked at.
    pub(super) fn run(&mut self) -> (Vec<((u128, Fact), isize)>, u64) {
        let next = self.claims.time() + 1;
        self.claims.advance_to(next);
        self.claims.flush();
        while self.done.less_than(&next) {
            self.worker.step_or_park(None);
        }
        // Of one time, and out of one reduction: no change comes twice.
        (self.changes.take(), self.touched.take())
    }
}

/// What follows from the claims on a sample, which are in order: those who want it before those who have it.
fn follow(claims: &[(&Claim, isize)], facts: &mut Vec<(Fact, isize)>) {
    let shard = claims.iter().find_map(|(claim, _)| match claim {
        Claim::Have { shard } => Some(*shard),
        Claim::Want { .. } => None,
    });
    let mut is_first = true;
    for (claim, _) in claims {
        if let Claim::Want { source, tokens } = **claim {
            facts.push((Fact::Wanted { source, tokens, shard, is_first }, 1));
            is_first = false;
        }
    }
    if is_first && shard.is_some() {
        facts.push((Fact::Garbage, 1));
    }
}
