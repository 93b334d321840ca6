//! The teacher that is corrected: before it teaches, or while it does. What the two have in common is each other's oracle.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::command::{FROM_TEACHER, Place};

/// Runs with these keys in a directory of this name, and gives the model's files.
fn models(place: &Place, dir: &str, keys: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let line = FROM_TEACHER.replace("--dir run", &format!("--dir {dir}"));
    place.stillflow(&format!("run {line} {keys}")).done();
    read(place, dir)
}

fn read(place: &Place, dir: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let root = place.at(&format!("{dir}/models"));
    let files = place.files(&format!("{dir}/models")).into_iter();
    files.map(|(path, bytes)| (path.strip_prefix(&root).unwrap().to_owned(), bytes)).collect()
}

fn of<'a>(files: &'a BTreeMap<PathBuf, Vec<u8>>, model: &str) -> Vec<(&'a PathBuf, &'a Vec<u8>)> {
    let found: Vec<_> = files.iter().filter(|(path, _)| path.starts_with(model)).collect();
    assert!(found.len() > 1, "{model}");
    found
}

const BEFORE: &str = "--set correct.steps=4 --set correct.global_batch_size=4 --set correct.micro_batch_size=4 \
    --set correct.checkpoint_every=2 --set correct.learning_rate=1e-3 --set correct.warmup_steps=1";
const BESIDE: &str =
    "--set correct.parallel=true --set correct.learning_rate=1e-3 --set correct.warmup_steps=1";

#[test]
fn a_teacher_that_learns_while_it_teaches_learns_as_before_and_teaches_as_one_that_does_not() {
    let place = Place::with_teacher();
    let plain = models(&place, "plain", "");
    let before = models(&place, "before", BEFORE);
    let beside = models(&place, "beside", BESIDE);
    // It learns the same of the same batches, whoever listens.
    assert!(of(&before, "teacher") == of(&beside, "teacher"));
    // With a rate of nothing, it teaches what one teaches that does not learn.
    let nothing = BESIDE.replace("1e-3", "1e-30 --set correct.min_learning_rate=0");
    let still = models(&place, "still", &nothing);
    assert!(of(&still, "student") == of(&plain, "student"));
    // With one that is some, it does not.
    assert!(of(&beside, "student") != of(&plain, "student"));
    assert!(of(&before, "student") != of(&beside, "student"));
}

#[test]
fn a_teacher_that_learns_while_it_teaches_goes_on_where_it_was_killed() {
    let place = Place::with_teacher();
    let whole = models(&place, "whole", BESIDE);
    let line = FROM_TEACHER.replace("--dir run", "--dir killed");
    let line = format!("run {line} {BESIDE} -w 2");
    // After each checkpoint: of the tokens, of the scores, and in the middle of distillation.
    for _ in 0..3 {
        let said = place.with(&line, &[("STILLFLOW_ABORT", "committed:1")]);
        assert_eq!(said.code, None, "{}", said.stderr);
    }
    assert!(place.at("killed/checkpoints/distil/step-00000002/teacher.safetensors").is_file());
    place.stillflow(&line).done();
    assert!(read(&place, "killed") == whole);
}

#[test]
fn a_correction_that_has_no_steps_or_two_kinds_of_them_is_refused() {
    let place = Place::with_teacher();
    for (keys, says) in [
        ("--set correct.warmup_steps=1", "neither `correct.steps` nor `correct.tokens`"),
        ("--set correct.parallel=true --set correct.steps=4", "`correct.steps`"),
    ] {
        let said = place.stillflow(&format!("run {FROM_TEACHER} {keys}"));
        assert_eq!(said.code, Some(1), "{}", said.stderr);
        assert!(said.stderr.contains(says), "{}", said.stderr);
        assert!(!place.at("run").exists());
    }
}
