//! The search for a student's shape: what it finds, that it goes on where it was killed, and budgets that nothing fits.

use std::fs;

use serde_json::Value;

use super::command::{Place, QUICK};

/// Nine shapes, of which a budget leaves some; four are trained, then two.
const SEARCH: &str = "--set search.hidden_size=[32,24,16] --set search.intermediate_size=[64,48,32] \
    --set prune.num_hidden_layers=2 --set search.parameters=53K..112K --set search.candidates=4 \
    --set search.tokens=[256,512] --set search.zero_shot_sequences=8";

fn run(dir: &str, more: &str) -> String {
    format!("run {QUICK} --dir {dir} {SEARCH} {more}")
}

fn found(place: &Place, dir: &str) -> Value {
    let text = place.read(&format!("{dir}/search/found.json"));
    serde_json::from_slice(&text).unwrap()
}

/// What a search leaves that must be the same however it was run.
fn same(place: &Place, dir: &str) -> Vec<Vec<u8>> {
    let mut files = vec![
        place.read(&format!("{dir}/search/found.json")),
        place.read(&format!("{dir}/plan.toml")),
    ];
    let mut metrics: Vec<_> = fs::read_dir(place.at(&format!("{dir}/search")))
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .collect();
    metrics.sort();
    for candidate in metrics.iter().filter(|path| path.is_dir()) {
        let dir = candidate.join("metrics/distil");
        let mut rows: Vec<_> = fs::read_dir(dir).unwrap().flatten().map(|e| e.path()).collect();
        rows.sort();
        files.extend(rows.iter().map(|path| fs::read(path).unwrap()));
    }
    files.extend(place.files(&format!("{dir}/models/student")).into_values());
    files
}

#[test]
fn the_best_of_the_last_rung_is_cut_and_shown_and_any_number_of_workers_finds_it() {
    let place = Place::new();
    place.stillflow(&run("one", "")).done();
    let found = found(&place, "one");
    let candidates = found["candidates"].as_array().unwrap();
    let rungs = |n: usize| candidates[n]["rungs"].as_array().unwrap().len();
    assert_eq!((0..4).map(rungs).sum::<usize>(), 4 + 2, "four, then two");
    let zero_shot: Vec<f64> = candidates.iter().map(|c| c["zero_shot"].as_f64().unwrap()).collect();
    assert!(zero_shot.windows(2).all(|pair| pair[0] <= pair[1]), "{zero_shot:?}");
    // The choice has the least loss of those that came to the end, by the numbers alone.
    let choice = found["choice"].as_u64().unwrap() as usize;
    let last = |n: usize| candidates[n]["rungs"][1].as_f64();
    let best = (0..candidates.len())
        .filter_map(|n| Some((n, last(n)?)))
        .min_by(|a, b| a.1.total_cmp(&b.1));
    assert_eq!(Some(choice), best.map(|(n, _)| n));
    let config: Value =
        serde_json::from_slice(&place.read("one/models/student/config.json")).unwrap();
    for key in ["hidden_size", "intermediate_size"] {
        assert_eq!(config[key], candidates[choice][key], "{key}");
    }
    let shown = place.stillflow("show one").done();
    assert!(
        shown.contains("9 shapes") && shown.contains(&format!("chosen: candidate {choice}")),
        "{shown}"
    );
    assert!(place.at("one/search/curves.svg").is_file());
    assert!(!place.at("one/search/candidate-000/checkpoints").exists());
    place.stillflow(&run("three", "-w 3")).done();
    assert!(same(&place, "one") == same(&place, "three"));
}

#[test]
fn a_search_that_is_killed_again_and_again_finds_what_one_does_that_is_not() {
    let place = Place::new();
    place.stillflow(&run("whole", "")).done();
    let line = run("killed", "-w 2");
    let mut kills = 0;
    // After every second checkpoint that is committed, whichever stage's: of the tokens, of candidates, of the student.
    loop {
        let said = place.with(&line, &[("STILLFLOW_ABORT", "committed:1")]);
        if said.code == Some(0) {
            break;
        }
        assert_eq!(said.code, None, "{}", said.stderr);
        kills += 1;
        assert!(kills < 60, "it does not get on");
    }
    assert!(kills > 6, "{kills}");
    assert!(same(&place, "whole") == same(&place, "killed"));
}

#[test]
fn a_candidate_is_the_student_that_its_sizes_alone_make() {
    let place = Place::new();
    let one = "--set search.hidden_size=[24] --set search.intermediate_size=[48] --set prune.num_hidden_layers=2 \
        --set search.parameters=1K..1M --set search.tokens=[512] --set search.zero_shot_sequences=8";
    place.stillflow(&format!("run {QUICK} --dir searched {one}")).done();
    let sizes = "--set prune.hidden_size=24 --set prune.intermediate_size=48 --set prune.num_hidden_layers=2";
    place.stillflow(&format!("run {QUICK} --dir plain {sizes}")).done();
    assert_eq!(place.read("searched/plan.toml"), place.read("plain/plan.toml"));
    // 512 tokens are the four steps of [distil]: the rung's loss is that of the student.
    let student: Value = serde_json::from_slice(&place.read("plain/eval/held-out.json")).unwrap();
    let student =
        student["models"].as_array().unwrap().iter().find(|m| m["model"] == "student").unwrap();
    let rung = found(&place, "searched")["candidates"][0]["rungs"][0].as_f64().unwrap();
    assert_eq!(Some(rung), student["cross_entropy"].as_f64());
}

#[test]
fn latency_is_measured_once_and_kept() {
    let place = Place::new();
    let timed = "--set search.hidden_size=[24,16] --set search.decode_ms=..1000 --set search.prefill_tokens=8 \
        --set search.zero_shot_sequences=8";
    let line = format!("run {QUICK} --dir run {timed}");
    place.stillflow(&line).done();
    let table = place.read("run/search/latency.json");
    let found = found(&place, "run");
    assert!(found["candidates"][0]["cost"]["decode_ms"].as_f64().unwrap() > 0.0);
    fs::remove_file(place.at("run/stages/search.json")).unwrap();
    fs::remove_file(place.at("run/stages/export.json")).unwrap();
    place.stillflow(&line).done();
    assert_eq!(place.read("run/search/latency.json"), table);
}

#[test]
fn a_budget_that_no_shape_fits_is_refused_before_any_work_with_the_nearest() {
    let place = Place::new();
    let line = run("run", "--set search.parameters=1M..2M");
    let said = place.stillflow(&line);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("none of the 9 shapes"), "{}", said.stderr);
    assert!(
        said.stderr.contains("hidden 32, intermediate 64") && said.stderr.contains("(1M..2M)"),
        "{}",
        said.stderr
    );
    assert!(!place.at("run").exists());
}
