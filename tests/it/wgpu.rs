//! The path of tensor operations on a real device: the first adapter that wgpu finds, against the CPU.
//!
//! CUDA takes the same path, so this is what stands in for a GPU on a machine without one: Mesa's lavapipe, a
//! Vulkan driver that computes on the CPU, is enough (`.ci/run` installs it). Without any adapter each test
//! prints a notice and passes.
//!
//! Both sides compute in f32 and differ in the order of their sums alone. Differences are taken relative to the
//! largest value of a tensor. On lavapipe (Mesa 22.3.6) the worst of them were 6e-7 for logits, 2e-6 for gradients,
//! 4e-6 for moments, 2e-7 for losses, 4e-7 for importance; [`TOLERANCE`] leaves a factor of five.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::process::Command;

use datasets::table::{Column, Table};
use kernels::device::{Choice, choose};
use kernels::host::{give, take};
use kernels::loss::{LossSums, Objective, Teacher, head_loss_and_gradients};
use kernels::{DType, Device, Int, Tensor};
use stillflow::distill::{Batch, LearningRate, Settings, StepReport, Trainer, state};
use stillflow::model::{Decoder, ModelConfig, Parameters, Recompute, Weight};
use stillflow::prune::{Importance, Sites};
use stillflow::weights::{ModelDirectory, load};

/// Of f32 sums in another order, relative to the largest value.
pub(super) const TOLERANCE: f64 = 2e-5;

/// The first adapter, or a notice; another device, where `STILLFLOW_DEVICE` names one: `cuda`, `wgpu:1`.
pub(super) fn adapter() -> Option<Device> {
    let named = std::env::var("STILLFLOW_DEVICE").ok();
    match choose(named.map_or(Choice::Wgpu(0), |name| name.parse().unwrap())) {
        Ok(chosen) => Some(chosen.device),
        Err(why) => {
            println!("skipped: {why} (Mesa's lavapipe would do: mesa-vulkan-drivers)");
            None
        }
    }
}

/// Values that look random, in `[-1, 1)`.
pub(super) fn random(len: usize, seed: u64) -> Vec<f32> {
    let value = |i: u64| {
        let mut z = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(seed << 32);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z >> 40) as f32) / (1u64 << 23) as f32 - 1.0
    };
    (0..len as u64).map(value).collect()
}

fn values(weight: Weight) -> Vec<f32> {
    match weight {
        Weight::Vector(t) => take(t),
        Weight::Table(t) | Weight::Matrix(t) => take(t),
    }
}

fn on(device: &Device, decoder: &Decoder) -> Decoder {
    let mut copy = |_: &str, w: Weight| {
        let w = w.apply(
            |t| give(take(t.clone()), t.dims(), device),
            |t| give(take(t.clone()), t.dims(), device),
        );
        Ok::<_, Infallible>(w)
    };
    let Ok(parameters) = decoder.parameters.clone().map(&mut copy);
    Decoder { config: decoder.config.clone(), parameters }
}

/// A decoder whose every tensor matters: norms near one, biases of either sign, maps that keep the scale.
fn decoder(config: ModelConfig, seed: u64) -> Decoder {
    let mut place = seed << 8;
    let mut fill = |name: &str, weight: Weight| {
        place += 1;
        let shape = weight.stored_dims();
        let noise = random(shape.iter().product(), place);
        let (middle, reach) = match (name.ends_with("norm.weight"), shape.len()) {
            (true, _) => (1.0, 0.3),
            (_, 1) => (0.0, 0.3),
            _ => (0.0, 2.0 / (shape[1] as f32).sqrt()),
        };
        let noise = Cell::new(noise.iter().map(|x| middle + reach * x).collect::<Vec<f32>>());
        Ok::<_, Infallible>(weight.apply(
            |t| give(noise.take(), t.dims(), &t.device()),
            |t| give(noise.take(), t.dims(), &t.device()),
        ))
    };
    let Ok(parameters) = Parameters::zeros(&config, &Device::flex()).map(&mut fill);
    Decoder { config, parameters }
}

/// Nothing is a power of two or a multiple of four: grouped heads, biases everywhere, one matrix for both ends.
fn odd() -> Decoder {
    let text = br#"{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 37,
        "intermediate_size": 53, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
        "head_dim": 10, "vocab_size": 91, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": true, "attention_bias": true,
        "mlp_bias": true}"#;
    decoder(ModelConfig::from_json(&serde_json::from_slice(text).unwrap()).unwrap(), 1)
}

