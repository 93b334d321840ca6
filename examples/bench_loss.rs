//! The twin of `tests/golden/bench_loss_torch.py`: the head and its loss, forward and backward, by themselves.
//!
//! ```text
//! cargo run --release --example bench_loss -- [vocab tokens hidden repeats] [dense sparse capture] [cuda | wgpu:n]
//! cargo run --release --example bench_loss -- 128256 8192 4096 5 sparse capture cuda
//! ```
//!
//! f32 on the CPU, or a device's working type there. `dense` is forward KL to a teacher's head, `sparse` the ghost form of 32 words a token, `capture` what a
//! cache keeps of the teacher. Prints one JSON object: medians of wall seconds, and how far the process grew meanwhile.

#![expect(clippy::print_stdout, reason = "what it prints is its result")]

use std::time::Instant;

use kernels::capture::capture;
use kernels::device::{Choice, choose, working_dtype};
use kernels::host::{give, take};
use kernels::loss::{Objective, Rest, Teacher, head_loss_and_gradients};
use kernels::{Int, Tensor};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let (numbers, asked): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.bytes().all(|b| b.is_ascii_digit()));
    let numbers: Vec<usize> = numbers.iter().filter_map(|n| n.parse().ok()).collect();
    let number = |i: usize, or: usize| numbers.get(i).copied().unwrap_or(or);
    let (vocab, tokens, hidden) = (number(0, 32_000), number(1, 1024), number(2, 512));
    let repeats = number(3, 5);

    let choice = asked.iter().find_map(|word| word.parse().ok()).unwrap_or(Choice::Cpu);
    let asked: Vec<String> =
        asked.into_iter().filter(|word| word.parse::<Choice>().is_err()).collect();
    let chosen = choose(choice).expect("a device that is here");
    let (device, dtype) = (chosen.device.clone(), working_dtype(&chosen.name, &chosen.device));
    let random = |dims: [usize; 2], seed: u64, scale: f32| -> Tensor<2> {
        let mut draws = datasets::random::stream(seed, "bench", 0, 0);
        let values = (0..dims[0] * dims[1]).map(|_| {
            #[expect(clippy::cast_possible_truncation, reason = "a random number")]
            let draw = datasets::random::normal(&mut draws) as f32;
            draw * scale
        });
        give(values.collect(), dims, &device).cast(dtype)
    };
    let scale = 4.0 / (hidden as f32).sqrt();
    let (states, head) = (random([tokens, hidden], 1, 1.0), random([hidden, vocab], 2, scale));
    let (said, said_head) = (random([tokens, hidden], 3, 1.0), random([hidden, vocab], 4, scale));
    let labels: Vec<i64> = (0..tokens as i64).map(|i| i * 1831 % vocab as i64).collect();
    let labels = Tensor::<1, Int>::from_ints(labels.as_slice(), &device);
    let objective = Objective::forward_kl();
    let known = capture(&said, &said_head, &labels, 32);
    let sparse = Teacher::Sparse(known.sparse(Rest::Ghost));
    let dense = Teacher::Dense { hidden: said.clone(), head: said_head.clone() };

    let mut report = serde_json::Map::new();
    report.insert("shape".into(), json!({"vocab": vocab, "tokens": tokens, "hidden": hidden}));
    report.insert("device".into(), json!(chosen.name));
    let loss = |teacher: &Teacher| {
        let step = 1.0 / tokens as f64;
        let (sums, gradients) =
            head_loss_and_gradients(&states, &head, Some(teacher), &labels, &objective, step);
        // A device is done when what it made last can be read.
        drop(take(gradients.head.narrow(0, 0, 1)));
        drop(take(gradients.hidden.narrow(0, 0, 1)));
        sums.forward_kl / tokens as f64
    };
    let words = || {
        let known = capture(&said, &said_head, &labels, 32);
        f64::from(known.rest[0])
    };
    let measures: [(&str, &dyn Fn() -> f64); 3] =
        [("dense", &|| loss(&dense)), ("sparse", &|| loss(&sparse)), ("capture", &words)];
    for (name, work) in measures {
        if asked.is_empty() || asked.iter().any(|a| a == name) {
            report.insert(name.into(), measure(repeats, work));
        }
    }
    println!("{}", serde_json::Value::Object(report));
}

fn measure(repeats: usize, work: &dyn Fn() -> f64) -> serde_json::Value {
    // The largest size of the process is forgotten, so that it is that of the work.
    let forgotten = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = stillflow::run::resident_memory_bytes();
    let (mut seconds, mut last) = (Vec::new(), work());
    for _ in 0..repeats {
        let begun = Instant::now();
        last = work();
        seconds.push(begun.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let grew = stillflow::run::peak_memory_bytes().saturating_sub(before);
    let grew = forgotten.then_some(grew >> 20);
    json!({"wall_s": seconds[seconds.len() / 2], "best_s": seconds[0], "grew_mib": grew, "last": last})
}
