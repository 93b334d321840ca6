//! Multiple choice: against a plain loop, against lm-evaluation-harness, and through the binary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasets::grammar::Grammar;
use datasets::tokenizer::Tokenizer;
use kernels::host::take;
use kernels::{DType, Device, Int, Tensor};
use serde_json::{Value, json};
use stillflow::eval::choice::answers::{ask, inputs, log_likelihoods, over};
use stillflow::eval::choice::{Answers, Choice, ChoiceError, Encoding, Question, Questions, items};
use stillflow::model::Decoder;
use stillflow::weights::{ModelDirectory, load};

use super::command::{Place, QUICK, Said};
use super::training::golden;

/// The definition, in f64: one choice at a time, and a softmax over all words at each of its tokens.
fn plainly(model: &Decoder, choice: &Choice) -> f64 {
    let (last, read) = choice.tokens.split_last().unwrap();
    let ids: Vec<i64> = read.iter().map(|id| i64::from(*id)).collect();
    let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &Device::flex()).unsqueeze::<2>();
    let logits = take(model.logits(&ids));
    let width = logits.len() / read.len();
    let next = read[1..].iter().chain([last]).map(|id| *id as usize);
    let steps = logits.chunks(width).zip(next).skip(choice.context_tokens - 1);
    let log_q = |(row, id): (&[f32], usize)| {
        let mass: f64 = row.iter().map(|z| f64::from(*z).exp()).sum();
        f64::from(row[id]) - mass.ln()
    };
    steps.map(log_q).sum()
}

fn questions() -> Vec<Question> {
    let word = |n: usize| (n * n * 13 + n * 29) as u32 % 90;
    let choice = |q: usize, c: usize| {
        let (context_tokens, own) = (1 + q % 4, 1 + (q + 2 * c) % 5);
        let tokens = (0..context_tokens + own).map(|i| word(q * 3 + i + (i / 4) * c)).collect();
        Choice { tokens, context_tokens, num_chars: 3 + own }
    };
    let question =
        |q: usize| Question { choices: (0..2 + q % 3).map(|c| choice(q, c)).collect(), answer: 1 };
    (0..12).map(question).collect()
}

#[test]
fn a_batch_of_choices_has_the_log_likelihoods_of_one_choice_at_a_time() {
    let (model, questions) = (golden("gqa-8-2"), questions());
    let hidden = model.hidden(&inputs(&questions, &model.device()), None, &mut |_, _, _| {});
    let found = log_likelihoods(&questions, &hidden, &model.head());
    let mut compared = 0;
    for (question, found) in questions.iter().zip(&found) {
        assert_eq!(question.choices.len(), found.len());
        for (choice, found) in question.choices.iter().zip(found) {
            let expected = plainly(&model, choice);
            assert!((found - expected).abs() < 1e-5 * expected.abs(), "{found} {expected}");
            compared += 1;
        }
    }
    assert_eq!(compared, 12 * 3);
}

#[test]
fn how_questions_are_put_into_micro_batches_changes_no_answer() {
    let (model, questions) = (golden("gqa-8-2"), questions());
    let whole = ask(&model, &questions);
    assert!(whole.right > 0 && whole.right < whole.items, "{whole:?}");
    for batch in [1, 5, 1000] {
        let asked = Questions::new(questions.clone(), batch);
        let Answers { items, right, right_norm, log_likelihood } = over(&model, &asked);
        assert_eq!((items, right, right_norm), (12, whole.right, whole.right_norm), "{batch}");
        let off = (log_likelihood - whole.log_likelihood).abs();
        assert!(off < 1e-6 * log_likelihood.abs(), "{batch}: {off}");
    }
}

