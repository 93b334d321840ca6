//! A pass on several processes: the test is the first, and runs itself again for the others.

use std::io::{self, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use super::fakes::{Fault, Source, Store, Teacher, World, assert_same, mix, pass_by_loop};
use crate::graphs::cluster::{Cluster, ClusterError, Listening};
use crate::graphs::{Outcome, Pass, Shape, hand, pass_with_hands};
use crate::roles::Feed;
use crate::{At, Failure, Halt, Span, Step, Stop};

/// The processes speak on standard error: the standard output is the test harness's.
const ASKED: &str = "DATAFLOWS_TEST_HAND";
const LIMIT: Duration = Duration::from_secs(20);

/// What a hand is told.
#[derive(Clone, Copy)]
struct Asked {
    shape: Shape,
    jitter: u64,
    /// The step at which it is to fail, if it is the last process.
    fails: u64,
    /// The step at which it is to die, likewise.
    dies: u64,
}

impl Asked {
    fn of(shape: Shape) -> Self {
        Asked { shape, jitter: 0, fails: u64::MAX, dies: u64::MAX }
    }

    fn text(&self) -> String {
        let Shape { workers, shards, window, uncommitted, span } = self.shape;
        let Span { resume, end, every } = span;
        let Asked { jitter, fails, dies, .. } = self;
        format!(
            "{workers} {shards} {window} {uncommitted} {resume} {end} {every} {jitter} {fails} {dies}"
        )
    }

    fn parse(text: &str) -> Self {
        let words: Vec<u64> = text.split(' ').map(|word| word.parse().unwrap()).collect();
        let [workers, shards, window, uncommitted, resume, end, every, jitter, fails, dies] =
            words[..]
        else {
            panic!("{text}")
        };
        let shape = Shape {
            workers: usize::try_from(workers).unwrap(),
            shards: u32::try_from(shards).unwrap(),
            window,
            uncommitted,
            span: Span { resume, end, every },
        };
        Asked { shape, jitter, fails, dies }
    }
}

/// A source that counts, and dies where it is asked to.
struct Counted {
    source: Source,
    fed: Arc<AtomicU64>,
    dies: u64,
}

impl Feed for Counted {
    type Batch = u64;
    fn feed(&mut self, at: At) -> Result<u64, Failure> {
        if at.step.0 >= self.dies {
            process::abort();
        }
        self.fed.fetch_add(1, Ordering::Relaxed);
        self.source.feed(at)
    }
}

/// What a hand does: meets, works, and says how much it was fed. On its own it is no test.
#[test]
#[expect(clippy::exit, reason = "a hand ends with the first process, or when it fails")]
fn a_hand() {
    let Ok(asked) = env::var(ASKED) else { return };
    let mut asked = Asked::parse(&asked);
    let introduced =
        Listening::on("127.0.0.1").unwrap().introduced(&mut io::stdin().lock(), &mut io::stderr());
    thread::spawn(|| {
        io::copy(&mut io::stdin().lock(), &mut io::sink()).unwrap();
        process::exit(4);
    });
    let cluster = introduced.unwrap().connect(LIMIT).unwrap();
    if cluster.index() + 1 < cluster.processes() {
        asked = Asked { fails: u64::MAX, dies: u64::MAX, ..asked };
    }
    let mut world = World { jitter: asked.jitter, ..World::default() };
    let shards = u64::from(asked.shape.shards);
    if asked.fails < u64::MAX {
        // The last shard of a step is one that the last worker hosts, where there are as many.
        let at = At { step: Step(asked.fails), shard: u32::try_from(shards - 1).unwrap() };
        world.fault = Some(Fault { role: "teach", at });
    }
    let fed = Arc::new(AtomicU64::new(0));
    let (count, works) = (Arc::clone(&fed), world.clone());
    let feed = move |_| Counted {
        source: Source(world.clone()),
        fed: Arc::clone(&count),
        dies: asked.dies,
    };
    let work = move |_| Teacher(works.clone());
    let halt: Halt = Arc::new(|failure: Failure| {
        // That another is lost is for the first process to say.
        if failure.cause.downcast_ref::<ClusterError>().is_none() {
            eprintln!("{failure}: {}", failure.cause);
            process::exit(3);
        }
    });
    hand(cluster, &asked.shape, feed, work, halt).unwrap();
    eprintln!("fed {}", fed.load(Ordering::Relaxed));
}

/// A hand; it ends with its standard input.
struct Spawned {
    child: Child,
    said: BufReader<ChildStderr>,
    heard: Option<ChildStdin>,
}

impl Spawned {
    fn of(asked: &Asked) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "graphs::tests::processes::a_hand", "--nocapture"])
            .env(ASKED, asked.text())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let heard = child.stdin.take();
        Spawned { child, said, heard }
    }

    fn ended(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        self.said.read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap().code(), text)
    }
}

