//! Token shards: round trips, foreign layouts, and every way for a file to be wrong.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow_array::builder::{Int64Builder, LargeListBuilder, ListBuilder};
use arrow_array::types::{Int32Type, Int64Type, UInt16Type};
use arrow_array::{
    ArrayRef, FixedSizeListArray, Int32Array, LargeListArray, ListArray, RecordBatch, StringArray,
};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::TokenLists;
use crate::random::{below, stream};
use crate::store::{StoreError, digest_bytes, trial};

fn header(vocab_size: u32) -> Header {
    Header { tokenizer: digest_bytes(b"tokenizer"), vocab_size, bos_id: Some(1), eos_id: None }
}

fn samples(n: u64, vocab_size: u32) -> Vec<Sample> {
    (0..n)
        .map(|i| {
            let mut rng = stream(5, "samples", 0, i);
            let length = below(&mut rng, 90);
            let token = |_| u32::try_from(below(&mut rng, u64::from(vocab_size))).unwrap();
            let tokens = (0..length).map(token).collect();
            let (id, source) =
                (SampleId::of_text(&i.to_string()), format!("file-{}", i / 10).into());
            Sample { id, source, tokens, num_bytes: u32::try_from(i).unwrap() * 3 }
        })
        .collect()
}

fn write(dir: &Path, vocab_size: u32, shards: &[Vec<Sample>]) -> Vec<ShardEntry> {
    let entries: Vec<_> = shards
        .iter()
        .enumerate()
        .map(|(n, samples)| {
            let path = dir.join(format!("tokens-{n:05}.parquet"));
            let writer = ShardWriter::new(&path, &header(vocab_size)).unwrap();
            let mut writer = writer.with_row_group_tokens(1000);
            samples.iter().for_each(|sample| writer.push(sample).unwrap());
            writer.finish().unwrap()
        })
        .collect();
    write_manifest(dir, &header(vocab_size), &entries).unwrap();
    entries
}

#[test]
fn what_is_read_is_what_was_written_in_either_width() {
    for vocab_size in [300, 1 << 16, (1 << 16) + 1, 128_256, u32::MAX] {
        let dir = tempfile::tempdir().unwrap();
        let all = samples(200, vocab_size);
        let entries = write(dir.path(), vocab_size, &[all[..120].to_vec(), all[120..].to_vec()]);
        let shards = Shards::open(dir.path(), Some(digest_bytes(b"tokenizer"))).unwrap();
        assert_eq!((shards.len(), shards.header()), (2, &header(vocab_size)));
        assert_eq!(shards.entries().cloned().collect::<Vec<_>>(), entries);
        assert_eq!(shards.read(0).unwrap(), all[..120]);
        assert_eq!(shards.read_all().unwrap(), all);
        let tokens: usize = all.iter().map(|s| s.tokens.len()).sum();
        assert_eq!(entries.iter().map(ShardEntry::num_tokens).sum::<u64>(), tokens as u64);
        assert!(shards.num_row_groups(0) > 3);
        let max = all[..120].iter().flat_map(|s| &s.tokens).max();
        assert_eq!(entries[0].row_groups.iter().map(|g| g.max_id).max().as_ref(), max);
    }
}

#[test]
fn the_hashes_of_a_shard_cover_every_byte_once() {
    let dir = tempfile::tempdir().unwrap();
    let entry = write(dir.path(), 500, &[samples(100, 500)]).remove(0);
    let bytes = fs::read(dir.path().join(&entry.file)).unwrap();
    assert_eq!(entry.bytes, bytes.len() as u64);
    assert_eq!(entry.digest, digest_bytes(&bytes));
    let mut end = 0;
    for group in &entry.row_groups {
        assert_eq!(group.offset, end as u64);
        let start = end;
        end += usize::try_from(group.bytes).unwrap();
        assert_eq!(group.hash, Checksum::of(&bytes[start..end]));
    }
    assert_eq!(entry.footer, Checksum::of(&bytes[end..]));
}

