//! Corpora in chunks against a plain reading of whole files, and every way for a file to be wrong.

use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::builder::{ListBuilder, StringBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &[u8])]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, bytes) in files {
            let path = folder.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn spec(&self, name: &str) -> CorpusSpec {
        CorpusSpec::new(self.path(name).to_str().unwrap())
    }
}

fn documents(corpus: &Corpus) -> Result<Vec<Document>, TextError> {
    let chunks: Result<Vec<_>, _> = (0..corpus.num_chunks()).map(|i| corpus.chunk(i)).collect();
    Ok(chunks?.concat())
}

fn texts(spec: &CorpusSpec) -> Result<Vec<String>, TextError> {
    Ok(documents(&Corpus::open(spec)?)?.into_iter().map(|d| d.text).collect())
}

fn write_parquet(folder: &Folder, name: &str, column: &str, array: ArrayRef, group_rows: usize) {
    let batch = RecordBatch::try_from_iter([(column, array)]).unwrap();
    let file = fs::File::create(folder.path(name)).unwrap();
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_folder_is_read_by_extension_in_the_order_of_its_names() {
    let folder = Folder::with(&[
        ("b/2.txt", b"two\n\nthree"),
        ("a.jsonl", b"{\"text\": \"one\", \"n\": 1}\n\n"),
        ("c.md", b"four"),
        ("d.csv", b"not text"),
        (".hidden.txt", b"no"),
        ("_SUCCESS.txt", b"no"),
        ("_tmp/x.txt", b"no"),
        ("empty.txt", b""),
    ]);
    let array: ArrayRef = Arc::new(StringArray::from(vec!["five", "", "six", "seven"]));
    write_parquet(&folder, "d.parquet", "text", array, 3);
    let corpus = Corpus::open(&folder.spec("")).unwrap();
    let found = documents(&corpus).unwrap();
    let found: Vec<_> = found.iter().map(|d| (&*d.text, &*d.source, d.at)).collect();
    assert_eq!(
        found,
        [
            ("one", "a.jsonl", 0),
            ("two", "b/2.txt", 0),
            ("three", "b/2.txt", 5),
            ("four", "c.md", 0),
            ("five", "d.parquet", 0),
            ("six", "d.parquet", 2),
            ("seven", "d.parquet", 3),
        ]
    );
    assert_eq!(corpus.num_chunks(), 5, "three files of one chunk, and two row groups");
    assert!(matches!(corpus.chunk(5), Err(TextError::NoChunk { index: 5, chunks: 5 })));
    let mut reader = corpus.reader();
    let empty: u64 = (0..corpus.num_chunks()).map(|n| reader.read(n).unwrap().num_empty).sum();
    assert_eq!(empty, 1, "the blank row is counted, blank lines between documents are not");
    let glob = texts(&folder.spec("*/*.txt")).unwrap();
    assert_eq!(glob, ["no", "two", "three"], "a glob means what it says");
}

#[test]
fn chunks_of_any_size_give_the_same_documents() {
    let text = "\u{feff}one\r\nmore\r\n\r\ntwo\n\n\n  three é\n<|end|>four\nfive";
    let lines = "{\"text\": \"a\"}\n\n{\"text\": \"b\\nc\"}\r\n{\"text\": \"é\"}";
    let folder = Folder::with(&[("a.txt", text.as_bytes()), ("b.jsonl", lines.as_bytes())]);
    let delimiters = ["<|end|>", "\n\n"].map(|d| Split::Delimiter(d.to_owned()));
    for split in [Split::BlankLine, Split::Line, Split::File].into_iter().chain(delimiters) {
        let spec = CorpusSpec { split, ..folder.spec("") };
        let whole = documents(&Corpus::open(&spec).unwrap()).unwrap();
        assert!(whole.len() > 3 && whole[0].at == 3 && !whole[0].text.starts_with('\u{feff}'));
        for chunk_bytes in 1..100 {
            let corpus = Corpus::open_chunked(&spec, chunk_bytes).unwrap();
            assert_eq!(documents(&corpus).unwrap(), whole, "{:?}, {chunk_bytes}", spec.split);
        }
    }
}

#[test]
fn real_text_is_the_same_in_chunks_of_any_size() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/text");
    if !Path::new(path).is_dir() {
        eprintln!("skipped: the folder of real inputs is absent");
        return;
    }
    for (name, least) in
        [("tinystories_train.txt", 1000), ("wiki_demo.txt", 30), ("c4_demo.jsonl", 300)]
    {
        let split = if name == "wiki_demo.txt" { Split::Line } else { Split::BlankLine };
        let spec = CorpusSpec { split, ..CorpusSpec::new(format!("{path}/{name}")) };
        let whole = documents(&Corpus::open_chunked(&spec, u64::MAX).unwrap()).unwrap();
        assert!(whole.len() >= least, "{name}: {}", whole.len());
        let corpus = Corpus::open_chunked(&spec, 10_007).unwrap();
        assert!(corpus.num_chunks() > 20);
        assert!(documents(&corpus).unwrap() == whole, "{name}");
    }
}

