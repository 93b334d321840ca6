//! The plain loop: the small run once more, as four `for` loops over the library's functions, with no dataflow, no
//! thread, no checkpoint. What the run made must be what they make, bit for bit.

use std::fs;
use std::path::{Path, PathBuf};

use datasets::loader::Loader;
use datasets::shard::Sample;
use datasets::table::{Column, Table};
use kernels::host::take;
use kernels::loss::{LossSums, Objective};
use kernels::{DType, Device};
use stillflow::distill::{Batch, Settings, StepReport, Trainer};
use stillflow::eval::losses::{lesson, over};
use stillflow::eval::report::Text;
use stillflow::eval::{HeldOut, ModelReport, Report};
use stillflow::model::{Decoder, Weight};
use stillflow::prune::depth::walk::Walk;
use stillflow::prune::written::digest_scores;
use stillflow::prune::{
    Aggregations, DepthSums, Importance, PrunePlan, Residual, Scores, Sites, cut,
};
use stillflow::recipe::{Recipe, Train};
use stillflow::stages::data::bytes_per_token;
use stillflow::stages::prepare::Kind;
use stillflow::stages::sources;
use stillflow::stages::train::feed::sequences;
use stillflow::weights::{ModelDirectory, initialise, load};

use super::runs::Small;

/// What the run left, and what it was made of.
struct Oracle {
    run: PathBuf,
    recipe: Recipe,
    train: Loader,
    held_out: HeldOut,
    text: Text,
}

/// What a loop over the steps of a stage gives.
struct Trained {
    model: Decoder,
    steps: Vec<StepReport>,
    evaluations: Vec<(u64, LossSums)>,
}

