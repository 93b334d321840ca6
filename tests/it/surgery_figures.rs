//! What surgery and observation cost, in figures for the log: each test is one command,
//! `cargo test --release --test it -- --ignored --nocapture NAME`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

use kernels::importance::SampleSums;
use kernels::{Device, Tensor};
use stillflow::model::{ModelConfig, Tap};
use stillflow::prune::{
    Aggregations, Fingerprint, HeadAddBack, Importance, LayerPlan, PrunePlan, Residual, Scores,
    Sites, cut_directory,
};
use stillflow::recipe::described;
use stillflow::weights::{ModelDirectory, StoredType, initialise, save_each};

/// Llama 3.1's shape at Minitron's width: 4.5 billion parameters.
fn teacher() -> ModelConfig {
    ModelConfig { hidden_size: 3072, intermediate_size: 9216, ..described("llama-3.1-8b").unwrap() }
}

/// About half of it, by everything that a plan can say.
fn plan() -> PrunePlan {
    let teacher = teacher();
    // Three of each four, four of each seven: no long runs.
    let layer = |source| LayerPlan {
        source,
        heads: (0..32).filter(|head| head % 4 != 1).collect(),
        neurons: (0..9216).filter(|n| n * 4 % 7 < 4).collect(),
        kv_groups: Some((0..4).map(|g| vec![2 * g, 2 * g + 1]).collect()),
        add_back: (0..8).map(|g| [4 * g, 4 * g + 1]).collect(),
        norm_gains: Some([0.9, 1.1]),
    };
    PrunePlan {
        head_add_back: HeadAddBack::Plus,
        norm_gain: Some(0.97),
        hidden: (0..3072).filter(|channel| channel % 4 != 2).collect(),
        layers: (0..teacher.num_hidden_layers).map(layer).collect(),
        ..PrunePlan::whole(&teacher)
    }
}

/// Numbers of bfloat16 about 0.01 in size, of which no two rows are alike.
fn write_teacher(dir: &Path) {
    let config = teacher();
    let dims: Vec<usize> = config.tensors().iter().map(|(_, dims)| dims.iter().product()).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut band = Vec::with_capacity(8 << 20);
    save_each(&config, dir, StoredType::Bf16, 5_000_000_000, None, |i, file| {
        let mut left = 2 * dims[i];
        while left > 0 {
            band.clear();
            while band.len() < left.min(8 << 20) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                band.extend_from_slice(
                    &((state & 0x80ff_80ff_80ff_80ff) | 0x3c00_3c00_3c00_3c00).to_le_bytes(),
                );
            }
            band.truncate(left.min(8 << 20));
            file.write_all(&band)?;
            left -= band.len();
        }
        Ok(())
    })
    .unwrap();
}

/// Every file, through a buffer, and durable at the end; the bytes.
fn copy(from: &Path, to: &Path) -> u64 {
    fs::create_dir(to).unwrap();
    let (mut total, mut buffer) = (0, vec![0; 8 << 20]);
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let mut source = File::open(entry.path()).unwrap();
        let mut file = File::create(to.join(entry.file_name())).unwrap();
        loop {
            let read = source.read(&mut buffer).unwrap();
            if read == 0 {
                break;
            }
            file.write_all(&buffer[..read]).unwrap();
            total += read as u64;
        }
        file.sync_all().unwrap();
    }
    total
}

fn bytes_of(dir: &Path) -> u64 {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// Takes a directory's files out of the system's memory, so that what reads them first is not slower than the next.
fn drop_cached(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let file = File::open(entry.unwrap().path()).unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
}

/// A line of the process's status, in bytes.
fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    let kibibytes: u64 =
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes * 1024
}

