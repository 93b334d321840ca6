//! Text into tokens and tokens into sequences, as a person does it: data alone, tokens of elsewhere, mixtures, and the
//! experiments.

use std::collections::BTreeMap;

use serde_json::Value;

use super::command::{FROM_TEACHER, Place};
use super::s3::{KEYS, S3};

/// A recipe of text alone: two sources, with duplicates.
const DATA: &str = r#"
[data.first]
path = "first/*.jsonl"

[data.second]
path = "second.txt"

[tokens]
tokenizer = "teacher"
held_out = 0.1
dedup = "near"
max_document_tokens = 8
"#;

fn words(from: usize, count: usize) -> String {
    let word = |n: usize| format!("w{}", 3 + ((n * 2_654_435_761) >> 9) % 93);
    (from..from + count).map(word).collect::<Vec<_>>().join(" ")
}

fn place_with_data() -> Place {
    let place = Place::new();
    place.teacher("teacher");
    let line = |text: &str| format!("{{\"text\": \"{text}\"}}\n");
    let one: String = (0..60).map(|d| line(&words(d * 30, 20))).collect();
    // Of the first file: ten copies, and ten with another last word.
    let copies: String = (0..10).map(|d| line(&words(d * 30, 20))).collect();
    let nearly: String = (20..30).map(|d| line(&format!("{} w4", words(d * 30, 19)))).collect();
    place.write("first/a.jsonl", one);
    place.write("first/b.jsonl", copies + &nearly);
    let documents: Vec<String> = (0..40).map(|d| words(10_000 + d * 30, 5)).collect();
    place.write("second.txt", documents.join("\n\n"));
    place.write("data.toml", DATA);
    place
}

#[test]
fn a_recipe_of_text_alone_makes_shards_and_a_report_without_duplicates() {
    let place = place_with_data();
    let table = place.stillflow("run data.toml --dir run --device cpu -q").done();
    assert!(table.contains("first") && table.contains("second"), "{table}");
    let report: Value = serde_json::from_slice(&place.read("run/tokens/report.json")).unwrap();
    let first = &report["sources"]["first"];
    assert_eq!(first["documents"], 80);
    assert_eq!(first["exact_duplicates"], 10);
    // The words differ in one of twenty: of 16 shingles of five words 15 are the same.
    assert!(first["near_duplicates"].as_u64().unwrap() >= 8, "{first}");
    assert!(first["too_long"].as_u64().unwrap() >= 40, "20 words are cut at 8: {first}");
    assert_eq!(report["sources"]["second"]["documents"], 40);
    let svg = String::from_utf8(place.read("run/tokens/report.svg")).unwrap();
    assert!(svg.contains("second: from 4 tokens"), "{svg}");
    // The same command again says the same, and a run of two workers is the same bytes.
    assert_eq!(place.stillflow("run run --device cpu -q").done(), table);
    place.stillflow("run data.toml --dir two --device cpu -q -w 2").done();
    let shards = |run: &str| {
        let files = place.files(&format!("{run}/tokens")).into_iter();
        files
            .map(|(path, bytes)| (path.strip_prefix(place.at(run)).unwrap().to_owned(), bytes))
            .collect::<BTreeMap<_, _>>()
    };
    assert!(shards("run") == shards("two"));
}

#[test]
fn training_reads_tokens_of_elsewhere_as_it_reads_its_own() {
    let place = Place::with_teacher();
    let own = place.stillflow(FROM_TEACHER.replace("minitron", "run minitron").as_str()).done();
    let tokens = FROM_TEACHER
        .replace("minitron-tiny", "run minitron-tiny")
        .replace("--dir run", "--dir other")
        .replace("--set data.corpus.path=text.txt", "--set data.corpus.format=tokens \
            --set data.corpus.path=run/tokens/train/corpus --set data.corpus.held_out=run/tokens/held-out/corpus");
    assert_eq!(table_of(&place.stillflow(&tokens).done()), table_of(&own));
    // Of another tokenizer: refused before anything is trained.
    place.teacher("other-teacher");
    let text = String::from_utf8(place.read("other-teacher/tokenizer.json")).unwrap();
    place.write("other-teacher/tokenizer.json", text.replace("\"w95\"", "\"changed\""));
    let said = place.stillflow(
        &format!("{tokens} --dir third --set tokens.tokenizer=other-teacher")
            .replace("--dir other", ""),
    );
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("tokenizer"), "{}", said.stderr);
}