fn golden() -> Decoder {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gqa-8-2");
    load(&ModelDirectory::open(&path).unwrap(), &Device::flex(), DType::F32).unwrap()
}

/// A teacher of another width that shares the student's vocabulary.
fn teacher(student: &ModelConfig) -> Decoder {
    let config = ModelConfig {
        hidden_size: 26,
        intermediate_size: 31,
        num_hidden_layers: 1,
        num_attention_heads: 3,
        num_key_value_heads: 3,
        head_dim: 6,
        tie_word_embeddings: false,
        ..student.clone()
    };
    decoder(config, 2)
}

fn batch(seed: u64, config: &ModelConfig) -> Batch {
    let (batch, seq) = (3, 7);
    let tokens = random(batch * (seq + 1), seed).into_iter();
    let tokens = tokens.map(|x| ((x + 1.0) / 2.0 * config.vocab_size as f32) as u32).collect();
    Batch { batch, seq, tokens, ..Batch::default() }
}

fn states(teacher: &Decoder, ids: &Tensor<2, Int>) -> Teacher {
    Teacher::Dense { hidden: teacher.hidden(ids, None, &mut |_, _, _| {}), head: teacher.head() }
}

/// The largest difference, relative to the largest value.
pub(super) fn off(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1e-30f32, |m, x| m.max(x.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs() / scale));
    differences.fold(0.0, |worst, d| if d <= worst { worst } else { d })
}

/// Says how far off something is, and fails beyond the tolerance; what is not a number is beyond it.
pub(super) fn within(what: &str, off: f64, tolerance: f64) {
    println!("{what}: off by {off:.1e}");
    assert!(off <= tolerance, "{what}: off by {off:e}, more than {tolerance:e}");
}

fn sums_agree(what: &str, found: &LossSums, expected: &LossSums) {
    assert_eq!((found.tokens, found.agreed), (expected.tokens, expected.agreed), "{what}");
    let pairs = [
        (found.cross_entropy, expected.cross_entropy),
        (found.forward_kl, expected.forward_kl),
        (found.teacher_cross_entropy, expected.teacher_cross_entropy),
    ];
    let worst = pairs.into_iter().map(|(a, b)| (a - b).abs() / b.abs().max(1e-30));
    within(&format!("{what}, losses"), worst.fold(0.0, f64::max), TOLERANCE);
}

fn parameters_agree(what: &str, found: &Parameters, expected: &Parameters) {
    let pairs = found.named().into_iter().zip(expected.named());
    let (name, worst) = pairs
        .map(|((name, found), (_, expected))| (name, off(&values(found), &values(expected))))
        .fold((String::new(), 0.0), |worst, next| if next.1 <= worst.1 { worst } else { next });
    within(&format!("{what}, worst at `{name}`"), worst, TOLERANCE);
}

#[test]
fn logits_and_cached_decoding_on_an_adapter_are_the_cpus() {
    let Some(device) = adapter() else { return };
    for (name, cpu) in [("golden", golden()), ("odd", odd())] {
        let gpu = on(&device, &cpu);
        let batch = batch(3, &cpu.config);
        let expected = take(cpu.logits(&batch.inputs(&Device::flex())));
        let ids = batch.inputs(&device);
        within(&format!("{name}: logits"), off(&take(gpu.logits(&ids)), &expected), TOLERANCE);

        // The same positions in three goes: a prompt of four, one, two.
        let mut past = vec![None; gpu.config.num_hidden_layers];
        let [rows, seq] = ids.dims();
        let parts = [(0, 4), (4, 1), (5, 2)].map(|(start, len)| {
            let hidden = gpu.hidden_after(&ids.clone().narrow(1, start, len), &mut past);
            hidden.reshape([rows, len, gpu.config.hidden_size])
        });
        let hidden = Tensor::cat(parts.to_vec(), 1).reshape([rows * seq, gpu.config.hidden_size]);
        within(
            &format!("{name}: cached"),
            off(&take(hidden.matmul(gpu.head())), &expected),
            TOLERANCE,
        );
    }
}

