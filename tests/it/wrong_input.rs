//! Whatever is wrong with what a person gives: it is said in one form, with what to do, and costs nothing.
//!
//! Recipes, models, texts, run directories and the disk; each with the words that are printed, so that these tests
//! are read as the list of what is said. Token ids that a vocabulary lacks are in `datasets`' own tests.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datasets::grammar::Grammar;
use parquet::arrow::ArrowWriter;

use super::command::{FROM_TEACHER, Place, QUICK};

/// A run that was refused before it began leaves nothing.
#[track_caller]
fn refused_before_it_began(place: &Place, line: &str, expected: &str) {
    place.stillflow(line).refused(expected);
    assert!(!place.at("run").exists(), "a run directory is there");
}

const EVERY_KEY: &str = "`stillflow new quickstart` prints a recipe with every key";

#[test]
fn what_is_wrong_in_a_recipe_has_its_line_and_what_was_meant() {
    let place = Place::new();
    for (text, what, hint) in [
        (
            "schema = 1\n[data.corpus]\ngenerate = \"stories\"\n[distil]\nsteps = 5\nlearning_rte = 1e-4\n",
            "`my.toml`, line 6, column 1: unknown key `learning_rte`\n  |\n6 | learning_rte = 1e-4\n  | ^^^^^^^^^^^^",
            "did you mean `learning_rate`?",
        ),
        (
            "[distill]\nsteps = 5\n",
            "`my.toml`, line 1, column 2: unknown key `distill`\n  |\n1 | [distill]\n  |  ^^^^^^^",
            "did you mean `distil`?",
        ),
        (
            "[stage_of_my_own]\nsteps = 5\n",
            "`my.toml`, line 1, column 2: unknown key `stage_of_my_own`, expected `schema`, <…> or `export`\n  |\n\
             1 | [stage_of_my_own]\n  |  ^^^^^^^^^^^^^^^",
            EVERY_KEY,
        ),
        (
            "[distil]\nsteps = \"many\"\n",
            "`my.toml`, line 2, column 9: expected a whole number, 0 or more, found string \"many\"\n  |\n\
             2 | steps = \"many\"\n  |         ^^^^^^",
            EVERY_KEY,
        ),
        (
            "[distil]\nsteps = 1\ntokens = \"1M\"\n",
            "`distil.steps` and `distil.tokens` are both set; a recipe has one of them",
            EVERY_KEY,
        ),
        ("[distil]\nsteps = 0\n", "`distil.steps`: expected 1 or more, found 0", EVERY_KEY),
        (
            "seed = = 1\n",
            "`my.toml`, line 1, column 8: <…>\n  |\n1 | seed = = 1\n  |        ^",
            EVERY_KEY,
        ),
    ] {
        place.write("my.toml", text);
        for verb in ["run --dir run", "check", "plan", "new"] {
            refused_before_it_began(
                &place,
                &format!("{verb} my.toml"),
                &format!("error: {what}\n\nhint: {hint}\n"),
            );
        }
    }
}

#[test]
fn a_recipe_that_is_not_text_is_refused() {
    let place = Place::new();
    place.write("my.toml", [b's', 0xff, b'\n']);
    let said = place.stillflow("run my.toml --dir run");
    said.refused(
        "error: `my.toml` cannot be read\n  cause: stream did not contain valid UTF-8\n\n\
         hint: a recipe is a TOML file: `stillflow new quickstart` prints one\n",
    );
}

#[test]
fn a_recipe_that_is_not_there_is_answered_with_the_nearest() {
    let place = Place::new();
    refused_before_it_began(
        &place,
        "run quikstart --dir run",
        "error: no recipe is called `quikstart`, and no file is\n\n\
         hint: did you mean `quickstart`? `stillflow ls recipes` lists them all\n",
    );
    refused_before_it_began(
        &place,
        "run runs/first --dir run",
        "error: no recipe is called `runs/first`, and no file is\n\nhint: `stillflow ls recipes` lists them all\n",
    );
}

