//! A student that is cut again, and importance that is measured in steps.

use serde_json::Value;

use super::command::{Place, QUICK};

fn losses(place: &Place, run: &str) -> Vec<(String, f64)> {
    let report: Value =
        serde_json::from_slice(&place.read(&format!("{run}/eval/held-out.json"))).unwrap();
    let models = report["models"].as_array().unwrap().iter();
    models
        .map(|model| {
            (model["model"].as_str().unwrap().to_owned(), model["cross_entropy"].as_f64().unwrap())
        })
        .collect()
}

const SIZES: &str = "--set prune.hidden_size=24 --set then.a.hidden_size=16 --set then.a.steps=2 \
    --set then.b.hidden_size=8 --set then.b.teacher=previous";

#[test]
fn each_further_student_is_cut_out_of_the_one_before_and_its_teacher_is_whose_it_says() {
    let place = Place::new();
    let said = place.stillflow(&format!("run {QUICK} --dir run {SIZES}")).done();
    assert!(said.contains("then.a") && said.contains("then.b"), "{said}");
    let hidden = |dir: &str| {
        let config: Value =
            serde_json::from_slice(&place.read(&format!("{dir}/models/student/config.json")))
                .unwrap();
        config["hidden_size"].as_u64().unwrap()
    };
    assert_eq!([hidden("run"), hidden("run/then/a"), hidden("run/then/b")], [24, 16, 8]);
    let (run, a, b) =
        (losses(&place, "run"), losses(&place, "run/then/a"), losses(&place, "run/then/b"));
    let of =
        |losses: &[(String, f64)], name: &str| losses.iter().find(|(n, _)| n == name).unwrap().1;
    assert_eq!(of(&a, "teacher"), of(&run, "teacher"), "the first teaches");
    assert_eq!(of(&b, "teacher"), of(&a, "student"), "the one before teaches");
    // The same as a run of its own with that model, and again the same when it is resumed after a kill.
    let own = "--set prune.model=run/models/student --set prune.hidden_size=16 --set prune.intermediate_size=100% \
        --set distil.steps=2";
    place.stillflow(&format!("run {QUICK} --dir own {own}")).done();
    assert_eq!(
        place.read("own/models/student/model.safetensors"),
        place.read("run/then/a/models/student/model.safetensors")
    );
    let line = format!("run {QUICK} --dir killed {SIZES}");
    for _ in 0..40 {
        if place.with(&line, &[("STILLFLOW_ABORT", "committed:2")]).code == Some(0) {
            break;
        }
    }
    assert_eq!(
        place.read("killed/then/b/models/student/model.safetensors"),
        place.read("run/then/b/models/student/model.safetensors")
    );
}

#[test]
fn importance_in_steps_ends_at_the_same_sizes_and_goes_on_where_it_was_killed() {
    let place = Place::new();
    let steps = |n: u64| {
        format!(
            "--set prune.hidden_size=16 --set prune.intermediate_size=24 --set prune.importance_steps={n}"
        )
    };
    for n in [1, 3] {
        place.stillflow(&format!("run {QUICK} --dir steps-{n} {}", steps(n))).done();
    }
    let plan = |dir: &str| -> toml::Table {
        toml::from_str(&String::from_utf8(place.read(&format!("{dir}/plan.toml"))).unwrap())
            .unwrap()
    };
    let (one, three) = (plan("steps-1"), plan("steps-3"));
    assert_eq!(one["hidden"].as_array().unwrap().len(), three["hidden"].as_array().unwrap().len());
    assert_ne!(one["layers"], three["layers"], "what is measured again says something else");
    assert!(place.at("steps-3/importance/step-2/scores/hidden_size.parquet").is_file());
    let line = format!("run {QUICK} --dir killed {} -w 2", steps(3));
    for _ in 0..40 {
        if place.with(&line, &[("STILLFLOW_ABORT", "committed:1")]).code == Some(0) {
            break;
        }
    }
    assert_eq!(place.read("killed/plan.toml"), place.read("steps-3/plan.toml"));
}

#[test]
fn channels_that_are_drawn_are_those_of_the_seed() {
    let place = Place::new();
    let line = |dir: &str, seed: u64| {
        format!(
            "run {QUICK} --dir {dir} --set prune.score=random --set prune.hidden_size=16 --set seed={seed}"
        )
    };
    for (dir, seed) in [("a", 1), ("b", 1), ("c", 2)] {
        place.stillflow(&line(dir, seed)).done();
    }
    assert_eq!(
        place.read("a/scores/hidden_size.parquet"),
        place.read("b/scores/hidden_size.parquet")
    );
    assert_ne!(
        place.read("a/scores/hidden_size.parquet"),
        place.read("c/scores/hidden_size.parquet")
    );
}

#[test]
fn a_model_to_cut_that_has_other_words_is_refused() {
    let place = Place::with_teacher();
    place.stillflow(&format!("run {QUICK} --dir made")).done();
    let said = place.stillflow(&format!(
        "run {} --set prune.model=made/models/student",
        super::command::FROM_TEACHER
    ));
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(
        said.stderr.contains("`prune.model`: expected a model of the teacher's 96 words"),
        "{}",
        said.stderr
    );
}
