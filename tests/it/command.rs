//! The binary in a directory of its own, what it said, and the smallest inputs that it accepts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, json};
use tempfile::TempDir;

/// A run of quickstart that takes half a second.
pub(crate) const QUICK: &str = "quickstart --device cpu -q \
    --set data.corpus.num_stories=120 --set tokens.seq_tokens=32 --set tokens.held_out=0.1 \
    --set pretrain.hidden_size=32 --set pretrain.intermediate_size=64 --set pretrain.num_hidden_layers=2 \
    --set pretrain.num_attention_heads=4 --set pretrain.num_key_value_heads=2 --set pretrain.head_dim=8 \
    --set pretrain.global_batch_size=4 --set pretrain.micro_batch_size=4 --set pretrain.steps=4 \
    --set pretrain.warmup_steps=1 --set pretrain.checkpoint_every=2 --set pretrain.evaluate_every=2 \
    --set distil.global_batch_size=4 --set distil.micro_batch_size=4 --set distil.steps=4 \
    --set distil.warmup_steps=1 --set distil.checkpoint_every=2 --set distil.evaluate_every=2 \
    --set prune.calibration_sequences=16 --set evaluate.sequences=8";

/// A run from [`Place::teacher`] on [`Place::text`], as short.
pub(crate) const FROM_TEACHER: &str = "minitron-tiny --device cpu -q --dir run \
    --set teacher.model=teacher --set data.corpus.path=text.txt --set tokens.seq_tokens=16 --set tokens.held_out=0.3 \
    --set distil.steps=4 --set distil.global_batch_size=4 --set distil.micro_batch_size=4 \
    --set distil.warmup_steps=1 --set distil.checkpoint_every=2 --set prune.calibration_sequences=8 \
    --set evaluate.sequences=4";

/// A directory, in which the binary runs.
pub(crate) struct Place {
    _temporary: TempDir,
    /// Where it is.
    pub(crate) path: PathBuf,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    /// `DIR` stands for the place.
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().canonicalize().unwrap();
        Self { _temporary: temporary, path }
    }

    /// With a teacher and a text.
    pub(crate) fn with_teacher() -> Self {
        let place = Self::new();
        place.teacher("teacher");
        place.text("text.txt");
        place
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.at(name)).unwrap()
    }

    /// A Llama in two shards, with a tokenizer of its 96 words.
    pub(crate) fn teacher(&self, name: &str) {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sharded");
        for entry in fs::read_dir(golden).unwrap() {
            let entry = entry.unwrap();
            let file = entry.file_name().into_string().unwrap();
            if !file.starts_with("golden") {
                self.write(&format!("{name}/{file}"), fs::read(entry.path()).unwrap());
            }
        }
        let special = ["<unk>", "<s>", "</s>"].map(str::to_owned);
        let words = special.into_iter().chain((3..96).map(|n| format!("w{n}")));
        let vocab: Map<_, _> = words.enumerate().map(|(id, word)| (word, json!(id))).collect();
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
        });
        self.write(&format!("{name}/tokenizer.json"), tokenizer.to_string());
    }

    /// A hundred documents of twelve words.
    pub(crate) fn text(&self, name: &str) {
        let word = |n: usize| format!("w{}", 3 + ((n * 2_654_435_761) >> 9) % 93);
        let document = |d: usize| (d * 12..d * 12 + 12).map(word).collect::<Vec<_>>().join(" ");
        self.write(name, (0..100).map(document).collect::<Vec<_>>().join("\n\n"));
    }

    /// The command line, which is split at white space.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stillflow"));
        command.current_dir(&self.path).args(line.split_whitespace()).stdin(Stdio::null());
        command.env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs the command line to its end.
    pub(crate) fn stillflow(&self, line: &str) -> Said {
        self.with(line, &[])
    }

    /// Runs it with environment variables.
    pub(crate) fn with(&self, line: &str, environment: &[(&str, &str)]) -> Said {
        let output = self.command(line).envs(environment.iter().copied()).output().unwrap();
        self.said(&output)
    }

    pub(crate) fn said(&self, output: &std::process::Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
        let stderr = text(&output.stderr).replace(self.path.to_str().unwrap(), "DIR");
        Said { code: output.status.code(), stdout: text(&output.stdout), stderr }
    }

    /// Every file below `name`, by its path; none if there is no such directory.
    pub(crate) fn files(&self, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let (mut files, mut dirs) = (BTreeMap::new(), vec![self.at(name)]);
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    files.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
        files
    }

    /// Asserts that every file of `before` is there and unchanged; the log may have grown, and the lock holds a pid.
    pub(crate) fn assert_unharmed(&self, name: &str, before: &BTreeMap<PathBuf, Vec<u8>>) {
        let now = self.files(name);
        assert!(!before.is_empty());
        for (path, bytes) in before {
            let Some(found) = now.get(path) else { panic!("{} is gone", path.display()) };
            match path.file_name().and_then(|name| name.to_str()) {
                Some("lock") => {}
                Some("events.jsonl") => assert!(found.starts_with(bytes), "the log was rewritten"),
                _ => assert!(found == bytes, "{} is changed", path.display()),
            }
        }
    }
}

impl Said {
    /// Asserts success.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// Asserts that the input was refused in these words, `<…>` standing for anything.
    #[track_caller]
    pub(crate) fn refused(&self, expected: &str) {
        self.is_explained();
        assert!(fits(expected, &self.stderr), "expected\n{expected}\nfound\n{}", self.stderr);
    }

    /// Asserts exit code 1, and the form: `error:`, `  cause:` any number of times, an empty line, `hint:`.
    #[track_caller]
    pub(crate) fn is_explained(&self) {
        let Self { code, stdout, stderr } = self;
        assert_eq!(*code, Some(1), "{stderr}");
        assert_eq!(stdout, "", "stdout is for data: {stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("bug in stillflow"), "{stderr}");
        let Some((what, hint)) = stderr.split_once("\n\nhint: ") else {
            panic!("no hint in\n{stderr}")
        };
        assert!(
            what.starts_with("error: ") && hint.ends_with('\n') && hint.lines().count() == 1,
            "{stderr}"
        );
        for line in what.lines().skip(1) {
            let continues =
                ["  cause: ", "    ", "  |", "   |"].iter().any(|begin| line.starts_with(begin));
            let quotes =
                line.split_once(" | ").is_some_and(|(number, _)| number.parse::<usize>().is_ok());
            assert!(continues || quotes, "{line:?} in\n{stderr}");
        }
    }
}

/// Whether a text is `pattern`, in which `<…>` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split("<…>");
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}
