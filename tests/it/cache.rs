//! The logit cache end to end: captured, resumed, learnt from, refused, verified, read by others.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use datasets::logits::{Cache, CacheWriter, Scored};
use datasets::table::{Column, Table};
use serde_json::Value;

use super::command::{FROM_TEACHER, Place, Said};

/// A capture from [`Place::teacher`] on [`Place::text`], in several shards.
pub(super) const CAPTURE: &str = "run capture-tiny --device cpu -q --set teacher.model=teacher \
    --set data.corpus.path=text.txt --set tokens.seq_tokens=16 --set tokens.held_out=0.3 \
    --set capture.batch_tokens=64 --set capture.shard_tokens=200 --set capture.dir=logits";
/// A short run that distils on whole documents, each seen alone.
const WHOLE: &str =
    "--set tokens.packing=best_fit --set tokens.document_mask=true --set distil.evaluate_every=2";
/// The point of the kill trials at which a commit is made.
const COMMITTED: (&str, &str) = ("STILLFLOW_ABORT", "committed:1");

pub(super) fn cache(place: &Place, name: &str) -> Cache {
    Cache::open(&place.at(name), None).unwrap().whole().unwrap()
}

fn capture(place: &Place, more: &str) -> Said {
    place.stillflow(&format!("{CAPTURE} {more}"))
}

/// A column of a run's steps.
fn steps(place: &Place, run: &str, name: &str) -> Vec<f64> {
    let mut all = Vec::new();
    let dir = place.at(run).join("metrics/distil");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.to_string_lossy().contains("/steps-")) {
        match Table::read(path).unwrap().column(name) {
            Some(Column::F64(values)) => all.extend_from_slice(values),
            other => panic!("{name}: {other:?}"),
        }
    }
    all
}

fn assert_near(found: &[f64], expected: &[f64], relative: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let off = (found - expected).abs() / expected.abs();
        assert!(off <= relative, "{found} for {expected}: off by {off:e}");
    }
}

#[test]
fn what_is_captured_does_not_depend_on_the_number_of_workers() {
    let place = Place::with_teacher();
    capture(&place, "--dir one").done();
    let commits = cache(&place, "logits").commit();
    assert!(commits >= Some(3), "{commits:?}: one shard says nothing of several");
    capture(&place, "--dir three -w 3 --set capture.dir=others").done();
    let (one, three) = (cache(&place, "logits"), cache(&place, "others"));
    assert_eq!(one.digest().unwrap(), three.digest().unwrap());
    // Tokens are as the recipe says: a twelfth is not held out, and each sample is there once.
    assert!(one.len() > 50 && one.len() < 100, "{}", one.len());
}

#[test]
fn what_is_there_is_not_asked_about_again_and_of_a_text_that_grew_the_rest_is() {
    let place = Place::with_teacher();
    capture(&place, "--dir first").done();
    let (before, commit) =
        (cache(&place, "logits").digest().unwrap(), cache(&place, "logits").commit());
    capture(&place, "--dir again").done();
    assert_eq!(cache(&place, "logits").commit(), commit, "there was nothing to commit");
    // The text again, and three more documents, of which all or some may be held out.
    let text = String::from_utf8(place.read("text.txt")).unwrap();
    let more: Vec<String> = (3..40).map(|n| format!("w{n} w{} w{} w9", n + 7, n + 50)).collect();
    place.write("text.txt", format!("{text}\n\n{}", more.join("\n\n")));
    let said = place.stillflow(&format!("{} --dir more", CAPTURE.replace("-q ", "")));
    let (had, has) = (before, cache(&place, "logits"));
    assert_ne!(has.digest().unwrap(), had);
    let stderr = said.stderr.clone();
    said.done();
    let asked = stderr.lines().find(|line| line.contains("tokens asked about")).unwrap().to_owned();
    let asked: u64 = asked
        .split("tokens asked")
        .next()
        .unwrap()
        .trim()
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(asked > 0 && asked <= 37 * 6, "{asked} tokens were asked about");
}

