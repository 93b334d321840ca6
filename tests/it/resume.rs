//! A run that goes on: from any step, with any number of workers, past what is damaged or lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use stillflow::prune::PrunePlan;

use super::runs::{Ended, Small, checkpoints, copy_dir, flip};

/// Of the small recipe's `[distil]`.
const CHECKPOINT_EVERY: u64 = 7;
/// The commits of the small run up to the third of `distil`: 3 legs each of `survey` and `prepare`, 5 of `pretrain`,
/// 3 of `correct`, 2 of `observe`, 5 of `depth`.
const THIRD_OF_DISTIL: &str = "committed:24";

/// Runs until the stage's first checkpoint, and stops there by Ctrl-C. What was there may be behind it already.
fn interrupt_in(small: &Small, dir: &Path, stage: &str, more: &[&str]) -> Ended {
    let before = checkpoints(dir, stage);
    let mut running = small.start(dir, more, &[]);
    let begun = Instant::now();
    while checkpoints(dir, stage) == before
        && !running.is_over()
        && begun.elapsed() < Duration::from_secs(120)
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    running.interrupt();
    running.wait()
}

/// A run that Ctrl-C stopped in distil between two checkpoints, and where.
fn stopped_in_distil(small: &Small, name: &str, more: &[&str]) -> (PathBuf, u64) {
    // Where it stops is a matter of time; it does not take many runs to stop between two checkpoints.
    for attempt in 0..20 {
        let dir = small.path(&format!("{name}-{attempt}"));
        let ended = interrupt_in(small, &dir, "distil", more);
        match ended.stopped_at() {
            Some((stage, step)) if stage == "distil" && !step.is_multiple_of(CHECKPOINT_EVERY) => {
                ended.assert_code(130);
                return (dir, step);
            }
            _ => fs::remove_dir_all(&dir).unwrap(),
        }
    }
    panic!("20 runs, and none stopped in distil between two checkpoints");
}

fn finish(small: &Small, dir: &Path, more: &[&str], what: &str) -> Ended {
    let ended = small.run(dir, more);
    ended.assert_code(0);
    small.assert_same(dir, what);
    ended
}

#[test]
fn n_steps_and_m_more_are_n_plus_m_steps_whoever_counts_the_workers() {
    let small = Small::shared();
    for (before, after) in [("1", "3"), ("3", "1")] {
        let (dir, step) =
            stopped_in_distil(&small, &format!("workers-{before}-{after}"), &["-w", before]);
        let newest = checkpoints(&dir, "distil").pop().unwrap().0;
        assert_eq!(newest, step, "it is sealed where it stopped");
        // The rows of an unfinished stretch are not published; those before it are.
        let published = dir.join(format!(
            "metrics/distil/steps-{:08}.parquet",
            step / CHECKPOINT_EVERY * CHECKPOINT_EVERY
        ));
        assert!(!published.exists(), "{}", published.display());
        finish(
            &small,
            &dir,
            &["-w", after],
            &format!("{before} workers to step {step}, then {after}"),
        );
    }
}

#[test]
fn a_run_may_stop_at_every_few_steps() {
    let small = Small::shared();
    let dir = small.path("often");
    let mut stops = vec![];
    loop {
        // At the next checkpoint of whatever stage trains.
        let stage = match stops.last() {
            Some((stage, _)) if stage == "distil" || stage == "control" => "control",
            _ if checkpoints(&dir, "pretrain").last().is_some_and(|(step, _)| *step >= 12) => {
                "distil"
            }
            _ => "pretrain",
        };
        let ended = interrupt_in(&small, &dir, stage, &[]);
        let Some(stop) = ended.stopped_at() else {
            ended.assert_code(0);
            break;
        };
        ended.assert_code(130);
        stops.push(stop);
        assert!(stops.len() < 100, "it never ends: {stops:?}");
    }
    assert!(stops.len() >= 3, "{stops:?}");
    small.assert_same(&dir, &format!("stops at {stops:?}"));
}

/// When each file below was changed.
fn times(dir: &Path, found: &mut BTreeMap<PathBuf, SystemTime>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            times(&path, found);
        } else {
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            found.insert(path, modified);
        }
    }
}

#[test]
fn a_finished_run_is_not_done_again() {
    let small = Small::shared();
    let dir = small.path("finished");
    copy_dir(&small.reference(), &dir);
    let look = || {
        let mut found = BTreeMap::new();
        times(&dir, &mut found);
        // That it was started again is noted, and nothing else.
        found.retain(|path, _| !path.ends_with("events.jsonl") && !path.ends_with("lock"));
        found
    };
    let before = look();
    let again = finish(&small, &dir, &["-w", "2"], "a run that was finished");
    assert_eq!(look(), before);
    assert_eq!(again.stdout, small.table);
}

/// What is done to the directory of a checkpoint.
type Damage = fn(&Path);

/// A run that a crash ended just after the third checkpoint of distil.
fn crashed(small: &Small, name: &str) -> PathBuf {
    let dir = small.path(name);
    let ended = small.start(&dir, &[], &[("STILLFLOW_ABORT", THIRD_OF_DISTIL)]).wait();
    assert!(ended.status.code().is_none(), "{}", ended.stderr);
    let steps: Vec<u64> = checkpoints(&dir, "distil").into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, [1, 2, 3].map(|n| n * CHECKPOINT_EVERY), "the first is not collected yet");
    dir
}

