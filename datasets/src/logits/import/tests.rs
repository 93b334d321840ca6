//! DistillKit's bytes, written by hand as its own code writes them.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, UInt8Builder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ArrowWriter;

use super::super::{Cache, fixture, verify};
use super::pack::{float, pack};
use super::*;

/// What DistillKit's README recommends, at a smaller size; and one of every other kind.
const CONFIGS: [&str; 4] = [
    "d: 500\nk: 16\nexact_k: 16\nexact_dtype: float32\npolynomial_terms: null\nterm_dtype: float32\nresidual_bins: []\ndelta_encoding: false\n",
    "d: 500\ndelta_encoding: false\nerror_diffusion: false\nexact_dtype: bfloat16\nexact_k: 8\nk: 24\nnormalize_t: false\npolynomial_terms:\n- 0\n- 1\n- 2\n- 3\n- 4\n- sqrt\nresidual_bins: []\nterm_dtype: float32\n",
    "# by hand\nd: 500   # ids\nk: 24\nexact_k: 4\nexact_dtype: float16\npolynomial_terms: [0, 1, sqrt]\nterm_dtype: float16\nresidual_bins:\n  - element_bits: 5\n    num_elements: 7\n    scale_dtype: float16\n  - scale_dtype: bfloat16\n    element_bits: 8\n    num_elements: 10\ndelta_encoding: false\nnormalize_t: true\n",
    "d: 500\nk: 12\nexact_k: 12\nexact_dtype: float64\nresidual_bins: []\ndelta_encoding: true\n",
];

/// A token as DistillKit stores it: coefficients are given, not fitted, and the entries are what they make.
fn token(config: &DistillKit, ids: &[u32], log_probs: &[f32]) -> (Vec<u8>, Vec<u8>, Vec<f32>) {
    let mut stored: Vec<f64> = log_probs.iter().map(|x| f64::from(*x)).collect();
    if config.delta {
        let before = stored.clone();
        (1..stored.len()).for_each(|n| stored[n] -= before[n - 1]);
    }
    let mut values: Vec<u8> =
        stored[..config.exact_k].iter().flat_map(|x| float(config.exact, *x)).collect();
    let mut expected = log_probs[..config.exact_k].to_vec();
    // A straight line down from the last exact entry, in the first two terms.
    let from = f64::from(log_probs[config.exact_k - 1]) - 0.125;
    for (n, _) in config.terms.iter().enumerate() {
        values.extend(float(
            config.term,
            match n {
                0 => from,
                1 => -0.25,
                _ => 0.0,
            },
        ));
    }
    let places = config.k - config.exact_k;
    let mut place = 0;
    for bin in &config.bins {
        values.extend(float(bin.scale, 0.0625));
        // The middle number is a residual of zero; the first place of each bin has one of -1/8.
        let mut numbers = vec![1 << (bin.bits - 1); bin.entries];
        numbers[0] -= 2;
        values.extend(pack(&numbers, bin.bits));
        place += bin.entries;
    }
    assert!(place <= places);
    let mut starts: Vec<usize> = vec![];
    config.bins.iter().fold(0, |at, bin| {
        starts.push(at);
        at + bin.entries
    });
    for n in 0..places {
        let t = if config.normalize { n as f64 / (places - 1) as f64 } else { n as f64 };
        let residual = if starts.contains(&n) { -0.125 } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, reason = "a test")]
        expected.push((from - 0.25 * t + residual) as f32);
    }
    (values, pack(ids, config.id_bits()), expected)
}