#[test]
fn losses_gradients_and_importance_on_an_adapter_are_the_cpus() {
    let Some(device) = adapter() else { return };
    let objectives = [Objective::mixed(1.0, 1.0, 0.0), Objective::mixed(0.7, 2.0, 0.3)];
    for (name, cpu) in [("golden", golden()), ("odd", odd())] {
        let (gpu, batch) = (on(&device, &cpu), batch(4, &cpu.config));
        let host_teacher = teacher(&cpu.config);
        let device_teacher = on(&device, &host_teacher);
        let run = |decoder: &Decoder,
                   teacher: &Decoder,
                   with: bool,
                   o: &Objective,
                   r: Recompute| {
            let device = decoder.device();
            let (ids, labels) = (batch.inputs(&device), batch.labels(&device));
            let teacher = with.then(|| states(teacher, &ids));
            let scale = 1.0 / batch.num_tokens() as f64;
            let forward = decoder.loss(&ids, None, &labels, teacher.as_ref(), o);
            let (sums, gradients) =
                decoder.loss_and_gradients(&ids, None, &labels, teacher.as_ref(), o, scale, r);
            assert_eq!(forward.agreed, sums.agreed);
            within("forward alone", (forward.cross_entropy / sums.cross_entropy - 1.0).abs(), 1e-6);
            (sums, gradients)
        };
        let plain = Objective::cross_entropy();
        for (with, o) in objectives.iter().map(|o| (true, o)).chain([(false, &plain)]) {
            let expected = run(&cpu, &host_teacher, with, o, Recompute::None);
            for recompute in [Recompute::None, Recompute::Block] {
                let found = run(&gpu, &device_teacher, with, o, recompute);
                let what = format!(
                    "{name}: teacher {with}, τ {}, {recompute:?}",
                    o.forward_kl_term().temperature
                );
                sums_agree(&what, &found.0, &expected.0);
                parameters_agree(&what, &found.1, &expected.1);
            }
        }

        for sites in [Sites::Nvidia, Sites::Paper] {
            let expected = Importance::of(&cpu, &batch.inputs(&Device::flex()), None, sites);
            let found = Importance::of(&gpu, &batch.inputs(&device), None, sites);
            assert_eq!(found.samples, expected.samples);
            for (site, found, expected) in [
                ("input_norm", &found.input_norm, &expected.input_norm),
                ("attention", &found.attention, &expected.attention),
                ("post_attention_norm", &found.post_attention_norm, &expected.post_attention_norm),
                ("neurons", &found.neurons, &expected.neurons),
            ] {
                for (found, expected) in found.iter().zip(expected) {
                    for ((sums, found), (_, expected)) in
                        found.named().into_iter().zip(expected.named())
                    {
                        let flat =
                            |row: &[f64]| row.iter().map(|x| *x as f32).collect::<Vec<f32>>();
                        within(
                            &format!("{name}: {sites:?}, {sums} at {site}"),
                            off(&flat(found), &flat(expected)),
                            TOLERANCE,
                        );
                    }
                }
            }
        }
    }
}

/// Llama 3's vocabulary: two chunks of tokens, and the largest buffers that a chunk makes.
#[test]
fn a_large_vocabulary_goes_through_the_head_in_chunks() {
    let Some(device) = adapter() else { return };
    let (tokens, vocab) = (70, 128_256);
    let run = |device: &Device| {
        let tensor = |dims: [usize; 2], seed| give(random(dims[0] * dims[1], seed), dims, device);
        let teacher =
            Teacher::Dense { hidden: tensor([tokens, 3], 7) * 3.0, head: tensor([3, vocab], 8) };
        let labels: Vec<i64> = (0..tokens as i64).map(|i| i * 1831 % vocab as i64).collect();
        let labels = Tensor::<1, Int>::from_ints(labels.as_slice(), device);
        let o = Objective::mixed(1.0, 1.0, 0.5);
        let (hidden, head) = (tensor([tokens, 4], 5) * 3.0, tensor([4, vocab], 6));
        head_loss_and_gradients(&hidden, &head, Some(&teacher), &labels, &o, 1.0 / tokens as f64)
    };
    let (found, expected) = (run(&device), run(&Device::flex()));
    sums_agree("large vocabulary", &found.0, &expected.0);
    // The states' gradient is a sum over the vocabulary: in f32, some 1e-5 from the exact one.
    within("of the states", off(&take(found.1.hidden), &take(expected.1.hidden)), 1e-4);
    within("of the head", off(&take(found.1.head), &take(expected.1.head)), TOLERANCE);
}