#[test]
fn the_same_samples_make_the_same_bytes_and_an_empty_shard_is_one() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let shards = [samples(50, 500), vec![]];
    assert_eq!(write(a.path(), 500, &shards), write(b.path(), 500, &shards));
    let read = Shards::open(a.path(), None).unwrap();
    assert_eq!(read.read(1).unwrap(), []);
    assert!(matches!(read.read(2), Err(ShardError::NoSuch { shard: 2, .. })));
    assert!(matches!(read.read_row_group(0, 99), Err(ShardError::NoSuch { row_group: 99, .. })));
}

#[test]
fn a_flipped_byte_anywhere_is_an_error_and_never_other_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let entry = write(dir.path(), 500, &[samples(60, 500)]).remove(0);
    let path = dir.path().join(&entry.file);
    let good = fs::read(&path).unwrap();
    let mut rng = stream(1, "flips", 0, 0);
    let spots = (0..400).map(|_| usize::try_from(below(&mut rng, good.len() as u64)).unwrap());
    let edges = (0..8).chain(good.len() - 12..good.len());
    for at in spots.chain(edges) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        let error = Shards::open(dir.path(), None).and_then(|s| s.read(0)).unwrap_err();
        assert!(matches!(error, ShardError::Hash { .. }), "byte {at}: {error}");
    }
    for at in [0, 3, 4, 100, good.len() - 1] {
        fs::write(&path, &good[..at]).unwrap();
        let error = Shards::open(dir.path(), None).unwrap_err();
        assert!(matches!(error, ShardError::Size { .. }), "{error}");
    }
    fs::write(&path, [&good[..], b"x"].concat()).unwrap();
    assert!(matches!(Shards::open(dir.path(), None), Err(ShardError::Size { .. })));
    fs::write(&path, &good).unwrap();
    let shards = Shards::open(dir.path(), None).unwrap();
    fs::write(&path, &good[1..]).unwrap();
    assert!(matches!(shards.read(0), Err(ShardError::Io { .. })), "it changed after the opening");
    fs::remove_file(&path).unwrap();
    assert!(matches!(Shards::open(dir.path(), None), Err(ShardError::Io { .. })));
}

#[test]
fn a_manifest_that_does_not_fit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = Shards::open(dir.path(), None).unwrap_err();
    assert!(matches!(error, ShardError::Store { source: StoreError::Io { .. }, .. }), "{error}");
    let entries = write(dir.path(), 500, &[samples(60, 500)]);
    let error = Shards::open(dir.path(), Some(digest_bytes(b"other"))).unwrap_err();
    assert!(matches!(error, ShardError::OtherTokenizer { .. }), "{error}");

    let with = |change: &dyn Fn(&mut ShardEntry)| {
        let mut entry = entries[0].clone();
        change(&mut entry);
        write_manifest(dir.path(), &header(500), &[entry]).unwrap();
        Shards::open(dir.path(), None).and_then(|shards| shards.read(0)).unwrap_err()
    };
    let error = with(&|entry| entry.file = "../x.parquet".to_owned());
    assert!(matches!(error, ShardError::BadName { .. }), "{error}");
    let error = with(&|entry| entry.row_groups[1].rows += 1);
    assert!(
        matches!(error, ShardError::Inconsistent { what: "rows", row_group: 1, .. }),
        "{error}"
    );
    let error = with(&|entry| entry.row_groups[0].tokens -= 1);
    assert!(matches!(error, ShardError::Inconsistent { what: "tokens", .. }), "{error}");
    let error = with(&|entry| entry.row_groups[0].max_id += 1);
    assert!(matches!(error, ShardError::Inconsistent { .. }), "{error}");
    let error = with(&|entry| entry.row_groups[0].bytes = u64::MAX);
    assert!(matches!(error, ShardError::Size { .. }), "{error}");
    let error = with(&|entry| entry.row_groups.last_mut().unwrap().offset = u64::MAX);
    assert!(matches!(error, ShardError::Size { .. }), "{error}");
    write_manifest(dir.path(), &header(500), &[]).unwrap();
    assert!(matches!(Shards::open(dir.path(), None), Err(ShardError::Empty { .. })));
    // Tokens that are there, and not in the vocabulary that the manifest speaks of.
    write_manifest(dir.path(), &header(100), &entries).unwrap();
    let error = Shards::open(dir.path(), None).and_then(|shards| shards.read(0)).unwrap_err();
    assert!(matches!(error, ShardError::TokenOutOfRange { vocab_size: 100, .. }), "{error}");
}

