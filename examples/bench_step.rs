//! The twin of `tests/golden/bench_torch.py`: forward, training step and distillation step of the same Llama.
//!
//! ```text
//! cargo run --release --example bench_step [repeats [forward train kd]]
//! ```
//!
//! 24.4 M parameters, 4 × 256 tokens, f32 on the CPU. Prints one JSON object; for each measurement, after two warm-ups,
//! the medians of wall seconds, of CPU seconds (all threads) and of tokens a second of wall time.

#![expect(clippy::print_stdout, reason = "what it prints is its result")]

use std::time::Instant;

use kernels::loss::Objective;
use kernels::{DType, Device};
use serde_json::json;
use stillflow::distill::{Batch, LearningRate, Settings, Trainer};
use stillflow::eval::losses::lesson;
use stillflow::model::{Decoder, Recompute};
use stillflow::recipe::Recipe;
use stillflow::weights::initialise;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 4;
const SEQ: usize = 256;
const VOCAB: usize = 32_000;

fn main() {
    let mut args = std::env::args().skip(1);
    let repeats: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(10);
    let asked: Vec<String> = args.collect();
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|a| a == name);

    let device = Device::flex();
    let (teacher, student) = (llama(1), llama(2));
    let tokens: Vec<Vec<u32>> = (0..BATCH)
        .map(|row| {
            let mut draws = datasets::random::stream(0, "bench", 0, row as u64);
            let draw =
                |_| u32::try_from(datasets::random::below(&mut draws, VOCAB as u64)).unwrap_or(0);
            (0..=SEQ).map(draw).collect()
        })
        .collect();
    let batch = Batch::of_tokens(&tokens);
    let ids = batch.inputs(&device);

    let mut report = serde_json::Map::new();
    report.insert("num_parameters".into(), json!(student.config.num_parameters()));
    if is_asked("forward") {
        let work = || {
            let logits = student.logits(&ids);
            f64::from(kernels::host::take(logits.narrow(0, 0, 1))[0])
        };
        report.insert("forward".into(), measure(repeats, work));
    }
    if is_asked("train") {
        let mut trainer = Trainer::new(llama(2), DType::F32, settings(Objective::cross_entropy()));
        let mut step = 0;
        let work = || {
            trainer.accumulate(&batch, None, &[]);
            step += 1;
            trainer
                .update(step - 1)
                .map_or(f64::NAN, |report| report.sums.cross_entropy / report.sums.tokens as f64)
        };
        report.insert("train".into(), measure(repeats, work));
    }
    if is_asked("kd") {
        let mut trainer = Trainer::new(llama(2), DType::F32, settings(Objective::forward_kl()));
        let mut step = 0;
        let work = || {
            trainer.accumulate(&batch, Some(&lesson(&teacher, &batch)), &[]);
            step += 1;
            trainer
                .update(step - 1)
                .map_or(f64::NAN, |report| report.sums.forward_kl / report.sums.tokens as f64)
        };
        report.insert("kd".into(), measure(repeats, work));
    }
    report.insert("peak_rss_bytes".into(), json!(stillflow::run::peak_memory_bytes()));
    println!("{:#}", serde_json::Value::Object(report));
}

fn llama(seed: u64) -> Decoder {
    let text = "[pretrain]\nhidden_size = 288\nintermediate_size = 768\nnum_hidden_layers = 6\nnum_attention_heads = 6\n\
        num_key_value_heads = 6\nhead_dim = 48\ntie_word_embeddings = false\nsteps = 1\n[data.a]\npath = \"a\"\n";
    let recipe = Recipe::resolve(text, &[]).expect("the recipe above");
    let config = recipe.teacher_shape(VOCAB).expect("the shape above");
    initialise(&config, seed, &Device::flex())
}

fn settings(objective: Objective) -> Settings {
    Settings {
        learning_rate: LearningRate { peak: 1e-4, min: 1e-4, warmup_steps: 0, steps: 1 },
        objective,
        cross_entropy_is_dynamic: false,
        hidden: None,
        tokens_per_step: (BATCH * SEQ) as u64,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
        clip_norm: 1.0,
        recompute: Recompute::None,
    }
}

fn measure(repeats: usize, mut work: impl FnMut() -> f64) -> serde_json::Value {
    let (mut wall, mut cpu, mut last) = (Vec::new(), Vec::new(), 0.0);
    for run in 0..2 + repeats {
        let (begun, cpu_begun) = (Instant::now(), cpu_seconds());
        last = work();
        if run >= 2 {
            wall.push(begun.elapsed().as_secs_f64());
            cpu.push(cpu_seconds() - cpu_begun);
        }
    }
    let seconds = median(wall);
    json!({"wall_s": seconds, "cpu_s": median(cpu), "tokens_per_s": (BATCH * SEQ) as f64 / seconds, "last_loss": last})
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2] + values[(values.len() - 1) / 2]) / 2.0
}

/// User and system time of all threads, by the clock ticks of `/proc`.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
