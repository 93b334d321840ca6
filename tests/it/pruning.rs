//! Scores and depth through the binary: measured once and used again, killed and gone on with, refused.

use super::command::{Place, QUICK};

/// Four layers, of which two go and are searched for.
const DEEP: &str = "--set pretrain.num_hidden_layers=4 --set prune.num_hidden_layers=2 --set prune.calibration_batch=1 \
    --set prune.calibration_sequences=40";

/// What scores and plan a run has.
fn chosen(place: &Place, run: &str) -> Vec<Vec<u8>> {
    let axes = ["hidden_size", "intermediate_size", "num_attention_heads"];
    let scores = axes.map(|axis| place.read(&format!("{run}/scores/{axis}.parquet")));
    let mut chosen = scores.to_vec();
    chosen.push(place.read(&format!("{run}/plan.toml")));
    chosen
}

#[test]
fn what_one_run_measured_scores_in_another_without_a_pass() {
    let place = Place::new();
    let run = |dir: &str, more: &str| {
        place.stillflow(&format!("run {QUICK} --dir {dir} {more}")).done();
    };
    let saved = "--set prune.importance=fresh/scores/sums.parquet";
    run("fresh", "");
    run("saved", saved);
    assert_eq!(chosen(&place, "saved"), chosen(&place, "fresh"));
    assert!(!place.at("saved/checkpoints/observe").exists(), "no pass");
    assert_eq!(place.read("saved/scores/sums.parquet"), place.read("fresh/scores/sums.parquet"));
    let other = "--set prune.sequence_aggregation=variance --set prune.batch_aggregation=mean \
        --set prune.score=activation_times_magnitude";
    run("fresh-other", &format!("{other} --workers 3"));
    run("saved-other", &format!("{other} {saved}"));
    assert_eq!(chosen(&place, "saved-other"), chosen(&place, "fresh-other"));
    assert_ne!(chosen(&place, "saved-other")[0], chosen(&place, "fresh")[0]);
    run("weights", "--set prune.score=magnitude");
    assert!(!place.at("weights/checkpoints/observe").exists(), "no pass");
    assert_ne!(chosen(&place, "weights")[0], chosen(&place, "fresh")[0]);

    let refused = |more: &str, message: &str| {
        let line = format!("run {QUICK} --dir refused {saved} {more}");
        place.stillflow(&line).refused(message);
        assert!(!place.at("refused/plan.toml").exists());
        std::fs::remove_dir_all(place.at("refused")).ok();
    };
    let hint =
        "\n\nhint: without `prune.importance` this teacher is measured, in another `--dir`\n";
    let file = "error: `fresh/scores/sums.parquet` holds";
    refused("--set seed=2", &format!("{file} sums of another run's teacher: expected <…>{hint}"));
    refused(
        "--set prune.sites=paper",
        &format!("{file} sums of another run's sites: expected paper, found nvidia{hint}"),
    );
    refused(
        "--set pretrain.intermediate_size=80",
        &format!("{file} <…> sums, this model has <…>{hint}"),
    );
    refused(
        "--set prune.importance=fresh/plan.toml",
        "error: `fresh/plan.toml` is not a table that can be read<…>",
    );
    refused(
        "--set prune.importance=fresh/scores/hidden_size.parquet",
        "error: `fresh/scores/hidden_size.parquet` is no file of sums: it does not say `sites`<…>",
    );
}

#[test]
fn layers_that_go_are_found_the_same_by_a_run_that_was_killed_and_by_any_number_of_workers() {
    let place = Place::new();
    for (name, more) in [
        ("block", ""),
        ("alone", "--set prune.depth=block_importance --set prune.depth_contiguous=false"),
        ("logits", "--set prune.depth=logit_error"),
    ] {
        let line = |dir: &str| format!("run {QUICK} {DEEP} {more} --dir {dir}");
        let (whole, killed) = (format!("{name}-whole"), format!("{name}-killed"));
        place.stillflow(&line(&whole)).done();
        // 40 sequences are 20 steps, of which the eighth and the sixteenth are committed.
        let mut aborted = 0;
        for commit in 1..20 {
            let environment = [("STILLFLOW_ABORT", format!("committed:{commit}"))];
            let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
            let said = place.with(&line(&killed), &environment);
            let inside = place.at(&format!("{killed}/checkpoints/depth")).exists()
                && !place.at(&format!("{killed}/stages/depth.json")).exists();
            if said.code.is_none() && inside {
                aborted += 1;
                break;
            }
            std::fs::remove_dir_all(place.at(&killed)).unwrap();
        }
        assert_eq!(aborted, 1, "{name}: no commit is inside of depth");
        place.stillflow(&format!("{} --workers 3", line(&killed))).done();
        let depth = |run: &str| place.read(&format!("{run}/scores/num_hidden_layers.parquet"));
        assert_eq!(depth(&killed), depth(&whole), "{name}");
        assert_eq!(chosen(&place, &killed), chosen(&place, &whole), "{name}");
        let plan = String::from_utf8(place.read(&format!("{whole}/plan.toml"))).unwrap();
        assert_eq!(plan.matches("source = ").count(), 2, "{name}: {plan}");
    }
}

#[test]
fn depth_that_cannot_be_cut_is_refused_before_anything_is_made() {
    let place = Place::new();
    let found = |set: &str| place.stillflow(&format!("run {QUICK} --dir run --set {set}"));
    found("prune.num_hidden_layers=3")
        .refused("error: `prune.num_hidden_layers`: expected 1 to the teacher's 2, found 3<…>");
    found("prune.num_hidden_layers=0").refused("<…>size<…>");
    found("prune.depth=logit_error")
        .refused("error: `prune.depth`: expected it beside `prune.num_hidden_layers` alone<…>");
    assert!(!place.at("run").exists());
}
