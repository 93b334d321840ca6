//! Our logits against those that transformers gave for the same weights (`tests/golden/make.py`).

use std::path::{Path, PathBuf};

use kernels::host::take;
use kernels::loss::Objective;
use kernels::{DType, Device, Int, Tensor};
use safetensors::SafeTensors;
use stillflow::distill::Batch;
use stillflow::model::{Decoder, Recompute, Weight};
use stillflow::prune::{PrunePlan, cut};
use stillflow::weights::{ModelDirectory, StoredType, load, save};

const MODELS: &[&str] = &[
    "odd-head-dim",
    "gqa-8-2",
    "tied-f16",
    "llama3-rope",
    "attention-bias",
    "mistral-nemo",
    "sharded",
];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn shared() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/weights");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: the shared weights are not here");
    None
}

fn read(dir: &Path) -> Decoder {
    let directory = ModelDirectory::open(dir).unwrap();
    load(&directory, &Device::flex(), DType::F32).unwrap()
}

/// `input_ids` and `logits` of a golden file.
fn expected(path: &Path) -> (Tensor<2, Int>, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let ids = file.tensor("input_ids").unwrap();
    let shape = [ids.shape()[0], ids.shape()[1]];
    let values: Vec<i64> =
        ids.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
    let ids = Tensor::<1, Int>::from_ints(values.as_slice(), &Device::flex()).reshape(shape);
    let logits = file.tensor("logits").unwrap();
    let logits =
        logits.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (ids, logits)
}

fn assert_logits(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let scale = expected.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let worst = found.iter().zip(expected).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    println!("{name}: max |dlogit| {worst:e} at scale {scale}");
    assert!(worst <= 1e-4, "{name}: max |dlogit| {worst} (largest logit {scale})");
}

#[test]
fn small_models_of_odd_shapes_give_the_logits_of_transformers() {
    for name in MODELS {
        let (ids, logits) = expected(&golden().join(name).join("golden.safetensors"));
        let decoder = read(&golden().join(name));
        assert_logits(name, &take(decoder.logits(&ids)), &logits);
    }
}

#[test]
fn trained_models_give_the_logits_of_transformers() {
    let Some(shared) = shared() else { return };
    for name in ["stories260K", "TinyStories-656K"] {
        let (ids, logits) = expected(&golden().join(format!("{name}.golden.safetensors")));
        assert_logits(name, &take(read(&shared.join(name)).logits(&ids)), &logits);
    }
}

#[test]
fn an_export_reads_back_to_the_same_logits_whole_or_in_shards() {
    let dir = tempfile::tempdir().unwrap();
    for (i, limit) in [1u64 << 30, 20_000].into_iter().enumerate() {
        for name in MODELS {
            let decoder = read(&golden().join(name));
            let (ids, _) = expected(&golden().join(name).join("golden.safetensors"));
            let out = dir.path().join(format!("{name}-{i}"));
            save(&decoder, &out, StoredType::F32, limit, None).unwrap();
            assert_eq!(take(read(&out).logits(&ids)), take(decoder.logits(&ids)), "{name}");
        }
    }
}