fn shared(what: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(what);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {what} is not here");
    None
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A request of the harness as an item of ours, and its place in the task's own file.
fn item(row: &Value, winogrande: &[Value]) -> Value {
    let texts = |i: usize| -> Vec<&str> {
        row["arguments"].as_array().unwrap().iter().map(|a| a[i].as_str().unwrap()).collect()
    };
    let answer = match &row["target"] {
        Value::Number(place) => place.as_u64().unwrap(),
        // The continuation: which context is the right one is in the file.
        _ => {
            let item = &winogrande[row["doc_id"].as_u64().unwrap() as usize];
            item["answer"].as_str().unwrap().parse::<u64>().unwrap() - 1
        }
    };
    json!({"context": texts(0), "choices": texts(1), "answer": answer})
}

const TASKS: [&str; 9] = [
    "blimp_0shot",
    "winogrande_5shot",
    "arc_0shot",
    "arc_25shot",
    "hellaswag_0shot",
    "hellaswag_10shot",
    "mmlu_anatomy_5shot",
    "mmlu_high_school_geography_5shot",
    "tqa_mc1_0shot",
];

/// What is longer than the model reads is refused; the harness cuts it on the left, and so the test does. Gives how many
/// choices were cut.
fn cut_as_the_harness_does(question: &mut Question, max_tokens: usize) -> usize {
    let mut cut = 0;
    for choice in &mut question.choices {
        let over = choice.tokens.len().saturating_sub(max_tokens + 1);
        choice.tokens.drain(..over);
        choice.context_tokens -= over;
        cut += usize::from(over > 0);
    }
    cut
}

#[test]
fn log_likelihoods_and_accuracies_are_the_harnesss() {
    let (Some(weights), Some(bench)) = (shared("weights"), shared("bench")) else { return };
    let winogrande = lines(&bench.join("items/winogrande_validation.jsonl"));
    let dir = tempfile::tempdir().unwrap();
    for (name, golden) in
        [("stories260K", "s260k_fp32_bs8"), ("TinyStories-656K", "t656k_fp32_bs8")]
    {
        let directory = ModelDirectory::open(&weights.join(name)).unwrap();
        let model = load(&directory, &Device::flex(), DType::F32).unwrap();
        let tokenizer = &Tokenizer::load(&weights.join(name)).unwrap();
        let max_tokens = model.config.max_position_embeddings;
        let encoding = Encoding { tokenizer, bos: tokenizer.bos_id(), max_tokens: usize::MAX };
        for task in TASKS {
            let path = bench.join(format!("golden/{golden}/loc_{task}.jsonl"));
            if !path.exists() {
                assert_eq!((name, task), ("TinyStories-656K", "blimp_0shot"));
                continue;
            }
            let rows = lines(&path);
            let file = dir.path().join("items.jsonl");
            let text: String =
                rows.iter().map(|row| format!("{}\n", item(row, &winogrande))).collect();
            std::fs::write(&file, text).unwrap();
            let (mut worst, mut cut) = (0.0f64, 0);
            for (row, item) in rows.iter().zip(items::read(&file).unwrap()) {
                let mut question = vec![encoding.question(&file, &item).unwrap()];
                cut += cut_as_the_harness_does(&mut question[0], max_tokens);
                let ids = inputs(&question, &model.device());
                let hidden = model.hidden(&ids, None, &mut |_, _, _| {});
                let found = log_likelihoods(&question, &hidden, &model.head());
                for (i, found) in found[0].iter().enumerate() {
                    let expected = row["resps"][i][0][0].as_f64().unwrap();
                    worst = worst.max((found - expected).abs() / expected.abs().max(1.0));
                }
                let answers = Answers::of(&question, &found);
                let place = format!("{name}, {task}, {}", row["doc_id"]);
                assert_eq!(row["acc"].as_f64(), Some(answers.right as f64), "{place}");
                if let Some(norm) = row["acc_norm"].as_f64() {
                    assert_eq!(norm.to_bits(), (answers.right_norm as f64).to_bits(), "{place}");
                }
            }
            println!("{name}, {task}: {} items, {cut} choices cut, worst {worst:.1e}", rows.len());
            assert!(worst < 2e-5, "{name}, {task}: {worst}");
        }
    }
}

/// A tokenizer of letters that joins `a b`, with a token that begins a text.
fn letters(dir: &Path) -> Tokenizer {
    let vocab = json!({"<s>": 0, "a": 1, "b": 2, " ": 3, "a ": 4, "a b": 5, "\n": 6, "é": 7});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "vocab": vocab, "merges": [["a", " "], ["a ", "b"]], "unk_token": null,
            "dropout": null, "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false},
    });
    std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(dir.join("tokenizer_config.json"), r#"{"bos_token": "<s>"}"#).unwrap();
    Tokenizer::load(dir).unwrap()
}