#[test]
fn a_writer_refuses_what_the_vocabulary_lacks_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.parquet");
    let mut writer = ShardWriter::new(&path, &header(300)).unwrap();
    let mut sample = samples(1, 300).remove(0);
    sample.tokens = vec![5, 299];
    writer.push(&sample).unwrap();
    let wrong = Sample { tokens: vec![5, 6, 300], ..sample.clone() };
    let error = writer.push(&wrong).unwrap_err();
    assert!(matches!(error, ShardError::TokenOutOfRange { row: 1, position: 2, .. }), "{error}");
    let entry = writer.finish().unwrap();
    write_manifest(dir.path(), &header(300), &[entry]).unwrap();
    assert_eq!(Shards::open(dir.path(), None).unwrap().read(0).unwrap(), [sample]);
}

#[test]
fn whichever_operation_fails_there_is_no_shard_or_a_whole_one() {
    let all = samples(50, 500);
    for k in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.parquet");
        let failing = trial::Failing::on_this_thread(k);
        let result = ShardWriter::new(&path, &header(500)).and_then(|mut writer| {
            all.iter().try_for_each(|sample| writer.push(sample))?;
            writer.finish()
        });
        let all_done = failing.operations() < k;
        drop(failing);
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, usize::from(path.exists()), "operation {k} left a temporary file");
        if all_done {
            let entry = result.unwrap();
            assert_eq!(digest_bytes(&fs::read(&path).unwrap()), entry.digest);
            break;
        }
        assert!(result.is_err(), "operation {k} failed in silence");
    }
}

/// Takes in a file or folder of others, with its manifest elsewhere.
fn foreign(path: &Path, column: &str, vocab_size: u32) -> Result<Shards, ShardError> {
    let manifest = tempfile::tempdir().unwrap();
    let folder = LocalFolder(path.to_owned());
    let adopted = Shards::adopt(&folder, column, &header(vocab_size), manifest.path())?;
    let opened = Shards::open_in(manifest.path(), &folder, None)?;
    assert_eq!(opened.digest(), adopted.digest());
    for group in opened.groups() {
        let mut lists = TokenLists::default();
        opened.read_tokens(group.shard, group.row_group, &mut lists)?;
        let samples = opened.read_row_group(group.shard, group.row_group)?;
        let same = samples.iter().map(|sample| &*sample.tokens);
        assert!(same.eq((0..lists.len()).map(|row| lists.get(row))));
        let lengths = opened.lengths(group.shard, group.row_group)?;
        assert!(
            lengths
                .iter()
                .map(|length| *length as usize)
                .eq(samples.iter().map(|sample| sample.tokens.len()))
        );
    }
    Ok(adopted)
}

