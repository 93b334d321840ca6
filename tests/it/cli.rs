//! Each verb once on good input: what it prints, where, and what it leaves.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::Value;

use super::command::{Place, QUICK};

/// A place with a finished run in `runs/quick`. The tests that look at it at the same time share it.
fn finished() -> Arc<Place> {
    static SHARED: Mutex<Weak<Place>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(place) = shared.upgrade() {
        return place;
    }
    let place = Arc::new(Place::new());
    place.stillflow(&format!("run {QUICK} --dir runs/quick")).done();
    *shared = Arc::downgrade(&place);
    place
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn run_prints_its_table_on_stdout_and_its_progress_on_stderr_and_says_the_same_again() {
    let place = finished();
    let line = format!("run {} --dir runs/quick --format json", QUICK.replace(" -q ", " "));
    let said = place.stillflow(&line);
    assert!(said.stderr.contains("runs/quick on cpu (asked for)"), "{}", said.stderr);
    let report = json(&said.done())["report"].take();
    let names: Vec<&str> =
        report["models"].as_array().unwrap().iter().map(|m| m["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["teacher", "pruned", "student", "control"]);
    for model in report["models"].as_array().unwrap() {
        for key in ["cross_entropy", "perplexity", "bits_per_byte", "forward_kl", "agreement"] {
            assert!(model[key].as_f64().is_some_and(f64::is_finite), "{key} of {model}");
        }
    }
    let table = place.stillflow("run runs/quick --device cpu -q");
    assert_eq!(table.stderr, "", "quiet");
    let table = table.done();
    assert!(table.contains("\nstudent ") && table.contains("perplexity"), "{table}");
}

#[test]
fn a_run_tells_on_stderr_of_each_stage() {
    let place = Place::new();
    let said =
        place.stillflow(&format!("run {} --dir run --format json", QUICK.replace(" -q ", " ")));
    for stage in
        ["prepare", "pretrain", "observe", "prune", "distil", "control", "evaluate", "export"]
    {
        assert!(
            said.stderr.lines().any(|line| line.trim_start().starts_with(&format!("{stage}: "))),
            "{stage}"
        );
    }
    json(&said.done());
}

#[test]
fn show_says_how_far_a_run_is_and_what_it_found() {
    let place = finished();
    let text = place.stillflow("show runs/quick").done();
    for line in ["  prepare  finished\n", " evaluate  finished\n", "\nstudent "] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    let shown = json(&place.stillflow("show runs/quick --format json").done());
    assert_eq!(shown["run"], "runs/quick");
    assert_eq!(shown["stages"].as_array().unwrap().len(), 8);
    assert_eq!(shown["evaluated"]["report"]["models"][2]["model"], "student");

    let begun = Place::new();
    let code =
        begun.with(&format!("run {QUICK} --dir run"), &[("STILLFLOW_FAIL_WRITE", "150")]).code;
    assert_eq!(code, Some(1));
    let stages = json(&begun.stillflow("show run --format json").done())["stages"].take();
    let states: Vec<&str> =
        stages.as_array().unwrap().iter().map(|s| s["state"].as_str().unwrap()).collect();
    assert!(states.contains(&"finished") && states.contains(&"to do"), "{states:?}");
}

#[test]
fn ls_lists_the_recipes_and_the_runs() {
    let place = finished();
    let names = |text: &str| -> Vec<String> {
        json(text)
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let listed = names(&place.stillflow("ls recipes --format json").done());
    let (trends, own): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|name| name.starts_with("trends-"));
    assert_eq!(
        own,
        [
            "quickstart",
            "minitron-tiny",
            "capture-tiny",
            "llama-3.1-minitron-4b-width",
            "llama-3.1-minitron-4b-depth",
            "mn-minitron-8b"
        ]
    );
    assert!(trends.len() > 12, "{trends:?}");
    assert_eq!(place.stillflow("ls").done(), place.stillflow("ls recipes").done());
    assert_eq!(names(&place.stillflow("ls runs --format json").done()), ["runs/quick"]);
    assert!(place.stillflow("ls runs").done().starts_with("runs/quick  finished  "));
    assert_eq!(place.stillflow("ls runs runs/quick/models").done(), "", "models are no runs");
}

/// The counts of the papers' models, by hand from their tables of sizes.
#[test]
fn plan_counts_the_papers_parameters_exactly() {
    let place = Place::new();
    for (recipe, teacher, student) in [
        ("llama-3.1-minitron-4b-width", 8_030_261_248_u64, 4_512_746_496_u64),
        ("llama-3.1-minitron-4b-depth", 8_030_261_248, 4_540_469_248),
        ("mn-minitron-8b", 12_247_782_400, 8_414_105_600),
    ] {
        let plan = place.stillflow(&format!("plan {recipe} --format json")).done();
        let plan = json(&plan);
        assert_eq!(plan["teacher"]["total"], teacher, "{recipe}: {plan:#}");
        assert_eq!(plan["student"]["total"], student, "{recipe}: {plan:#}");
        let text = place.stillflow(&format!("plan {recipe}")).done();
        for count in [teacher, student] {
            assert!(
                text.contains(&stillflow::units::thousands(count)),
                "{recipe}: {count} in\n{text}"
            );
        }
    }
    let one = place.stillflow("plan mn-minitron-8b --tflops 100 --format json").done();
    let eight =
        place.stillflow("plan mn-minitron-8b --tflops 100 --devices 8 --format json").done();
    assert_ne!(one, eight, "devices share the work");
}

#[test]
fn check_says_what_a_recipe_would_work_on_and_writes_nothing() {
    let place = Place::with_teacher();
    let before = place.files("");
    let line = "check minitron-tiny --set teacher.model=teacher --set data.corpus.path=text.txt";
    let text = place.stillflow(line).done();
    for part in [
        "teacher: 21,664 parameters\n",
        "student: ",
        "tokenizer: 96 ids\n",
        "data.corpus: 1 files, ",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(text.ends_with("the recipe can run\n"), "{text}");
    let text = place.stillflow("check minitron-tiny").done();
    assert!(text.ends_with("to run it, set teacher.model, data.corpus.path\n"), "{text}");
    assert_eq!(place.files(""), before);
}

#[test]
fn new_writes_a_recipe_that_run_takes_as_it_is() {
    let place = finished();
    let sets = QUICK.trim_start_matches("quickstart --device cpu -q");
    let printed = place.stillflow(&format!("new quickstart {sets}")).done();
    let said = place.stillflow(&format!("new quickstart mine.toml {sets}"));
    assert_eq!(said.stderr, "mine.toml: `stillflow run mine.toml`\n");
    assert_eq!(said.done(), "");
    assert_eq!(place.read("mine.toml"), printed.as_bytes());
    // It is the recipe of the run that is there, which therefore has nothing left to do.
    let before = place.files("runs/quick");
    place.stillflow("run mine.toml --dir runs/quick --device cpu -q").done();
    place.assert_unharmed("runs/quick", &before);
}

#[test]
fn eval_generate_and_export_take_the_student_of_a_run() {
    let place = finished();
    let eval =
        "--data runs/quick/corpus/corpus --seq-tokens 32 --sequences 8 --device cpu --format json";
    let report = json(
        &place
            .stillflow(&format!("eval runs/quick --teacher runs/quick/models/teacher {eval}"))
            .done(),
    );
    let student = &report["models"][0];
    assert_eq!(
        (&student["model"], &student["tokens"]),
        (&Value::from("runs/quick"), &Value::from(256))
    );
    assert!(student["forward_kl"].as_f64().unwrap() > 0.0, "{student}");

    let table =
        place.stillflow(&format!("eval runs/quick {}", eval.replace("--format json", ""))).done();
    assert!(table.contains("runs/quick") && table.contains("perplexity"), "{table}");

    let line = "generate runs/quick --prompt the --max-new-tokens 5 --device cpu";
    let text = place.stillflow(line).done();
    assert!(text.contains("the") && text.ends_with('\n'), "{text:?}");
    assert_eq!(text, place.stillflow(line).done(), "without a temperature there is no chance");
    let warm = |seed: u32| place.stillflow(&format!("{line} --temperature 1 --seed {seed}")).done();
    assert_eq!(warm(7), warm(7), "a seed says all");
    assert_ne!(warm(7), warm(8));

    assert_eq!(
        place.stillflow("export runs/quick bf16 --dtype bf16 --max-shard-bytes 100KB").done(),
        "bf16\n"
    );
    let (from, to) =
        ("runs/quick/models/student/model.safetensors", "bf16/model-00001-of-00002.safetensors");
    assert!(place.at(to).exists(), "{:?}", place.files("bf16").keys());
    let config = json(&String::from_utf8(place.read("bf16/config.json")).unwrap());
    assert_eq!(config["torch_dtype"], "bfloat16");
    let bytes: usize = place
        .files("bf16")
        .iter()
        .filter(|(path, _)| path.ends_with("safetensors"))
        .map(|f| f.1.len())
        .sum();
    assert!(bytes < place.read(from).len());
    let again = json(&place.stillflow(&format!("eval bf16 runs/quick {eval}")).done());
    let [rounded, exact] = [0, 1].map(|n| again["models"][n]["cross_entropy"].as_f64().unwrap());
    assert!((rounded - exact).abs() < 0.02 * exact, "{rounded} after rounding, {exact} before");
    fs::remove_dir_all(place.at("bf16")).unwrap();
}

#[test]
fn doctor_says_which_device_is_chosen_and_why() {
    let place = Place::new();
    let text = place.stillflow("doctor").done();
    for line in ["stillflow ", "cpu ", "NVIDIA driver ", "CUDA headers ", "auto "] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} in {text}");
    }
    let lines = json(&place.stillflow("doctor --format json").done());
    let chosen = lines.as_array().unwrap().iter().find(|line| line["what"] == "auto").unwrap();
    assert!(chosen["found"].as_str().unwrap().contains(": "), "{chosen}");
}

#[test]
fn clean_removes_what_a_finished_run_no_longer_needs_and_nothing_of_what_it_made() {
    let place = Place::new();
    place.stillflow(&format!("run {QUICK} --dir run")).done();
    place.write("run/models/.half.tmp", "half a file");
    let before = place.files("run");
    let said = place.stillflow("clean run --dry-run");
    assert!(said.stderr.ends_with(" bytes would be removed\n"), "{}", said.stderr);
    let would = said.done();
    for path in ["run/models/.half.tmp  11 bytes\n", "run/checkpoints  ", "run/corpus  "] {
        assert!(would.contains(path), "{path:?} in {would}");
    }
    place.assert_unharmed("run", &before);
    let said = place.stillflow("clean run");
    assert!(said.stderr.ends_with(" bytes removed\n"), "{}", said.stderr);
    assert_eq!(said.done(), would, "what was announced");
    let gone = ["checkpoints", "corpus", "models/.half.tmp"].map(|name| place.at("run").join(name));
    let mut stays = before;
    stays.retain(|path, _| !gone.iter().any(|gone| path.starts_with(gone)));
    place.assert_unharmed("run", &stays);
    assert!(gone.iter().all(|path| !path.exists()));
    assert_eq!(place.stillflow("clean run").done(), "", "once is enough");
    assert!(place.stillflow("show run").done().contains("\nstudent "));
    place.stillflow("generate run --prompt the --max-new-tokens 2 --device cpu").done();
    place.stillflow("run run --device cpu -q").done();
}

#[test]
fn clean_takes_no_checkpoint_from_a_run_that_is_not_finished() {
    let place = Place::new();
    let line = format!("run {QUICK} --dir run");
    assert_eq!(place.with(&line, &[("STILLFLOW_FAIL_WRITE", "150")]).code, Some(1));
    let before = place.files("run/checkpoints");
    place.stillflow("clean run").done();
    for path in before.keys().filter(|path| path.ends_with("manifest.json")) {
        assert!(path.exists(), "{}", path.display());
    }
    place.stillflow(&line).done();
}

#[test]
fn completions_are_scripts_that_know_every_verb() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.stillflow(&format!("completions {shell}")).done();
        for verb in VERBS {
            assert!(script.contains(verb), "{verb} in {shell}");
        }
    }
}

const VERBS: [&str; 12] = [
    "run",
    "new",
    "check",
    "plan",
    "show",
    "ls",
    "eval",
    "generate",
    "export",
    "doctor",
    "clean",
    "completions",
];

#[test]
fn help_of_every_verb_has_an_example_and_the_program_s_lists_every_verb() {
    let place = Place::new();
    let all = place.stillflow("--help").done();
    assert!(all.contains("Examples:") && all.contains("Exit codes:"), "{all}");
    for verb in VERBS {
        assert!(all.contains(&format!("\n  {verb} ")), "{verb} in {all}");
        let help = place.stillflow(&format!("{verb} --help")).done();
        assert!(help.contains(&format!("Usage: stillflow {verb}")), "{help}");
        assert!(help.contains(&format!("\n  stillflow {verb}")), "no example in {help}");
    }
    let version = place.stillflow("--version").done();
    assert_eq!(version, format!("stillflow {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    let mut child =
        place.command("new quickstart").stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