#[test]
fn an_override_that_does_not_fit_is_refused() {
    let place = Place::new();
    for (set, what, hint) in [
        ("distil.stps=4", "unknown key `stps`", "did you mean `steps`?"),
        ("distil", "expected `key=value`", "for instance `--set distil.steps=100`"),
        (
            "distil.steps=many",
            "expected a whole number, 0 or more, found string \"many\"",
            EVERY_KEY,
        ),
    ] {
        let expected = format!("error: `--set {set}`: {what}\n\nhint: {hint}\n");
        refused_before_it_began(
            &place,
            &format!("run quickstart --dir run --set {set}"),
            &expected,
        );
    }
    refused_before_it_began(
        &place,
        "run quickstart --dir run --set prune.hidden_size=7000",
        &format!("error: `prune.hidden_size`: <…>7000<…>\n\nhint: {EVERY_KEY}\n"),
    );
}

#[test]
fn a_recipe_without_a_teacher_or_a_text_says_which_keys_to_set() {
    let place = Place::new();
    refused_before_it_began(
        &place,
        "run minitron-tiny --device cpu --dir run",
        "error: the recipe cannot run yet: `teacher.model`, `data.corpus.path` are not set\n\n\
         hint: add `--set teacher.model=… --set data.corpus.path=…`\n",
    );
}

#[test]
fn usage_is_exit_code_2_and_touches_nothing() {
    let place = Place::new();
    for (line, expected) in [
        ("", "Usage: stillflow"),
        ("run", "required arguments were not provided"),
        ("shwo runs/first", "a similar subcommand exists: 'show'"),
        ("run quickstart --stes 5", "unexpected argument '--stes'"),
        ("run quickstart -w 0", "0 is not in 1..=65535"),
        (
            "run quickstart --device tpu",
            "device `tpu`: expected `auto`, `cuda[:n]`, `wgpu[:n]` or `cpu`",
        ),
        ("run quickstart --format yaml", "possible values: text, json"),
        ("export a b --dtype int8", "possible values: f32, bf16, f16"),
        ("export a b --max-shard-bytes lots", "`lots` is not a number of bytes"),
        ("generate a --prompt b --temperature -1", "expected 0 or a number above it"),
        ("plan quickstart --tflops -4", "expected a number above 0"),
        ("eval --data text.txt", "required arguments were not provided"),
    ] {
        let said = place.stillflow(line);
        assert_eq!(said.code, Some(2), "{line}: {}", said.stderr);
        assert!(said.stderr.contains(expected), "{line}: {}", said.stderr);
        assert_eq!(said.stdout, "", "{line}");
        assert!(fs::read_dir(&place.path).unwrap().next().is_none(), "{line}");
    }
}

#[test]
fn a_device_that_is_not_here_is_named_with_what_was_found() {
    let place = Place::with_teacher();
    for line in
        [format!("run {QUICK} --dir run"), "generate teacher --prompt w3 --device cpu".to_owned()]
    {
        let said = place.stillflow(&line.replace("--device cpu", "--device cuda:77"));
        // A C library says on stderr what it misses, before.
        let from = said.stderr.find("error: device").expect("an error");
        let (what, hint) = said.stderr[from..]
            .split_once(": ")
            .and_then(|(_, rest)| rest.split_once("\n\n"))
            .unwrap();
        assert!(
            what.starts_with("device `cuda:77` is not here: ")
                && what.ends_with("CUDA devices found"),
            "{what}"
        );
        assert_eq!(hint, "hint: `stillflow doctor` says which devices are here\n");
        assert_eq!(said.code, Some(1));
        assert!(!place.at("run").exists());
    }
}

const A_MODEL: &str = "hint: a model is a Hugging Face directory: `config.json`, `*.safetensors` and `tokenizer.json`";