#[test]
fn a_capture_that_is_killed_after_every_commit_ends_with_the_same_content() {
    let place = Place::with_teacher();
    capture(&place, "--dir whole").done();
    let expected = cache(&place, "logits").digest().unwrap();
    let line = format!("{CAPTURE} --dir killed --set capture.dir=killed-logits");
    let mut kills = 0;
    for workers in [1, 2, 3].into_iter().cycle() {
        let said = place.with(&format!("{line} -w {workers}"), &[COMMITTED]);
        if said.code == Some(0) {
            break;
        }
        assert_eq!(said.code, None, "{}", said.stderr);
        kills += 1;
        assert!(kills < 40, "it does not get on");
    }
    let there = cache(&place, "killed-logits");
    assert!(kills >= 4, "{kills} kills say nothing");
    assert_eq!(there.digest().unwrap(), expected);
    let verdict = place.stillflow("cache verify killed-logits").done();
    assert!(verdict.contains("good to level 2"), "{verdict}");
}

#[test]
fn a_student_learns_the_same_from_a_cache_of_the_whole_vocabulary() {
    let place = Place::with_teacher();
    capture(&place, "--dir cap --set capture.profile=exact96").done();
    let online = FROM_TEACHER.replace("--dir run", "--dir online");
    place.stillflow(&format!("run {online} {WHOLE}")).done();
    let cached = FROM_TEACHER.replace("--dir run", "--dir cached");
    place.stillflow(&format!("run {cached} {WHOLE} --set logits.dir=logits -w 2")).done();
    let both = |name| (steps(&place, "cached", name), steps(&place, "online", name));
    for name in ["loss", "cross_entropy"] {
        let (found, expected) = both(name);
        println!("{name}: {found:?} for {expected:?}");
        assert_near(&found, &expected, 1e-5);
    }
    // A teacher that is wide open: a KL of a few hundredths of what is minimised, of values that are stored in steps of 1/2048.
    let (found, expected) = both("forward_kl");
    println!("forward_kl: {found:?} for {expected:?}");
    assert_near(&found, &expected, 1e-4);
    // Nobody is compared with while it trains, and the teacher at the end.
    let dir = place.at("cached/metrics/distil");
    let evaluations = Table::read(&dir.join("evaluations-00000000.parquet")).unwrap();
    assert!(evaluations.column("cross_entropy").is_some());
    assert!(evaluations.column("forward_kl").is_none());
    let report: Value = serde_json::from_slice(&place.read("cached/eval/held-out.json")).unwrap();
    assert!(report.to_string().contains("teacher"), "{report}");
}

#[test]
fn any_packing_batch_and_smaller_k_is_read_from_one_cache() {
    let place = Place::with_teacher();
    capture(&place, "--dir cap --set capture.profile=k16").done();
    for (n, more) in [
        "--set tokens.packing=concat --set tokens.seq_tokens=23",
        "--set logits.k=4 --set distil.micro_batch_size=2",
        "--set tokens.packing=best_fit --set tokens.seq_tokens=7 --set tokens.shuffle=none",
    ]
    .into_iter()
    .enumerate()
    {
        let line = FROM_TEACHER.replace("--dir run", &format!("--dir run-{n}"));
        place.stillflow(&format!("run {line} --set logits.dir=logits {more}")).done();
        let losses = steps(&place, &format!("run-{n}"), "forward_kl");
        assert!(losses.len() == 4 && losses.iter().all(|kl| *kl > 0.0), "{losses:?}");
    }
    let line = FROM_TEACHER.replace("--dir run", "--dir more");
    let said = place.stillflow(&format!("run {line} --set logits.dir=logits --set logits.k=17"));
    said.refused(
        "error: sample <…> is stored with 16 entries a token in `DIR/logits`, expected at least 17\n\n\
         hint: `--set logits.k=16`, or capture with a larger profile\n",
    );
}

