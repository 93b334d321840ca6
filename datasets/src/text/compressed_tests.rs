//! Compressed files against the plain ones, and every way for them to be wrong.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::cursor::Cursor;
use super::*;
use crate::random::{below, stream};

/// The text in pieces of `frame` bytes, each a member or frame of its own.
fn gzip(text: &[u8], frame: usize) -> Vec<u8> {
    let one = |piece: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(piece).unwrap();
        encoder.finish().unwrap()
    };
    if text.is_empty() { one(text) } else { text.chunks(frame).flat_map(one).collect() }
}

fn zstd(text: &[u8], frame: usize, says_size: bool) -> Vec<u8> {
    let one = |piece: &[u8]| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.include_contentsize(says_size).unwrap();
        if says_size {
            encoder.set_pledged_src_size(Some(piece.len() as u64)).unwrap();
        }
        encoder.write_all(piece).unwrap();
        encoder.finish().unwrap()
    };
    if text.is_empty() { one(text) } else { text.chunks(frame).flat_map(one).collect() }
}

fn spec(dir: &Path, name: &str, split: &Split) -> CorpusSpec {
    let path = dir.join(name).to_str().unwrap().to_owned();
    CorpusSpec { split: split.clone(), ..CorpusSpec::new(path) }
}

/// Text and place of all documents, by one reader in order.
fn in_order(corpus: &Corpus) -> Result<Vec<(String, u64)>, TextError> {
    let mut reader = corpus.reader();
    let chunks: Result<Vec<_>, _> = (0..corpus.num_chunks()).map(|n| reader.chunk(n)).collect();
    Ok(chunks?.concat().into_iter().map(|d| (d.text, d.at)).collect())
}

fn all(spec: &CorpusSpec, chunk_bytes: u64) -> Result<Vec<(String, u64)>, TextError> {
    in_order(&Corpus::open_chunked(spec, chunk_bytes)?)
}

fn splits() -> impl Iterator<Item = Split> {
    let delimiters = ["<>", "\n\n"].map(|d| Split::Delimiter(d.to_owned()));
    [Split::BlankLine, Split::Line, Split::File].into_iter().chain(delimiters)
}

#[test]
fn compressed_files_hold_the_documents_of_the_plain_one_in_chunks_and_frames_of_any_size() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut rng = stream(1, "compressed", 0, 0);
    let letters = ["a", "é", "\n", "\r\n", " ", "<>", "<", "\n\n"];
    for round in 0..12 {
        let mark = if round % 3 == 0 { "\u{feff}" } else { "" };
        let letter = |_| letters[usize::try_from(below(&mut rng, 8)).unwrap()];
        let text = mark.to_owned() + &(0..60).map(letter).collect::<String>();
        fs::write(dir.join("x.txt"), &text).unwrap();
        for frame in [1, 2, 7, 1000] {
            fs::write(dir.join("x.txt.gz"), gzip(text.as_bytes(), frame)).unwrap();
            fs::write(dir.join("x.txt.zst"), zstd(text.as_bytes(), frame, true)).unwrap();
            fs::write(dir.join("y.txt.zst"), zstd(text.as_bytes(), frame, false)).unwrap();
            for split in splits() {
                let expected = all(&spec(dir, "x.txt", &split), u64::MAX).unwrap_or_default();
                for chunk in [1, 2, 3, 5, 11, 1000] {
                    for name in ["x.txt.gz", "x.txt.zst", "y.txt.zst"] {
                        let found = all(&spec(dir, name, &split), chunk).unwrap();
                        assert_eq!(found, expected, "{name} {split:?} {chunk} {frame} {text:?}");
                    }
                }
            }
        }
    }
}

/// About 6 MB of documents of very different lengths, one of them longer than a chunk.
fn long_text() -> String {
    let mut rng = stream(2, "compressed", 0, 0);
    let mut text = String::new();
    for n in 0..3000 {
        let words = if n == 700 { 900_000 } else { below(&mut rng, 500) };
        for word in 0..words {
            text += if word % 17 == 16 {
                "\n"
            } else {
                ["one ", "of ", "them "][usize::try_from(word % 3).unwrap()]
            };
        }
        text += "\n \n\n";
    }
    text
}

