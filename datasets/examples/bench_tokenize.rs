//! What our path from a file to ids costs beside the tokenizer alone.
//!
//! ```text
//! cargo run --release -p datasets --example bench_tokenize -- <text> <tokenizer.json> [threads]
//! ```
//!
//! Both give the ids of the same documents on as many threads. Alone: documents that lie in memory, a buffer a thread,
//! nothing but `encode_into`. Ours: each chunk read from the file, split, checked to be UTF-8, encoded to a list that is
//! handed over. Batch: the call that the crate has for users, which takes texts and divides them among the processors
//! itself; its texts are made before the clock starts, [`BATCH`] chunks at a time. By turns, best of seven. The time is the wall's and, where Linux tells it, the threads' own on a processor:
//! that one means something on a busy machine, too.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use datasets::text::{Corpus, CorpusSpec};
use datasets::tokenizer::Tokenizer;
use tokenizers::pipeline::{EncodeOptions, Override, PipelineToken, PipelineTokenizer};

const TURNS: usize = 7;
/// Chunks of a batch: some 64 MiB.
const BATCH: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(text), Some(path)) = (args.next(), args.next()) else {
        return Err("expected a text, a tokenizer.json, and how many threads".into());
    };
    let threads = match args.next() {
        Some(threads) => threads.parse()?,
        None => thread::available_parallelism()?.get(),
    };
    let corpus = Corpus::open(&CorpusSpec::new(text))?;
    let mut chunks = Vec::new();
    let mut reader = corpus.reader();
    for n in 0..corpus.num_chunks() {
        let documents = reader.chunk(n)?;
        chunks.push(documents.into_iter().map(|document| document.text).collect::<Vec<_>>());
    }
    let bytes: usize = chunks.iter().flatten().map(String::len).sum();
    let mut json = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    tokenizers::canonicalize_value(&mut json)?;
    let alone = tokenizers::from_json(&json.to_string()).map_err(|e| e.to_string())?;
    let options = &EncodeOptions {
        add_special_tokens: false,
        encode_special_tokens: true,
        padding: Override::Off,
        truncation: Override::Off,
    };
    let ours = Tokenizer::load(Path::new(&path))?;

    let mut best = [f64::MAX; 3];
    let mut own = [f64::MAX; 3];
    let mut tokens = [0; 2];
    let mut batch = f64::MAX;
    for _ in 0..TURNS {
        let (seconds, cpu, count) = on(threads, chunks.len(), || {
            let (alone, chunks) = (alone.clone(), &chunks);
            let mut ids: Vec<PipelineToken> = Vec::new();
            move |n: usize| {
                let mut count = 0;
                for text in &chunks[n] {
                    ids.clear();
                    alone.encode_into(text, options, &mut ids).map_err(|e| e.to_string())?;
                    count += ids.len();
                }
                Ok(count)
            }
        })?;
        (best[0], own[0], tokens[0]) = (best[0].min(seconds), own[0].min(cpu), count);
        let (seconds, cpu, count) = on(threads, chunks.len(), || {
            let (mut reader, ours) = (corpus.reader(), ours.clone());
            move |n: usize| {
                let documents = reader.chunk(n).map_err(|e| e.to_string())?;
                let encode = |text: &str| ours.encode(text).map_err(|e| e.to_string());
                let ids: Result<Vec<_>, _> = documents.iter().map(|d| encode(&d.text)).collect();
                Ok(ids?.iter().map(Vec::len).sum())
            }
        })?;
        (best[1], own[1], tokens[1]) = (best[1].min(seconds), own[1].min(cpu), count);
        let (seconds, cpu, _) = on(threads, chunks.len(), || {
            let mut reader = corpus.reader();
            move |n: usize| Ok(reader.chunk(n).map_err(|e| e.to_string())?.len())
        })?;
        (best[2], own[2]) = (best[2].min(seconds), own[2].min(cpu));
        let (seconds, count) = in_batches(&alone, options, &chunks)?;
        if count != tokens[0] {
            return Err(format!("{} tokens alone, {count} in batches", tokens[0]).into());
        }
        batch = batch.min(seconds);
    }
    if tokens[0] != tokens[1] {
        return Err(format!("{} tokens alone, {} by us", tokens[0], tokens[1]).into());
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{bytes} bytes, {} tokens, {threads} threads", tokens[0])?;
    let rates = |seconds: f64| {
        let (bytes, tokens) = (bytes as f64 / 1e6 / seconds, tokens[0] as f64 / 1e6 / seconds);
        format!("{bytes:.1} MB/s, {tokens:.2} M tokens/s")
    };
    writeln!(out, "tokenizer alone: {}", rates(best[0]))?;
    writeln!(out, "our path:        {}", rates(best[1]))?;
    writeln!(out, "batch call:      {}", rates(batch))?;
    writeln!(
        out,
        "ratio:           {:.3} to alone, {:.3} to batch",
        best[0] / best[1],
        batch / best[1]
    )?;
    writeln!(out, "reading alone:   {:.1} MB/s", bytes as f64 / 1e6 / best[2])?;
    if own[0] > 0.0 {
        let rate = |seconds: f64| bytes as f64 / 1e6 / seconds;
        let (alone, ours, reading) = (rate(own[0]), rate(own[1]), rate(own[2]));
        writeln!(
            out,
            "a processor:     {alone:.1} alone, {ours:.1} ours, {reading:.1} reading MB/s"
        )?;
        writeln!(out, "ratio of those:  {:.3}", own[0] / own[1])?;
    }
    Ok(())
}

/// The seconds and the tokens of the crate's own call for many texts.
fn in_batches(
    tokenizer: &PipelineTokenizer,
    options: &EncodeOptions,
    chunks: &[Vec<String>],
) -> Result<(f64, u64), String> {
    let (mut seconds, mut tokens) = (0.0, 0);
    for chunks in chunks.chunks(BATCH) {
        let texts: Vec<String> = chunks.iter().flatten().cloned().collect();
        let start = Instant::now();
        let encodings = tokenizer.encode(texts, options).wait().map_err(|e| e.to_string())?;
        seconds += start.elapsed().as_secs_f64();
        tokens += encodings.iter().map(|encoding| encoding.ids().len() as u64).sum::<u64>();
    }
    Ok((seconds, tokens))
}

/// Gives numbers below `n` to threads, each with its own worker. The seconds, those that
/// the threads were on a processor, and the sum of what they answer.
fn on<W: FnMut(usize) -> Result<usize, String> + Send>(
    threads: usize,
    n: usize,
    worker: impl Fn() -> W,
) -> Result<(f64, f64, u64), String> {
    let (next, sum, cpu) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let workers: Vec<W> = (0..threads).map(|_| worker()).collect();
    let run = &|mut worker: W| {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= n {
                cpu.fetch_add(on_processor(), Ordering::Relaxed);
                return Ok::<(), String>(());
            }
            sum.fetch_add(worker(at)? as u64, Ordering::Relaxed);
        }
    };
    let start = Instant::now();
    thread::scope(|scope| {
        let spawn = |worker| scope.spawn(move || run(worker));
        let handles: Vec<_> = workers.into_iter().map(spawn).collect();
        for handle in handles {
            handle.join().map_err(|_| "a thread panicked".to_owned())??;
        }
        Ok::<_, String>(())
    })?;
    Ok((start.elapsed().as_secs_f64(), cpu.into_inner() as f64 / 1e9, sum.into_inner()))
}

/// For how many nanoseconds this thread was on a processor; 0 where that is not known.
fn on_processor() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or(0)
}