#[test]
fn a_model_directory_that_is_not_whole_is_refused_before_anything_is_done() {
    let wrong = |damage: &dyn Fn(&Place), expected: &str| {
        let place = Place::with_teacher();
        damage(&place);
        refused_before_it_began(&place, &format!("run {FROM_TEACHER}"), expected);
        // The other verbs that read a model say the same.
        place
            .stillflow(&format!("check {}", FROM_TEACHER.replace("--device cpu -q --dir run", "")))
            .refused(expected);
    };
    wrong(
        &|place| fs::rename(place.at("teacher"), place.at("elsewhere")).unwrap(),
        &format!("error: model directory `teacher` does not exist\n\n{A_MODEL}\n"),
    );
    wrong(
        &|place| fs::remove_file(place.at("teacher/config.json")).unwrap(),
        &format!(
            "error: model directory `teacher` has no `config.json`\n\n{A_MODEL}; `ls teacher`\n"
        ),
    );
    wrong(
        &|place| fs::remove_file(place.at("teacher/model-00002-of-00002.safetensors")).unwrap(),
        "error: shard `teacher/model-00002-of-00002.safetensors`, which `model.safetensors.index.json` names, does not \
         exist\n\nhint: copy or download it again (`git lfs pull`, where it was cloned): the model is not whole without \
         `model-00002-of-00002.safetensors`\n",
    );
    wrong(
        &|place| place.write("teacher/config.json", "{\"model_type\": "),
        &format!(
            "error: `teacher/config.json` is not a JSON object\n  cause: EOF while parsing <…>\n\n{A_MODEL}\n"
        ),
    );
    wrong(
        &|place| {
            let config = String::from_utf8(place.read("teacher/config.json")).unwrap();
            place.write(
                "teacher/config.json",
                config.replace("\"model_type\": \"llama\"", "\"model_type\": \"gemma2\""),
            );
        },
        "error: `teacher/config.json` does not describe a model that stillflow runs\n  \
         cause: `model_type`: expected `llama` or `mistral`, found `\"gemma2\"`\n\n\
         hint: any Llama or Mistral without a sliding window does; `stillflow ls recipes` shows some\n",
    );
    wrong(
        &|place| fs::remove_file(place.at("teacher/tokenizer.json")).unwrap(),
        "error: could not read `teacher/tokenizer.json`\n  cause: No such file or directory (os error 2)\n\n\
         hint: a tokenizer is a `tokenizer.json`; `--set tokens.tokenizer=<directory>` names one that lies elsewhere\n",
    );
    wrong(
        &|place| place.write("teacher/tokenizer.json", Grammar::new(1).tokenizer_json()),
        "error: tokenizer `teacher` has 2860 ids, the model's `vocab_size` is 96\n\n\
         hint: `--set tokens.tokenizer=<directory>` names the model's own\n",
    );
    wrong(
        &|place| place.write("teacher/tokenizer.json", "{}"),
        "error: `teacher/tokenizer.json` is not a tokenizer that can be read\n  cause: <…>\n\n\
         hint: `AutoTokenizer.from_pretrained(…).save_pretrained(…)` writes the form that is read\n",
    );
}

#[test]
fn weights_that_are_cut_short_are_told_from_other_kinds_of_files() {
    let shard = "teacher/model-00001-of-00002.safetensors";
    let again = "hint: copy or download it again (`git lfs pull`, where it was cloned): the model is not whole without \
                 `model-00001-of-00002.safetensors`\n";
    let ended = |found: u64| {
        format!("error: `{shard}` ended early: expected <…> bytes, found {found}\n\n{again}")
    };
    let other =
        format!("error: `{shard}` is not a whole safetensors file\n  cause: <…>\n\n{again}");
    let place = Place::with_teacher();
    let whole = place.read(shard);
    for length in [40_000, 56_663, 100, 8] {
        place.write(shard, &whole[..length]);
        refused_before_it_began(&place, &format!("run {FROM_TEACHER}"), &ended(length as u64));
    }
    let pointer =
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 56664\n".to_vec();
    for bytes in
        [vec![], whole[..5].to_vec(), pointer, [&whole[..], b"more"].concat(), vec![0xff; 1000]]
    {
        place.write(shard, bytes);
        refused_before_it_began(&place, &format!("run {FROM_TEACHER}"), &other);
    }
}

#[test]
fn weights_of_another_model_than_the_configuration_are_refused() {
    let place = Place::with_teacher();
    let config = String::from_utf8(place.read("teacher/config.json")).unwrap();
    place
        .write("teacher/config.json", config.replace("\"hidden_size\": 32", "\"hidden_size\": 40"));
    let expected = "error: tensor `model.embed_tokens.weight` in `<…>teacher/model-00001-of-00002.safetensors`: \
                    expected shape [96, 40], found [96, 32]\n\n\
                    hint: `config.json` and the weights are of two models: fetch both from one place\n";
    place.stillflow(&format!("run {FROM_TEACHER}")).refused(expected);
    place.stillflow("generate teacher --prompt w3 --device cpu").refused(expected);
    place.stillflow("export teacher exported").refused(expected);
    assert!(!place.at("exported").exists());
    place.write(
        "teacher/config.json",
        config.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3"),
    );
    place.stillflow("generate teacher --prompt w3 --device cpu").refused(
        "error: tensor `model.layers.2.input_layernorm.weight` is missing from `teacher`\n\n\
         hint: `config.json` and the weights are of two models: fetch both from one place\n",
    );
}

