//! Roles in ten lines, whose state shows each message that was lost, doubled or out of order.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::course::Course;
use crate::graphs::{Distil, Outcome, Pass, Shape, distil, pass};
use crate::roles::{Commit, Feed, Fold, Judge, Learn, Part, Record, Staging, Waits, Work};
use crate::{At, Failure, Halt, Span, Step, Stop};

pub(super) const EVAL_EVERY: u64 = 6;

/// The finaliser of SplitMix64.
pub(super) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Where a role is to fail, for the tests of failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) role: &'static str,
    pub(super) at: At,
}

/// What all roles of a run share: the store of its checkpoints, and how the run is disturbed.
#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) disk: Arc<Mutex<Disk>>,
    /// Roles sleep for as many microseconds at most; how long is drawn from it, the role and the place.
    pub(super) jitter: u64,
    pub(super) fault: Option<Fault>,
}

/// The durable states by stage and step, and the committed checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) states: BTreeMap<(&'static str, u64), State>,
    pub(super) checkpoints: BTreeMap<u64, Vec<Part>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    sum: u64,
    reports: Vec<(Step, u64)>,
    verdicts: Vec<(Step, u64)>,
}

impl World {
    fn act(&self, role: &'static str, at: At) -> Result<(), Failure> {
        if self.jitter > 0 {
            let drawn = mix(self.jitter ^ mix(at.step.0 << 8 ^ u64::from(at.shard)));
            std::thread::sleep(Duration::from_micros(drawn % self.jitter));
        }
        match self.fault {
            Some(fault) if fault == (Fault { role, at }) => Err(Failure::of("as was asked")),
            _ => Ok(()),
        }
    }

    fn staging(&self, stage: &'static str, step: Step, state: State) -> Staging {
        let world = self.clone();
        Box::new(move || {
            let role = if stage == "record" { "stage record" } else { "stage" };
            world.act(role, At { step, shard: 0 })?;
            let digest = format!("{state:?}");
            world.disk.lock().unwrap().states.insert((stage, step.0), state);
            Ok(vec![Part { stage: stage.to_owned(), name: step.to_string(), bytes: 0, digest }])
        })
    }

    /// The state that a checkpoint left, or the one before any.
    fn restore(&self, stage: &'static str, step: u64) -> State {
        let disk = self.disk.lock().unwrap();
        if step == 0 {
            return State::default();
        }
        assert!(disk.checkpoints.contains_key(&step), "resumed at {step}, which is no checkpoint");
        disk.states[&(stage, step)].clone()
    }

    pub(super) fn disk(&self) -> Disk {
        self.disk.lock().unwrap().clone()
    }
}

pub(super) struct Source(pub(super) World);
impl Feed for Source {
    type Batch = u64;
    fn feed(&mut self, at: At) -> Result<u64, Failure> {
        self.0.act("feed", at)?;
        Ok(mix(at.step.0 << 32 | u64::from(at.shard)))
    }
}

pub(super) struct Teacher(pub(super) World);
impl Work for Teacher {
    type Batch = u64;
    type Output = u64;
    fn work(&mut self, at: At, batch: u64) -> Result<u64, Failure> {
        self.0.act("teach", at)?;
        Ok(mix(batch))
    }
}

pub(super) struct Student {
    world: World,
    state: State,
}
impl Learn for Student {
    type Lesson = u64;
    type Report = u64;
    type Snapshot = u64;
    fn learn(&mut self, at: At, lesson: u64) -> Result<(), Failure> {
        self.world.act("learn", at)?;
        self.state.sum = mix(self.state.sum ^ lesson);
        Ok(())
    }
    fn update(&mut self, step: Step) -> Result<u64, Failure> {
        self.world.act("update", At { step, shard: 0 })?;
        self.state.sum = mix(self.state.sum);
        Ok(self.state.sum)
    }
    fn snapshot(&mut self) -> u64 {
        self.state.sum
    }
    fn part(&mut self, step: Step) -> Staging {
        self.world.staging("learn", step, self.state.clone())
    }
}
impl Fold for Student {
    type Input = u64;
    fn fold(&mut self, at: At, input: u64) -> Result<(), Failure> {
        Learn::learn(self, at, input)
    }
    fn part(&mut self, step: Step) -> Staging {
        self.world.staging("fold", step, self.state.clone())
    }
}

pub(super) struct Examiner(pub(super) World);
impl Judge for Examiner {
    type Snapshot = u64;
    type Verdict = u64;
    fn judge(&mut self, step: Step, snapshot: u64) -> Result<u64, Failure> {
        self.0.act("judge", At { step, shard: 0 })?;
        Ok(mix(snapshot ^ step.0))
    }
}

pub(super) struct Metrics {
    world: World,
    state: State,
}
impl Record for Metrics {
    type Report = u64;
    type Verdict = u64;
    fn report(&mut self, step: Step, report: u64, _: Waits) {
        self.state.reports.push((step, report));
    }
    fn verdict(&mut self, step: Step, verdict: u64) {
        self.state.verdicts.push((step, verdict));
    }
    fn part(&mut self, step: Step) -> Staging {
        self.world.staging("record", step, self.state.clone())
    }
}