/// The learner updates in place what another thread made, and a third writes it to a checkpoint.
#[test]
fn what_one_thread_wrote_in_place_another_reads() {
    let Some(device) = adapter() else { return };
    for round in 0..20 {
        let made = give(vec![1.0; 48], [48], &device);
        let written = std::thread::spawn(move || made + 1.0).join().unwrap();
        let read = std::thread::spawn(move || take(written)).join().unwrap();
        assert_eq!(read, vec![2.0; 48], "round {round}");
    }
}

/// ε is large enough that AdamW is smooth where a gradient is rounding noise.
fn settings() -> Settings {
    Settings {
        learning_rate: LearningRate { peak: 1e-2, min: 1e-3, warmup_steps: 1, steps: 4 },
        objective: Objective::mixed(0.8, 1.0, 0.2),
        cross_entropy_is_dynamic: false,
        hidden: None,
        tokens_per_step: 42,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-4,
        weight_decay: 0.1,
        clip_norm: 0.25,
        recompute: Recompute::Block,
    }
}

#[test]
fn two_whole_steps_on_an_adapter_are_the_cpus_and_twice_the_same_bits() {
    let Some(device) = adapter() else { return };
    let dir = tempfile::tempdir().unwrap();
    for (name, start) in [("golden", golden()), ("odd", odd())] {
        let teacher = teacher(&start.config);
        let run = |device: &Device| {
            let (student, teacher) = (on(device, &start), on(device, &teacher));
            let mut trainer = Trainer::new(student, DType::F32, settings());
            let reports: Vec<StepReport> = (0..2)
                .map(|step| {
                    for micro in 0..2 {
                        let batch = batch(20 + 2 * step + micro, &start.config);
                        trainer.accumulate(
                            &batch,
                            Some(&states(&teacher, &batch.inputs(device))),
                            &[],
                        );
                    }
                    trainer.update(step).unwrap()
                })
                .collect();
            let path = dir.path().join(format!("{name}.safetensors"));
            trainer.state().write(&path).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            (reports, state::read(&path, &start.config, &Device::flex()).unwrap(), bytes)
        };
        let (found, again, expected) = (run(&device), run(&device), run(&Device::flex()));
        assert_eq!(found.0, again.0, "{name}: a report is the same twice");
        assert!(found.2 == again.2, "{name}: the weights and moments are the same bits twice");
        for (found, expected) in found.0.iter().zip(&expected.0) {
            assert!(
                expected.gradient_norm > settings().clip_norm,
                "the clip is active: {expected:?}"
            );
            sums_agree(name, &found.sums, &expected.sums);
            let norm = (found.gradient_norm / expected.gradient_norm - 1.0).abs();
            within(&format!("{name}: gradient norm"), norm, TOLERANCE);
        }
        let ((found, found_moments), (expected, expected_moments)) = (found.1, expected.1);
        let mut worst = BTreeMap::from([("weight", 0.0f64), ("first", 0.0), ("second", 0.0)]);
        let mut note = |what: &'static str, off: f64| {
            let worst = worst.entry(what).or_default();
            *worst = if off <= *worst { *worst } else { off };
        };
        let weights = found.parameters.named().into_iter().zip(expected.parameters.named());
        for (((_, a), (_, b)), (m, n)) in
            weights.zip(found_moments.into_iter().zip(expected_moments))
        {
            note("first", off(&values(m.0), &values(n.0)));
            note("second", off(&values(m.1), &values(n.1)));
            // Of the weights what counts is how far they moved: in learning rates.
            let gaps = values(a).into_iter().zip(values(b)).map(|(a, b)| f64::from((a - b).abs()));
            note(
                "weight",
                gaps.fold(0.0, |w, d| if d <= w { w } else { d }) / settings().learning_rate.peak,
            );
        }
        within(&format!("{name}: first moments"), worst["first"], TOLERANCE);
        within(&format!("{name}: second moments"), worst["second"], TOLERANCE);
        within(&format!("{name}: weights, in learning rates"), worst["weight"], 1e-3);
    }
}