#[test]
fn any_chunk_alone_in_any_order_is_what_it_is_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text = long_text();
    fs::write(dir.join("x.txt"), &text).unwrap();
    fs::write(dir.join("a.txt.zst"), zstd(text.as_bytes(), 1_300_000, true)).unwrap();
    fs::write(dir.join("b.txt.zst"), zstd(text.as_bytes(), usize::MAX, false)).unwrap();
    fs::write(dir.join("c.txt.gz"), gzip(text.as_bytes(), 100_000)).unwrap();
    let plain = Corpus::open(&spec(dir, "x.txt", &Split::BlankLine)).unwrap();
    let plain: Vec<Vec<(String, u64)>> = (0..plain.num_chunks())
        .map(|n| plain.chunk(n).unwrap().into_iter().map(|d| (d.text, d.at)).collect())
        .collect();
    assert!(plain.len() > 5 && plain.iter().any(Vec::is_empty), "one lies within a document");
    for name in ["a.txt.zst", "b.txt.zst", "c.txt.gz"] {
        let corpus = Corpus::open(&spec(dir, name, &Split::BlankLine)).unwrap();
        assert_eq!(corpus.num_chunks(), plain.len());
        let mut reader = corpus.reader();
        let order = (0..plain.len()).chain((0..plain.len()).rev()).chain([3, 3, 0, 5, 4]);
        for n in order {
            let found = reader.chunk(n).unwrap();
            let found: Vec<_> = found.into_iter().map(|d| (d.text, d.at)).collect();
            assert!(found == plain[n], "{name}, chunk {n}");
        }
    }
}

#[test]
fn many_files_read_by_turns_are_each_right() {
    let dir = tempfile::tempdir().unwrap();
    let text = |n: usize| format!("of {n}\n").repeat(400);
    for n in 0..7 {
        let name = dir.path().join(format!("{n}.txt.zst"));
        fs::write(name, zstd(text(n).as_bytes(), 500, n % 2 == 0)).unwrap();
    }
    let corpus = Corpus::open_chunked(&spec(dir.path(), "", &Split::Line), 100).unwrap();
    let mut files = vec![String::new(); 7];
    let mut reader = corpus.reader();
    let chunks = corpus.num_chunks() / 7;
    assert_eq!(chunks, text(0).len().div_ceil(100));
    for turn in 0..chunks {
        for (n, file) in files.iter_mut().enumerate() {
            let index = n * chunks + turn;
            assert_eq!(corpus.file_of(index), Some(n));
            for document in reader.chunk(index).unwrap() {
                *file += &format!("{}\n", document.text);
            }
        }
    }
    (0..7).for_each(|n| assert_eq!(files[n], text(n)));
    assert_eq!(corpus.file_of(corpus.num_chunks()), None);
}

#[test]
fn json_lines_are_known_by_their_names_and_their_errors_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let lines = "{\"text\": \"a\"}\n\n{\"text\": \"b\\nc\"}\r\n{\"text\": \"é\"}";
    for name in ["a.jsonl.gz", "b.JSON.GZ"] {
        fs::write(dir.join(name), gzip(lines.as_bytes(), 9)).unwrap();
    }
    for name in ["c.jsonl.zst", "d.json.zst"] {
        fs::write(dir.join(name), zstd(lines.as_bytes(), 9, true)).unwrap();
    }
    fs::write(dir.join("e.json"), "{}").unwrap();
    fs::write(dir.join("f.parquet.gz"), "").unwrap();
    let corpus = Corpus::open(&spec(dir, "", &Split::BlankLine)).unwrap();
    assert_eq!(corpus.files().count(), 4, "neither settings nor compressed Parquet");
    let texts: Vec<_> = in_order(&corpus).unwrap().into_iter().map(|(text, _)| text).collect();
    assert_eq!(texts, ["a", "b\nc", "é"].repeat(4));
    let bad = "{\"text\": \"x\"}\n".repeat(50) + "{\"text\": 1}\n{\"text\": \"x\"}";
    fs::write(dir.join("bad.jsonl.gz"), gzip(bad.as_bytes(), 100)).unwrap();
    match all(&spec(dir, "bad.jsonl.gz", &Split::Line), 64).unwrap_err() {
        TextError::WrongField { line: 51, found: "a number", path, .. } => {
            assert!(path.ends_with("bad.jsonl.gz"));
        }
        other => panic!("{other}"),
    }
    fs::write(dir.join("bad.txt.zst"), zstd(b"fine\n\nnot \xff utf-8", 3, true)).unwrap();
    let error = all(&spec(dir, "bad.txt.zst", &Split::BlankLine), 4).unwrap_err();
    assert!(matches!(error, TextError::NotUtf8 { offset: 10, .. }), "{error}");
}

