//! Real tokenizers against the released version of the library, and every way for a file to be wrong.

use std::path::{Path, PathBuf};

use super::*;

/// The folder of real inputs, if it is there.
fn data() -> Option<PathBuf> {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    if !dir.is_dir() {
        eprintln!("skipped: the folder of real inputs is absent");
        return None;
    }
    Some(dir.to_owned())
}

const WORDS: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [
    {"id": 1, "content": "</s>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}],
    "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
    "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "a": 2, "b": 3, "z": 9}, "unk_token": "<unk>"}}"#;

fn load(files: &[(&str, &str)]) -> Result<Tokenizer, TokenizerError> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    Tokenizer::load(dir.path())
}

#[test]
fn real_text_decodes_to_itself() {
    let Some(data) = data() else { return };
    let texts = ["text/tinystories_train.txt", "text/wiki_demo.txt", "text/tinyshakespeare.txt"];
    for tokenizer in [
        "weights/stories260K",
        "weights/TinyStories-656K",
        "tokenizers/tinystories_bpe4096_tokenizer.json",
        "tokenizers/gpt-neox-olmo-dolma-v1_5_tokenizer.json",
        "tokenizers/dolma2_tokenizer.json",
    ] {
        let loaded = Tokenizer::load(&data.join(tokenizer)).unwrap();
        for text in texts {
            let text = fs::read_to_string(data.join(text)).unwrap();
            let text: String = text.chars().take(20_000).collect();
            let ids = loaded.encode(&text).unwrap();
            assert!(ids.iter().all(|id| *id < loaded.vocab_size()));
            let decoded = loaded.decode(&ids).unwrap();
            // Two of the vocabularies were made on stories alone, and lack letters of other texts.
            let narrow = tokenizer.contains("656K") || tokenizer.contains("4096");
            if !narrow || (tokenizer.contains("4096") && text.is_ascii()) {
                assert_eq!(decoded, text, "{tokenizer}");
            } else {
                let kept = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
                let (decoded, text) = (kept(&decoded), kept(&text));
                let same = text.iter().filter(|word| decoded.contains(word)).count();
                assert!(
                    same * 100 > text.len() * 85,
                    "{tokenizer}: {same} of {} words",
                    text.len()
                );
            }
        }
    }
}

/// 64-bit FNV-1a, as `golden/make_ids.py` has it.
fn fnv(bytes: impl IntoIterator<Item = u8>) -> String {
    let step = |digest: u64, byte| (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step))
}

#[test]
fn ids_are_those_of_the_released_tokenizers() {
    let Some(data) = data() else { return };
    let golden: Value = serde_json::from_str(include_str!("../golden/ids.json")).unwrap();
    let text = fs::read_to_string(data.join("text/tinystories_train.txt")).unwrap();
    let text: String = text.chars().take(20_000).collect();
    let wiki = fs::read_to_string(data.join("text/wiki_demo.txt")).unwrap();
    let odd = "  two  spaces\t\ttab \u{a0} é漢字 🙂 </s><s> <|endoftext|> <|end_story|>\r\n\n\n123,456.789";
    let documents = || text.split("\n\n").chain(wiki.split('\n').take(3)).chain([odd, "", " "]);
    let tokenizers = golden.as_object().unwrap().iter().filter(|(name, _)| *name != "version");
    for (name, expected) in tokenizers {
        let ours = Tokenizer::load(&data.join(name)).unwrap();
        assert_eq!(u64::from(ours.vocab_size()), expected["vocab_size"], "{name}");
        let words = (0..ours.vocab_size())
            .filter_map(|id| Some(format!("{id} {}\n", ours.id_to_token(id)?)));
        assert_eq!(fnv(words.collect::<String>().bytes()), expected["vocab"], "{name}");
        let rows = expected["documents"].as_array().unwrap();
        assert_eq!(rows.len(), documents().count(), "{name}");
        for (document, row) in documents().zip(rows) {
            let ids = ours.encode(document).unwrap();
            let decoded = ours.decode(&ids).unwrap();
            let found = serde_json::json!([
                ids.len(),
                fnv(ids.iter().flat_map(|id| id.to_le_bytes())),
                fnv(decoded.bytes())
            ]);
            assert_eq!(found, *row, "{name}: {document:?}");
        }
    }
}