#[test]
fn what_becomes_of_the_other_words_is_for_the_recipe_to_say_unless_they_were_drawn() {
    let place = Place::with_teacher();
    capture(&place, "--dir cap").done();
    let first = |rest: &str| {
        let line = FROM_TEACHER.replace("--dir run", &format!("--dir {rest}"));
        let more = format!("--set logits.dir=logits --set logits.k=4 --set logits.rest={rest}");
        place.stillflow(&format!("run {line} {more}")).done();
        steps(&place, rest, "forward_kl")[0]
    };
    let [ghost, renormalise, subset] = ["ghost", "renormalise", "subset"].map(first);
    // Before any step: a teacher wide open has little in four words, and to give them all there is costs more than that.
    assert!(renormalise > 4.0 * ghost, "{renormalise} {ghost}");
    assert!((subset - ghost).abs() > 0.1 * ghost, "{subset} {ghost}");
    capture(&place, "--dir drawn --set capture.dir=drawn-logits --set capture.profile=unbiased")
        .done();
    let line = FROM_TEACHER.replace("--dir run", "--dir more");
    let said = place
        .stillflow(&format!("run {line} --set logits.dir=drawn-logits --set logits.rest=subset"));
    said.refused(
        "error: the entries in `DIR/drawn-logits` are sampled, and `logits.rest` is not for those\n\n\
         hint: without `logits.k` and `logits.rest` all entries are read, as what they are\n",
    );
}