#[test]
fn context_and_choice_are_encoded_together_with_a_space_between() {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = &letters(dir.path());
    let file = dir.path().join("items.jsonl");
    let encode = |context: &str, choice: &str, bos, max_tokens| {
        let line = json!({"context": context, "choices": [choice, " a"], "answer": 0});
        std::fs::write(&file, line.to_string()).unwrap();
        let item = items::read(&file).unwrap().remove(0);
        let question = Encoding { tokenizer, bos, max_tokens }.question(&file, &item);
        question.map(|question| question.choices[0].clone())
    };
    let (begun, plain) = (Some(0), None);
    let choice = |tokens: &[u32], context_tokens, num_chars| Choice {
        tokens: tokens.to_vec(),
        context_tokens,
        num_chars,
    };
    // A space comes between, unless the choice brings white space.
    assert_eq!(encode("b", "b", begun, 9).unwrap(), choice(&[0, 2, 3, 2], 2, 1));
    assert_eq!(encode("b", " b", begun, 9).unwrap(), choice(&[0, 2, 3, 2], 2, 1));
    assert_eq!(encode("b", "\nbé", plain, 9).unwrap(), choice(&[2, 6, 2, 7], 1, 2));
    // White space at the context's end is the choice's.
    assert_eq!(encode("b\n", "b", plain, 9).unwrap(), choice(&[2, 6, 3, 2], 1, 1));
    // Nothing, or nothing but white space, before it: what begins a text stands for it.
    assert_eq!(encode("", "b", begun, 9).unwrap(), choice(&[0, 3, 2], 1, 1));
    assert_eq!(encode("", "b", plain, 9).unwrap(), choice(&[0, 3, 2], 1, 1));
    assert_eq!(encode("\n", "b", plain, 9).unwrap(), choice(&[0, 6, 3, 2], 1, 1));
    // `a b` is one token, of which the context has the beginning: what is behind as many tokens is the choice's, and it
    // is read behind the context's own.
    assert_eq!(encode("a", "bb", begun, 9).unwrap(), choice(&[0, 1, 2], 2, 2));
    let error = encode("a", "b", plain, 9).unwrap_err();
    assert!(matches!(error, ChoiceError::Joined { line: 1, choice: 0, .. }), "{error}");
    // The last token is predicted, and not read.
    assert!(encode("b", "b", begun, 3).is_ok());
    let error = encode("b", "b", begun, 2).unwrap_err();
    let ChoiceError::Long { line: 1, choice: 0, expected: 2, found: 3, .. } = error else {
        panic!("{error}")
    };
}

/// Stories of the grammar up to some word; the word itself, and one of another story.
fn story_items(count: u64) -> String {
    let grammar = Grammar::new(1);
    let line = |n: u64| {
        let words =
            |n| -> Vec<String> { grammar.story(n).text.split(' ').map(str::to_owned).collect() };
        let (story, other) = (words(n), words(n + 500));
        let at = 2 + n as usize % 6;
        let mut choices = vec![story[at..at + 2].join(" "), other[at + 1..at + 3].join(" ")];
        let answer = n % 2;
        choices.rotate_right(answer as usize);
        format!(
            "{}\n",
            json!({"context": story[..at].join(" "), "choices": choices, "answer": answer})
        )
    };
    (0..count).map(line).collect()
}

const TASK: &str = "--set pretrain.num_hidden_layers=4 --set prune.num_hidden_layers=2 --set prune.depth=task \
    --set prune.calibration_batch=4 \
    --set prune.depth_task=items.jsonl";

/// Runs a line into `killed`, and aborts it at a commit inside of the stage.
fn killed_inside(place: &Place, stage: &str, line: &str) {
    for commit in 1..40 {
        let aborts = format!("committed:{commit}");
        let said = place.with(line, &[("STILLFLOW_ABORT", aborts.as_str())]);
        let has = |name: String| place.at(&format!("killed/{name}")).exists();
        let begun = has(format!("checkpoints/{stage}"));
        if said.code.is_none() && begun && !has(format!("stages/{stage}.json")) {
            return;
        }
        std::fs::remove_dir_all(place.at("killed")).unwrap();
    }
    panic!("no commit is inside of {stage}");
}

