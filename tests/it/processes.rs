//! A capture on several processes: the same content, and none that goes on without the others.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dataflows::graphs::cluster::Listening;
use datasets::store::Digest;
use serde_json::{Value, json};

use super::cache::{CAPTURE, cache};
use super::command::{Place, Said};

/// What takes longer hangs.
const HANGS: Duration = Duration::from_secs(60);

/// With a text long enough that a capture of it, document by document, can be disturbed.
fn place() -> Place {
    let place = Place::with_teacher();
    let word = |n: usize| format!("w{}", 3 + ((n * 2_654_435_761) >> 9) % 93);
    let document = |d: usize| (d * 12..d * 12 + 12).map(word).collect::<Vec<_>>().join(" ");
    place.write("text.txt", (0..1000).map(document).collect::<Vec<_>>().join("\n\n"));
    place
}

fn line(run: &str, more: &str) -> String {
    let alone = "--set capture.batch_tokens=1";
    format!("{CAPTURE} {alone} --dir {run} --set capture.dir={run}-logits {more}")
}

fn digest(place: &Place, run: &str) -> Digest {
    cache(place, &format!("{run}-logits")).digest().unwrap()
}

/// What one process makes of it.
fn expected(place: &Place) -> Digest {
    place.stillflow(&line("alone", "")).done();
    digest(place, "alone")
}

/// A run that goes on.
struct Running<'a> {
    place: &'a Place,
    run: &'a str,
    /// Which start of it this is.
    incarnation: u64,
    child: Child,
}

impl<'a> Running<'a> {
    /// Starts a run, and waits until it has committed something. Gives the ids of its hands.
    fn in_the_middle(place: &'a Place, run: &'a str, more: &str) -> (Self, Vec<u64>) {
        let incarnation = 1 + events(place, run).iter().map(incarnation).max().unwrap_or(0);
        let mut command = place.command(&line(run, more));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut running = Self { place, run, incarnation, child };
        let pids = running.wait_for("hands")["pids"].take();
        running.wait_for("captured");
        (running, serde_json::from_value(pids).unwrap())
    }

    /// The first event of a name that this start of the run has logged.
    fn wait_for(&mut self, name: &str) -> Value {
        let begun = Instant::now();
        loop {
            let mut all = events(self.place, self.run).into_iter();
            let is_it = |e: &Value| incarnation(e) == self.incarnation && e["event"] == name;
            if let Some(event) = all.find(is_it) {
                return event;
            }
            let is_over = self.child.try_wait().unwrap().is_some();
            assert!(!is_over && begun.elapsed() < HANGS, "there is no event `{name}`");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn signal(&self, name: &str, pid: u64) {
        let kill = format!("kill -{name} {pid}");
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn ended(mut self) -> Said {
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < HANGS, "it hangs");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.place.said(&self.child.wait_with_output().unwrap())
    }
}

/// The events of a run; none if it has not begun.
fn events(place: &Place, run: &str) -> Vec<Value> {
    let path = place.at(run).join("events.jsonl");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn incarnation(event: &Value) -> u64 {
    event["incarnation"].as_u64().unwrap()
}

/// Waits until no process of these is there; whose parent is gone may stay unburied.
fn are_gone(pids: &[u64]) {
    let is_there = |pid: &u64| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    };
    let begun = Instant::now();
    while pids.iter().any(is_there) {
        assert!(begun.elapsed() < HANGS, "one of {pids:?} is left behind");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_captured_does_not_depend_on_the_number_of_processes() {
    let place = Place::with_teacher();
    // Groups of several documents: the same ones are asked about together.
    let line = |run: &str, more: &str| {
        format!("{CAPTURE} --dir {run} --set capture.dir={run}-logits {more}")
    };
    place.stillflow(&line("alone", "")).done();
    for (run, more, hands) in
        [("two", "-n 2", 1), ("four", "-n 2 -w 2", 1), ("three", "--processes 3 -w 1", 2)]
    {
        place.stillflow(&line(run, more)).done();
        assert_eq!(digest(&place, run), digest(&place, "alone"), "{more}");
        let events = events(&place, run);
        let called = events.iter().find(|event| event["event"] == "hands").unwrap();
        assert_eq!(called["pids"].as_array().unwrap().len(), hands, "{called}");
    }
    // What is there is not asked about again, and then there is nothing to call hands for.
    let again = line("again", "-n 2").replace("again-logits", "two-logits");
    place.stillflow(&again).done();
    assert!(events(&place, "again").iter().all(|event| event["event"] != "hands"));
}

#[test]
fn a_hand_that_is_killed_ends_the_run_by_its_name_and_the_next_run_goes_on() {
    let place = place();
    let (running, pids) = Running::in_the_middle(&place, "run", "-n 3");
    running.signal("KILL", pids[1]);
    let said = running.ended();
    said.refused(
        "error: stage `capture` failed in `exchange`\n  cause: process 2 of 3 ended: signal: 9 (SIGKILL)\n\n\
         hint: the same command goes on with what is committed; without `-n` in one process\n",
    );
    are_gone(&pids);
    let (commit, samples) =
        (cache(&place, "run-logits").commit(), cache(&place, "run-logits").len());
    assert!(commit.is_some() && samples > 0);
    place.stillflow(&line("run", "-n 2")).done();
    let whole = cache(&place, "run-logits");
    assert!(whole.commit() > commit && whole.len() > samples, "it was whole already");
    let kept: u64 = whole.shards().map(|(_, added)| added.samples).sum();
    assert_eq!(kept, whole.len() as u64, "what was committed was asked about again");
    assert_eq!(digest(&place, "run"), expected(&place));
}

#[test]
fn no_process_is_left_behind_by_one_that_is_killed_or_interrupted() {
    let place = place();
    for (signal, code) in [("KILL", None), ("INT", Some(130))] {
        let (running, pids) = Running::in_the_middle(&place, "run", "-n 3");
        running.signal(signal, running.child.id().into());
        let said = running.ended();
        assert_eq!(said.code, code, "{}", said.stderr);
        if code.is_some() {
            assert!(said.stderr.contains("everything up to there is sealed"), "{}", said.stderr);
        }
        are_gone(&pids);
    }
    place.stillflow(&line("run", "-n 2 -w 2")).done();
    assert_eq!(digest(&place, "run"), expected(&place));
}

#[test]
fn a_hand_that_would_ask_about_other_samples_refuses_and_writes_nothing() {
    let place = Place::with_teacher();
    place.stillflow(&format!("{CAPTURE} --dir run")).done();
    let before = place.files("run");
    let task = json!({"began": null, "found": null, "groups": "0".repeat(64), "dtype": "f32"});
    let mut command = place.command("hand run --workers 1 --device cpu --task");
    command.arg(task.to_string()).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut heard = child.stdin.take().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let listening = Listening::on("127.0.0.1").unwrap();
    let cluster = listening.lead(&mut [(&mut said, &mut heard)], 7, HANGS).unwrap();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let expected = format!(
        "other samples are missing here than in the first process: expected {}",
        "0".repeat(64)
    );
    assert!(errors.contains(&expected), "{errors}");
    assert!(said.lines().next().is_none(), "stdout is for meeting");
    assert_eq!(place.files("run"), before);
    drop(cluster);
}
