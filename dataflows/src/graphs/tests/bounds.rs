//! What is in flight is bounded, and training waits for nobody that it need not wait for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::fakes::{World, mix, nothing_may_fail};
use crate::graphs::{Distil, Outcome, Shape, distil};
use crate::roles::{Commit, Feed, Identity, Judge, Learn, Part, Record, Staging, Waits};
use crate::{At, Failure, Span, Step, Stop};

/// How far each role has come, and who waits for whom.
#[derive(Default)]
struct Watch {
    so_far: Mutex<SoFar>,
    grew: Condvar,
    begun: AtomicU64,
    ahead: AtomicU64,
    unjudged: AtomicU64,
    most_unjudged: AtomicU64,
    unsealed: AtomicU64,
}

#[derive(Clone, Copy, Default)]
struct SoFar {
    learned: u64,
    reported: u64,
}

impl Watch {
    fn so_far(&self) -> SoFar {
        *self.so_far.lock().unwrap()
    }

    fn grow(&self, by: impl FnOnce(&mut SoFar)) {
        by(&mut self.so_far.lock().unwrap());
        self.grew.notify_all();
    }

    fn wait_until(&self, enough: impl Fn(SoFar) -> bool) {
        let patience = Instant::now() + Duration::from_secs(60);
        let mut so_far = self.so_far.lock().unwrap();
        while !enough(*so_far) {
            assert!(
                Instant::now() < patience,
                "training stood still while something else was done"
            );
            so_far = self.grew.wait_timeout(so_far, Duration::from_secs(1)).unwrap().0;
        }
    }
}

#[derive(Clone)]
struct Watched(Arc<Watch>);

impl Feed for Watched {
    type Batch = u64;
    fn feed(&mut self, at: At) -> Result<u64, Failure> {
        self.0.begun.fetch_max(at.step.0 + 1, Ordering::SeqCst);
        let learned = self.0.so_far().learned;
        self.0.ahead.fetch_max((at.step.0 + 1).saturating_sub(learned), Ordering::SeqCst);
        Ok(0)
    }
}
impl Learn for Watched {
    type Lesson = u64;
    type Report = ();
    type Snapshot = ();
    fn learn(&mut self, at: At, _: u64) -> Result<(), Failure> {
        std::thread::sleep(Duration::from_micros(mix(at.step.0) % 300));
        Ok(())
    }
    fn update(&mut self, step: Step) -> Result<(), Failure> {
        self.0.grow(|so_far| so_far.learned = step.0 + 1);
        Ok(())
    }
    fn snapshot(&mut self) {
        let unjudged = self.0.unjudged.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_unjudged.fetch_max(unjudged, Ordering::SeqCst);
    }
    fn part(&mut self, step: Step) -> Staging {
        let watch = Arc::clone(&self.0);
        Box::new(move || {
            // Returns only once training has gone on beyond the state that is being staged.
            watch.wait_until(|so_far| so_far.learned >= (step.0 + 3).min(END));
            Ok(vec![])
        })
    }
}
impl Judge for Watched {
    type Snapshot = ();
    type Verdict = ();
    fn judge(&mut self, step: Step, (): ()) -> Result<(), Failure> {
        // A judge slower than the training it judges.
        std::thread::sleep(Duration::from_millis(25));
        self.0.wait_until(|so_far| so_far.learned >= (step.0 + 3).min(END));
        // Nor does it hide what is known of training, but where a checkpoint waits for the verdict.
        if !step.0.is_multiple_of(EVERY) {
            self.0.wait_until(|so_far| so_far.reported > step.0);
        }
        self.0.unjudged.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}
impl Record for Watched {
    type Report = ();
    type Verdict = ();
    fn report(&mut self, step: Step, (): (), waits: Waits) {
        assert!(waits.busy > Duration::ZERO);
        self.0.grow(|so_far| so_far.reported = step.0 + 1);
    }
    fn verdict(&mut self, _: Step, (): ()) {}
    fn part(&mut self, step: Step) -> Staging {
        assert_eq!(self.0.so_far().reported, step.0, "rows of later steps are in");
        Box::new(|| Ok(vec![]))
    }
}
impl Commit for Watched {
    fn commit(&mut self, step: Step, _: Vec<Part>) -> Result<(), Failure> {
        let begun = self.0.begun.load(Ordering::SeqCst);
        self.0.unsealed.fetch_max(begun - step.0, Ordering::SeqCst);
        Ok(())
    }
}

const END: u64 = 120;
const EVERY: u64 = 12;
const EVAL_EVERY: u64 = 8;

#[test]
fn training_goes_on_beside_judging_and_staging_and_what_is_in_flight_is_bounded() {
    for (workers, window, uncommitted) in
        [(1, 4, 10), (2, 4, 10), (3, 3, 5), (2, 8, 12), (2, 4, 1000)]
    {
        let watch = Watched(Arc::default());
        let feed = watch.clone();
        let roles = Distil {
            feed: move |_| feed.clone(),
            teach: |_| Identity::new(),
            learn: watch.clone(),
            judge: watch.clone(),
            record: watch.clone(),
            commit: watch.clone(),
            eval_every: EVAL_EVERY,
        };
        let span = Span { resume: 0, end: END, every: EVERY };
        let shape = Shape { workers, shards: 4, window, uncommitted, span };
        assert_eq!(distil(&shape, roles, &Stop::new(), nothing_may_fail()), Ok(Outcome::Finished));

        let most = |count: &AtomicU64| count.load(Ordering::SeqCst);
        assert!(most(&watch.0.ahead) <= window, "{} steps in flight", most(&watch.0.ahead));
        assert!(most(&watch.0.unsealed) <= uncommitted, "{} not sealed", most(&watch.0.unsealed));
        let unjudged = most(&watch.0.most_unjudged);
        assert!(unjudged <= 1 + window.div_ceil(EVAL_EVERY), "{unjudged} students to be judged");
    }
}

#[test]
fn without_a_window_that_is_wide_enough_to_matter_a_run_still_ends() {
    let world = World { jitter: 50, ..World::default() };
    let span = Span { resume: 0, end: 30, every: 2 };
    let shape = Shape { workers: 2, shards: 2, window: 1, uncommitted: 1, span };
    assert_eq!(world.distil(&shape, &Stop::new()), Outcome::Finished);
    assert_eq!(world.disk().checkpoints.len(), 15);
}