const A_TEXT: &str = "hint: a text is a .txt, .md, .jsonl (also as .gz or .zst) or .parquet file, a folder of them or a glob such as 'corpus/*.jsonl'\n";

#[test]
fn a_text_that_is_not_there_or_empty_is_refused_before_anything_is_done() {
    let place = Place::with_teacher();
    place.write("empty.txt", "");
    place.write("text.docx", "w3");
    fs::create_dir(place.at("folder")).unwrap();
    for (path, expected) in [
        ("empty.txt", format!("error: `empty.txt` is an empty corpus: 1 files, 0 bytes\n\n{A_TEXT}")),
        ("folder", format!("error: `folder` matches no file of text: expected txt, md, jsonl (these also with .gz or .zst), json.gz, json.zst, parquet\n\n{A_TEXT}")),
        ("no/*.txt", format!("error: `no/*.txt` matches no file of text: expected a file, a folder or a glob\n\n{A_TEXT}")),
        ("no.txt", format!("error: `no.txt` matches no file of text: expected a file, a folder or a glob\n\n{A_TEXT}")),
        (
            "text.docx",
            "error: the format of `text.docx` is not known from its name: expected .txt, .md or .jsonl, with .gz or .zst behind it or without, or .parquet\n\n\
             hint: `--set data.<name>.format=txt` says what it is\n"
                .to_owned(),
        ),
    ] {
        let line = format!("run {FROM_TEACHER} --set data.corpus.path={path}");
        refused_before_it_began(&place, &line, &expected);
        place.stillflow(&format!("eval teacher --device cpu --data {path}")).refused(&expected);
    }
}

#[test]
fn a_text_that_cannot_be_read_is_located_and_the_run_goes_on_when_it_can() {
    let place = Place::with_teacher();
    let good = place.read("text.txt");
    let jsonl = "{\"text\": \"w3 w4\"}\n";
    for (name, bytes, expected) in [
        (
            "text.txt",
            [b"w3 w4 \xff w5\n\n".to_vec(), good.clone()].concat(),
            "cause: `DIR/text.txt` is not UTF-8 at byte 6\n\nhint: `iconv -f latin1 -t utf-8 DIR/text.txt` makes UTF-8 of Latin-1\n",
        ),
        (
            "text.jsonl",
            format!("{jsonl}{{\"text\": \n").into_bytes(),
            "cause: line 2 of `DIR/text.jsonl` is not a JSON object\n  cause: <…>\n\nhint: `sed -n 2p DIR/text.jsonl` shows the line\n",
        ),
        (
            "text.jsonl",
            format!("{jsonl}{jsonl}{{\"body\": \"w3\"}}\n").into_bytes(),
            "cause: line 3 of `DIR/text.jsonl` has no field `text`\n\n\
             hint: `--set data.<name>.field=<name>` names another (`--field` does for `stillflow eval`)\n",
        ),
        (
            "text.jsonl",
            b"{\"text\": 7}\n".to_vec(),
            "cause: field `text` in line 1 of `DIR/text.jsonl` is a number, expected a string\n\n\
             hint: `--set data.<name>.field=<name>` names another (`--field` does for `stillflow eval`)\n",
        ),
    ] {
        place.write(name, bytes);
        let line = format!("run {FROM_TEACHER} --set data.corpus.path={name}");
        place.stillflow(&line).refused(&format!(
            "error: stage `prepare` failed in `feed` at step 0, shard 0\n  {expected}"
        ));
        // Nothing was sealed, so the same command does it all once the text is whole.
        place.write("text.txt", &good);
        if name == "text.txt" {
            place.stillflow(&line).done();
        }
        fs::remove_dir_all(place.at("run")).unwrap();
    }
}