/// The derivative along a direction, by central differences, against the gradient's.
#[test]
fn hand_written_gradients_are_the_slope_of_the_loss() {
    for name in MODELS {
        let decoder = read(&golden().join(name));
        let tokens = (0..18).map(|i| i * 7 % 90).collect();
        let batch = Batch { batch: 2, seq: 8, tokens, ..Batch::default() };
        let (ids, labels) = (batch.inputs(&Device::flex()), batch.labels(&Device::flex()));
        let o = Objective::cross_entropy();
        let run = |r| decoder.loss_and_gradients(&ids, None, &labels, None, &o, 1.0, r);
        let (sums, gradients) = run(Recompute::None);
        let (again, block) = run(Recompute::Block);
        assert_eq!(sums, again, "{name}: recomputation changes nothing");
        let values = |w: Weight| match w {
            Weight::Vector(t) => take(t),
            Weight::Table(t) | Weight::Matrix(t) => take(t),
        };
        for ((key, a), (_, b)) in gradients.named().into_iter().zip(block.named()) {
            assert_eq!(values(a), values(b), "{name}: {key}");
        }
        for (place, (key, gradient)) in gradients.named().into_iter().enumerate() {
            let gradient = values(gradient);
            let norm = gradient.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
            let reach = 0.02 / norm.max(1e-3);
            let shifted = |sign: f64| {
                let mut index = 0;
                let mut shift = |_: &str, w: Weight| {
                    let step: Vec<f32> =
                        gradient.iter().map(|g| (f64::from(*g) * reach * sign) as f32).collect();
                    let here = index == place;
                    index += 1;
                    let device = Device::flex();
                    Ok::<_, std::convert::Infallible>(if here {
                        let step = std::cell::Cell::new(step);
                        w.apply(
                            |t| t.clone() + kernels::host::give(step.take(), t.dims(), &device),
                            |t| t.clone() + kernels::host::give(step.take(), t.dims(), &device),
                        )
                    } else {
                        w
                    })
                };
                let Ok(parameters) = decoder.parameters.clone().map(&mut shift);
                let moved = Decoder { config: decoder.config.clone(), parameters };
                moved.loss(&ids, None, &labels, None, &o).cross_entropy
            };
            let slope = (shifted(1.0) - shifted(-1.0)) / (2.0 * reach);
            let expected = norm * norm;
            let off = (slope - expected).abs() / expected.max(1e-2);
            assert!(off < 0.05, "{name}: {key}: slope {slope}, gradient {expected}");
        }
    }
}

#[test]
fn a_plan_that_keeps_everything_changes_nothing_and_one_that_does_not_fit_is_refused() {
    for name in MODELS {
        let decoder = read(&golden().join(name));
        let mut plan = PrunePlan::whole(&decoder.config);
        let (ids, _) = expected(&golden().join(name).join("golden.safetensors"));
        let same = cut(&decoder, &plan).unwrap();
        assert_eq!(take(same.logits(&ids)), take(decoder.logits(&ids)), "{name}");
        plan.layers[0].heads.pop();
        assert!(cut(&decoder, &plan).is_err(), "{name}: the groups are uneven");
    }
}

/// Cutting neurons and heads equals zeroing what they write.
#[test]
fn cutting_neurons_and_heads_equals_zeroing_them() {
    let decoder = read(&golden().join("gqa-8-2"));
    let c = decoder.config.clone();
    let heads = vec![0, 2, 3, 4, 5, 7]; // three of each group of four
    let neurons: Vec<usize> = (0..c.intermediate_size).filter(|n| n % 3 != 1).collect();
    let mut plan = PrunePlan::whole(&c);
    for layer in &mut plan.layers {
        (layer.heads, layer.neurons) = (heads.clone(), neurons.clone());
    }
    let mut zeroed = decoder.clone();
    for layer in &mut zeroed.parameters.layers {
        let keep_rows = |t: Tensor<2>, keep: &dyn Fn(usize) -> bool| {
            let dims @ [_, width] = t.dims();
            let mut values = take(t);
            for (row, values) in values.chunks_mut(width).enumerate() {
                if !keep(row) {
                    values.fill(0.0);
                }
            }
            kernels::host::give(values, dims, &Device::flex())
        };
        layer.o_proj.weight =
            keep_rows(layer.o_proj.weight.clone(), &|row| heads.contains(&(row / c.head_dim)));
        layer.down_proj.weight =
            keep_rows(layer.down_proj.weight.clone(), &|row| neurons.contains(&row));
    }
    let (ids, _) = expected(&golden().join("gqa-8-2").join("golden.safetensors"));
    let (cut, zeroed) = (cut(&decoder, &plan).unwrap(), zeroed);
    assert_logits("cut against zeroed", &take(cut.logits(&ids)), &take(zeroed.logits(&ids)));
}
