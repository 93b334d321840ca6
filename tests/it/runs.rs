//! A small run, the binary that makes it, and what two runs of it must have in common.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use datasets::grammar::Grammar;
use tempfile::TempDir;

/// Quickstart with every stage and a correction of the teacher, a little of each: several micro-batches a step, several
/// shards of tokens, ends that are no multiple of `checkpoint_every`, a mixture whose weights change, documents packed
/// whole and apart, a loss of two terms, and a student that lost heads, neurons, channels and a layer that was searched for.
const RECIPE: &str = r#"
extends = "quickstart"

[data.corpus]
num_stories = 400
weight = 0.6

[data.files]
path = "FILES"
split = "file"
weight = 0.4

[mixture.late]
after = "8K"
files = 0.7

[tokens]
tokenizer = "TOKENIZER"
seq_tokens = 48
packing = "best_fit"
document_mask = true
dedup = "near"

[pretrain]
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 3
num_attention_heads = 4
num_key_value_heads = 2
head_dim = 8
steps = 18
global_batch_size = 8
micro_batch_size = 2
warmup_steps = 3
weight_decay = 0.1
checkpoint_every = 4
evaluate_every = 3

[correct]
steps = 10
global_batch_size = 8
micro_batch_size = 2
learning_rate = 2e-4
warmup_steps = 2
checkpoint_every = 4
evaluate_every = 3

[prune]
hidden_size = "75%"
num_attention_heads = "50%"
num_hidden_layers = 2
head_add_back = "plus"
norm_compensation = true
calibration_sequences = 150
calibration_batch = 2

[distil]
steps = 32
global_batch_size = 6
micro_batch_size = 2
warmup_steps = 3
weight_decay = 0.1
checkpoint_every = 7
evaluate_every = 4

[losses.forward_kl]
temperature = 2.0

[losses.cross_entropy]
weight = 0.25

[evaluate]
sequences = 24
batch = 4
"#;

/// Text files: each is a chunk, and 64 chunks make a shard.
const FILES: u64 = 150;
/// What must be the same bytes in two runs of one recipe.
const SAME: [&str; 6] = ["models", "metrics", "eval", "scores", "plan.toml", "tokens"];
/// A process that takes longer hangs.
const HANGS: Duration = Duration::from_secs(300);

/// The small recipe, and a run of it that nobody touched. Goes with the last test that holds it.
pub(super) struct Small {
    dir: TempDir,
    /// How long the untouched run took.
    pub(super) took: Duration,
    /// The table that it printed.
    pub(super) table: String,
}