#[test]
fn training_reads_tokens_of_an_object_store_as_it_reads_those_of_a_folder() {
    let place = Place::with_teacher();
    let own = place.stillflow(&format!("run {FROM_TEACHER}")).done();
    let bucket = place.at("store/bucket");
    std::fs::create_dir_all(&bucket).unwrap();
    std::fs::rename(place.at("run/tokens"), bucket.join("tokens")).unwrap();
    let server = S3::over(&place.at("store"));
    let cache = place.at("cache");
    let environment: Vec<(&str, &str)> = KEYS
        .into_iter()
        .chain([
            ("AWS_ENDPOINT_URL", server.endpoint.as_str()),
            ("XDG_CACHE_HOME", cache.to_str().unwrap()),
        ])
        .collect();
    let remote = FROM_TEACHER.replace(" -q", "").replace("data.corpus.path=text.txt", "data.corpus.format=tokens \
        --set data.corpus.path=s3://bucket/tokens/train/corpus --set data.corpus.held_out=s3://bucket/tokens/held-out/corpus");
    let line = |dir: &str| format!("run {}", remote.replace("--dir run", dir));
    let first = place.with(&line("--dir first"), &environment);
    assert_eq!(table_of(&first.stdout), table_of(&own), "{}", first.stderr);
    assert!(first.stderr.contains(" fetched)"), "{}", first.stderr);
    // What was fetched once is kept.
    let second = place.with(&line("--dir second"), &environment);
    assert_eq!(table_of(&second.stdout), table_of(&own), "{}", second.stderr);
    assert!(!second.stderr.contains(" fetched)"), "{}", second.stderr);
    // A bucket that is none.
    let wrong =
        place.with(&line("--dir third").replace("s3://bucket", "s3://bukket"), &environment);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("s3://bukket/tokens/train/corpus"), "{}", wrong.stderr);
}

#[test]
fn a_run_whose_tokens_are_others_than_before_is_refused_with_what_differs() {
    let place = Place::with_teacher();
    let run = format!("run {FROM_TEACHER}");
    place.stillflow(&run).done();
    let text = String::from_utf8(place.read("text.txt")).unwrap();
    place.write("text.txt", text.replace("w3 ", "w3 w4 "));
    place.stillflow(&run.replace("--dir run", "--dir other")).done();
    // As if it had been killed after step 2, and its tokens made anew since.
    for gone in ["run/tokens", "run/checkpoints/distil/step-00000004"] {
        std::fs::remove_dir_all(place.at(gone)).unwrap();
    }
    std::fs::remove_file(place.at("run/stages/distil.json")).unwrap();
    std::fs::rename(place.at("other/tokens"), place.at("run/tokens")).unwrap();
    let said = place.stillflow("run run -q");
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("corpus"), "{}", said.stderr);
    assert!(said.stderr.contains("cursor"), "{}", said.stderr);
}

/// A table without its speeds.
fn table_of(text: &str) -> Vec<String> {
    let line =
        |line: &str| line.rsplit_once("  ").map_or(line, |(rest, _)| rest).trim_end().to_owned();
    text.lines().map(line).collect()
}

#[test]
fn a_source_that_ends_before_the_run_does_is_said_beforehand() {
    let place = Place::with_teacher();
    let line = format!("run {FROM_TEACHER} --set data.corpus.epochs=1 --set distil.steps=400");
    let said = place.stillflow(&line);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(
        said.stderr.contains("`distil` reads 1600 sequences, and the sources end after"),
        "{}",
        said.stderr
    );
}

#[test]
fn the_quick_experiment_prints_its_numbers_and_leaves_no_file() {
    let place = Place::new();
    let line = "bench data --quick --format json --tokens 300K --vocab-size 500 --seq-tokens 256";
    let quick: Value = serde_json::from_str(&place.stillflow(line).done()).unwrap();
    for key in ["memory_copy", "list_plain", "list_bss_zstd", "loader"] {
        assert!(quick[key].as_f64().is_some_and(|rate| rate > 1e5), "{key}: {quick}");
    }
    assert!(place.files("runs").is_empty());
}

#[test]
fn the_experiment_writes_results_and_charts_and_says_what_it_would_choose() {
    let place = Place::new();
    let line = "bench data --sweep encoding,shuffle,packing,workers,cache --repeats 2 --tokens 200K --vocab-size 500 \
                --seq-tokens 128 --out out";
    let said = place.stillflow(line);
    let text = said.done();
    assert!(text.contains("it would choose") && text.contains("split+zstd1"), "{text}");
    let files: Vec<String> = place
        .files("out")
        .keys()
        .map(|path| path.file_name().unwrap().to_string_lossy().into())
        .collect();
    assert_eq!(
        files,
        ["results.parquet", "size-and-speed.svg", "tails.svg", "throughput.svg", "waits.svg"]
    );
}

#[test]
fn any_number_of_processes_reads_the_one_order_each_its_part() {
    let place = Place::new();
    let read = |part: &str| -> Vec<(u64, String)> {
        let line =
            format!("bench data --part {part} --tokens 200K --vocab-size 500 --seq-tokens 100");
        let read: Value = serde_json::from_str(&place.stillflow(&line).done()).unwrap();
        serde_json::from_value(read["sequences"].clone()).unwrap()
    };
    let whole: BTreeMap<u64, String> = read("0/1").into_iter().collect();
    assert!(whole.len() > 1000, "{}", whole.len());
    for of in [2, 3, 7] {
        let parts: BTreeMap<u64, String> =
            (0..of).flat_map(|part| read(&format!("{part}/{of}"))).collect();
        assert!(parts == whole, "{of} processes");
    }
    assert_eq!(place.stillflow("bench data --part 2/2").code, Some(2));
}

#[test]
fn the_dataflow_is_measured_with_workers_and_processes() {
    let place = Place::new();
    let said = place.stillflow("bench graph --steps 20 --repeats 1 --out out --format json");
    let costs: Value = serde_json::from_str(&said.done()).unwrap();
    let rows = costs["rows"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["processes"] == 2), "{costs}");
    assert!(rows.iter().all(|row| row["batch_us"][1].as_f64().unwrap() > 0.0), "{costs}");
    assert!(place.at("out/batches.svg").exists());
}