/// A few rows of the student, each value by the plan's formula.
fn check(teacher: &ModelDirectory, student: &ModelDirectory, plan: &PrunePlan) {
    let row = |model: &ModelDirectory, name: &str, row: usize| -> Vec<f32> {
        let dims = model.config.tensors().into_iter().find(|(n, _)| n == name).unwrap().1;
        let (width, tensor) = (*dims.last().unwrap(), model.stored(name, &dims).unwrap());
        tensor.dtype.decode(&tensor.bytes[row * width * 2..(row + 1) * width * 2])
    };
    let rounded = |x: f32| half::bf16::from_f32(x).to_f32();
    for layer in [0, 31] {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let kept = &plan.layers[layer];
        let (down, up) = (name("mlp.down_proj"), name("mlp.up_proj"));
        let (q, k) = (name("self_attn.q_proj"), name("self_attn.k_proj"));
        for i in [0, 77, 2303] {
            let theirs = row(teacher, &down, plan.hidden[i]);
            let expected: Vec<f32> = kept.neurons.iter().map(|n| theirs[*n]).collect();
            assert!(row(student, &down, i) == expected, "{down}, row {i}");
            let theirs = row(teacher, &up, kept.neurons[i]);
            let expected: Vec<f32> = plan.hidden.iter().map(|c| theirs[*c]).collect();
            assert!(row(student, &up, i) == expected, "{up}, row {i}");
            // Into heads 4 g went what heads 4 g + 1 asked.
            let (head, channel) = (kept.heads[i / 128], i % 128);
            let stays = row(teacher, &q, head * 128 + channel);
            let goes = row(teacher, &q, (head + usize::from(head % 4 == 0)) * 128 + channel);
            let expected: Vec<f32> =
                plan.hidden.iter().map(|c| rounded(2.0 * stays[*c] - goes[*c])).collect();
            assert!(row(student, &q, i) == expected, "{q}, row {i}");
            let group = i / 128 % 4;
            let [one, other] = [0, 1].map(|of| row(teacher, &k, (2 * group + of) * 128 + channel));
            let expected: Vec<f32> =
                plan.hidden.iter().map(|c| rounded((one[*c] + other[*c]) * 0.5)).collect();
            assert!(row(student, &k, group * 128 + channel) == expected, "{k}, row {i}");
        }
    }
}

/// `STILLFLOW_FIGURES` names the directory that 18 GB are written in, and removed from; the system's for temporary
/// files, if it is not set.
#[test]
#[ignore = "it writes 18 GB"]
fn a_teacher_of_nine_gigabytes_is_cut_in_two() {
    let base = std::env::var_os("STILLFLOW_FIGURES").map_or_else(std::env::temp_dir, Into::into);
    let place = tempfile::tempdir_in(base).unwrap();
    let at = |name: &str| place.path().join(name);
    write_teacher(&at("teacher"));
    let bytes = bytes_of(&at("teacher"));
    let timed = |what: &str, from: &str, f: &mut dyn FnMut() -> u64| {
        drop_cached(&at(from));
        let begun = Instant::now();
        let bytes = f();
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "{what}: {bytes} bytes in {seconds:.1} s, {:.0} MB/s",
            bytes as f64 / seconds / 1e6
        );
        seconds
    };
    let plain = timed("copied", "teacher", &mut || copy(&at("teacher"), &at("copy")));
    fs::remove_dir_all(at("copy")).unwrap();

    let plan = plan();
    let before = status("VmRSS");
    // The highest that it was from here on.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let mut cut = || {
        let teacher = ModelDirectory::open(&at("teacher")).unwrap();
        cut_directory(&teacher, &plan, &at("student"), StoredType::Bf16, 5_000_000_000, None)
            .unwrap();
        bytes
    };
    let seconds = timed("cut", "teacher", &mut cut);
    let peak = status("VmHWM");
    let made = bytes_of(&at("student"));
    let parameters = [teacher(), plan.student(&teacher())].map(|config| config.num_parameters());
    println!(
        "{} parameters to {}; {made} bytes made; peak {:.0} MB resident, {:.0} before; {:.2} of the copy's time",
        parameters[0],
        parameters[1],
        peak as f64 / 1e6,
        before as f64 / 1e6,
        seconds / plain
    );
    let [theirs, ours] =
        ["teacher", "student"].map(|name| ModelDirectory::open(&at(name)).unwrap());
    check(&theirs, &ours, &plan);
    assert!(peak <= 2 << 30, "{peak} bytes resident");
    let again = timed("the student copied", "student", &mut || copy(&at("student"), &at("copy")));
    println!(
        "the teacher's copy {plain:.1} s, the cut {seconds:.1} s, the student's copy {again:.1} s"
    );
}