impl Small {
    /// Shared by the tests that run side by side.
    pub(super) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Small>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let small = Arc::new(Self::new());
            *shared = Arc::downgrade(&small);
            small
        })
    }

    fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let text = dir.path().join("text");
        fs::create_dir(&text).unwrap();
        let grammar = Grammar::new(1);
        for i in 0..FILES {
            // Stories that the recipe does not generate.
            fs::write(text.join(format!("{i:03}.txt")), grammar.story(1_000_000 + i).text).unwrap();
        }
        let tokenizer = dir.path().join("tokenizer");
        fs::create_dir(&tokenizer).unwrap();
        fs::write(tokenizer.join("tokenizer.json"), grammar.tokenizer_json()).unwrap();
        fs::write(tokenizer.join("tokenizer_config.json"), grammar.tokenizer_config_json())
            .unwrap();
        let recipe = RECIPE.replace("FILES", &text.join("*.txt").to_string_lossy());
        let recipe = recipe.replace("TOKENIZER", &tokenizer.to_string_lossy());
        fs::write(dir.path().join("small.toml"), recipe).unwrap();
        let mut small = Self { dir, took: Duration::ZERO, table: String::new() };
        let begun = Instant::now();
        let ended = small.run(&small.reference(), &[]);
        ended.assert_code(0);
        (small.took, small.table) = (begun.elapsed(), ended.stdout);
        small
    }

    /// The recipe.
    pub(super) fn recipe(&self) -> PathBuf {
        self.dir.path().join("small.toml")
    }

    /// The run directory of the run that nobody touched.
    pub(super) fn reference(&self) -> PathBuf {
        self.dir.path().join("untouched")
    }

    /// Where a run may go.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the recipe in `dir` to whatever end, with more arguments.
    pub(super) fn run(&self, dir: &Path, more: &[&str]) -> Ended {
        self.start(dir, more, &[]).wait()
    }

    /// Starts a run of the recipe in `dir`, or goes on with it.
    pub(super) fn start(&self, dir: &Path, more: &[&str], environment: &[(&str, &str)]) -> Running {
        let (recipe, dir) = (self.recipe(), dir.to_string_lossy());
        let first = [&*recipe.to_string_lossy(), "--dir", &*dir];
        self.spawn(&[&first, more].concat(), environment)
    }

    /// Goes on with the run in `dir`, named by its directory.
    pub(super) fn go_on(&self, dir: &Path, more: &[&str], environment: &[(&str, &str)]) -> Running {
        self.spawn(&[&[&*dir.to_string_lossy()], more].concat(), environment)
    }

    fn spawn(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        let output = || tempfile::NamedTempFile::new_in(self.dir.path()).unwrap();
        let (stdout, stderr) = (output(), output());
        let child = Command::new(env!("CARGO_BIN_EXE_stillflow"))
            .arg("run")
            .args(arguments)
            .args(["--device", "cpu"])
            .env_remove("STILLFLOW_ABORT")
            .env_remove("STILLFLOW_FAIL_WRITE")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(stdout.reopen().unwrap())
            .stderr(stderr.reopen().unwrap())
            .spawn()
            .unwrap();
        Running { child, stdout, stderr }
    }

    /// Asserts that the run in `dir` ended as the untouched one did.
    pub(super) fn assert_same(&self, dir: &Path, what: &str) {
        if let Some(difference) = difference(&self.reference(), dir) {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failed-trial");
            drop(fs::remove_dir_all(&kept));
            drop(fs::rename(dir, &kept));
            panic!("{difference}\nafter {what}\nthe run is kept in `{}`", kept.display());
        }
    }
}

/// A process, and where its output goes.
pub(super) struct Running {
    child: Child,
    stdout: tempfile::NamedTempFile,
    stderr: tempfile::NamedTempFile,
}

/// How a process ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// With which status.
    pub(super) status: ExitStatus,
    /// The closing table.
    pub(super) stdout: String,
    /// What it said to people.
    pub(super) stderr: String,
}

impl Running {
    /// Whether it has ended by itself.
    pub(super) fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for `time`, or until it ends.
    pub(super) fn wait_for(&mut self, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time && !self.is_over() {
            std::thread::sleep(Duration::from_millis(1).min(time.saturating_sub(begun.elapsed())));
        }
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// SIGINT, as Ctrl-C sends it. To a process that has ended it goes nowhere.
    pub(super) fn interrupt(&mut self) {
        if !self.is_over() {
            let pid = self.child.id().to_string();
            // A child that was not waited for keeps its pid, so it reaches no one else.
            let sent = Command::new("sh").args(["-c", "kill -INT \"$0\"", &pid]).status().unwrap();
            assert!(sent.success());
        }
    }

    /// Waits for its end; a hang is a failure.
    pub(super) fn wait(mut self) -> Ended {
        self.wait_for(HANGS);
        let hangs = !self.is_over();
        if hangs {
            self.kill();
        }
        let status = self.child.wait().unwrap();
        let read = |file: &tempfile::NamedTempFile| {
            String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned()
        };
        let (stdout, stderr) = (read(&self.stdout), read(&self.stderr));
        assert!(!hangs, "the process hangs; it said:\n{stderr}");
        Ended { status, stdout, stderr }
    }
}

impl Ended {
    /// Asserts that it exited with `code`.
    #[track_caller]
    pub(super) fn assert_code(&self, code: i32) {
        let Self { status, stderr, .. } = self;
        assert_eq!(
            status.code(),
            Some(code),
            "expected exit {code}, found {status}; it said:\n{stderr}"
        );
    }