#[test]
fn what_is_not_compressed_or_is_cut_is_an_error_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text = "some words of text\n".repeat(20);
    let goods = [
        ("x.txt.gz", gzip(text.as_bytes(), 100)),
        ("x.txt.zst", zstd(text.as_bytes(), 100, true)),
        ("y.txt.zst", zstd(text.as_bytes(), 100, false)),
    ];
    for (name, good) in goods {
        let spec = spec(dir, name, &Split::Line);
        for content in [&b""[..], b"just text, as it is", &[0; 40]] {
            fs::write(dir.join(name), content).unwrap();
            match all(&spec, 64).unwrap_err() {
                TextError::BadStream { path, offset, .. } => {
                    assert!(path.ends_with(name) && offset <= 10, "{offset}");
                }
                other => panic!("{other}"),
            }
        }
        let mut whole = 0;
        for cut in 0..good.len() {
            fs::write(dir.join(name), &good[..cut]).unwrap();
            match all(&spec, 64) {
                Err(TextError::BadStream { offset, .. }) => assert!(offset <= cut as u64),
                Err(other) => panic!("{other}"),
                // A cut between frames cannot be seen.
                Ok(found) => {
                    whole += 1;
                    assert!(found.len() < 20);
                }
            }
        }
        assert_eq!(whole, text.len().div_ceil(100) - 1, "{name}");
        fs::write(dir.join(name), [&good[..], b"garbage behind it"].concat()).unwrap();
        let error = all(&spec, 64).unwrap_err();
        let at = good.len() as u64..=good.len() as u64 + 17;
        assert!(matches!(error, TextError::BadStream { offset, .. } if at.contains(&offset)));
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text: String = (0..200).map(|n| format!("line {n} of the text\n")).collect();
    fs::write(dir.join("x.txt"), &text).unwrap();
    let expected = all(&spec(dir, "x.txt", &Split::Line), 512).unwrap();
    for (name, good) in [
        ("x.txt.gz", gzip(text.as_bytes(), 2000)),
        ("x.txt.zst", zstd(text.as_bytes(), 2000, true)),
        ("y.txt.zst", zstd(text.as_bytes(), 2000, false)),
    ] {
        let mut errors = 0;
        for bit in (0..good.len() * 8).step_by(3) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(dir.join(name), &bad).unwrap();
            match all(&spec(dir, name, &Split::Line), 512) {
                Err(_) => errors += 1,
                Ok(found) => assert!(found == expected, "{name}, bit {bit}"),
            }
        }
        assert!(errors * 8 > good.len() * 8 / 3 * 7, "{name}: {errors}");
    }
}

#[test]
fn sizes_that_cannot_be_and_bombs_are_refused_without_being_held() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // A raw block of nothing, in a frame that says 2^60 bytes.
    let mut lie = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    lie.extend((1u64 << 60).to_le_bytes());
    lie.extend([1, 0, 0]);
    fs::write(dir.join("lie.txt.zst"), &lie).unwrap();
    let error = Corpus::open(&spec(dir, "lie.txt.zst", &Split::Line)).unwrap_err();
    assert!(matches!(error, TextError::BadStream { offset: 0, .. }), "{error}");
    // The same with a size that could be, had the frame blocks.
    lie[5..13].copy_from_slice(&400_000u64.to_le_bytes());
    fs::write(dir.join("lie.txt.zst"), &lie).unwrap();
    assert!(all(&spec(dir, "lie.txt.zst", &Split::Line), 1 << 20).is_err());

    let zeros = vec![b'x'; 8 << 20];
    for (name, bomb) in [
        ("bomb.txt.zst", zstd(&zeros, usize::MAX, true)),
        ("bomb.txt.gz", gzip(&zeros, zeros.len())),
    ] {
        assert!(bomb.len() < zeros.len() / 50);
        fs::write(dir.join(name), bomb).unwrap();
        let found = files::find(dir.join(name).to_str().unwrap(), Format::Auto).unwrap();
        let frames = frames::of_files(&found).unwrap().remove(0).unwrap();
        let codec = found[0].codec.unwrap();
        let mut cursor = Cursor::open(&found[0], codec, &frames, 0, &Split::Line).unwrap();
        cursor.most = 3 << 20;
        let error = cursor.read(&found[0], &frames, &(0..1 << 20), &Split::Line).unwrap_err();
        assert!(matches!(error, TextError::TooLong { offset: 0, most: 0x30_0000, .. }), "{error}");
        // A chunk in the middle of it owns nothing, and is read without holding what is before it.
        let mut cursor = Cursor::open(&found[0], codec, &frames, 0, &Split::Line).unwrap();
        cursor.most = 3 << 20;
        let range = 5 << 20..6 << 20;
        let found = cursor.read(&found[0], &frames, &range, &Split::Line).unwrap();
        assert_eq!(found, Some(Vec::new()));
    }
}

#[test]
fn a_compressed_file_that_changes_its_length_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.txt.gz");
    fs::write(&path, gzip(b"one", 9)).unwrap();
    let corpus = Corpus::open(&spec(dir.path(), "x.txt.gz", &Split::Line)).unwrap();
    fs::write(&path, gzip(b"one and more", 9)).unwrap();
    assert!(matches!(corpus.chunk(0), Err(TextError::Changed { .. })));
}