/// Passes of the same model on the same tokens in turn, so that what else the machine does falls on all of them.
#[test]
#[ignore = "it measures, and asserts nothing that a busy machine would not fail"]
fn what_observing_costs_beside_the_plain_forward() {
    let config = ModelConfig {
        hidden_size: 512,
        intermediate_size: 1536,
        num_hidden_layers: 4,
        num_attention_heads: 8,
        num_key_value_heads: 2,
        head_dim: 64,
        vocab_size: 512,
        ..described("llama-3.2-1b").unwrap()
    };
    let wide = ModelConfig {
        hidden_size: 1024,
        intermediate_size: 3584,
        num_attention_heads: 16,
        ..config.clone()
    };
    for config in [config, wide] {
        let model = initialise(&config, 1, &Device::flex());
        let rows: Vec<Vec<u32>> =
            (0..4).map(|r| (0..257).map(|i| (i * 7 + r) % 512).collect()).collect();
        let ids = stillflow::distill::Batch::of_tokens(&rows).inputs(&Device::flex());
        let plain = || {
            let _ = model.hidden(&ids, None, &mut |_, _, _| {});
        };
        let look = |sites, power: bool| {
            let mut residual = power.then(|| Residual::zeros(&config));
            let tap: &mut Tap<'_> = &mut |layer, site, x: &Tensor<2>| {
                if let Some(residual) = &mut residual {
                    residual.see(layer, site, x, 4);
                }
            };
            let _ = Importance::beside(&model, &ids, None, sites, tap);
        };
        let cases: [(&str, &dyn Fn()); 5] = [
            ("plain", &plain),
            ("nvidia", &|| look(Sites::Nvidia, false)),
            ("nvidia, norms", &|| look(Sites::Nvidia, true)),
            ("paper", &|| look(Sites::Paper, false)),
            ("paper, norms", &|| look(Sites::Paper, true)),
        ];
        const ROUNDS: usize = 25;
        let mut seconds = vec![Vec::new(); cases.len()];
        for _ in 0..ROUNDS {
            for ((_, case), seconds) in cases.iter().zip(&mut seconds) {
                let begun = Instant::now();
                case();
                seconds.push(begun.elapsed().as_secs_f64());
            }
        }
        // The middle one of the rounds' ratios, and the ratio of the fastest.
        let plain = seconds[0].clone();
        for ((name, _), seconds) in cases.iter().zip(&seconds) {
            let mut ratios: Vec<f64> = plain.iter().zip(seconds).map(|(a, b)| a / b).collect();
            ratios.sort_by(f64::total_cmp);
            let best = |of: &[f64]| of.iter().copied().fold(f64::INFINITY, f64::min);
            println!(
                "hidden {}, {name}: {:.0} tokens/s; of the plain pass {:.3} in the middle, {:.3} at best",
                config.hidden_size,
                1024.0 / best(seconds),
                ratios[ROUNDS / 2],
                best(&plain) / best(seconds),
            );
        }
    }
}

/// Sums that no value repeats in, as they are written: no model is needed for their size.
#[test]
#[ignore = "it writes 100 MB and asserts little"]
fn what_the_sums_of_llama_8b_weigh() {
    let config = described("llama-3.1-8b").unwrap();
    let place = tempfile::tempdir().unwrap();
    for sites in [Sites::Nvidia, Sites::Paper] {
        let mut rng = datasets::random::stream(1, "figures", 0, 0);
        let mut sums = Importance::zeros(&config, sites);
        sums.samples = 1024;
        let mut held = 0;
        for layers in [
            &mut sums.input_norm,
            &mut sums.attention,
            &mut sums.post_attention_norm,
            &mut sums.neurons,
        ] {
            for row in layers.iter_mut().flat_map(SampleSums::rows_mut) {
                held += 8 * row.len();
                row.iter_mut().for_each(|x| *x = datasets::random::normal(&mut rng).abs());
            }
        }
        let digest = datasets::store::digest_bytes(b"none");
        let of = Fingerprint { teacher: digest, tokenizer: digest };
        let begun = Instant::now();
        let written = sums.write(&place.path().join("sums.parquet"), &of).unwrap().bytes;
        let seconds = begun.elapsed().as_secs_f64();
        let scores = place.path().join("scores");
        fs::create_dir_all(&scores).unwrap();
        Scores::activation(&sums, Aggregations::default(), &config).write(&scores).unwrap();
        println!(
            "{sites:?}: {held} bytes of sums in memory, {written} written in {seconds:.2} s; {} of scores",
            bytes_of(&scores)
        );
        let (read, _) = Importance::read(&place.path().join("sums.parquet"), &config).unwrap();
        assert!(read == sums, "they are read back");
    }
    let residual = Residual::zeros(&config).write(&place.path().join("residual.parquet")).unwrap();
    println!("norms: {} bytes in memory, {} written (zeros)", 65 * 4096 * 8, residual.bytes);
}