impl Oracle {
    fn open(run: PathBuf) -> (Self, usize, [(&'static str, Option<u32>); 2]) {
        let recipe = Recipe::resolve(&run.to_string_lossy(), &[]).unwrap();
        let opened = |kind| sources::open(&run, &recipe, kind).unwrap();
        let (train, held_out) = (opened(Kind::Train), opened(Kind::HeldOut));
        assert!(train.iter().any(|(_, shards)| shards.len() > 1), "more than one shard");
        let header = train[0].1.header().clone();
        let (bos, eos) = (header.bos_id, header.eos_id);
        let scored = recipe.evaluate.sequences * recipe.tokens.seq_tokens;
        let mut samples: Vec<Sample> = Vec::new();
        for (_, shards) in &held_out {
            let mut left = scored;
            for sample in shards.read_all().unwrap() {
                if left > 0 {
                    left = left.saturating_sub(sample.tokens.len() as u64);
                    samples.push(sample);
                }
            }
        }
        let text = Text { entropy: None, bytes_per_token: bytes_per_token(&samples, bos, eos) };
        let held_out = sources::loader(&run, &recipe, held_out, Kind::HeldOut, bos, eos).unwrap();
        let count = recipe.evaluate.sequences.min(held_out.num_sequences().unwrap());
        let held_out = sequences(&held_out, 0..count).unwrap();
        let held_out = HeldOut::new(held_out, recipe.evaluate.batch, true);
        let train = sources::loader(&run, &recipe, train, Kind::Train, bos, eos).unwrap();
        let special = [("bos_token_id", bos), ("eos_token_id", eos)];
        (Self { run, train, held_out, text, recipe }, header.vocab_size as usize, special)
    }

    fn batch(&self, range: std::ops::Range<u64>) -> Batch {
        Batch::new(&sequences(&self.train, range).unwrap(), true)
    }

    /// One training stage.
    fn train(
        &self,
        begin: Decoder,
        train: &Train,
        objective: Objective,
        teacher: Option<&Decoder>,
    ) -> Trained {
        let seq_tokens = self.recipe.tokens.seq_tokens;
        let settings = Settings {
            learning_rate: train.rate(seq_tokens),
            objective,
            cross_entropy_is_dynamic: false,
            hidden: None,
            tokens_per_step: train.tokens_per_step(seq_tokens),
            beta1: train.beta1,
            beta2: train.beta2,
            epsilon: train.epsilon,
            weight_decay: train.weight_decay,
            clip_norm: train.clip_norm,
            recompute: train.recompute,
        };
        let mut trainer = Trainer::new(begin, DType::F32, settings);
        let (mut steps, mut evaluations) = (vec![], vec![]);
        let end = train.steps_for(seq_tokens);
        let mut next = 0;
        for step in 0..end {
            for _ in 0..train.micro_batches() {
                let batch = self.batch(next..next + train.micro_batch_size);
                next += train.micro_batch_size;
                let teacher = teacher.map(|teacher| lesson(teacher, &batch));
                trainer.accumulate(&batch, teacher.as_ref(), &[]);
            }
            steps.push(trainer.update(step).unwrap());
            let done = step + 1;
            if done == end || done % train.evaluate_every == 0 {
                evaluations.push((done, over(trainer.student(), teacher, &self.held_out)));
            }
        }
        Trained { model: trainer.student().clone(), steps, evaluations }
    }

    /// Compares the loop of a stage with the rows and the model that the run left.
    fn assert_trained(
        &self,
        stage: &str,
        model: &str,
        trained: &Trained,
        kl: f64,
        cross_entropy: f64,
    ) {
        self.assert_rows(stage, trained, kl, cross_entropy);
        let directory = ModelDirectory::open(&self.run.join("models").join(model)).unwrap();
        let exported = load(&directory, &Device::flex(), DType::F32).unwrap();
        let (found, expected) = (exported.parameters.named(), trained.model.parameters.named());
        assert_eq!(found.len(), expected.len());
        for ((name, found), (expected_name, expected)) in found.into_iter().zip(expected) {
            assert_eq!(name, expected_name);
            let same = values(found)
                .into_iter()
                .zip(values(expected))
                .all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "`{name}` of the {model}");
        }
    }

    /// What it recorded is what the loop found.
    fn assert_rows(&self, stage: &str, trained: &Trained, kl: f64, cross_entropy: f64) {
        let found = self.rows(stage, "steps");
        let steps = trained.steps.len() as u64;
        assert_eq!(counts(&found, "step"), (0..steps).collect::<Vec<_>>(), "{stage}");
        let of = |f: &dyn Fn(&StepReport) -> f64| trained.steps.iter().map(f).collect::<Vec<_>>();
        let loss = |report: &StepReport| {
            let tokens = report.sums.tokens as f64;
            kl * (report.sums.forward_kl / tokens)
                + cross_entropy * (report.sums.cross_entropy / tokens)
        };
        assert_bits(stage, &numbers(&found, "loss"), &of(&loss));
        assert_bits(stage, &numbers(&found, "gradient_norm"), &of(&|report| report.gradient_norm));
        assert_bits(stage, &numbers(&found, "learning_rate"), &of(&|report| report.learning_rate));
        let tokens: Vec<u64> = trained.steps.iter().map(|report| report.sums.tokens).collect();
        assert_eq!(counts(&found, "tokens"), tokens, "{stage}");

        let found = self.rows(stage, "evaluations");
        let steps: Vec<u64> = trained.evaluations.iter().map(|(step, _)| *step).collect();
        assert_eq!(counts(&found, "step"), steps, "{stage}");
        let mean = |f: fn(&LossSums) -> f64| {
            trained
                .evaluations
                .iter()
                .map(|(_, sums)| f(sums) / sums.tokens as f64)
                .collect::<Vec<_>>()
        };
        assert_bits(stage, &numbers(&found, "cross_entropy"), &mean(|sums| sums.cross_entropy));
        if kl > 0.0 {
            assert_bits(stage, &numbers(&found, "forward_kl"), &mean(|sums| sums.forward_kl));
            assert_bits(stage, &numbers(&found, "agreement"), &mean(|sums| sums.agreed as f64));
        }
    }

    /// All published rows of a stage, in order.
    fn rows(&self, stage: &str, kind: &str) -> Vec<Table> {
        let dir = self.run.join("metrics").join(stage);
        let mut names: Vec<PathBuf> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.retain(|path| {
            path.file_name().unwrap().to_string_lossy().starts_with(&format!("{kind}-"))
        });
        names.sort();
        assert!(names.len() > 2, "the small run publishes several files a stage");
        names.iter().map(|path| Table::read(path).unwrap()).collect()
    }
}

fn values(weight: Weight) -> Vec<f32> {
    match weight {
        Weight::Vector(t) => take(t),
        Weight::Table(t) | Weight::Matrix(t) => take(t),
    }
}

fn numbers(tables: &[Table], name: &str) -> Vec<f64> {
    let column = |table: &Table| match table.column(name) {
        Some(Column::F64(values)) => values.clone(),
        other => panic!("{name}: {other:?}"),
    };
    tables.iter().flat_map(column).collect()
}

fn counts(tables: &[Table], name: &str) -> Vec<u64> {
    let column = |table: &Table| match table.column(name) {
        Some(Column::U64(values)) => values.clone(),
        other => panic!("{name}: {other:?}"),
    };
    tables.iter().flat_map(column).collect()
}

fn assert_bits(what: &str, found: &[f64], expected: &[f64]) {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(found), bits(expected), "{what}: {found:?}, expected {expected:?}");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_run_ends_with_the_bytes_of_a_plain_loop() {
    let small = Small::shared();
    let (oracle, vocab_size, special) = Oracle::open(small.reference());
    let recipe = &oracle.recipe;
    let device = Device::flex();

    let mut config = recipe.teacher_shape(vocab_size).unwrap();
    for (key, id) in special {
        config.other.extend(id.map(|id| (key.to_owned(), id.into())));
    }
    let random = initialise(&config, recipe.seed, &device);
    let pretrain = recipe.pretrain.as_ref().unwrap().train();
    let pretrained = oracle.train(random, &pretrain, Objective::cross_entropy(), None);
    oracle.assert_rows("pretrain", &pretrained, 0.0, 1.0);
    let correct = recipe.correct.as_ref().unwrap().train();
    let corrected =
        oracle.train(pretrained.model.clone(), &correct, Objective::cross_entropy(), None);
    oracle.assert_trained("correct", "teacher", &corrected, 0.0, 1.0);
    let (uncorrected, teacher) = (pretrained.model, corrected.model);

    let prune = recipe.prune.as_ref().unwrap();
    let mut importance = Importance::zeros(&config, Sites::Nvidia);
    let mut residual = Residual::zeros(&config);
    let dropped =
        config.num_hidden_layers - recipe.student_config(&config).unwrap().num_hidden_layers;
    let walk = Walk::new(teacher.clone(), &[dropped]);
    let mut depth = DepthSums::zeros(config.num_hidden_layers, &[dropped]);
    let mut first = 0;
    while first < prune.calibration_sequences {
        let last = (first + prune.calibration_batch).min(prune.calibration_sequences);
        let batch = oracle.batch(first..last);
        let documents = batch.documents();
        let ids = batch.inputs(&device);
        let documents = documents.as_ref();
        depth.add(&walk.sums(&batch));
        importance.add(&Importance::of(&teacher, &ids, documents, Sites::Nvidia));
        let mut seen = Residual::zeros(&config);
        let mut tap = |layer, site, x: &_| seen.see(layer, site, x, batch.batch);
        let _ = teacher.hidden(&ids, documents, &mut tap);
        residual.add(&seen);
        first = last;
    }
    let shape = recipe.student_config(&config).unwrap();
    let gone = depth.choose(prune.depth, prune.depth_contiguous, dropped);
    assert_eq!(gone.len(), 1);
    let layers: Vec<usize> =
        (0..config.num_hidden_layers).filter(|layer| !gone.contains(layer)).collect();
    let saved = oracle.run.join("scores/num_hidden_layers.parquet");
    assert_eq!(DepthSums::read(&saved, config.num_hidden_layers, &[dropped]).unwrap(), depth);
    let scores = Scores::activation(&importance, Aggregations::default(), &config);
    let mut plan = PrunePlan::choose(&config, &shape, &layers, &scores).unwrap();
    plan.pair_heads(&config, &scores, prune.head_add_back);
    plan.compensate(&residual);
    assert!(plan.norm_gain.is_some() && plan.layers.iter().all(|l| l.add_back.len() == 2));
    let mut found: PrunePlan = toml::from_str(&read(&oracle.run.join("plan.toml"))).unwrap();
    assert_eq!(found.scores.take(), Some(digest_scores(&oracle.run.join("scores")).unwrap()));
    assert_eq!(found.teacher.take().map(|digest| digest.len()), Some(64));
    assert_eq!(found, plan);
    let hidden = Table::read(&oracle.run.join("scores/hidden_size.parquet")).unwrap();
    assert_bits("scores", &numbers(&[hidden], "score"), &scores.hidden);
    let pruned = cut(&teacher, &plan).unwrap();

    let distil = recipe.distil.as_ref().unwrap();
    let losses = &recipe.losses;
    let (temperature, weight) = (losses.forward_kl.temperature, losses.cross_entropy.weight);
    let objective = Objective::mixed(losses.forward_kl.weight, temperature, weight);
    let student = oracle.train(pruned.clone(), distil, objective, Some(&teacher));
    let kl = losses.forward_kl.weight * temperature * temperature;
    oracle.assert_trained("distil", "student", &student, kl, weight);

    let random = initialise(&shape, recipe.seed + 1, &device);
    let control = oracle.train(random, distil, Objective::cross_entropy(), None);
    oracle.assert_trained("control", "control", &control, 0.0, 1.0);

    let models = [
        ("teacher", &teacher),
        ("uncorrected", &uncorrected),
        ("pruned", &pruned),
        ("student", &student.model),
        ("control", &control.model),
    ];
    let report = Report {
        sequences: oracle.held_out.num_sequences(),
        seq_tokens: recipe.tokens.seq_tokens,
        entropy: None,
        models: models
            .map(|(name, model)| {
                let sums = over(model, Some(&teacher), &oracle.held_out);
                ModelReport::of(name, model.config.num_parameters(), &sums, true, oracle.text)
            })
            .into(),
    };
    let expected = serde_json::to_string_pretty(&report).unwrap();
    assert_eq!(read(&oracle.run.join("eval/held-out.json")).trim_end(), expected);
}