fn foreign_file(dir: &Path, name: &str, column: &str, array: ArrayRef) -> PathBuf {
    let path = dir.join(name);
    let batch = RecordBatch::try_from_iter_with_nullable([(column, array, true)]).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

#[test]
fn any_list_of_integers_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let rows = vec![Some(vec![Some(1), Some(2)]), Some(vec![]), Some(vec![Some(299)])];
    let wide: Vec<_> = rows
        .iter()
        .map(|r| r.as_ref().map(|r| r.iter().map(|v| v.map(i64::from)).collect::<Vec<_>>()))
        .collect();
    let narrow: Vec<_> = rows
        .iter()
        .map(|r| {
            r.as_ref()
                .map(|r| r.iter().map(|v| v.map(|v| u16::try_from(v).unwrap())).collect::<Vec<_>>())
        })
        .collect();
    let arrays: [ArrayRef; 3] = [
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows)),
        Arc::new(LargeListArray::from_iter_primitive::<Int64Type, _, _>(wide)),
        Arc::new(ListArray::from_iter_primitive::<UInt16Type, _, _>(narrow)),
    ];
    for array in arrays {
        let path = foreign_file(dir.path(), "x.parquet", "input_ids", array);
        let shards = foreign(&path, "input_ids", 300).unwrap();
        let tokens: Vec<_> = shards.read(0).unwrap().into_iter().map(|s| s.tokens).collect();
        assert_eq!(tokens, [vec![1, 2], vec![], vec![299]]);
        let same = foreign(dir.path(), "input_ids", 300).unwrap();
        assert_eq!(same.read(0).unwrap()[0].id, shards.read(0).unwrap()[0].id);
        let error = foreign(&path, "input_ids", 299).unwrap_err();
        assert!(
            matches!(error, ShardError::TokenOutOfRange { row: 2, position: 0, .. }),
            "{error}"
        );
    }
    let fixed = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
        [[1, 2], [3, 4]].map(|row| Some(row.map(Some))),
        2,
    );
    let path = foreign_file(dir.path(), "x.parquet", "ids", Arc::new(fixed));
    let samples = foreign(&path, "ids", 300).unwrap().read(0).unwrap();
    assert_eq!(samples[1].tokens, [3, 4]);
    assert_eq!(&*samples[1].source, "x.parquet");
}

#[test]
fn what_is_wrong_in_a_foreign_file_is_located() {
    let dir = tempfile::tempdir().unwrap();
    let open = |array: ArrayRef| {
        let path = foreign_file(dir.path(), "x.parquet", "ids", array);
        foreign(&path, "ids", 300).and_then(|shards| shards.read(0)).unwrap_err()
    };
    let list = |rows| Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows));
    let error = open(list(vec![Some(vec![Some(1)]), None]));
    assert!(matches!(error, ShardError::Null { row: 1, .. }), "{error}");
    let error = open(list(vec![Some(vec![Some(1)]), Some(vec![]), Some(vec![Some(1), None])]));
    assert!(matches!(error, ShardError::Null { row: 2, .. }), "{error}");
    let error = open(list(vec![Some(vec![Some(1), Some(-1)])]));
    assert!(matches!(error, ShardError::TokenOutOfRange { row: 0, position: 1, .. }), "{error}");
    let error = open(Arc::new(StringArray::from(vec!["1 2 3"])));
    assert!(matches!(error, ShardError::WrongType { .. }), "{error}");
    let error = open(Arc::new(Int32Array::from(vec![1])));
    assert!(matches!(error, ShardError::WrongType { .. }), "{error}");
    let mut huge = LargeListBuilder::new(Int64Builder::new());
    huge.values().append_value(1 << 40);
    huge.append(true);
    let error = open(Arc::new(huge.finish()));
    assert!(matches!(error, ShardError::TokenOutOfRange { .. }), "{error}");
    let mut nested = ListBuilder::new(ListBuilder::new(Int64Builder::new()));
    nested.append(true);
    let error = open(Arc::new(nested.finish()));
    assert!(matches!(error, ShardError::WrongType { .. }), "{error}");

    let path = foreign_file(dir.path(), "x.parquet", "other", Arc::new(Int32Array::from(vec![1])));
    match foreign(&path, "ids", 300).unwrap_err() {
        ShardError::MissingColumn { have, .. } => assert_eq!(have, ["other"]),
        error => panic!("{error}"),
    }
    fs::write(&path, "PAR1").unwrap();
    assert!(matches!(foreign(&path, "ids", 9), Err(ShardError::NotParquet { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(foreign(dir.path(), "ids", 9), Err(ShardError::Empty { .. })));
    assert!(matches!(foreign(&path, "ids", 9), Err(ShardError::Io { .. })));
}

#[test]
fn a_damaged_foreign_file_is_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let rows = (0..40).map(|n| Some((0..n).map(Some)));
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(rows);
    let path = foreign_file(dir.path(), "x.parquet", "ids", Arc::new(list));
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        if let Ok(samples) = foreign(&path, "ids", 300).and_then(|shards| shards.read(0)) {
            assert!(samples.iter().flat_map(|s| &s.tokens).all(|id| *id < 300));
        }
    }
}