#[test]
fn another_teacher_is_refused_with_what_differs_before_any_work() {
    let place = Place::with_teacher();
    capture(&place, "--dir cap").done();
    place.teacher("other");
    let config = String::from_utf8(place.read("other/config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["rms_norm_eps"] = 1e-3.into();
    place.write("other/config.json", config.to_string());
    let line = FROM_TEACHER.replace("teacher.model=teacher", "teacher.model=other");
    let refused = "error: the cache at `<…>logits` holds other logits than are expected:<…>rms_norm_eps<…>\
         hint: name the teacher and the tokenizer that it was captured with, or another directory: \
         `stillflow run capture-tiny --set capture.dir=…` makes one of this teacher\n";
    place.stillflow(&format!("run {line} --set logits.dir=logits")).refused(refused);
    assert!(!place.at("run").exists(), "nothing was begun");
    let line = CAPTURE.replace("teacher.model=teacher", "teacher.model=other");
    place.stillflow(&format!("{line} --dir other-run")).refused(refused);
    let said = place.stillflow("cache verify logits --level 3 --teacher other --device cpu");
    said.refused(refused);
    // A directory that is none.
    place.stillflow(&format!("run {FROM_TEACHER} --set logits.dir=teacher")).refused(
        "error: `teacher` is not a cache of logits: expected `_tlc/format.json` in it, found <…>hint: <…>capture-tiny<…>\n",
    );
}

#[test]
fn samples_that_are_missing_are_refused_by_source_or_asked_about_and_added() {
    let place = Place::with_teacher();
    let text = String::from_utf8(place.read("text.txt")).unwrap();
    let half: Vec<&str> = text.split("\n\n").take(50).collect();
    place.write("half.txt", half.join("\n\n"));
    let line = CAPTURE.replace("text.txt", "half.txt");
    place.stillflow(&format!("{line} --dir cap --set capture.profile=exact96")).done();
    let had = cache(&place, "logits").len();
    let line = format!("run {FROM_TEACHER} {WHOLE} --set logits.dir=logits");
    place.stillflow(&line).refused(
        "error: <…> of the <…> samples of the text are not in the cache at `DIR/logits`: <…> of `corpus`\n\n\
         hint: `stillflow run capture-tiny --set capture.dir=DIR/logits`<…>",
    );
    // The run directory is of a recipe without the key.
    let line = line.replace("--dir run", "--dir asks") + " --set logits.missing=ask";
    place.stillflow(&line).done();
    assert!(cache(&place, "logits").len() > had);
    place.stillflow("cache verify logits --level 3 --teacher teacher --device cpu").done();
    let online = FROM_TEACHER.replace("--dir run", "--dir online");
    place.stillflow(&format!("run {online} {WHOLE}")).done();
    assert_near(&steps(&place, "asks", "loss"), &steps(&place, "online", "loss"), 1e-4);
}

#[test]
fn losses_that_a_cache_does_not_have_are_refused() {
    let place = Place::with_teacher();
    capture(&place, "--dir cap").done();
    for (more, expected) in [
        (
            "--set losses.forward_kl.temperature=2.0",
            "error: forward_kl cannot be had<…>hint: <…>\n",
        ),
        ("--set losses.hidden.weight=1.0", "error: <…>`logits`<…>`losses.hidden`<…>hint: <…>\n"),
    ] {
        let line = FROM_TEACHER.replace("--dir run", &format!("--dir {}", more.len()));
        place.stillflow(&format!("run {line} --set logits.dir=logits {more}")).refused(expected);
    }
}

fn shard(place: &Place, name: &str) -> PathBuf {
    let cache = cache(place, name);
    cache.shards().next().unwrap().0.to_owned()
}

#[test]
fn a_flipped_byte_is_named_and_the_samples_can_be_captured_again() {
    let place = Place::with_teacher();
    // Asked about one by one, a sample does not depend on its neighbours.
    let alone = "--set capture.batch_tokens=1";
    capture(&place, &format!("--dir cap {alone}")).done();
    let whole = cache(&place, "logits").digest().unwrap();
    let path = shard(&place, "logits");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let said = place.stillflow("cache verify logits --format json");
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let verdict: Value = serde_json::from_str(&said.stdout).unwrap();
    let findings = verdict["findings"].as_array().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(findings.iter().any(|f| f["path"].as_str().unwrap().ends_with(name)), "{verdict:#}");
    assert!(
        said.stderr.contains("hint: `stillflow cache compact logits --retire <shard>`"),
        "{}",
        said.stderr
    );
    let line = format!("cache compact logits --retire {}", path.display());
    place.stillflow(&line).done();
    capture(&place, &format!("--dir again {alone}")).done();
    assert_eq!(cache(&place, "logits").digest().unwrap(), whole);
}

#[test]
fn caches_are_merged_compacted_and_told_of() {
    let place = Place::with_teacher();
    let text = String::from_utf8(place.read("text.txt")).unwrap();
    let documents: Vec<&str> = text.split("\n\n").collect();
    place.write("a.txt", documents[..60].join("\n\n"));
    place.write("b.txt", documents[40..].join("\n\n"));
    for name in ["a", "b", "text"] {
        let line = CAPTURE.replace("text.txt", &format!("{name}.txt"));
        place
            .stillflow(&format!(
                "{line} --dir run-{name} --set capture.dir=c-{name} --set capture.batch_tokens=1"
            ))
            .done();
    }
    place.stillflow("cache merge all c-a c-b").done();
    let expected = cache(&place, "c-text").digest().unwrap();
    assert_eq!(cache(&place, "all").digest().unwrap(), expected);
    let shards = cache(&place, "all").shards().len();
    place.stillflow("cache compact all --collect 0").done();
    assert_eq!(cache(&place, "all").digest().unwrap(), expected);
    assert!(cache(&place, "all").shards().len() < shards);
    let stat: Value =
        serde_json::from_str(&place.stillflow("cache stat all --format json").done()).unwrap();
    let (each, tokens) =
        (stat["bytes_per_token"].as_f64().unwrap(), stat["tokens"].as_u64().unwrap());
    assert_eq!(
        tokens,
        cache(&place, "all").entries().map(|e| u64::from(e.num_tokens)).sum::<u64>()
    );
    assert!(each > 10.0 && each < 1000.0, "{each}");
    assert_eq!(stat["sources"]["corpus"]["samples"], cache(&place, "all").len());
    let text = place.stillflow("cache stat all").done();
    assert!(text.contains("samples") && text.contains("corpus"), "{text}");
}

/// A copy of a cache in which the entries of each position are those of the one before.
fn shifted(from: &Cache, to: &Path) {
    let ids: Vec<_> = from.entries().map(|entry| entry.id).collect();
    let profile = from.shards().next().unwrap().1.profile;
    let mut writer = CacheWriter::open(to, from.identity(), profile).unwrap();
    for sample in from.read(&ids, None).unwrap() {
        let k = sample.entries(0).0.len();
        let mut moved = Scored::clone(&sample);
        moved.ids.rotate_right(k);
        moved.log_probs.rotate_right(k);
        // What was rounded when it was stored is made whole again.
        for position in 0..moved.num_positions() {
            let words: f64 =
                moved.entries(position).1.iter().map(|log| f64::from(*log).exp()).sum();
            moved.tail[position] = (1.0 - words).max(1e-6).ln() as f32;
        }
        writer.push(&moved).unwrap();
    }
    writer.commit().unwrap();
}

#[test]
fn the_teacher_is_asked_again_and_a_cache_whose_rows_are_shifted_does_not_pass() {
    let place = Place::with_teacher();
    capture(&place, "--dir cap").done();
    let verify = "--level 4 --teacher teacher --device cpu --format json";
    let good: Value =
        serde_json::from_str(&place.stillflow(&format!("cache verify logits {verify}")).done())
            .unwrap();
    let replay = &good["replay"];
    let number = |name: &str| replay[name].as_f64().unwrap();
    assert!(number("agreement") > 0.95 && number("kl") < number("limit"), "{replay}");
    assert!(number("control") > 10.0 * number("limit"), "the control fails: {replay}");
    // A random teacher is wide open: more is needed than is kept.
    assert!(good["recommended_k"].as_u64().unwrap() > 1, "{good:#}");
    let cuts = good["cuts"].as_array().unwrap();
    let masses: Vec<f64> = cuts.iter().map(|cut| cut["mass"].as_f64().unwrap()).collect();
    assert!(masses.is_sorted(), "{masses:?}");

    shifted(&cache(&place, "logits"), &place.at("shifted"));
    place.stillflow("cache verify shifted").done();
    let said = place.stillflow("cache verify shifted --level 3 --teacher teacher --device cpu");
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains("the teacher says something else"), "{}", said.stdout);
    place.stillflow("cache verify logits --level 3").refused(
        "error: verification has levels 0 to 4; 3 needs the teacher\n\nhint: `--teacher <directory>` names it\n",
    );
}

#[test]
fn duckdb_reads_the_values_by_the_query_that_is_printed() {
    let python = std::env::var("STILLFLOW_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import duckdb"]).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        println!("skipped: `{python}` has no duckdb");
        return;
    }
    let place = Place::with_teacher();
    capture(&place, "--dir cap").done();
    place.write("query.sql", place.stillflow("cache sql logits").done());
    let program = "import duckdb; q = open('query.sql').read()\n\
        for row in duckdb.sql(q).fetchall(): print('\\t'.join(map(str, row)))";
    let output =
        Command::new(&python).args(["-c", program]).current_dir(&place.path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let there = cache(&place, "logits");
    let mut ids: Vec<_> = there.entries().map(|entry| entry.id).collect();
    ids.sort_unstable();
    let mut expected = Vec::new();
    for sample in there.read(&ids, None).unwrap() {
        for position in 0..sample.num_positions() {
            let (words, log_probs) = sample.entries(position);
            for (word, log_prob) in words.iter().zip(log_probs) {
                expected.push((sample.id.to_string(), *word, *log_prob));
            }
        }
    }
    // Sorted by the sample's name, which is a blob there and hexadecimal here.
    assert_eq!(printed.lines().count(), expected.len());
    for (line, (id, word, log_prob)) in printed.lines().zip(&expected) {
        let cells: Vec<&str> = line.split('\t').collect();
        assert_eq!((cells[0], cells[4].parse::<u32>().unwrap()), (id.as_str(), *word));
        assert!((cells[5].parse::<f32>().unwrap() - log_prob).abs() < 1e-5, "{line}");
    }
}
