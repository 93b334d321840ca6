//! What it costs, beside DistillKit's encoding of the same rows. Run by
//! `cargo test --release -p datasets --lib -- logits::measure --ignored --nocapture`.
//!
//! The rows are not a model's: they are [`fixture::Teacher`]'s, with a vocabulary of 128,256 and some 60 % of the mass on the
//! first entry, as language models have it. The order of the encodings should hold; the sizes may be off by a tenth or two.

use std::sync::Arc;
use std::time::Instant;

use arrow_array::builder::{ListBuilder, UInt8Builder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::fixture::{self, Teacher};
use super::import::{self, DistillKit};
use super::stored::Row;
use super::*;
use crate::shard::SampleId;

const VOCAB: u32 = 128_256;
const WIDEST: usize = 128;

/// The 128 most probable entries of every position, the mass of the rest, and what threshold sampling keeps.
struct Rows {
    tokens: Vec<u32>,
    tops: Vec<(Vec<u32>, Vec<f32>, f64)>,
    kept: Vec<(Vec<u32>, Drawn)>,
    labels: Vec<f32>,
}

impl Rows {
    /// The same with a share of the ids replaced by any others: how common ids are is what a model decides, and what sizes
    /// hang on. Of a language model's entries some are the language's common words and some the place's own.
    fn scattered(&self, share: f64) -> Self {
        let tops = (0..).zip(&self.tops).map(|(position, (ids, log_probs, rest))| {
            let key = crate::random::mix(position ^ u64::from(self.tokens[1]) << 20);
            let place = |id: u32| crate::random::permute(id.into(), VOCAB.into(), key);
            let id = |id: &u32| {
                let draw = crate::random::mix(u64::from(*id) ^ key) >> 11;
                let is_moved = (draw as f64) < share * 53f64.exp2();
                if is_moved { u32::try_from(place(*id)).unwrap() } else { *id }
            };
            let mut seen = std::collections::HashSet::new();
            let fresh = |id: u32| (id..VOCAB).chain(0..id).find(|id| seen.insert(*id)).unwrap();
            (ids.iter().map(id).map(fresh).collect(), log_probs.clone(), *rest)
        });
        let (tokens, labels) = (self.tokens.clone(), self.labels.clone());
        Self { tops: tops.collect(), tokens, labels, kept: self.kept.clone() }
    }
}

fn rows(seed: u64, tokens: u32) -> Rows {
    let teacher = Teacher { vocab_size: VOCAB, seed };
    let identity = fixture::identity(VOCAB, &Profile::top(1));
    let mut real = teacher.sample(&identity, 1, 1, "web").tokens;
    let (mut tops, mut kept, mut labels) = (vec![], vec![], vec![]);
    for position in 0..u64::from(tokens) - 1 {
        let row = teacher.row(position);
        let (ids, log_probs, rest) = fixture::top(&row, WIDEST);
        let log_tau = sampling::log_threshold(&log_probs, rest, 14);
        let head = log_probs.iter().take_while(|log| **log >= log_tau).count();
        let mut drawn = ids[..head].to_vec();
        let offset = sampling::offset(SampleId([7; 16]), position + 1000 * seed);
        sampling::Systematic::new(log_tau, offset).tile(0, &row, &mut drawn);
        let count = u32::try_from(drawn.len() - head).unwrap();
        kept.push((drawn, Drawn { count, log_tau }));
        // What comes is drawn from the teacher, as text is.
        let mut u = sampling::offset(SampleId([9; 16]), position + 1000 * seed);
        let next = row.iter().position(|log| {
            u -= f64::from(*log).exp();
            u < 0.0
        });
        labels.push(row[next.unwrap_or(0)]);
        real.push(u32::try_from(next.unwrap_or(0)).unwrap());
        tops.push((ids, log_probs, rest));
    }
    Rows { tokens: real, tops, kept, labels }
}

/// The rows as a sample with so many entries.
#[expect(clippy::cast_possible_truncation, reason = "single precision")]
fn scored(rows: &Rows, identity: &Identity, k: usize) -> Scored {
    let mut scored = Scored {
        id: identity.sample_id(&rows.tokens),
        source: Arc::from("web"),
        tokens: rows.tokens.clone(),
        bounds: vec![0],
        ids: vec![],
        log_probs: vec![],
        tail: vec![],
        label: vec![],
        log_z: vec![],
        drawn: vec![],
    };
    for ((ids, log_probs, rest), (kept, drawn)) in rows.tops.iter().zip(&rows.kept) {
        let entries = if identity.sampled { kept.len() - drawn.count as usize } else { k };
        let dropped = log_probs[entries..].iter().map(|log| f64::from(*log).exp()).sum::<f64>();
        scored.log_probs.extend(&log_probs[..entries]);
        scored.tail.push((rest + dropped).ln() as f32);
        if identity.sampled {
            scored.ids.extend(kept);
            scored.log_probs.extend(vec![drawn.log_tau; drawn.count as usize]);
            scored.drawn.push(*drawn);
        } else {
            scored.ids.extend(&ids[..entries]);
        }
        scored.bounds.push(u32::try_from(scored.ids.len()).unwrap());
    }
    if identity.label {
        scored.label.clone_from(&rows.labels);
    }
    scored
}

/// KL of cells of a logarithm, the tail's the last, against others, which are normalised: they are codes.
fn divergence(p: &[f32], p_tail: f64, q: &[f32], q_tail: f64) -> f64 {
    let cells = p.iter().zip(q).map(|(p, q)| (f64::from(*p), f64::from(*q)));
    let cells: Vec<_> = cells.chain([(p_tail, q_tail)]).filter(|(p, _)| p.is_finite()).collect();
    let z: f64 = cells.iter().map(|(_, q)| q.exp()).sum();
    cells.iter().map(|(p, q)| p.exp() * (p - q + z.ln())).sum()
}

fn report(name: &str, bytes: f64, mut kls: Vec<f64>, rest: &str) {
    kls.sort_by(f64::total_cmp);
    let mean = kls.iter().sum::<f64>() / kls.len().max(1) as f64;
    let p99 = kls.get(kls.len() * 99 / 100).copied().unwrap_or(f64::NAN);
    println!("{name:<44}{bytes:>8.2} B/token   KL {mean:.1e} mean, {p99:.1e} p99   {rest}");
}

/// A cache of the rows in a profile.
fn ours(all: &[Rows], which: &str, name: &str, label: bool, level: u8) {
    let profile: Profile = name.parse().unwrap();
    let mut identity = fixture::identity(VOCAB, &profile);
    identity.label = label;
    let dir = tempfile::tempdir().unwrap();
    let sizes = Sizes { level, ..Sizes::default() };
    let mut writer = CacheWriter::with_sizes(dir.path(), &identity, profile, sizes).unwrap();
    let k = profile.most() as usize;
    let given: Vec<Scored> = all.iter().map(|rows| scored(rows, &identity, k)).collect();
    for sample in &given {
        writer.push(sample).unwrap();
    }
    writer.commit().unwrap();
    let cache = Cache::open(dir.path(), None).unwrap();
    let stat = stat(&cache).unwrap();
    let mut kls = vec![];
    for sample in given.iter().filter(|_| !identity.sampled) {
        let read = &cache.read(&[sample.id], None).unwrap()[0];
        for position in 0..read.num_positions() {
            let (_, q) = read.entries(position);
            let (_, p) = sample.entries(position);
            let cut: f64 = p[q.len()..].iter().map(|log| f64::from(*log).exp()).sum();
            let p_tail = (f64::from(sample.tail[position]).exp() + cut).ln();
            kls.push(divergence(&p[..q.len()], p_tail, q, f64::from(read.tail[position])));
        }
    }
    let columns = stat.columns.iter().filter(|column| column.bytes_per_token > 0.05);
    let columns: Vec<String> =
        columns.map(|c| format!("{} {:.1}", c.column, c.bytes_per_token)).collect();
    let name = format!("{name}{} zstd-{level}{which}", if label { " + label" } else { "" });
    let entries = stat.entries as f64 / stat.positions as f64;
    report(
        &name,
        stat.bytes_per_token,
        kls,
        &format!("{entries:.1} entries; {}", columns.join(", ")),
    );
}

#[test]
#[ignore = "it measures"]
fn what_a_token_takes_and_how_true_it_is() {
    let all: Vec<Rows> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|n| scope.spawn(move || (n * 12..n * 12 + 12).map(|s| rows(s, 256)).collect()))
            .collect();
        threads.into_iter().flat_map(|t| -> Vec<Rows> { t.join().unwrap() }).collect()
    });
    let positions = all.iter().flat_map(|rows| &rows.tops);
    let first: f32 = positions.clone().map(|(_, log_probs, _)| log_probs[0].exp()).sum();
    let mass = |k: usize| {
        let of = |(_, log_probs, _): &(Vec<u32>, Vec<f32>, f64)| {
            log_probs[..k].iter().map(|log| f64::from(*log).exp()).sum::<f64>()
        };
        positions.clone().map(of).sum::<f64>() / positions.clone().count() as f64
    };
    println!("{} samples of 256 tokens, vocabulary {VOCAB}", all.len());
    println!(
        "mass: first {:.3}, of 16 {:.3}, of 32 {:.3}, of 64 {:.3}",
        f64::from(first) / positions.clone().count() as f64,
        mass(16),
        mass(32),
        mass(64)
    );
    let half: Vec<Rows> = all.iter().map(|rows| rows.scattered(0.5)).collect();
    let whole: Vec<Rows> = all.iter().map(|rows| rows.scattered(1.0)).collect();
    for (name, label, level) in [
        ("k16", true, 3),
        ("k32", false, 3),
        ("k32", true, 3),
        ("k32", true, 19),
        ("k64", true, 3),
        ("exact", true, 3),
        ("top-p", true, 3),
        ("unbiased", false, 3),
    ] {
        ours(&all, "", name, label, level);
        if !name.starts_with('u') {
            ours(&half, ", half of the ids any", name, label, level);
            ours(&whole, ", all ids any", name, label, level);
        }
    }
    let f16 = |x: f32| {
        let bits = x.to_bits();
        f32::from_bits((bits + 0xfff + (bits >> 13 & 1)) & !0x1fff)
    };
    let halves = positions.clone().map(|(_, log_probs, _)| {
        let q: Vec<f32> = log_probs[..64].iter().map(|log| f16(*log)).collect();
        let tail = (1.0 - log_probs[..64].iter().map(|l| f64::from(*l).exp()).sum::<f64>()).ln();
        divergence(&log_probs[..64], tail, &q, tail)
    });
    report("(half floats, 64)", f64::NAN, halves.collect(), "");
    for (name, config) in [
        (
            "DistillKit 128, 16 exact",
            "d: 128256\nk: 128\nexact_k: 16\nexact_dtype: bfloat16\npolynomial_terms: [0, 1, 2, 3, 4, sqrt]\nterm_dtype: float32\nresidual_bins: []\ndelta_encoding: false",
        ),
        (
            "DistillKit 50, 1 exact",
            "d: 128256\nk: 50\nexact_k: 1\nexact_dtype: bfloat16\npolynomial_terms: [0, 1, 2, 3, 4, sqrt]\nterm_dtype: bfloat16\nresidual_bins: []\ndelta_encoding: false",
        ),
        (
            "DistillKit 32, all exact",
            "d: 128256\nk: 32\nexact_k: 32\nexact_dtype: float16\nresidual_bins: []\ndelta_encoding: false",
        ),
    ] {
        let config = DistillKit::parse(config).unwrap();
        let (bytes, kls) = distillkit(&all, &config);
        let tokens: usize = all.iter().map(|rows| rows.tokens.len()).sum();
        let raw = config.value_bytes() + (config.k * config.id_bits() as usize).div_ceil(8);
        report(name, bytes as f64 / tokens as f64, kls, &format!("{raw} before Parquet"));
    }
}

