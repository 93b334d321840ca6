//! What must not show in a result: the micro-batches that a step, or a calibration, was cut into.

use std::cell::RefCell;
use std::path::Path;

use kernels::host::take;
use kernels::loss::{Objective, Teacher};
use kernels::{DType, Device};
use stillflow::distill::{Batch, LearningRate, Settings, Trainer};
use stillflow::eval::losses::lesson;
use stillflow::model::{Decoder, Recompute, Weight};
use stillflow::prune::{Aggregations, Importance, PrunePlan, Scores, Sites, cut};
use stillflow::weights::{ModelDirectory, load};

pub(super) const SEQ: usize = 12;
pub(super) const SEQUENCES: u32 = 6;

pub(super) fn golden(name: &str) -> Decoder {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    load(&ModelDirectory::open(&dir).unwrap(), &Device::flex(), DType::F32).unwrap()
}

/// Six sequences, so many at a time.
pub(super) fn batches(size: usize) -> Vec<Batch> {
    let sequence =
        |row: u32| (0..=SEQ as u32).map(|i| (i * 7 + row * 13 + i * i * row) % 90).collect();
    let sequences: Vec<Vec<u32>> = (0..SEQUENCES).map(sequence).collect();
    sequences.chunks(size).map(Batch::of_tokens).collect()
}

fn values(decoder: &Decoder) -> Vec<(String, Vec<f32>)> {
    let flat = |weight| match weight {
        Weight::Vector(t) => take(t),
        Weight::Table(t) | Weight::Matrix(t) => take(t),
    };
    decoder.parameters.named().into_iter().map(|(name, weight)| (name, flat(weight))).collect()
}

#[test]
fn an_optimizer_step_does_not_depend_on_its_micro_batches() {
    let teacher = golden("gqa-8-2");
    let settings = Settings {
        learning_rate: LearningRate { peak: 1e-3, min: 1e-3, warmup_steps: 0, steps: 2 },
        objective: Objective::mixed(0.7, 2.0, 0.3),
        cross_entropy_is_dynamic: false,
        hidden: None,
        tokens_per_step: u64::from(SEQUENCES) * SEQ as u64,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.1,
        clip_norm: 0.5,
        recompute: Recompute::None,
    };
    let trained = |size: usize| {
        // A student that is not the teacher: every matrix a little smaller.
        let mut shrink =
            |_: &str, w: Weight| Ok::<_, std::convert::Infallible>(w.apply(|t| t, |t| t * 0.9));
        let Ok(parameters) = teacher.parameters.clone().map(&mut shrink);
        let student = Decoder { parameters, ..teacher.clone() };
        let mut trainer = Trainer::new(student, DType::F32, settings.clone());
        let mut reports = Vec::new();
        for step in 0..2 {
            for batch in batches(size) {
                let said: Teacher = lesson(&teacher, &batch);
                trainer.accumulate(&batch, Some(&said), &[]);
            }
            reports.push(trainer.update(step).unwrap());
        }
        (values(trainer.student()), reports)
    };
    let (whole, reports) = trained(6);
    assert!(reports[0].gradient_norm > 0.5, "the clip is active: {}", reports[0].gradient_norm);
    for size in [1, 2, 3] {
        let (cut, found) = trained(size);
        for (a, b) in reports.iter().zip(&found) {
            assert_eq!((a.sums.tokens, a.sums.agreed), (b.sums.tokens, b.sums.agreed));
            let pairs = [
                (a.sums.cross_entropy, b.sums.cross_entropy),
                (a.sums.forward_kl, b.sums.forward_kl),
                (a.gradient_norm, b.gradient_norm),
            ];
            for (a, b) in pairs {
                assert!((a - b).abs() <= 2e-5 * a.abs(), "micro-batches of {size}: {a} and {b}");
            }
        }
        for ((name, a), (_, b)) in whole.iter().zip(&cut) {
            // A hundredth of a step of AdamW; a wrong divisor would move nearly every weight by more.
            let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "micro-batches of {size}: {name} differs by {worst:e}");
        }
    }
}

#[test]
fn the_plan_keeps_what_scores_highest_and_what_is_silent_costs_nothing() {
    let teacher = golden("gqa-8-2");
    let config = teacher.config.clone();
    let ids = batches(6)[0].inputs(&Device::flex());
    // Silence every third neuron of each layer: its row of the down projection is zero, and so is its input.
    let silent: Vec<usize> = (0..config.intermediate_size).filter(|n| n % 3 == 0).collect();
    let seen = RefCell::new(0);
    let mut hush = |name: &str, w: Weight| {
        let is_up = name.ends_with("up_proj.weight");
        *seen.borrow_mut() += usize::from(is_up);
        Ok::<_, std::convert::Infallible>(w.apply(
            |t| t,
            |t| {
                if !is_up {
                    return t;
                }
                let dims = t.dims();
                let mut values = take(t);
                for row in values.chunks_mut(dims[1]) {
                    silent.iter().for_each(|n| row[*n] = 0.0);
                }
                kernels::host::give(values, dims, &Device::flex())
            },
        ))
    };
    let Ok(parameters) = teacher.parameters.clone().map(&mut hush);
    assert_eq!(*seen.borrow(), config.num_hidden_layers);
    let hushed = Decoder { parameters, ..teacher };
    let importance = Importance::of(&hushed, &ids, None, Sites::Nvidia);
    let scores = Scores::activation(&importance, Aggregations::default(), &config);
    let kept = config.intermediate_size - silent.len();
    let student = stillflow::model::ModelConfig { intermediate_size: kept, ..config.clone() };
    let layers: Vec<usize> = (0..config.num_hidden_layers).collect();
    let plan = PrunePlan::choose(&config, &student, &layers, &scores).unwrap();
    for layer in &plan.layers {
        assert!(layer.neurons.iter().all(|n| !silent.contains(n)), "{:?}", layer.neurons);
    }
    let pruned = cut(&hushed, &plan).unwrap();
    let (before, after) = (take(hushed.logits(&ids)), take(pruned.logits(&ids)));
    let worst = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-5, "cutting what is silent changes logits by {worst:e}");
}