#[test]
fn models_know_their_first_and_last_token() {
    let Some(data) = data() else { return };
    let stories = Tokenizer::load(&data.join("weights/stories260K")).unwrap();
    assert_eq!((stories.bos_id(), stories.eos_id(), stories.vocab_size()), (Some(1), Some(2), 512));
    let tiny = Tokenizer::load(&data.join("weights/TinyStories-656K/tokenizer.json")).unwrap();
    assert_eq!((tiny.bos_id(), tiny.eos_id(), tiny.vocab_size()), (Some(1), Some(2), 2048));
    assert_ne!(stories.fingerprint(), tiny.fingerprint());
    assert_eq!(tiny.id_to_token(2), Some("<|end_story|>"));
    let spelled = tiny.encode("the end <|end_story|>").unwrap();
    assert!(!spelled.contains(&2), "text that spells a special token is text");
}

#[test]
fn the_files_beside_a_tokenizer_name_its_special_tokens() {
    let bare = load(&[("tokenizer.json", WORDS)]).unwrap();
    assert_eq!((bare.bos_id(), bare.eos_id(), bare.vocab_size()), (None, None, 10));
    let file = ("tokenizer.json", WORDS);
    let config = ("config.json", r#"{"bos_token_id": 2, "eos_token_id": [1, 3]}"#);
    let map = ("special_tokens_map.json", r#"{"eos_token": {"content": "b"}}"#);
    let own = ("tokenizer_config.json", r#"{"bos_token": null, "eos_token": "z"}"#);
    let of = |files: &[_]| load(files).map(|t| (t.bos_id(), t.eos_id())).unwrap();
    assert_eq!(of(&[file, config]), (Some(2), Some(1)));
    assert_eq!(of(&[file, config, map]), (Some(2), Some(3)));
    assert_eq!(of(&[file, config, map, own]), (None, Some(9)));
    for wrong in [r#"{"eos_token": "absent"}"#, r#"{"eos_token": true}"#, r#"{"bos_token": {}}"#] {
        let result = load(&[file, ("tokenizer_config.json", wrong)]);
        assert!(matches!(result, Err(TokenizerError::UnknownSpecial { .. })), "{wrong}");
    }
    let result = load(&[file, ("config.json", r#"{"eos_token_id": 4}"#)]);
    assert!(matches!(result, Err(TokenizerError::UnknownSpecial { .. })), "an id without a token");
}

#[test]
fn an_equal_mapping_in_another_file_has_the_same_fingerprint() {
    let one = load(&[("tokenizer.json", WORDS)]).unwrap();
    let value: Value = serde_json::from_str(WORDS).unwrap();
    let other =
        load(&[("tokenizer.json", &serde_json::to_string_pretty(&value).unwrap())]).unwrap();
    assert_eq!(one.fingerprint(), other.fingerprint());
    let swapped = WORDS.replace(r#""a": 2, "b": 3"#, r#""b": 2, "a": 3"#);
    let third = load(&[("tokenizer.json", &swapped)]).unwrap();
    assert_ne!(one.fingerprint(), third.fingerprint());
    assert_eq!(one.encode("a z b c").unwrap(), [2, 9, 3, 0]);
}

#[test]
fn a_file_that_is_no_tokenizer_is_an_error() {
    assert!(matches!(load(&[]), Err(TokenizerError::Io { .. })));
    assert!(matches!(load(&[("tokenizer.json", "{")]), Err(TokenizerError::BadJson { .. })));
    for text in [
        "[]",
        "{}",
        "7",
        r#"{"model": {}}"#,
        r#"{"model": {"type": "WordLevel", "vocab": {"a": -1}}}"#,
        &WORDS.replace(r#""b": 3"#, r#""b": 2"#),
        &WORDS.replace(r#""b": 3"#, r#""b": 4294967295"#),
        &WORDS.replace(r#""id": 1"#, r#""id": "1""#),
        &WORDS.replace("WordLevel", "Nonsense"),
        &WORDS.replace("WhitespaceSplit", "Nonsense"),
    ] {
        let result = load(&[("tokenizer.json", text)]);
        assert!(result.is_err(), "{text}");
    }
}