/// The rows as DistillKit writes them, snappy and all; and what its decoder makes of them, the tail by what is left of one.
fn distillkit(all: &[Rows], config: &DistillKit) -> (u64, Vec<f64>) {
    let mut tokens = ListBuilder::new(UInt64Builder::new());
    let nested = || ListBuilder::new(ListBuilder::new(UInt8Builder::new()));
    let (mut values, mut indices, mut kls) = (nested(), nested(), vec![]);
    for rows in all {
        rows.tokens.iter().for_each(|id| tokens.values().append_value(u64::from(*id)));
        tokens.append(true);
        for (ids, log_probs, rest) in &rows.tops {
            let (value, index) =
                import::pack::token(config, &ids[..config.k], &log_probs[..config.k]);
            let decoded = import::decode(config, &value, &index).unwrap();
            let q: Vec<f32> = decoded.iter().map(|(_, log)| *log).collect();
            let mass = |logs: &[f32]| logs.iter().map(|log| f64::from(*log).exp()).sum::<f64>();
            let p_tail = (rest + mass(&log_probs[config.k..])).ln();
            let q_tail = (1.0 - mass(&q)).max(1e-8).ln();
            kls.push(divergence(&log_probs[..config.k], p_tail, &q, q_tail));
            values.values().values().append_slice(&value);
            values.values().append(true);
            indices.values().values().append_slice(&index);
            indices.values().append(true);
        }
        values.append(true);
        indices.append(true);
    }
    let columns: [(&str, ArrayRef); 3] = [
        ("input_ids", Arc::new(tokens.finish())),
        ("compressed_logprobs", Arc::new(values.finish())),
        ("bytepacked_indices", Arc::new(indices.finish())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut bytes = vec![];
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    (bytes.len() as u64, kls)
}

#[test]
#[ignore = "it measures"]
fn how_fast_it_is_read_and_written() {
    let some: Vec<Rows> = (0..4).map(|seed| rows(seed, 256)).collect();
    for name in ["k32", "k64", "exact"] {
        let profile: Profile = name.parse().unwrap();
        let identity = fixture::identity(VOCAB, &profile);
        let k = profile.most() as usize;
        let dir = tempfile::tempdir().unwrap();
        let mut writer = CacheWriter::open(dir.path(), &identity, profile).unwrap();
        let mut samples: Vec<Scored> = some.iter().map(|rows| scored(rows, &identity, k)).collect();
        let begun = Instant::now();
        let (mut tokens, mut ids) = (0, vec![]);
        for n in 0..1600 {
            let sample = &mut samples[n % 4];
            sample.id = SampleId((n as u128).to_le_bytes());
            tokens += sample.tokens.len();
            ids.push(sample.id);
            writer.push(sample).unwrap();
        }
        writer.commit().unwrap();
        let wrote = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let cache = Arc::new(Cache::open(dir.path(), None).unwrap());
        let opened = begun.elapsed().as_secs_f64();
        let mut best = f64::INFINITY;
        let mut entries = 0;
        for _ in 0..3 {
            let begun = Instant::now();
            entries = 0;
            for group in cache.groups() {
                let samples = cache.read_group(group.shard, group.row_group, None).unwrap();
                entries += samples.iter().map(|sample| sample.ids.len()).sum::<usize>();
            }
            best = best.min(begun.elapsed().as_secs_f64());
        }
        let row = Row::encode(&samples[0], &profile, VOCAB).unwrap();
        let table = profile.values.table();
        let begun = Instant::now();
        for _ in 0..200 {
            std::hint::black_box(row.by_ref().decode(profile.values, &table, None).unwrap());
        }
        let floats =
            begun.elapsed().as_secs_f64() / 200.0 / row.by_ref().counts().sum::<u32>() as f64;
        let mut reader = Reader::new(Arc::clone(&cache), 1 << 28);
        let begun = Instant::now();
        for n in 0..200 {
            reader.get(ids[n * 7919 % ids.len()], Some(16)).unwrap();
        }
        let random = begun.elapsed().as_secs_f64() / 200.0;
        println!(
            "{name}: {tokens} tokens; written at {:.0} tokens/s; opened in {:.1} ms; read at {:.1} M entries/s on one core \
             (floats alone {:.0} M); at random {:.2} ms a sample",
            tokens as f64 / wrote,
            opened * 1e3,
            entries as f64 / best / 1e6,
            1e-6 / floats,
            random * 1e3
        );
    }
}

#[test]
#[ignore = "it measures"]
fn how_fast_a_million_samples_are_opened() {
    let profile = Profile::top(2);
    let identity = fixture::identity(500, &profile);
    let dir = tempfile::tempdir().unwrap();
    let mut writer = CacheWriter::open(dir.path(), &identity, profile).unwrap();
    let mut sample = Teacher { vocab_size: 500, seed: 1 }.sample(&identity, 4, 2, "web");
    for n in 0..1_000_000_u64 {
        let id = u128::from(crate::random::mix(n)) << 64 | u128::from(n);
        sample.id = SampleId(id.to_le_bytes());
        writer.push(&sample).unwrap();
    }
    writer.commit().unwrap();
    let begun = Instant::now();
    let cache = Cache::open(dir.path(), None).unwrap();
    let opened = begun.elapsed().as_secs_f64();
    assert_eq!(cache.len(), 1_000_000);
    println!("a million samples in {} row groups: opened in {opened:.2} s", cache.groups().len());
}