/// A Parquet file of one column.
fn parquet(column: &str, array: ArrayRef) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable([(column, array, true)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn a_parquet_file_that_is_damaged_or_of_other_columns_is_refused() {
    let words: ArrayRef = Arc::new(StringArray::from(vec!["w3 w4 w5 w6 w7 w8"; 100]));
    let whole = parquet("text", words.clone());
    let another = "hint: `--set data.<name>.field=<name>` names another (`--field` does for `stillflow eval`)\n";
    let again = "hint: copy or download it again (`git lfs pull`, where it was cloned)\n";
    let place = Place::with_teacher();
    let line = format!("run {FROM_TEACHER} --set data.corpus.path=text.parquet");
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    for (bytes, expected) in [
        (
            whole[..whole.len() - 10].to_vec(),
            format!("error: `text.parquet` is not a whole Parquet file\n  cause: <…>\n\n{again}"),
        ),
        (
            whole[..whole.len() / 2].to_vec(),
            format!("error: `text.parquet` is not a whole Parquet file\n  cause: <…>\n\n{again}"),
        ),
        (
            b"PAR1".to_vec(),
            format!("error: `text.parquet` is not a whole Parquet file\n  cause: <…>\n\n{again}"),
        ),
        (
            parquet("body", words),
            format!("error: `text.parquet` has no column `text`: it has body\n\n{another}"),
        ),
        (
            parquet("text", numbers),
            format!("error: column `text` of `text.parquet` is Int64, expected text\n\n{another}"),
        ),
    ] {
        place.write("text.parquet", bytes);
        refused_before_it_began(&place, &line, &expected);
    }
    let nulls: ArrayRef = Arc::new(StringArray::from(vec![Some("w3"), Some("w4"), None]));
    place.write("text.parquet", parquet("text", nulls));
    place.stillflow(&line).refused(&format!(
        "error: stage `prepare` failed in `feed` at step 0, shard 0\n  cause: column `text` of `DIR/text.parquet` is null in row 2\n\n\
         hint: leave out the rows that are null; {}",
        another.trim_start_matches("hint: ")
    ));
}

/// The `parquet` crate panics on some damaged files. In the binary a panic ends the process, but not this one.
#[test]
fn a_parquet_file_on_which_its_reader_panics_is_refused_like_another() {
    use datasets::text::{Corpus, CorpusSpec};
    let words: ArrayRef = Arc::new(StringArray::from(vec!["w3 w4 w5 w6 w7 w8"; 100]));
    let whole = parquet("text", words);
    let place = Place::with_teacher();
    let panics = |bytes: &[u8]| {
        place.write("text.parquet", bytes);
        let corpus = Corpus::open(&CorpusSpec::new(place.at("text.parquet").to_string_lossy()));
        let error = corpus.and_then(|corpus| corpus.chunk(0)).err();
        let source = error.as_ref().and_then(std::error::Error::source);
        source.is_some_and(|fault| fault.to_string().contains("panicked"))
    };
    let flips = (0..whole.len() * 8).map(|bit| {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    let Some(bytes) = flips.into_iter().find(|bytes| panics(bytes)) else {
        panic!("the reader panics on no flipped bit any more: remove the guard")
    };
    place.write("text.parquet", bytes);
    let said = place.stillflow("eval teacher --device cpu --data text.parquet");
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let again = "hint: copy or download it again (`git lfs pull`, where it was cloned)\n";
    assert!(
        said.stderr.ends_with(again) && !said.stderr.contains("bug in stillflow"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.starts_with("error: "), "{}", said.stderr);
}

#[test]
fn too_little_text_says_how_much_there_is_and_how_much_is_needed() {
    let place = Place::with_teacher();
    place.write("short.txt", (3..60).map(|n| format!("w{n}")).collect::<Vec<_>>().join("\n\n"));
    let run = |more: &str| {
        place.stillflow(&format!("run {FROM_TEACHER} {more}").replace("--dir run", "--dir short"))
    };
    let again = |expected: &str, more: &str| {
        run(more).refused(expected);
        fs::remove_dir_all(place.at("short")).unwrap();
    };
    let shorter = "hint: `--set tokens.seq_tokens=…` makes sequences shorter, in another `--dir`; or give more text\n";
    again(
        &format!(
            "error: the training text is too short\n  cause: the samples have <…> tokens, one sequence needs 31\n\n{shorter}"
        ),
        "--set data.corpus.path=short.txt --set tokens.seq_tokens=30 --set tokens.held_out=0.99",
    );
    again(
        &format!(
            "error: the held-out text is too short\n  cause: the samples have <…> tokens, one sequence needs 21\n\n{shorter}"
        ),
        "--set data.corpus.path=short.txt --set tokens.seq_tokens=20 --set tokens.held_out=0.1",
    );
    let tenth = "hint: `--set tokens.held_out=0.1` holds out a tenth, in another `--dir`\n";
    again(
        &format!(
            "error: no document is held out: 100 documents, of which a share of 0.001 is held out\n\n{tenth}"
        ),
        "--set tokens.held_out=0.001",
    );
    again(
        &format!(
            "error: no document is left to train on: 100 documents, of which a share of 0.99999 is held out\n\n{tenth}"
        ),
        "--set tokens.held_out=0.99999",
    );
    place.stillflow("eval teacher --device cpu --data short.txt --seq-tokens 5000").refused(
        "error: the given text is too short\n  cause: the samples have <…> tokens, one sequence needs 5001\n\n\
         hint: `--seq-tokens` makes sequences shorter; or give more text\n",
    );
}

#[test]
fn damaged_shards_are_named_nothing_else_is_lost_and_the_hint_makes_them_again() {
    let place = Place::with_teacher();
    let line = format!("run {FROM_TEACHER}");
    place.stillflow(&line).done();
    let before = place.files("run");
    // The text that is scored is read whatever is done already.
    let shard = "run/tokens/held-out/corpus/tokens-00000.parquet";
    let whole = place.read(shard);
    let mut flipped = whole.clone();
    flipped[whole.len() / 3] ^= 1;
    let hint = "hint: `rm -r run/tokens run/checkpoints/prepare run/stages/prepare.json`, then `stillflow run run` makes \
                the same shards again\n";
    for (bytes, expected) in [
        (
            Some(flipped),
            format!(
                "error: row group 0 of shard `{shard}`, from byte 0, is damaged: its hash is <…>, expected <…>\n\n{hint}"
            ),
        ),
        (
            Some(whole[..whole.len() - 1].to_vec()),
            format!(
                "error: shard `{shard}` has {} bytes, expected {}\n\n{hint}",
                whole.len() - 1,
                whole.len()
            ),
        ),
        (
            None,
            format!(
                "error: could not open `{shard}`\n  cause: No such file or directory (os error 2)\n\n{hint}"
            ),
        ),
    ] {
        match bytes {
            Some(bytes) => place.write(shard, bytes),
            None => fs::remove_file(place.at(shard)).unwrap(),
        }
        place.stillflow(&line).refused(&expected);
        let mut others = before.clone();
        others.remove(&place.at(shard));
        place.assert_unharmed("run", &others);
    }
    // What is trained on is read when it is needed: here in the middle of a stage.
    let trained = "run/tokens/train/corpus/tokens-00000.parquet";
    let (kept, mut flipped) = (place.read(trained), place.read(trained));
    flipped[kept.len() / 3] ^= 1;
    place.write(shard, &whole);
    place.write(trained, flipped);
    for gone in ["run/checkpoints/distil", "run/checkpoints/control"] {
        fs::remove_dir_all(place.at(gone)).unwrap();
    }
    for gone in ["distil", "control", "evaluate", "export"] {
        fs::remove_file(place.at(&format!("run/stages/{gone}.json"))).unwrap();
    }
    let said = place.stillflow(&line);
    let damaged = format!("row group 0 of shard `{trained}`, from byte 0, is damaged");
    assert!(said.stderr.contains(&damaged), "{}", said.stderr);
    said.is_explained();
    for (path, bytes) in &before {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::remove_dir_all(place.at("run/tokens")).unwrap();
    fs::remove_dir_all(place.at("run/checkpoints/prepare")).unwrap();
    fs::remove_file(place.at("run/stages/prepare.json")).unwrap();
    place.stillflow("run run --device cpu -q").done();
    let mut same = before;
    // A checkpoint says in which start it was made.
    same.retain(|path, _| !path.starts_with(place.at("run/checkpoints/prepare")));
    place.assert_unharmed("run", &same);
}

#[test]
fn a_run_directory_of_another_recipe_is_refused_with_what_differs() {
    let place = Place::with_teacher();
    let line = format!("run {FROM_TEACHER}");
    let table = place.stillflow(&line).done();
    let before = place.files("run");
    for (recipe, changes) in [
        (
            format!("{line} --set distil.learning_rate=3e-4 --set seed=2"),
            "distil.learning_rate: 0.001 → 0.0003\n    seed: 1 → 2\n",
        ),
        ("run run --device cpu --set distil.steps=5".to_owned(), "distil.steps: 4 → 5\n"),
        (format!("run {QUICK} --dir run"), "data.corpus.generate: (absent) → \"stories\"\n<…>"),
    ] {
        place.stillflow(&recipe).refused(&format!(
            "error: `run` is the run of another recipe:\n    {changes}\n\
             hint: `stillflow run run` goes on with its own recipe; `--dir` names another directory\n"
        ));
        place.assert_unharmed("run", &before);
    }
    assert_eq!(
        place.stillflow("run run --device cpu -q").done(),
        table,
        "the run is as good as before"
    );
}

#[test]
fn a_directory_with_other_things_in_it_is_left_alone() {
    let place = Place::new();
    place.write("thesis/chapter-1.tex", "precious");
    place.write("letter", "precious");
    let before = place.files("");
    place.stillflow(&format!("run {QUICK} --dir thesis")).refused(
        "error: `thesis` is not a run directory: it holds `chapter-1.tex`, and no `recipe.toml`\n\n\
         hint: `--dir` names a new directory, or that of a run\n",
    );
    place.stillflow(&format!("run {QUICK} --dir letter")).refused(
        "error: `letter` is not a run directory: it has no `recipe.toml`\n\n\
         hint: `stillflow ls runs <directory>` lists the runs below a directory\n",
    );
    assert_eq!(place.files(""), before, "nothing is added");
}

#[test]
fn a_run_directory_in_use_is_refused_and_its_run_ends_unharmed() {
    let place = Place::with_teacher();
    let line = format!("run {FROM_TEACHER} --set distil.steps=60");
    let child = place.command(&line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (pid, begun) = (child.id().to_string(), Instant::now());
    while !place.at("run/checkpoints/prepare").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the first run does not begin");
        std::thread::sleep(Duration::from_millis(2));
    }
    let signal = |name: &str| {
        let kill = format!("kill {name} {pid}");
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "it has ended");
    };
    // It holds the lock while it is halted, however slow the machine is.
    signal("-STOP");
    let before = place.files("run");
    let expected = format!(
        "error: `run/lock` is locked by another process (pid {pid})\n\n\
         hint: `stillflow show run` says how far that run is\n"
    );
    for line in [line.as_str(), "run run --device cpu", "clean run"] {
        place.stillflow(line).refused(&expected);
        assert_eq!(place.files("run"), before, "{line}");
    }
    assert!(place.stillflow("show run").done().contains("distil"), "looking is allowed");
    signal("-CONT");
    let first = place.said(&child.wait_with_output().unwrap());
    first.done();
    let alone = Place::with_teacher();
    alone.stillflow(&line).done();
    assert_eq!(
        place.read("run/models/student/model.safetensors"),
        alone.read("run/models/student/model.safetensors")
    );
}

#[test]
fn a_full_disk_costs_nothing_that_was_sealed() {
    let alone = Place::with_teacher();
    let line = format!("run {FROM_TEACHER}");
    alone.stillflow(&line).done();
    let place = Place::with_teacher();
    for k in [1, 4, 12, 30, 70, 130] {
        let said = place.with(&line, &[("STILLFLOW_FAIL_WRITE", &k.to_string())]);
        said.refused(
            "error: <…>`<…>\n  cause: <…>\n\nhint: make room, then the same command goes on where it stopped\n",
        );
    }
    let before = place.files("run/stages");
    place.stillflow(&line).done();
    place.assert_unharmed("run/stages", &before);
    for file in ["models/student/model.safetensors", "eval/held-out.json", "plan.toml"] {
        let file = format!("run/{file}");
        assert_eq!(place.read(&file), alone.read(&file), "{file}");
    }
}

#[test]
fn a_teacher_that_changed_since_the_run_began_is_refused_until_it_is_put_back() {
    let place = Place::with_teacher();
    let line = format!("run {FROM_TEACHER}");
    place.with(&line, &[("STILLFLOW_FAIL_WRITE", "120")]).is_explained();
    let before = place.files("run");
    let (shard, put_back) = (
        "teacher/model-00002-of-00002.safetensors",
        "hint: put it back, or start anew with another `--dir`\n",
    );
    let whole = place.read(shard);
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    place.write(shard, changed);
    place.stillflow(&line).refused(&format!(
        "error: `DIR/{shard}` changed since the run began: expected <…>, found <…>\n\n{put_back}"
    ));
    place.write(shard, &whole);
    let tokenizer = place.read("teacher/tokenizer.json");
    place.write("teacher/tokenizer.json", [&tokenizer[..], b"\n"].concat());
    place.stillflow("run run --device cpu").refused(&format!(
        "error: `DIR/teacher/tokenizer.json` changed since the run began: expected <…>, found <…>\n\n{put_back}"
    ));
    place.write("teacher/tokenizer.json", tokenizer);
    place.assert_unharmed("run", &before);
    place.stillflow(&line).done();
}

#[test]
fn a_path_that_is_no_run_and_no_model_is_named_by_every_verb() {
    let place = Place::with_teacher();
    place.write("folder/file", "w3");
    for path in ["nowhere", "folder", "text.txt"] {
        let no_run = format!(
            "error: `{path}` is not a run directory: it has no `recipe.toml`\n\n\
             hint: `stillflow ls runs <directory>` lists the runs below a directory\n"
        );
        place.stillflow(&format!("show {path}")).refused(&no_run);
        place.stillflow(&format!("clean {path}")).refused(&no_run);
        let no_model = match path {
            "folder" => format!(
                "error: model directory `folder` has no `config.json`\n\n{A_MODEL}; `ls folder`\n"
            ),
            path => format!("error: model directory `{path}` does not exist\n\n{A_MODEL}\n"),
        };
        place.stillflow(&format!("eval {path} --device cpu --data text.txt")).refused(&no_model);
        place
            .stillflow(&format!("eval teacher --teacher {path} --device cpu --data text.txt"))
            .refused(&no_model);
        place.stillflow(&format!("generate {path} --device cpu --prompt w3")).refused(&no_model);
        place.stillflow(&format!("export {path} exported")).refused(&no_model);
    }
    place.stillflow("ls runs").refused(
        "error: `dir`: expected a directory with runs in it, found `runs`, which is none\n\n\
         hint: `--help` after the command says what it takes\n",
    );
    assert!(!place.at("exported").exists());
}

#[test]
fn a_run_without_a_student_yet_says_so() {
    let place = Place::with_teacher();
    place.with(&format!("run {FROM_TEACHER}"), &[("STILLFLOW_FAIL_WRITE", "100")]).is_explained();
    let expected = "error: the run in `run` has no student yet\n\nhint: `stillflow show run` says how far the run is\n";
    for line in [
        "eval run --device cpu --data text.txt",
        "generate run --device cpu --prompt w3",
        "export run exported",
    ] {
        place.stillflow(line).refused(expected);
    }
    assert!(!place.at("exported").exists());
}

#[test]
fn what_exists_is_not_overwritten() {
    let place = Place::with_teacher();
    place.write("exported/precious", "precious");
    place.write("my.toml", "precious");
    let before = place.files("");
    place.stillflow("export teacher exported").refused(
        "error: `exported` already exists\n\n\
         hint: name a directory that does not exist yet, or move that one away: `mv exported exported.old`\n",
    );
    place.stillflow("new quickstart my.toml").refused(
        "error: `file`: expected a file that does not exist, found `my.toml`, which exists\n\n\
         hint: `--help` after the command says what it takes\n",
    );
    assert_eq!(place.files(""), before);
}

#[test]
fn models_of_two_vocabularies_are_not_compared() {
    let place = Place::with_teacher();
    place.stillflow(&format!("run {QUICK} --dir quick")).done();
    for line in ["eval teacher quick", "eval teacher --teacher quick"] {
        place.stillflow(&format!("{line} --device cpu --data text.txt")).refused(
            "error: `models`: expected a `vocab_size` of 96, found `quick/models/student` with 2860\n\n\
             hint: `--help` after the command says what it takes\n",
        );
    }
}