#[test]
fn a_weight_that_is_not_a_number_is_noticed_and_changes_nothing() {
    let Some(device) = adapter() else { return };
    for poison in [f32::NAN, f32::INFINITY] {
        let mut student = on(&device, &odd());
        let dims = student.parameters.norm.dims();
        let mut norm = take(student.parameters.norm);
        norm[5] = poison;
        student.parameters.norm = give(norm, dims, &device);
        let before: Vec<_> =
            student.parameters.named().into_iter().map(|(_, w)| values(w)).collect();
        let mut trainer = Trainer::new(student, DType::F32, settings());
        trainer.accumulate(&batch(9, &trainer.student().config), None, &[]);
        let error = trainer.update(0).unwrap_err();
        println!("{poison}: {error}");
        let after = trainer.student().parameters.named().into_iter().map(|(_, w)| values(w));
        for (before, after) in before.iter().zip(after) {
            assert!(before.iter().zip(&after).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}

/// A quickstart of a few small steps, by the binary.
fn quickstart(device: &str, dir: &Path) -> serde_json::Value {
    let sets = "data.corpus.num_stories=200 tokens.seq_tokens=32 pretrain.hidden_size=48 \
        pretrain.intermediate_size=80 pretrain.num_hidden_layers=2 pretrain.num_attention_heads=4 \
        pretrain.num_key_value_heads=2 pretrain.head_dim=12 pretrain.steps=3 pretrain.checkpoint_every=2 \
        pretrain.evaluate_every=3 pretrain.global_batch_size=4 pretrain.micro_batch_size=2 \
        prune.calibration_sequences=8 prune.calibration_batch=4 distil.steps=3 distil.checkpoint_every=2 \
        distil.evaluate_every=3 distil.global_batch_size=4 distil.micro_batch_size=2 evaluate.sequences=4 \
        evaluate.batch=4";
    let mut command = Command::new(env!("CARGO_BIN_EXE_stillflow"));
    command
        .args(["run", "quickstart", "--quiet", "--format", "json", "--device", device, "--dir"])
        .arg(dir);
    sets.split_whitespace().for_each(|set| {
        command.args(["--set", set]);
    });
    let output = command.output().unwrap();
    assert!(output.status.success(), "{device}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `loss` of every step that a stage published.
fn losses(dir: &Path, stage: &str) -> Vec<f64> {
    let steps = [0, 2].map(|from| {
        let path = dir.join("metrics").join(stage).join(format!("steps-{from:08}.parquet"));
        match Table::read(&path).unwrap().column("loss") {
            Some(Column::F64(losses)) => losses.clone(),
            other => panic!("`{}`: {other:?}", path.display()),
        }
    });
    steps.concat()
}

#[test]
fn a_run_on_an_adapter_ends_with_the_cpus_losses_and_twice_with_the_same_bytes() {
    if adapter().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [(gpu, found), (again, _), (cpu, expected)] =
        [("wgpu:0", "gpu"), ("wgpu:0", "again"), ("cpu", "cpu")].map(|(device, name)| {
            let path = dir.path().join(name);
            let report = quickstart(device, &path);
            (path, report)
        });
    for model in ["teacher", "student", "control"] {
        let [a, b] = [&gpu, &again].map(|dir| {
            std::fs::read(dir.join("models").join(model).join("model.safetensors")).unwrap()
        });
        assert!(a == b, "the {model} is the same bytes twice");
    }
    for stage in ["pretrain", "distil", "control"] {
        let (found, expected) = (losses(&gpu, stage), losses(&cpu, stage));
        assert_eq!((found.len(), expected.len()), (3, 3), "{stage}");
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        within(&format!("losses of {stage}, in nats"), worst, 1e-5);
    }
    let models =
        |report: &serde_json::Value| report["report"]["models"].as_array().unwrap().clone();
    assert_eq!(models(&found).len(), 4);
    for (found, expected) in models(&found).iter().zip(&models(&expected)) {
        assert_eq!(found["model"], expected["model"]);
        assert_eq!(found["num_parameters"], expected["num_parameters"]);
        for what in ["cross_entropy", "forward_kl"] {
            let [found, expected] = [found, expected].map(|model| model[what].as_f64().unwrap());
            within(&format!("{what}, in nats"), (found - expected).abs(), 1e-5);
        }
    }
}