#[test]
fn every_kind_of_text_column_reads_the_same() {
    let folder = Folder::with(&[]);
    let words = ["a", "b", "a", "c", "a"];
    let mut dictionary = StringDictionaryBuilder::<Int32Type>::new();
    words.iter().for_each(|word| dictionary.append_value(word));
    let arrays: [ArrayRef; 4] = [
        Arc::new(StringArray::from(words.to_vec())),
        Arc::new(LargeStringArray::from(words.to_vec())),
        Arc::new(StringViewArray::from(words.to_vec())),
        Arc::new(dictionary.finish()),
    ];
    for array in arrays {
        write_parquet(&folder, "x.parquet", "body", array, 2);
        let spec = CorpusSpec { field: "body".to_owned(), ..folder.spec("x.parquet") };
        assert_eq!(texts(&spec).unwrap(), words);
    }
}

#[test]
fn a_pattern_that_gives_nothing_is_named() {
    let folder = Folder::with(&[("a/x.csv", b"1,2"), ("b/x.txt", b""), ("c/x.txt", b"")]);
    for pattern in ["absent", "absent/*.txt", "a"] {
        let error = Corpus::open(&folder.spec(pattern)).unwrap_err();
        assert!(matches!(error, TextError::NoFiles { .. }), "{error}");
        assert!(error.to_string().contains(pattern));
    }
    let error = Corpus::open(&folder.spec("*/*.txt")).unwrap_err();
    assert!(matches!(error, TextError::Empty { files: 2, .. }), "{error}");
    let error = Corpus::open(&folder.spec("a/x.csv")).unwrap_err();
    assert!(matches!(error, TextError::UnknownFormat { .. }), "{error}");
    let error = Corpus::open(&folder.spec("a***")).unwrap_err();
    assert!(matches!(error, TextError::BadPattern { .. }), "{error}");
    let spec = CorpusSpec { split: Split::Delimiter(String::new()), ..folder.spec("") };
    assert!(matches!(Corpus::open(&spec), Err(TextError::EmptyDelimiter)));
    let spec = CorpusSpec { format: Format::Txt, ..folder.spec("a/x.csv") };
    assert_eq!(texts(&spec).unwrap(), ["1,2"], "a format that is named needs no extension");
}