fn cluster(processes: usize, asked: &Asked) -> (Cluster, Vec<Spawned>) {
    let mut hands: Vec<Spawned> = (1..processes).map(|_| Spawned::of(asked)).collect();
    let mut ends: Vec<_> =
        hands.iter_mut().map(|hand| (&mut hand.said, hand.heard.as_mut().unwrap())).collect();
    let cluster = Listening::on("127.0.0.1").unwrap().lead(&mut ends, 42, LIMIT).unwrap();
    assert_eq!((cluster.index(), cluster.processes()), (0, processes));
    (cluster, hands)
}

impl World {
    /// A pass of which this is the first process.
    fn pass_with_hands(&self, cluster: Cluster, shape: &Shape, stop: &Stop, halt: Halt) -> Outcome {
        let (feed, work) = (self.clone(), self.clone());
        let roles = Pass {
            feed: move |_| Source(feed.clone()),
            work: move |_| Teacher(work.clone()),
            fold: self.student("fold", shape.span.resume),
            commit: Store(self.clone()),
        };
        pass_with_hands(Some(cluster), shape, roles, stop, halt).unwrap()
    }
}

fn nothing_may_fail() -> Halt {
    Arc::new(|failure| {
        eprintln!("{failure}: {}", failure.cause);
        process::abort();
    })
}

#[test]
fn a_pass_leaves_what_a_loop_leaves_on_any_number_of_processes() {
    for (processes, workers, window, uncommitted) in
        [(1, 2, 3, 3), (2, 1, 1, 1), (2, 2, 3, 7), (3, 1, 8, 8), (3, 3, 2, 5)]
    {
        let span = Span { resume: 0, end: 25, every: 5 };
        let shape = Shape { workers, shards: 7, window, uncommitted, span };
        let asked = Asked { jitter: 300, ..Asked::of(shape) };
        let (cluster, hands) = cluster(processes, &asked);
        let world = World { jitter: 200, ..World::default() };
        let outcome = world.pass_with_hands(cluster, &shape, &Stop::new(), nothing_may_fail());
        assert_eq!(outcome, Outcome::Finished);
        assert_same(&world.disk(), &pass_by_loop(span, 7), (processes, shape));
        for hand in hands {
            let (code, text) = hand.ended();
            assert_eq!(code, Some(0), "{text}");
            let fed: u64 = text.trim().strip_prefix("fed ").unwrap().parse().unwrap();
            assert!(fed >= 25, "{fed} of {} places: each has its share", 25 * 7);
        }
    }
}

