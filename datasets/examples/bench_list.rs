//! How fast token lists are read, one thread, from the page cache.
//!
//! ```text
//! cargo run --release -p datasets --example bench_list -- [million tokens = 64]
//! ```
#![expect(clippy::print_stdout, reason = "its table is what it is for")]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use datasets::TokenLists;
use datasets::random::{below, stream};
use datasets::shard::{
    Header, Layout, PageCompression, Sample, SampleId, ShardWriter, Shards, TokenEncoding,
    write_manifest,
};
use datasets::store::digest_bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const REPEATS: usize = 7;

fn main() {
    let millions = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(64);
    let samples = samples(millions * 1_000_000);
    let tokens: usize = samples.iter().map(|sample| sample.tokens.len()).sum();
    let flat: Vec<u32> = samples.iter().flat_map(|sample| sample.tokens.iter().copied()).collect();
    let mut buffer = vec![0; 1 << 18];
    row("memory_copy", tokens, 4.0, || {
        for part in flat.chunks(buffer.len()) {
            buffer[..part.len()].copy_from_slice(part);
            black_box(&buffer);
        }
    });
    drop(flat);
    let dir = tempfile::tempdir().expect("a folder");
    for (name, encoding, compression) in [
        ("list_plain", TokenEncoding::Plain, PageCompression::None),
        ("list_bss", TokenEncoding::ByteStreamSplit, PageCompression::None),
        ("list_bss_zstd", TokenEncoding::ByteStreamSplit, PageCompression::Zstd(1)),
        ("list_plain_zstd", TokenEncoding::Plain, PageCompression::Zstd(1)),
        ("list_bss_lz4", TokenEncoding::ByteStreamSplit, PageCompression::Lz4),
    ] {
        let layout = Layout { encoding, compression, ..Layout::default() };
        let (shards, bytes) = write(&dir.path().join(name), layout, &samples);
        let bytes = bytes / tokens as f64;
        let mut lists = TokenLists::default();
        row(name, tokens, bytes, || {
            for group in shards.groups() {
                lists.clear();
                shards.read_tokens(group.shard, group.row_group, &mut lists).expect("it is whole");
                black_box(&lists);
            }
        });
        let path = dir.path().join(name).join("tokens.parquet");
        row(&format!("{name} by arrow-rs"), tokens, bytes, || arrow(&path));
    }
}

fn row(name: &str, tokens: usize, bytes: f64, mut f: impl FnMut()) {
    let mut times: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let rate = |time: f64| tokens as f64 / time / 1e6;
    let (best, median) = (rate(times[0]), rate(times[REPEATS / 2]));
    println!("{name:28} {bytes:6.3} B/token {best:8.0} M tokens/s best {median:8.0} median");
}

/// Tokens as in text: the rank of a token is about as many times rarer.
fn samples(tokens: usize) -> Vec<Sample> {
    const VOCAB_SIZE: u64 = 32_000;
    let (mut samples, mut left) = (Vec::new(), tokens);
    for i in 0.. {
        if left == 0 {
            break;
        }
        let mut rng = stream(1, "bench", 0, i);
        let length = left.min(usize::try_from(1 + below(&mut rng, 2000)).expect("a length"));
        let token = |_| {
            let bits = below(&mut rng, 16);
            u32::try_from(below(&mut rng, 1 << bits).min(VOCAB_SIZE - 1)).expect("an id")
        };
        let tokens: Vec<u32> = (0..length).map(token).collect();
        left -= length;
        let id = SampleId::of_text(&i.to_string());
        samples.push(Sample { id, source: "bench".into(), tokens, num_bytes: 0 });
    }
    samples
}

fn write(dir: &Path, layout: Layout, samples: &[Sample]) -> (Shards, f64) {
    std::fs::create_dir_all(dir).expect("a folder");
    let (tokenizer, vocab_size) = (digest_bytes(b"bench"), 32_000);
    let header = Header { tokenizer, vocab_size, bos_id: None, eos_id: None };
    let path = dir.join("tokens.parquet");
    let mut writer = ShardWriter::with_layout(&path, &header, layout).expect("a shard");
    samples.iter().for_each(|sample| writer.push(sample).expect("a sample"));
    let entry = writer.finish().expect("a shard");
    let bytes = entry.bytes as f64;
    write_manifest(dir, &header, &[entry]).expect("a manifest");
    (Shards::open(dir, None).expect("shards"), bytes)
}

fn arrow(path: &Path) {
    let file = std::fs::File::open(path).expect("a file");
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
    let mask = ProjectionMask::roots(builder.parquet_schema(), [2]);
    for batch in builder.with_projection(mask).with_batch_size(256).build().expect("a reader") {
        black_box(batch.expect("a batch"));
    }
}