#[test]
fn what_is_wrong_in_a_text_is_located() {
    let folder = Folder::with(&[
        ("a.txt", b"fine\n\nnot \xff utf-8"),
        ("json.jsonl", b"{\"text\": \"x\"}\n\n{\"text\": \n"),
        ("array.jsonl", b"[1]"),
        ("field.jsonl", b"{\"text\": \"x\"}\n{\"body\": \"x\"}"),
        ("type.jsonl", b"{\"text\": \"x\"}\n{\"text\": \"x\"}\n{\"text\": [1]}"),
        ("bytes.jsonl", b"{\"text\": \"\xff\"}"),
    ]);
    let error = |name: &str| texts(&folder.spec(name)).unwrap_err();
    assert!(matches!(error("a.txt"), TextError::NotUtf8 { offset: 10, .. }));
    assert!(matches!(error("json.jsonl"), TextError::BadJson { line: 3, .. }));
    assert!(matches!(error("array.jsonl"), TextError::BadJson { line: 1, .. }));
    assert!(matches!(error("field.jsonl"), TextError::MissingField { line: 2, .. }));
    assert!(matches!(
        error("type.jsonl"),
        TextError::WrongField { line: 3, found: "an array", .. }
    ));
    assert!(matches!(error("bytes.jsonl"), TextError::BadJson { line: 1, .. }));
}

#[test]
fn what_is_wrong_in_a_parquet_file_is_located() {
    let folder = Folder::with(&[("text.parquet", b"just text"), ("nothing.parquet", b"")]);
    let nulls: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("b"), None]));
    write_parquet(&folder, "null.parquet", "text", nulls, 2);
    write_parquet(&folder, "int.parquet", "text", Arc::new(Int64Array::from(vec![1])), 2);
    write_parquet(&folder, "other.parquet", "body", Arc::new(Int64Array::from(vec![1])), 2);
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.values().append_value("nested");
    lists.append(true);
    write_parquet(&folder, "list.parquet", "text", Arc::new(lists.finish()), 2);
    let error = |name: &str| texts(&folder.spec(name)).unwrap_err();
    match error("list.parquet") {
        TextError::WrongType { found, .. } => assert!(found.starts_with("List("), "{found}"),
        other => panic!("{other}"),
    }
    assert!(matches!(error("text.parquet"), TextError::NotParquet { .. }));
    assert!(matches!(error("nothing.parquet"), TextError::NotParquet { .. }));
    assert!(matches!(error("null.parquet"), TextError::Null { row: 2, .. }));
    assert!(matches!(error("int.parquet"), TextError::WrongType { .. }));
    match error("other.parquet") {
        TextError::MissingColumn { have, .. } => assert_eq!(have, ["body"]),
        other => panic!("{other}"),
    }
}

#[test]
fn a_damaged_parquet_file_is_never_a_panic() {
    let folder = Folder::with(&[]);
    let words: Vec<String> = (0..50).map(|n| format!("document {n}")).collect();
    write_parquet(&folder, "x.parquet", "text", Arc::new(StringArray::from(words)), 20);
    let good = fs::read(folder.path("x.parquet")).unwrap();
    let mut errors = 0;
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(folder.path("x.parquet"), &bad).unwrap();
        errors += u32::from(texts(&folder.spec("x.parquet")).is_err());
        fs::write(folder.path("x.parquet"), &good[..at]).unwrap();
        assert!(texts(&folder.spec("x.parquet")).is_err(), "cut at {at}");
    }
    assert!(errors > 50, "most of a footer's bytes matter: {errors}");
}

#[test]
fn a_file_that_changes_its_length_is_noticed_and_a_corpus_is_known_by_its_content() {
    let folder = Folder::with(&[("a/x.txt", b"one"), ("b/x.txt", b"one"), ("c/x.txt", b"two")]);
    let print = |name: &str| Corpus::open(&folder.spec(name)).unwrap().fingerprint().unwrap();
    assert_eq!(print("a"), print("b"), "where the folder lies does not matter");
    assert_ne!(print("a"), print("c"));
    assert_ne!(print("a"), print("*/x.txt"));
    let corpus = Corpus::open(&folder.spec("a")).unwrap();
    fs::write(folder.path("a/x.txt"), "one more").unwrap();
    assert!(matches!(corpus.chunk(0), Err(TextError::Changed { expected: 3, found: 8, .. })));
}