pub(super) struct Store(pub(super) World);
impl Commit for Store {
    fn commit(&mut self, step: Step, parts: Vec<Part>) -> Result<(), Failure> {
        self.0.act("commit", At { step, shard: 0 })?;
        let twice = self.0.disk.lock().unwrap().checkpoints.insert(step.0, parts);
        assert!(twice.is_none(), "{step} was committed twice");
        Ok(())
    }
}

impl World {
    pub(super) fn student(&self, stage: &'static str, resume: u64) -> Student {
        Student { world: self.clone(), state: self.restore(stage, resume) }
    }

    pub(super) fn metrics(&self, resume: u64) -> Metrics {
        Metrics { world: self.clone(), state: self.restore("record", resume) }
    }

    /// Distils on the graph. Nothing may fail.
    pub(super) fn distil(&self, shape: &Shape, stop: &Stop) -> Outcome {
        self.distil_or(shape, stop, nothing_may_fail())
    }

    pub(super) fn distil_or(&self, shape: &Shape, stop: &Stop, halt: Halt) -> Outcome {
        let (feed, teach) = (self.clone(), self.clone());
        let roles = Distil {
            feed: move |_| Source(feed.clone()),
            teach: move |_| Teacher(teach.clone()),
            learn: self.student("learn", shape.span.resume),
            judge: Examiner(self.clone()),
            record: self.metrics(shape.span.resume),
            commit: Store(self.clone()),
            eval_every: EVAL_EVERY,
        };
        distil(shape, roles, stop, halt).unwrap()
    }

    /// A pass on the graph. Nothing may fail.
    pub(super) fn pass(&self, shape: &Shape) -> Outcome {
        let (feed, work) = (self.clone(), self.clone());
        let roles = Pass {
            feed: move |_| Source(feed.clone()),
            work: move |_| Teacher(work.clone()),
            fold: self.student("fold", shape.span.resume),
            commit: Store(self.clone()),
        };
        pass(shape, roles, &Stop::new(), nothing_may_fail()).unwrap()
    }
}

/// Where a failure is one of the test.
pub(super) fn nothing_may_fail() -> Halt {
    Arc::new(|failure| panic!("{failure}: {}", failure.cause))
}

/// Distillation as a loop.
pub(super) fn distil_by_loop(span: Span, shards: u32) -> Disk {
    let world = World::default();
    let course = Course::new(span);
    let (mut feed, mut teach) = (Source(world.clone()), Teacher(world.clone()));
    let (mut learn, mut judge) = (world.student("learn", 0), Examiner(world.clone()));
    let (mut record, mut commit) = (world.metrics(0), Store(world.clone()));
    for step in (span.resume..span.end).map(Step) {
        for at in (0..shards).map(|shard| At { step, shard }) {
            let lesson = teach.work(at, feed.feed(at).unwrap()).unwrap();
            learn.learn(at, lesson).unwrap();
        }
        record.report(step, learn.update(step).unwrap(), Waits::default());
        let reached = Step(step.0 + 1);
        if course.is_judged(reached, EVAL_EVERY) {
            let snapshot = learn.snapshot();
            record.verdict(reached, judge.judge(reached, snapshot).unwrap());
        }
        if course.is_checkpoint(reached) {
            let mut parts = Learn::part(&mut learn, reached)().unwrap();
            parts.extend(record.part(reached)().unwrap());
            commit.commit(reached, parts).unwrap();
        }
    }
    world.disk()
}

/// A pass as a loop.
pub(super) fn pass_by_loop(span: Span, shards: u32) -> Disk {
    let world = World::default();
    let (mut feed, mut work) = (Source(world.clone()), Teacher(world.clone()));
    let (mut fold, mut commit) = (world.student("fold", 0), Store(world.clone()));
    let course = Course::new(span);
    for step in (span.resume..span.end).map(Step) {
        for at in (0..shards).map(|shard| At { step, shard }) {
            fold.fold(at, work.work(at, feed.feed(at).unwrap()).unwrap()).unwrap();
        }
        let reached = Step(step.0 + 1);
        if course.is_checkpoint(reached) {
            commit.commit(reached, Fold::part(&mut fold, reached)().unwrap()).unwrap();
        }
    }
    world.disk()
}

/// Two runs left the same; their difference is short where they did not.
pub(super) fn assert_same(left: &Disk, right: &Disk, what: impl Debug) {
    let steps = |disk: &Disk| disk.checkpoints.keys().copied().collect::<Vec<_>>();
    assert_eq!(steps(left), steps(right), "checkpoints of {what:?}");
    for (key, state) in &right.states {
        assert_eq!(left.states.get(key), Some(state), "{key:?} of {what:?}");
    }
    assert_eq!(left, right, "{what:?}");
}