#[test]
fn a_damaged_or_lost_checkpoint_costs_the_steps_since_the_one_before() {
    let small = Small::shared();
    let dir = crashed(&small, "crashed");
    let damages: [(&str, Damage); 5] = [
        ("a flipped byte of the weights", |newest| flip(&newest.join("trainer.safetensors"))),
        ("a flipped byte of the rows", |newest| flip(&newest.join("steps.parquet"))),
        ("a flipped byte of the manifest", |newest| flip(&newest.join("manifest.json"))),
        ("an empty manifest", |newest| fs::write(newest.join("manifest.json"), "").unwrap()),
        ("lost rows", |newest| fs::remove_file(newest.join("evaluations.parquet")).unwrap()),
    ];
    for (what, damage) in damages {
        let damaged = small.path("damaged");
        copy_dir(&dir, &damaged);
        let (_, newest) = checkpoints(&damaged, "distil").pop().unwrap();
        damage(&newest);
        let ended = finish(&small, &damaged, &[], what);
        ended.assert_says("step-00000021` is passed over: ");
        ended.assert_says("going on from step 14");
        fs::remove_dir_all(&damaged).unwrap();
    }
    let (_, newest) = checkpoints(&dir, "distil").pop().unwrap();
    fs::remove_dir_all(newest).unwrap();
    finish(&small, &dir, &[], "a lost directory of the newest checkpoint");
}

#[test]
fn a_stage_of_which_no_checkpoint_is_left_begins_anew() {
    let small = Small::shared();
    let dir = crashed(&small, "begins-anew");
    for (_, checkpoint) in checkpoints(&dir, "distil") {
        flip(&checkpoint.join("trainer.safetensors"));
    }
    let ended = finish(&small, &dir, &[], "damage to every checkpoint");
    ended.assert_says("beginning the stage anew");
}

#[test]
fn a_damaged_seal_is_as_good_as_none() {
    let small = Small::shared();
    for stage in
        "prepare pretrain correct observe depth prune distil control evaluate export".split(' ')
    {
        let dir = small.path("unsealed");
        copy_dir(&small.reference(), &dir);
        let seal = dir.join("stages").join(format!("{stage}.json"));
        let whole = fs::read(&seal).unwrap();
        flip(&seal);
        finish(&small, &dir, &[], &format!("a flipped byte of the seal of {stage}"));
        assert_eq!(fs::read(&seal).unwrap(), whole, "{stage} is sealed again");
        fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn a_sealed_stage_whose_last_checkpoint_is_damaged_is_not_taken_for_an_earlier_one() {
    let small = Small::shared();
    // After the third of distil come 2 more, 5 of control, and the first of evaluate.
    let dir = small.path("sealed");
    let ended = small.start(&dir, &[], &[("STILLFLOW_ABORT", "committed:32")]).wait();
    assert!(ended.status.code().is_none(), "{}", ended.stderr);
    assert!(
        dir.join("stages/control.json").is_file() && !dir.join("stages/evaluate.json").exists()
    );
    for stage in ["pretrain", "correct", "observe", "depth", "distil", "control"] {
        let damaged = small.path("sealed-damaged");
        copy_dir(&dir, &damaged);
        let (_, newest) = checkpoints(&damaged, stage).pop().unwrap();
        let part = match stage {
            "observe" => "importance.parquet",
            "depth" => "depth.parquet",
            _ => "trainer.safetensors",
        };
        flip(&newest.join(part));
        let ended = finish(
            &small,
            &damaged,
            &[],
            &format!("damage to the last checkpoint of {stage}, which is sealed"),
        );
        ended.assert_says("is passed over: ");
        fs::remove_dir_all(&damaged).unwrap();
    }
}

#[test]
fn a_plan_that_was_changed_is_chosen_anew() {
    let small = Small::shared();
    let dir = crashed(&small, "plan");
    let plan = dir.join("plan.toml");
    let text = fs::read_to_string(&plan).unwrap();
    // One neuron for another: the plan of a student, but not of this one.
    let mut changed: PrunePlan = toml::from_str(&text).unwrap();
    let neurons = &mut changed.layers[0].neurons;
    let other = (0..64).find(|neuron| !neurons.contains(neuron)).unwrap();
    neurons[0] = other;
    neurons.sort_unstable();
    for damage in [Some(toml::to_string(&changed).unwrap()), Some("schema = 1".to_owned()), None] {
        let damaged = small.path("replanned");
        copy_dir(&dir, &damaged);
        match &damage {
            Some(text) => fs::write(damaged.join("plan.toml"), text).unwrap(),
            None => fs::remove_file(damaged.join("plan.toml")).unwrap(),
        }
        let ended = finish(&small, &damaged, &[], &format!("another plan: {damage:?}"));
        ended.assert_says("plan.toml` is not what was sealed; it is chosen anew");
        fs::remove_dir_all(&damaged).unwrap();
    }
}
