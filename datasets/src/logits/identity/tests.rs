//! What is the same, what differs, and how it is said.

use std::fs;
use std::path::Path;

use super::super::Profile;
use super::super::fixture;
use super::difference::NAMED;
use super::*;

const TOKENIZER: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [
    {"id": 1, "content": "</s>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}],
    "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
    "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "the": 2, "fox": 3, "quick": 4}, "unk_token": "<unk>"}}"#;

fn tokenizer(dir: &Path, name: &str, text: &str) -> TokenizerIdentity {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    TokenizerIdentity::load(&path).unwrap()
}

fn said(a: &TokenizerIdentity, b: &TokenizerIdentity) -> Vec<String> {
    let mut all = Differences::default();
    a.compare(b, &mut all);
    all.0.iter().map(ToString::to_string).collect()
}

#[test]
fn a_tokenizer_of_another_file_that_does_the_same_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let a = tokenizer(dir.path(), "a.json", TOKENIZER);
    // Other white space, another order, and keys that are not there.
    let again = TOKENIZER
        .replace(r#""<unk>": 0, "the": 2"#, "\n\n\"the\": 2, \"<unk>\": 0")
        .replace(r#""padding": null, "#, "");
    let b = tokenizer(dir.path(), "b.json", &again);
    assert_ne!(a.file, b.file);
    assert_eq!(a.fingerprint(), b.fingerprint());
    assert_eq!(said(&a, &b), [] as [String; 0]);
    let mut identities = [(); 2].map(|()| fixture::identity(5, &Profile::top(4)));
    (identities[0].tokenizer, identities[1].tokenizer) = (a, b);
    let [a, b] = identities;
    assert_eq!(a.differences(&b), []);
    assert_eq!(a.fingerprint(), b.fingerprint());
    assert_eq!(a.sample_id(&[1, 2]), b.sample_id(&[1, 2]));
    assert_eq!(a.provenance_differences(&b)[0].what, "tokenizer.file");
}

#[test]
fn tokenizers_that_differ_in_a_token_or_in_a_rule_are_told_apart_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let a = tokenizer(dir.path(), "a.json", TOKENIZER);
    let swapped = TOKENIZER.replace("\"the\": 2, \"fox\": 3", "\"the\": 3, \"fox\": 2");
    let said_of = |text: &str| said(&a, &tokenizer(dir.path(), "b.json", text));
    let differences = said_of(&swapped);
    assert_eq!(differences[0], "tokenizer.tokens.2: expected \"the\", found \"fox\"");
    assert!(differences[2].starts_with("tokenizer on "), "{differences:?}");
    // The same table, walked by another rule: only the texts tell.
    let rule = TOKENIZER.replace(r#""normalizer": null"#, r#""normalizer": {"type": "Lowercase"}"#);
    let differences = said_of(&rule);
    assert_eq!(differences.len(), 1, "{differences:?}");
    assert!(
        differences[0].contains("texts, as \"The the.\\n\": expected [0 0], found [2 0]"),
        "{differences:?}"
    );
    let larger = TOKENIZER.replace("\"quick\": 4", "\"quick\": 4, \"dog\": 5");
    assert!(said_of(&larger)[0].contains("tokenizer.size: expected 5, found 6"));
}

#[test]
fn real_tokenizers_are_themselves_and_no_other() {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    if !data.is_dir() {
        eprintln!("skipped: the folder of real inputs is absent");
        return;
    }
    let load = |name: &str| TokenizerIdentity::load(&data.join(name)).unwrap();
    let a = load("tokenizers/gpt-neox-olmo-dolma-v1_5_tokenizer.json");
    let b = load("tokenizers/dolma2_tokenizer.json");
    assert_eq!(said(&a, &a), [] as [String; 0]);
    let differences = said(&a, &b);
    assert!(differences.iter().any(|text| text.starts_with("tokenizer.size")), "{differences:?}");
    assert!(differences.len() < 9 && differences.iter().all(|text| text.len() < 300));
    assert!(serde_json::to_string(&b).unwrap().len() < 1 << 17, "it fits in a file for people");
}

#[test]
fn there_are_about_a_thousand_probes_and_they_are_what_they_were() {
    let probes = probes();
    assert!((800..1200).contains(&probes.len()), "{}", probes.len());
    let digest = digest_bytes(probes.join("\u{1}").as_bytes()).to_string();
    assert_eq!(&digest[..16], PINNED, "a change of a probe makes every cache another's");
}

const PINNED: &str = "0b38127998c78c90";

#[test]
fn a_teacher_is_its_tensors_and_its_configuration_however_its_files_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        r#"{"hidden_size": 2, "rope_theta": 1e4, "torch_dtype": "bfloat16", "_name_or_path": "x"}"#;
    let model = |name: &str, config: &str, files: &[(&str, &[(&str, [u8; 4])])]| {
        let dir = dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("config.json"), config).unwrap();
        for (file, tensors) in files {
            let mut header = serde_json::Map::new();
            let mut bytes = vec![];
            for (name, data) in *tensors {
                let offsets = [bytes.len(), bytes.len() + 4];
                let entry =
                    serde_json::json!({"dtype": "BF16", "shape": [2], "data_offsets": offsets});
                header.insert((*name).to_owned(), entry);
                bytes.extend_from_slice(data);
            }
            let header = serde_json::to_vec(&header).unwrap();
            let mut all = (header.len() as u64).to_le_bytes().to_vec();
            all.extend_from_slice(&header);
            all.extend_from_slice(&bytes);
            fs::write(dir.join(file), all).unwrap();
        }
        Teacher::of_directory(&dir).unwrap()
    };
    let (a, b) = (("a", [1, 2, 3, 4]), ("b", [5, 6, 7, 8]));
    let one = model("one", config, &[("model.safetensors", &[a, b])]);
    let two = model(
        "two",
        r#"{"rope_theta": 10000.0, "hidden_size": 2, "use_cache": true, "sliding_window": null}"#,
        &[("model-2.safetensors", &[a]), ("model-1.safetensors", &[b])],
    );
    assert_eq!(one.fingerprint(), two.fingerprint());
    let other = model("other", config, &[("model.safetensors", &[a, ("b", [5, 6, 7, 9])])]);
    let mut all = Differences::default();
    one.compare(&other, &mut all);
    assert_eq!(all.0.len(), 1);
    assert!(
        all.0[0].to_string().starts_with("teacher.tensors.b: expected BF16 [2] "),
        "{}",
        all.0[0]
    );
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(Teacher::of_directory(&empty).unwrap_err().to_string().contains("config.json"));
    fs::write(empty.join("config.json"), "{}").unwrap();
    assert!(Teacher::of_directory(&empty).unwrap_err().to_string().contains("safetensors"));
    for bytes in [&b"short"[..], &[255; 16], &[9, 0, 0, 0, 0, 0, 0, 0, b'{']] {
        fs::write(empty.join("x.safetensors"), bytes).unwrap();
        let error = Teacher::of_directory(&empty).unwrap_err().to_string();
        assert!(error.contains("x.safetensors"), "{error}");
    }
}

#[test]
fn every_part_of_an_identity_counts_and_many_differences_are_counted_not_listed() {
    let profile = Profile::top(8);
    let good = fixture::identity(100, &profile);
    assert_eq!(good.differences(&good), []);
    let changes: [(&str, &dyn Fn(&mut Identity)); 9] = [
        ("template, line 2", &|i| i.template = "a\nc".to_owned()),
        ("context", &|i| i.context.push('x')),
        ("vocab_size", &|i| i.vocab_size += 1),
        ("values", &|i| i.values = ValueCode::Fixed16),
        ("sampled", &|i| i.sampled = true),
        ("label", &|i| i.label = true),
        ("temperatures", &|i| i.temperatures = vec![2.0]),
        ("tokenizer.bos_id", &|i| i.tokenizer.bos_id = None),
        ("teacher.extra.adapter", &|i| {
            i.teacher.extra.insert("adapter".to_owned(), "x".to_owned());
        }),
    ];
    for (what, change) in changes {
        let mut expected = good.clone();
        expected.template = "a\nb".to_owned();
        let mut other = expected.clone();
        change(&mut other);
        let differences = expected.differences(&other);
        assert_eq!(differences.len(), 1, "{what}");
        assert_eq!(differences[0].what, what);
        assert_ne!(expected.fingerprint(), other.fingerprint(), "{what}");
    }
    let mut other = good.clone();
    for n in 0..50 {
        other.teacher.add_tensor(&format!("t{n:02}"), "F32", &[1], digest_bytes(b""));
    }
    let differences = good.differences(&other);
    assert_eq!(differences.len(), NAMED + 1);
    assert!(differences[NAMED].to_string().contains("47 more"), "{}", differences[NAMED]);
    assert_ne!(good.sample_id(&[1, 2]), good.sample_id(&[2, 1]));
    let mut bad = good.clone();
    bad.temperatures = vec![0.5];
    assert!(bad.check().unwrap_err().to_string().contains("further temperature is 0.5"));
    bad.vocab_size = 0;
    assert!(bad.check().is_err());
}