    /// Asserts that it was ended by a signal.
    #[track_caller]
    pub(super) fn assert_signal(&self, signal: i32) {
        let Self { status, stderr, .. } = self;
        assert_eq!(
            status.signal(),
            Some(signal),
            "expected signal {signal}, found {status}; it said:\n{stderr}"
        );
    }

    /// Asserts that stderr holds `text`.
    #[track_caller]
    pub(super) fn assert_says(&self, text: &str) {
        assert!(self.stderr.contains(text), "expected `{text}` in:\n{}", self.stderr);
    }

    /// The stage and the step that it says it stopped at.
    pub(super) fn stopped_at(&self) -> Option<(String, u64)> {
        let (_, rest) = self.stderr.split_once("stopped in stage `")?;
        let (stage, rest) = rest.split_once("` at step ")?;
        let (step, _) = rest.split_once(' ')?;
        Some((stage.to_owned(), step.parse().unwrap()))
    }
}

/// The first thing that must be the same in two run directories and is not.
pub(super) fn difference(expected: &Path, found: &Path) -> Option<String> {
    let mut names = BTreeSet::new();
    for run in [expected, found] {
        for name in SAME {
            files(run, Path::new(name), &mut names);
        }
    }
    for name in names {
        let read = |run: &Path| fs::read(run.join(&name)).ok();
        let name = name.display();
        match (read(expected), read(found)) {
            (Some(expected), Some(found)) if expected == found => {}
            (Some(expected), Some(found)) => {
                let at = expected.iter().zip(&found).take_while(|(a, b)| a == b).count();
                let lengths = (expected.len(), found.len());
                return Some(format!("`{name}` differs at byte {at}; lengths {lengths:?}"));
            }
            (Some(_), None) => return Some(format!("`{name}` is missing")),
            (None, _) => return Some(format!("`{name}` should not be there")),
        }
    }
    None
}

/// The files below `name` in `run`, but not what a killed process left half written.
fn files(run: &Path, name: &Path, found: &mut BTreeSet<PathBuf>) {
    let path = run.join(name);
    if path.is_file() {
        let file = name.file_name().unwrap().to_string_lossy();
        if !(file.starts_with('.') && file.ends_with(".tmp")) {
            found.insert(name.to_owned());
        }
    } else if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            files(run, &name.join(entry.unwrap().file_name()), found);
        }
    }
}

/// Copies a directory.
pub(super) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Flips one bit in the middle of a file.
pub(super) fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The steps of a stage that have a manifest, ascending.
pub(super) fn checkpoints(run: &Path, stage: &str) -> Vec<(u64, PathBuf)> {
    let Ok(entries) = fs::read_dir(run.join("checkpoints").join(stage)) else {
        return vec![];
    };
    let mut found: Vec<(u64, PathBuf)> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("manifest.json").is_file())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name.strip_prefix("step-").unwrap().parse().unwrap(), path)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn a_difference_names_the_file_and_temporary_files_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    for run in [&a, &b] {
        fs::create_dir_all(run.join("models/student")).unwrap();
        fs::write(run.join("models/student/config.json"), "{}").unwrap();
        fs::write(run.join("origin.json"), run.to_string_lossy().as_bytes()).unwrap();
    }
    File::create(b.join("models/.x.1-2.tmp")).unwrap();
    assert_eq!(difference(&a, &b), None);
    fs::write(b.join("models/student/config.json"), "{ }").unwrap();
    let expected = "`models/student/config.json` differs at byte 1; lengths (2, 3)";
    assert_eq!(difference(&a, &b).as_deref(), Some(expected));
    fs::remove_file(b.join("models/student/config.json")).unwrap();
    assert_eq!(difference(&a, &b).as_deref(), Some("`models/student/config.json` is missing"));
    assert_eq!(
        difference(&b, &a).as_deref(),
        Some("`models/student/config.json` should not be there")
    );
}