#[test]
fn layers_that_go_by_a_task_are_the_same_by_a_run_that_was_killed_and_by_any_number_of_workers() {
    let place = Place::new();
    place.write("items.jsonl", story_items(40));
    let line = |dir: &str| format!("run {QUICK} {TASK} --dir {dir}");
    place.stillflow(&line("whole")).done();
    // 80 choices at 4 a micro-batch and two of these a step are 10 steps, of which the eighth is committed.
    killed_inside(&place, "depth", &line("killed"));
    place.stillflow(&format!("{} --workers 3", line("killed"))).done();
    for name in ["scores/num_hidden_layers.parquet", "plan.toml", "stages/depth.json"] {
        assert_eq!(place.read(&format!("killed/{name}")), place.read(&format!("whole/{name}")));
    }
    let seal: Value = serde_json::from_slice(&place.read("whole/stages/depth.json")).unwrap();
    assert!(seal.to_string().contains(r#""items":40"#), "{seal}");
    let plan = String::from_utf8(place.read("whole/plan.toml")).unwrap();
    assert_eq!(plan.matches("source = ").count(), 2, "{plan}");

    place.write("items.jsonl", story_items(39));
    let said = place.stillflow(&line("whole"));
    assert!(said.stderr.contains("items.jsonl` changed since the run began"), "{said:?}");
    let planned = place.stillflow(&format!("plan quickstart {TASK}")).done();
    assert!(planned.contains("each choice of items.jsonl"), "{planned}");
}

fn reported(place: &Place, run: &str) -> BTreeMap<String, Value> {
    let report: Value =
        serde_json::from_slice(&place.read(&format!("{run}/eval/held-out.json"))).unwrap();
    let models = report["models"].as_array().unwrap();
    let named = |m: &Value| (m["model"].as_str().unwrap().to_owned(), m["choices"].clone());
    models.iter().map(named).collect()
}

#[test]
fn the_report_has_each_models_accuracy_where_it_is_asked_for() {
    let place = Place::new();
    place.write("items.jsonl", story_items(40));
    let line = |dir: &str| format!("run {QUICK} --set evaluate.choices=items.jsonl --dir {dir}");
    let table = place.stillflow(&line("run")).done();
    assert!(
        table.contains("  acc_norm") && table.contains("acc, acc_norm: of 40 items"),
        "{table}"
    );
    let found = reported(&place, "run");
    assert_eq!(found.keys().collect::<Vec<_>>(), ["control", "pruned", "student", "teacher"]);

    let tokenizer = &Tokenizer::load(&place.at("run/tokenizer")).unwrap();
    let directory = ModelDirectory::open(&place.at("run/models/student")).unwrap();
    let student = load(&directory, &Device::flex(), DType::F32).unwrap();
    let max_tokens = student.config.max_position_embeddings;
    let encoding = Encoding { tokenizer, bos: tokenizer.bos_id(), max_tokens };
    let questions = Questions::read(&place.at("items.jsonl"), &encoding, 8).unwrap();
    let answers = over(&student, &questions);
    let share = |right: u64| right as f64 / 40.0;
    let expected =
        json!({"n": 40, "acc": share(answers.right), "acc_norm": share(answers.right_norm)});
    assert_eq!(found["student"], expected);

    let without = place.stillflow(&format!("run {QUICK} --dir without")).done();
    assert!(!without.contains("acc_norm"), "{without}");
    assert!(reported(&place, "without").values().all(Value::is_null));
}

#[test]
fn answers_are_the_same_by_a_run_that_was_killed_in_the_middle_of_them() {
    let place = Place::new();
    place.write("items.jsonl", story_items(80));
    let choices = "--set evaluate.choices=items.jsonl --set evaluate.batch=1";
    let line = |dir: &str| format!("run {QUICK} {choices} --dir {dir}");
    place.stillflow(&line("whole")).done();
    // 8 sequences and 80 items one by one, of which the 64th is committed.
    killed_inside(&place, "evaluate", &line("killed"));
    place.stillflow(&format!("{} --workers 3", line("killed"))).done();
    let report = |run: &str| place.read(&format!("{run}/eval/held-out.json"));
    assert_eq!(report("killed"), report("whole"));
    assert!(reported(&place, "whole").values().all(|choices| choices["n"] == 80));
}

#[test]
fn items_that_do_not_do_are_refused_before_anything_is_made() {
    let place = Place::new();
    let run = |more: &str| -> Said { place.stillflow(&format!("run {QUICK} --dir run {more}")) };
    let hint = "\n\nhint: an item is a line of JSON: `{\"context\": \"…\", \"choices\": [\"…\", \"…\"], \"answer\": 0}`\n";
    let depth = "--set prune.num_hidden_layers=1 --set prune.depth=task";
    run(depth).refused(
        "error: `prune.depth`: expected `prune.depth_task`, a file of multiple-choice items, beside `task`, found none<…>",
    );
    let task = &format!("{depth} --set prune.depth_task=items.jsonl");
    let choices = "--set evaluate.choices=items.jsonl";
    for asked in [task, choices] {
        run(asked)
            .refused(&format!("error: the items `items.jsonl` cannot be read\n  cause: <…>{hint}"));
        assert!(!place.at("run").exists());
        place.write("items.jsonl", "\n{\"context\": \"a\", \"choices\": [\"b\", \"c\"]}\n");
        run(asked)
            .refused(&format!("error: `items.jsonl`, line 2: the item has no `answer`{hint}"));
        assert!(!place.at("run").exists());
        std::fs::remove_file(place.at("items.jsonl")).unwrap();
    }
    // What is too long for the model is known once there are tokens, and before anything is trained.
    let long = json!({"context": "the ".repeat(3000), "choices": ["the", "a"], "answer": 0});
    place.write("items.jsonl", format!("{}{long}\n", story_items(3)));
    run(choices).refused(&format!(
        "error: `DIR/items.jsonl`, line 4: choice 0 is <…> tokens with its context, the model reads <…>{hint}"
    ));
    assert!(!place.at("run/checkpoints/pretrain").exists());
}
