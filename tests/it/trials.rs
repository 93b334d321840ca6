//! The kill trials: whatever is done to a run, it ends with the bytes of one that was never touched.
//!
//! | trial | what is done to the process, again and again, until it ends by itself |
//! |---|---|
//! | abort | it aborts at a named point of the protocol, for the n-th time that it gets there |
//! | kill | SIGKILL, at a random moment |
//! | interrupt | Ctrl-C, at a random moment; now and then a second one, which does not wait |
//! | disk | from the k-th durable file operation on, each fails |
//!
//! Each start has one to three workers, and names the recipe or the run directory. The sequence is a function of a
//! seed, which is printed; the moments are not, since clocks are not. `STILLFLOW_TRIAL_SECONDS` is how long the trials
//! go on (60), `STILLFLOW_TRIAL_SEED` repeats a sequence. Each kind, and each point, has its turn however short that is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use datasets::random::{ChaCha8Rng, below, stream, uniform};
use datasets::store::trial::POINTS;

use super::runs::{Ended, Running, Small};

const SIGINT: i32 = 2;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// How often a process is stopped in one trial, at most.
const STOPS: u64 = 6;
/// The durable file operations of the small run, about.
const OPERATIONS: f64 = 1200.0;

/// How often the small run reaches a point, about: an n beyond it lets the run end, which is a trial too.
fn turns(point: &str) -> u64 {
    match point {
        "staged" | "committed" => 12,
        "collected" => 6,
        _ => 60,
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// One trial: a run directory, what was done to it, and what is done next.
struct Trial {
    small: Arc<Small>,
    dir: PathBuf,
    random: ChaCha8Rng,
    log: Vec<String>,
    done: BTreeMap<String, u64>,
}

impl Trial {
    fn new(small: &Arc<Small>, seed: u64, index: u64) -> Self {
        let dir = small.path(&format!("trial-{index}"));
        let (random, small) = (stream(seed, "kill trials", 0, index), Arc::clone(small));
        Self { small, dir, random, log: vec![], done: BTreeMap::new() }
    }

    fn below(&mut self, n: u64) -> u64 {
        below(&mut self.random, n)
    }

    /// A random moment of an untouched run.
    fn moment(&mut self) -> Duration {
        self.small.took.mul_f64(uniform(&mut self.random))
    }

    /// Starts the run, or goes on with it.
    fn start(&mut self, environment: &[(&str, &str)]) -> Running {
        let workers = (1 + self.below(3)).to_string();
        let by_directory = self.below(2) == 1 && self.dir.join("recipe.toml").is_file();
        self.log.push(format!(
            "-w {workers} {environment:?}{}",
            if by_directory { " by directory" } else { "" }
        ));
        let more = ["-w", &workers];
        if by_directory {
            self.small.go_on(&self.dir, &more, environment)
        } else {
            self.small.start(&self.dir, &more, environment)
        }
    }

    fn ended(&mut self, ended: &Ended, what: String) {
        self.log.push(format!("  {what}: {}", ended.status));
        let name = if ended.status.success() {
            "ended before it could be stopped".to_owned()
        } else {
            what
        };
        *self.done.entry(name).or_default() += 1;
    }

    /// Aborts at `point`, for the n-th time with n up to `turns`; whether the run has ended instead.
    fn abort(&mut self, point: &str, turns: u64) -> bool {
        let n = 1 + self.below(turns);
        let ended = self.start(&[("STILLFLOW_ABORT", &format!("{point}:{n}"))]).wait();
        self.ended(&ended, format!("abort at {point}"));
        if !ended.status.success() {
            ended.assert_signal(SIGABRT);
        }
        ended.status.success()
    }

    /// Kills at a random moment; whether the run has ended before.
    fn kill(&mut self) -> bool {
        let moment = self.moment();
        let mut running = self.start(&[]);
        running.wait_for(moment);
        running.kill();
        let ended = running.wait();
        self.ended(&ended, "kill".to_owned());
        if !ended.status.success() {
            ended.assert_signal(SIGKILL);
        }
        ended.status.success()
    }

    /// Interrupts at a random moment; whether the run has ended before.
    fn interrupt(&mut self) -> bool {
        let moment = self.moment();
        let twice = (self.below(4) == 0).then(|| Duration::from_millis(self.below(20)));
        let mut running = self.start(&[]);
        running.wait_for(moment);
        running.interrupt();
        if let Some(moment) = twice {
            running.wait_for(moment);
            running.interrupt();
        }
        let ended = running.wait();
        let what = if twice.is_some() { "second interrupt" } else { "interrupt" };
        self.ended(&ended, what.to_owned());
        if ended.status.signal() == Some(SIGINT) {
            // It came before anyone listened, and then nothing has been said about it.
            assert!(!ended.stderr.contains("stopping"), "{}", ended.stderr);
        } else if !ended.status.success() {
            ended.assert_code(130);
            if twice.is_none() {
                ended.assert_says("everything up to there is sealed");
                ended.assert_says("goes on there");
            }
        }
        ended.status.success()
    }

    /// Takes the disk away at a random operation; whether the run has ended before.
    fn disk(&mut self) -> bool {
        // As many of the first ten as of the last thousand.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1200")]
        let k = OPERATIONS.powf(uniform(&mut self.random)) as u64;
        let ended = self.start(&[("STILLFLOW_FAIL_WRITE", &k.to_string())]).wait();
        self.ended(&ended, "full disk".to_owned());
        if !ended.status.success() {
            ended.assert_code(1);
            for text in ["error: ", "no storage space", "hint: make room"] {
                ended.assert_says(text);
            }
            // The directory that the run's own lies in is one of those that are synced.
            let dir = self.dir.parent().unwrap().to_string_lossy();
            let names_it = |line: &str| line.contains("could not ") && line.contains(&*dir);
            assert!(
                ended.stderr.lines().any(names_it),
                "it does not say what it could not do:\n{}",
                ended.stderr
            );
        }
        ended.status.success()
    }

    /// Aborts at every point, one after the other, early enough that each is reached.
    fn abort_at_each(&mut self) -> bool {
        POINTS.iter().any(|point| self.abort(point, 2))
    }

    /// Aborts here and there.
    fn abort_at_some(&mut self) -> bool {
        (0..=self.below(STOPS)).any(|_| {
            let point = POINTS[usize::try_from(self.below(POINTS.len() as u64)).unwrap()];
            self.abort(point, turns(point))
        })
    }

    /// Stops the run in one way until it ends, or often enough, and then lets it end.
    fn run(&mut self, index: u64) {
        let over = match index % 4 {
            0 if index == 0 => self.abort_at_each(),
            0 => self.abort_at_some(),
            1 => (0..=self.below(STOPS)).any(|_| self.kill()),
            2 => (0..=self.below(STOPS)).any(|_| self.interrupt()),
            _ => (0..=self.below(STOPS)).any(|_| self.disk()),
        };
        if !over {
            let ended = self.start(&[]).wait();
            self.log.push(format!("  left alone: {}", ended.status));
            ended.assert_code(0);
        }
        let log = self.log.join("\n");
        self.small.assert_same(&self.dir, &log);
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

#[test]
fn a_run_that_is_stopped_anywhere_any_number_of_times_ends_with_the_same_bytes() {
    let budget = Duration::from_secs(number("STILLFLOW_TRIAL_SECONDS").unwrap_or(60));
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("STILLFLOW_TRIAL_SEED").unwrap_or(clock.as_secs());
    println!("kill trials for {budget:?}, STILLFLOW_TRIAL_SEED={seed}");
    let small = Small::shared();
    println!("an untouched run takes {:.1?}", small.took);
    let begun = Instant::now();
    let mut done: BTreeMap<String, u64> = BTreeMap::new();
    let mut trials = [0; 4];
    for index in 0.. {
        let time = begun.elapsed();
        // A slow machine gets more time, so that each kind has its turn.
        if time >= budget && (missing(&done).is_none() || time >= 10 * budget) {
            break;
        }
        let mut trial = Trial::new(&small, seed, index);
        trial.run(index);
        trials[usize::try_from(index % 4).unwrap()] += 1;
        for (what, count) in trial.done {
            *done.entry(what).or_default() += count;
        }
    }
    println!(
        "\n{} trials in {:.0?}, all with the bytes of the untouched run",
        trials.iter().sum::<u64>(),
        begun.elapsed()
    );
    for (what, count) in
        ["of aborts", "of kills", "of interrupts", "of full disks"].iter().zip(trials)
    {
        println!("{count:>6} {what}");
    }
    println!("in them:");
    for (what, count) in &done {
        println!("{count:>6} {what}");
    }
    assert_eq!(missing(&done), None, "not done in time");
}

/// A kind of trial, or a point, that has had no turn yet.
fn missing(done: &BTreeMap<String, u64>) -> Option<String> {
    let kinds = ["kill", "interrupt", "full disk"].map(str::to_owned).into_iter();
    let mut all = kinds.chain(POINTS.iter().map(|point| format!("abort at {point}")));
    all.find(|what| !done.contains_key(what))
}