#[test]
fn a_run_that_is_stopped_seals_and_goes_on_to_the_same_bytes_on_other_processes() {
    let end = 60;
    let expected = pass_by_loop(Span { resume: 0, end, every: 7 }, 4);
    let mut stopped = 0;
    for seed in 0..3 {
        let world = World { jitter: 400, ..World::default() };
        let mut resume = 0;
        for round in 0.. {
            let drawn = mix(seed << 8 | round);
            let span = Span { resume, end, every: 7 };
            let window = 1 + drawn / 256 % 5;
            let shape = Shape {
                workers: 1 + usize::from(!round.is_multiple_of(2)),
                shards: 4,
                window,
                uncommitted: 9,
                span,
            };
            let processes = 1 + usize::try_from((seed + round) % 3).unwrap();
            let (cluster, hands) = cluster(processes, &Asked { jitter: 400, ..Asked::of(shape) });
            let stop = Stop::new();
            let alarm = stop.clone();
            let ring = thread::spawn(move || {
                thread::sleep(Duration::from_micros(mix(drawn) % 40_000));
                alarm.request();
            });
            let outcome = world.pass_with_hands(cluster, &shape, &stop, nothing_may_fail());
            ring.join().unwrap();
            assert!(hands.into_iter().all(|hand| hand.ended().0 == Some(0)));
            let Outcome::Stopped { step: Step(step) } = outcome else { break };
            assert!(resume < step && step < end, "stopped at {step} of {resume}..{end}");
            let sealed = world.disk().checkpoints.keys().next_back().copied();
            assert_eq!(sealed, Some(step), "it is sealed where it stopped, and no further");
            (resume, stopped) = (step, stopped + 1);
        }
        let mut left = world.disk();
        let extra = |step: &u64| !expected.checkpoints.contains_key(step);
        left.checkpoints.retain(|step, _| !extra(step));
        left.states.retain(|(_, step), _| !extra(step));
        assert_same(&left, &expected, seed);
    }
    assert!(stopped > 0, "no run was stopped, so nothing was tested");
}

/// Runs on three processes, of which the last does not come to the end. The run never returns, since its halt does:
/// its threads are left behind.
fn run_to(asked: Asked) -> (World, Failure, Vec<Spawned>) {
    let (cluster, hands) = cluster(3, &asked);
    let world = World { jitter: 100, ..World::default() };
    let (send, halted) = mpsc::channel();
    let (running, finished) = mpsc::channel();
    let run = world.clone();
    thread::spawn(move || {
        let halt: Halt = Arc::new(move |failure| send.send(failure).unwrap());
        running.send(run.pass_with_hands(cluster, &asked.shape, &Stop::new(), halt)).unwrap();
    });
    let failure = halted.recv_timeout(Duration::from_secs(60)).unwrap();
    thread::sleep(Duration::from_millis(50));
    assert!(halted.try_recv().is_err(), "halted twice");
    assert!(finished.try_recv().is_err(), "it seemed to finish");
    (world, failure, hands)
}

#[test]
fn a_hand_that_dies_or_fails_ends_the_run_by_its_name_and_the_others_with_it() {
    let span = Span { resume: 0, end: 40, every: 5 };
    let shape = Shape { workers: 1, shards: 6, window: 3, uncommitted: 12, span };
    for (asked, code, said) in [
        (Asked { dies: 17, ..Asked::of(shape) }, None, ""),
        (
            Asked { fails: 17, ..Asked::of(shape) },
            Some(3),
            "stage `work` failed at step 17, shard 5: as was asked\n",
        ),
    ] {
        let begun = Instant::now();
        let (world, failure, mut hands) = run_to(asked);
        let lost = failure.cause.downcast_ref::<ClusterError>();
        assert!(matches!(lost, Some(ClusterError::Lost { process: 2, .. })), "{failure:?}");
        let last = world.disk().checkpoints.keys().next_back().copied();
        assert!(last <= Some(15), "{last:?} is committed");
        let (found, text) = hands.pop().unwrap().ended();
        assert_eq!((found, text.as_str()), (code, said));
        // The other hand says nothing, and waits for the end of the first process.
        let mut other = hands.pop().unwrap();
        assert!(other.child.try_wait().unwrap().is_none(), "it would be named in its place");
        drop(other.heard.take());
        let (found, text) = other.ended();
        assert_eq!((found, text.as_str()), (Some(4), ""));
        assert!(begun.elapsed() < LIMIT, "they end by themselves");
    }
}

#[test]
fn a_hand_that_says_nothing_or_nonsense_is_not_led() {
    for said in ["", "thread panicked\n"] {
        let mut ends = [(said.as_bytes(), io::sink())];
        let listening = Listening::on("127.0.0.1").unwrap();
        let led = listening.lead(&mut ends, 1, Duration::ZERO).unwrap_err();
        assert!(matches!(led, ClusterError::Meet { .. }), "{led}");
    }
}
