//! From files to a report, as a program outside would do it: real text, plain and compressed, by several readers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test stops at what it did not expect"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

use datasets::near::{Signature, bands};
use datasets::report::{CorpusReport, Kept};
use datasets::shard::{Sample, SampleId};
use datasets::text::{Corpus, CorpusSpec, LongDocuments, cut};
use datasets::tokenizer::Tokenizer;

fn data(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: the folder of real inputs is absent");
    None
}

fn open(path: &Path) -> Corpus {
    Corpus::open_chunked(&CorpusSpec::new(path.to_str().unwrap()), 100_000).unwrap()
}

/// Texts and places of a corpus, read by workers that take every third chunk.
fn by_three(corpus: &Corpus) -> Vec<(String, u64)> {
    let mut chunks = vec![Vec::new(); corpus.num_chunks()];
    let read = &|worker: usize| {
        let mut reader = corpus.reader();
        let mine = (worker..corpus.num_chunks()).step_by(3);
        mine.map(|n| (n, reader.chunk(n).unwrap())).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|n| scope.spawn(move || read(n))).collect();
        for worker in workers {
            for (n, documents) in worker.join().unwrap() {
                chunks[n] = documents.into_iter().map(|d| (d.text, d.at)).collect();
            }
        }
    });
    chunks.concat()
}

#[test]
fn real_text_is_the_same_plain_or_compressed_by_any_number_of_readers() {
    for name in ["text/tinystories_train.txt", "text/c4_demo.jsonl"] {
        let Some(path) = data(name) else { return };
        let text = fs::read(&path).unwrap();
        let extension = path.extension().unwrap().to_str().unwrap();
        let plain = open(&path);
        let expected = by_three(&plain);
        assert!(expected.len() >= 300);
        let dir = tempfile::tempdir().unwrap();
        let zst = dir.path().join(format!("x.{extension}.zst"));
        fs::write(&zst, zstd::encode_all(&text[..], 1).unwrap()).unwrap();
        let gz = dir.path().join(format!("x.{extension}.gz"));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&text).unwrap();
        fs::write(&gz, encoder.finish().unwrap()).unwrap();
        for compressed in [zst, gz] {
            let corpus = open(&compressed);
            assert_eq!(corpus.num_chunks(), plain.num_chunks());
            assert!(by_three(&corpus) == expected, "{}", compressed.display());
        }
    }
}

#[test]
fn a_corpus_is_tokenised_cut_and_reported() {
    let (Some(text), Some(tokenizer)) =
        (data("text/tinystories_train.txt"), data("tokenizers/tinystories_bpe4096_tokenizer.json"))
    else {
        return;
    };
    let tokenizer = Tokenizer::load(&tokenizer).unwrap();
    let corpus = open(&text);
    let mut report = CorpusReport::default();
    let (mut seen, mut bytes) = (BTreeSet::new(), 0);
    let mut reader = corpus.reader();
    for n in 0..corpus.num_chunks() {
        // Each chunk's report by itself, as workers make them.
        let mut part = CorpusReport::default();
        let chunk = reader.read(n).unwrap();
        part.source("stories").count_empty(chunk.num_empty);
        for document in chunk.documents() {
            let id = SampleId::of_text(document.text);
            if !seen.insert(id) {
                part.source("stories").count_exact_duplicate();
                continue;
            }
            let tokens = tokenizer.encode(document.text).unwrap();
            let num_bytes = u32::try_from(document.text.len()).unwrap();
            bytes += u64::from(num_bytes);
            let too_long = tokens.len() > 200;
            let sample = Sample { id, source: document.source.clone(), tokens, num_bytes };
            for (n, sample) in cut(sample, 200, LongDocuments::Split).iter().enumerate() {
                part.unigrams.count(&sample.tokens);
                part.source("stories").count(Kept {
                    bytes: sample.num_bytes.into(),
                    tokens: sample.tokens.len() as u64,
                    too_long: too_long && n == 0,
                    held_out: false,
                });
            }
        }
        report.add(&part);
    }
    let total = report.total();
    assert_eq!(total.bytes, bytes, "splitting loses no byte");
    assert_eq!(report.unigrams.total(), total.tokens);
    assert!(total.length_histogram.len() <= 9, "none is longer than 200 tokens");
    let per_token = total.bytes_per_token().unwrap();
    assert!((3.0..5.0).contains(&per_token), "{per_token}");
    let entropy = report.unigrams.entropy_bits();
    assert!((6.0..12.0).contains(&entropy), "{entropy}, at most log2(4096)");
    assert!(report.text().contains("stories"));
}

#[test]
fn a_story_with_a_changed_word_is_a_candidate_and_another_story_is_not() {
    let Some(path) = data("text/c4_demo.jsonl") else { return };
    let documents = by_three(&open(&path));
    let long = |text: &&String| text.split_whitespace().count() > 150;
    let texts: Vec<&String> = documents.iter().map(|(text, _)| text).filter(long).collect();
    assert!(texts.len() > 100);
    let meet = |a: &str, b: &str| bands(a).iter().zip(bands(b)).any(|(a, b)| *a == b);
    let mut found = 0;
    for (n, text) in texts.iter().enumerate() {
        let mut words: Vec<&str> = text.split_whitespace().collect();
        let middle = words.len() / 2;
        words[middle] = "changed";
        found += usize::from(meet(text, &words.join(" ")));
        let other = texts[(n + 1) % texts.len()];
        let likeness = Signature::of(text).estimate(&Signature::of(other));
        assert!(likeness < 0.6, "{n}: {likeness}");
    }
    assert!(found * 100 >= texts.len() * 99, "{found} of {}", texts.len());
}
