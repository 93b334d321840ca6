//! The dataflow of the corpus, on a worker in this thread.

use std::cell::RefCell;
use std::rc::Rc;

use differential_dataflow::VecCollection;
use differential_dataflow::algorithms::graphs::propagate::propagate;
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::input::{Input, InputSession};
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::dataflow::ProbeHandle;
use timely::worker::Worker;

use super::Settings;
use super::doc::{Bands, Node, Row, Why};

/// A dropped document, why, and of which.
type Drop = (Node, (Why, Node));

/// The first copy of an id or of a component, and one of the others.
type Copies<'scope> = VecCollection<'scope, u64, (Node, Node)>;

/// The worker, and what goes in and comes out.
pub(super) struct Views {
    worker: Worker,
    documents: InputSession<u64, (u128, (Node, Bands)), isize>,
    changes: Rc<RefCell<Vec<(Drop, isize)>>>,
    done: ProbeHandle<u64>,
}

impl Views {
    pub(super) fn new(settings: Settings) -> Self {
        let allocator = Allocator::Thread(Thread::default());
        let mut worker = Worker::new(WorkerConfig::default(), allocator, None);
        let changes = Rc::new(RefCell::new(vec![]));
        let out = Rc::clone(&changes);
        let (documents, done) = worker.dataflow(|scope| {
            let (input, documents) = scope.new_collection();
            let (exact, firsts) = exact(documents);
            let near = near(firsts, settings);
            let (done, _) = exact
                .map(|(node, of)| (node, (Why::Exact, of)))
                .concat(near.map(|(node, of)| (node, (Why::Near, of))))
                .inspect(move |(drop, _, diff)| out.borrow_mut().push((*drop, *diff)))
                .probe();
            (input, done)
        });
        Views { worker, documents, changes, done }
    }

    /// Adds a document where `diff` is one, and takes it away where it is minus one.
    pub(super) fn update(&mut self, node: Node, row: &Row, diff: isize) {
        self.documents.update((row.id, (node, row.bands.clone())), diff);
    }

    /// Works until all updates are through. Returns what is not dropped so any more, and what is now.
    pub(super) fn run(&mut self) -> (Vec<Drop>, Vec<Drop>) {
        let next = self.documents.time() + 1;
        self.documents.advance_to(next);
        self.documents.flush();
        while self.done.less_than(&next) {
            self.worker.step_or_park(None);
        }
        let mut changes = self.changes.take();
        // The rounds of the iteration come out one by one; most of what they say they take back.
        consolidate(&mut changes);
        let (come, gone): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, diff)| *diff > 0);
        let drops = |side: Vec<(Drop, isize)>| side.into_iter().map(|(drop, _)| drop).collect();
        (drops(gone), drops(come))
    }
}

/// The copies of each id with its first place, and the first copies themselves.
fn exact(
    documents: VecCollection<'_, u64, (u128, (Node, Bands))>,
) -> (Copies<'_>, VecCollection<'_, u64, (Node, Bands)>) {
    let copies = documents.clone().reduce_named("Exact", |_, places, copies| {
        let first = places[0].0.0;
        copies.extend(places[1..].iter().map(|(copy, _)| (((*copy).clone(), first), 1_isize)));
    });
    let firsts = documents
        .map(|(_, document)| document)
        .concat(copies.clone().map(|(_, (document, _))| document).negate());
    (copies.map(|(_, ((node, _), first))| (node, first)), firsts)
}

/// The documents of each connected component with its first place.
fn near(firsts: VecCollection<'_, u64, (Node, Bands)>, settings: Settings) -> Copies<'_> {
    // A star and not all pairs: so many edges as documents, and two steps from any to any.
    let edges = firsts
        .flat_map(|(node, bands)| {
            let bands: Vec<u64> = bands.as_slice().to_vec();
            bands.into_iter().map(move |band| (band, node))
        })
        .reduce_named("Bands", move |_, nodes, edges| {
            if nodes.len() <= settings.hot {
                let first = *nodes[0].0;
                edges.extend(nodes[1..].iter().map(|(node, _)| ((**node, first), 1_isize)));
            }
        })
        .map(|(_, edge)| edge);
    let edges = edges.clone().map(|(a, b)| (b, a)).concat(edges);
    // Only who has an edge is in a component; how often does not matter.
    let nodes = edges.clone().map(|(node, _)| (node, node));
    propagate(edges, nodes).filter(|(node, first)| node != first)
}