#[test]
fn the_bytes_of_a_token_decode_to_what_was_packed() {
    for text in CONFIGS {
        let config = DistillKit::parse(text).unwrap();
        let row = fixture::Teacher { vocab_size: 500, seed: 1 }.row(4);
        let (ids, log_probs, _) = fixture::top(&row, config.k);
        let (values, indices, expected) = token(&config, &ids, &log_probs);
        assert_eq!(values.len(), config.value_bytes());
        let decoded = decode(&config, &values, &indices).unwrap();
        assert_eq!(decoded.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
        for ((_, found), expected) in decoded.iter().zip(&expected) {
            let step = match config.exact {
                Float::Bf16 => 0.04,
                Float::F16 => 0.01,
                _ => 1e-4,
            };
            assert!((found - expected).abs() < step, "{found}, expected {expected}, of {text}");
        }
        let error = decode(&config, &values[1..], &indices).unwrap_err();
        assert!(error.contains("bytes of values, expected"), "{error}");
        assert!(decode(&config, &values, &[&indices[..], &[0]].concat()).is_err());
    }
}

#[test]
fn sizes_are_those_that_distillkit_computes() {
    let recommended = "d: 128256\nk: 128\nexact_k: 16\nexact_dtype: bfloat16\npolynomial_terms: [0, 1, 2, 3, 4, sqrt]\nterm_dtype: float32\nresidual_bins: []\ndelta_encoding: false";
    let config = DistillKit::parse(recommended).unwrap();
    assert_eq!(config.value_bytes() + (config.k * config.id_bits() as usize).div_ceil(8), 328);
    assert_eq!(DistillKit::parse(&recommended.replace("128256", "131072")).unwrap().id_bits(), 17);
    assert_eq!(DistillKit::parse(&recommended.replace("128256", "131073")).unwrap().id_bits(), 18);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_its_key() {
    let good = CONFIGS[2];
    for (from, to, message) in [
        ("d: 500", "e: 500", "it has no `d`"),
        ("k: 24", "k: many", "`k` is `many`"),
        ("exact_k: 4", "exact_k: 25", "of 24 entries 25 are exact"),
        ("[0, 1, sqrt]", "[0, cube]", "`cube` is no term"),
        ("float16", "float8", "`exact_dtype` is `float8`"),
        ("element_bits: 5", "element_bits: 99", "element_bits"),
        ("num_elements: 7", "num_elements: 70", "80 have residuals"),
        ("num_elements: 7", "", "a residual bin has no `num_elements`"),
    ] {
        let error = DistillKit::parse(&good.replace(from, to)).unwrap_err();
        assert!(error.contains(message), "{error}, expected {message}");
    }
}

fn write(path: &Path, rows: &[(Vec<u32>, Vec<(Vec<u8>, Vec<u8>)>)]) {
    let mut tokens = ListBuilder::new(UInt64Builder::new());
    let nested = || ListBuilder::new(ListBuilder::new(UInt8Builder::new()));
    let (mut values, mut indices) = (nested(), nested());
    for (ids, positions) in rows {
        ids.iter().for_each(|id| tokens.values().append_value(u64::from(*id)));
        tokens.append(true);
        for (value, index) in positions {
            values.values().values().append_slice(value);
            values.values().append(true);
            indices.values().values().append_slice(index);
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
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_folder_is_taken_in_once_with_its_tails_and_what_does_not_fit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("compression_config.yaml"), CONFIGS[0]).unwrap();
    let config = DistillKit::parse(CONFIGS[0]).unwrap();
    let profile = Profile::exact(16);
    let identity = fixture::identity(500, &profile);
    let samples: Vec<Scored> = (0..7)
        .map(|seed| {
            let teacher = fixture::Teacher { vocab_size: 500, seed };
            teacher.sample(&identity, 5 + u32::try_from(seed).unwrap(), 16, "kit")
        })
        .collect();
    let row = |sample: &Scored| {
        let bytes = |position| {
            let (ids, log_probs) = sample.entries(position);
            let (values, indices, _) = token(&config, ids, log_probs);
            (values, indices)
        };
        (sample.tokens.clone(), (0..sample.num_positions()).map(bytes).collect::<Vec<_>>())
    };
    write(&from.join("data_0.parquet"), &samples[..4].iter().map(row).collect::<Vec<_>>());
    write(&from.join("data_1.parquet"), &samples[4..].iter().map(row).collect::<Vec<_>>());
    let into = dir.path().join("into");
    let done = import(&from, &into, &identity, profile, "kit").unwrap();
    assert_eq!((done.samples, done.skipped), (7, 0));
    let cache = Cache::open(&into, Some(&identity)).unwrap();
    for sample in &samples {
        let read = &cache.read(&[sample.id], None).unwrap()[0];
        assert_eq!((&read.ids, &read.tokens), (&sample.ids, &sample.tokens));
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-3);
        assert!(near(&read.log_probs, &sample.log_probs));
        let mass = |tails: &[f32]| tails.iter().map(|tail| tail.exp()).collect::<Vec<_>>();
        assert!(near(&mass(&read.tail), &mass(&sample.tail)));
    }
    assert!(verify(&into, 2, None).unwrap().findings.is_empty());
    assert_eq!(import(&from, &into, &identity, profile, "kit").unwrap().skipped, 7);

    let refused = |what: &str| {
        let error = import(&from, &dir.path().join("other"), &identity, profile, "kit");
        let error = error.unwrap_err().to_string();
        assert!(error.contains(what), "{error}, expected {what}");
    };
    let mut short = row(&samples[0]);
    short.1.truncate(2);
    write(&from.join("data_0.parquet"), &[short]);
    refused("data_0.parquet` cannot be imported: row 0: it has 2 positions, expected 4");
    let mut torn = row(&samples[0]);
    torn.1[1].0.pop();
    write(&from.join("data_0.parquet"), &[torn]);
    refused("a token has 63 bytes of values, expected 64");
    fs::write(from.join("data_0.parquet"), "PAR1").unwrap();
    refused("data_0.parquet");
    fs::write(from.join("compression_config.yaml"), "k: 3").unwrap();
    refused("it has no `d`");
    fs::remove_file(from.join("compression_config.yaml")).unwrap();
    refused("compression_config.yaml");
}
