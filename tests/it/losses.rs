//! What is minimised: hidden states beside logits, weights that follow, and all of it from a recipe through a kill.

use std::collections::BTreeMap;
use std::path::PathBuf;

use datasets::table::{Column, Table};
use kernels::host::take;
use kernels::loss::{Divergence, HIDDEN, HiddenLoss, Objective, Term, hidden_loss};
use kernels::{DType, Device, Int, Tensor};
use stillflow::distill::{Batch, Hidden, LearningRate, Settings, StepReport, Trainer};
use stillflow::eval::losses::lesson_with;
use stillflow::model::{Decoder, Recompute, Weight};

use super::command::{FROM_TEACHER, Place};
use super::training::{SEQ, SEQUENCES, batches, golden};

/// The golden model, every matrix a little smaller.
fn student() -> Decoder {
    let teacher = golden("gqa-8-2");
    let mut shrink =
        |_: &str, w: Weight| Ok::<_, std::convert::Infallible>(w.apply(|t| t, |t| t * 0.9));
    let Ok(parameters) = teacher.parameters.clone().map(&mut shrink);
    Decoder { parameters, ..teacher }
}

fn flat(weight: &Weight) -> Vec<f32> {
    match weight.clone() {
        Weight::Vector(t) => take(t),
        Weight::Table(t) | Weight::Matrix(t) => take(t),
    }
}

/// The directional derivative along a tensor's own gradient is that gradient's length, tensor by tensor.
#[test]
fn the_gradients_that_enter_at_the_layers_are_the_slopes_of_the_loss() {
    let (student, teacher) = (student(), golden("gqa-8-2"));
    let layers = student.config.num_hidden_layers;
    let norms = [0, 1, layers];
    let batch = &batches(6)[0];
    let device = Device::flex();
    let (ids, labels): (_, Tensor<1, Int>) = (batch.inputs(&device), batch.labels(&device));
    // Other text for the teacher: its states are then nothing like the student's.
    let others = Batch::of_tokens(
        &batch
            .tokens
            .chunks(SEQ + 1)
            .map(|row| row.iter().rev().copied().collect())
            .collect::<Vec<_>>(),
    );
    let (_, said) = lesson_with(&teacher, &others, &norms);
    assert_eq!(said.len(), norms.len());
    let silent = Objective { divergences: Vec::new(), cross_entropy: 0.0 };
    for loss in [HiddenLoss::Cosine, HiddenLoss::Mse] {
        for recompute in [Recompute::None, Recompute::Block] {
            let run = |student: &Decoder| {
                let mut sum = 0.0;
                let (_, gradients) = student.loss_and_gradients_with(
                    &ids,
                    None,
                    &labels,
                    None,
                    &silent,
                    1.0,
                    recompute,
                    &mut |index, normed| {
                        let place = norms.iter().position(|norm| *norm == index)?;
                        let (more, gradients) =
                            hidden_loss(loss, normed, None, &said[place], &labels, 1.0);
                        sum += more;
                        Some(gradients.student)
                    },
                );
                (sum, gradients)
            };
            let (_, gradients) = run(&student);
            let mut met = 0;
            for (name, gradient) in gradients.named() {
                let values = flat(&gradient);
                let length = values.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
                if length < 1e-3 {
                    continue;
                }
                let moved = |step: f64| {
                    let mut shift = |of: &str, w: Weight| {
                        if of != name {
                            return Ok::<_, std::convert::Infallible>(w);
                        }
                        let by = step / length;
                        Ok(match (w, gradient.clone()) {
                            (Weight::Vector(w), Weight::Vector(g)) => Weight::Vector(w + g * by),
                            (Weight::Table(w), Weight::Table(g)) => Weight::Table(w + g * by),
                            (Weight::Matrix(w), Weight::Matrix(g)) => Weight::Matrix(w + g * by),
                            _ => panic!("{name}"),
                        })
                    };
                    let Ok(parameters) = student.parameters.clone().map(&mut shift);
                    run(&Decoder { parameters, ..student.clone() }).0
                };
                let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                let off = (slope / length - 1.0).abs();
                assert!(off < 5e-3, "{loss:?}, {name}: slope {slope}, gradient {length}");
                met += 1;
            }
            assert!(met > 9 * (layers - 1), "only {met} tensors have a gradient");
        }
    }
}

fn settings(hidden: Hidden) -> Settings {
    Settings {
        learning_rate: LearningRate { peak: 1e-3, min: 1e-3, warmup_steps: 0, steps: 4 },
        objective: Objective {
            divergences: vec![Term { weight: 0.7, ..Term::new(Divergence::ReverseKl) }],
            cross_entropy: 0.3,
        },
        cross_entropy_is_dynamic: true,
        hidden: Some(hidden),
        tokens_per_step: u64::from(SEQUENCES) * SEQ as u64,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.1,
        clip_norm: 0.5,
        recompute: Recompute::Block,
    }
}

/// The student is as wide as its teacher; a map between the two is learnt all the same where one is asked for.
fn hidden(projected: bool) -> Hidden {
    let wide = student().config.hidden_size;
    Hidden {
        loss: HiddenLoss::Mse,
        weight: 0.5,
        is_dynamic: true,
        norms: vec![(0, 0), (2, 2)],
        projection: projected.then_some([wide, wide]),
        seed: 7,
    }
}

fn step(trainer: &mut Trainer, teacher: &Decoder, size: usize, step: u64) -> StepReport {
    for batch in batches(size) {
        let (said, states) = lesson_with(teacher, &batch, &[0, 2]);
        trainer.accumulate(&batch, Some(&said), &states);
    }
    trainer.update(step).unwrap()
}

#[test]
fn a_step_on_hidden_states_and_weights_that_follow_does_not_depend_on_its_micro_batches() {
    let teacher = golden("gqa-8-2");
    for projected in [false, true] {
        let trained = |size: usize| {
            let mut trainer = Trainer::new(student(), DType::F32, settings(hidden(projected)));
            let reports: Vec<_> = (0..3).map(|n| step(&mut trainer, &teacher, size, n)).collect();
            (trainer.student().parameters.named(), reports)
        };
        let (whole, reports) = trained(6);
        // At the first step they are measured alone; at the next each is worth what the divergences were.
        let part = |report: &StepReport| {
            let tokens = report.sums.tokens as f64;
            (
                0.7 * report.sums.of(Divergence::ReverseKl) / tokens,
                report.sums.cross_entropy / tokens,
                report.sums.others[HIDDEN] / tokens,
            )
        };
        let ((kl, ce, states), first) = (part(&reports[0]), reports[0].loss);
        assert!((first - kl).abs() < 1e-9 && ce > 0.0 && states > 0.0, "{first} {kl}");
        let (next, ce_next, states_next) = part(&reports[1]);
        let expected = next + 0.3 * kl / ce * ce_next + 0.5 * kl / states * states_next;
        assert!((reports[1].loss - expected).abs() < 1e-6 * expected, "{:?}", reports[1]);
        for size in [1, 2] {
            let (cut, found) = trained(size);
            for (a, b) in reports.iter().zip(&found) {
                for (a, b) in [(a.loss, b.loss), (a.gradient_norm, b.gradient_norm)] {
                    assert!(
                        (a - b).abs() <= 2e-4 * a.abs(),
                        "micro-batches of {size}: {a} and {b}"
                    );
                }
            }
            for ((name, a), (_, b)) in whole.iter().zip(&cut) {
                let worst =
                    flat(a).iter().zip(flat(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-4, "micro-batches of {size}: {name} differs by {worst:e}");
            }
        }
    }
}

#[test]
fn a_trainer_that_goes_on_from_a_state_makes_the_same_bytes() {
    let teacher = golden("gqa-8-2");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trainer.safetensors");
    let bytes = |trainer: &Trainer| {
        trainer.state().write(&path).unwrap();
        std::fs::read(&path).unwrap()
    };
    let mut whole = Trainer::new(student(), DType::F32, settings(hidden(true)));
    step(&mut whole, &teacher, 3, 0);
    step(&mut whole, &teacher, 3, 1);
    bytes(&whole);
    let config = &student().config;
    let mut again =
        Trainer::resume(&path, config, &Device::flex(), DType::F32, settings(hidden(true)))
            .unwrap();
    assert_eq!(step(&mut whole, &teacher, 3, 2), step(&mut again, &teacher, 3, 2));
    let (whole, again) = (bytes(&whole), bytes(&again));
    assert!(whole == again);
    let names = safetensors::SafeTensors::deserialize(&whole).unwrap();
    let names: Vec<_> =
        names.names().into_iter().filter(|name| name.contains("hidden.projection")).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    // A state without the map is not a state of a trainer that has one.
    bytes(&Trainer::new(student(), DType::F32, settings(hidden(false))));
    let error = Trainer::resume(&path, config, &Device::flex(), DType::F32, settings(hidden(true)));
    let error = error.err().unwrap().to_string();
    assert!(error.contains("`first/hidden.projection`"), "{error}");
}

fn models(place: &Place, dir: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let root = place.at(dir);
    let files = place.files(&format!("{dir}/models")).into_iter();
    let files = files.chain(place.files(&format!("{dir}/metrics")));
    files.map(|(path, bytes)| (path.strip_prefix(&root).unwrap().to_owned(), bytes)).collect()
}

const KEYS: &str = "--set prune.hidden_size=50% --set losses.hidden.layers=[\"embedding\",\"last\"] \
    --set losses.cross_entropy.weight=0.5 --set losses.cross_entropy.balance=dynamic \
    --set losses.jensen_shannon.beta=0.3 --set losses.adaptive_kl.weight=0.1 \
    --set losses.logit_mse.temperature=2 --set losses.forward_kl.weight=0.5 \
    --set losses.forward_kl.temperature_squared=false";

#[test]
fn a_run_with_many_losses_goes_on_where_it_was_killed_and_ends_with_the_same_bytes() {
    let place = Place::with_teacher();
    let line = |dir: &str| {
        format!("run {} {KEYS}", FROM_TEACHER.replace("--dir run", &format!("--dir {dir}")))
    };
    place.stillflow(&line("whole")).done();
    let whole = models(&place, "whole");
    for _ in 0..3 {
        let said = place.with(&line("killed"), &[("STILLFLOW_ABORT", "committed:1")]);
        assert_eq!(said.code, None, "{}", said.stderr);
    }
    assert!(place.at("killed/checkpoints/distil/step-00000002/trainer.safetensors").is_file());
    place.stillflow(&line("killed")).done();
    assert!(models(&place, "killed") == whole);

    let path = whole.keys().find(|path| path.ends_with("metrics/distil/steps-00000000.parquet"));
    let table = Table::read(&place.at("whole").join(path.unwrap())).unwrap();
    let numbers = |name: &str| match table.column(name) {
        Some(Column::F64(values)) => values.clone(),
        other => panic!("{name}: {other:?}"),
    };
    let (kl, loss) = (numbers("forward_kl")[0], numbers("loss")[0]);
    let others = [("jensen_shannon", 1.0), ("adaptive_kl", 0.1), ("logit_mse", 4.0)];
    // At the first step what follows the divergences is measured alone.
    let expected = others.iter().fold(0.5 * kl, |sum, (name, w)| sum + w * numbers(name)[0]);
    assert!((loss - expected).abs() < 1e-9 * loss, "{loss}, expected {expected}");
    assert!(numbers("hidden").iter().all(|h| *h > 0.0));
    assert!(table.column("reverse_kl").is_none(), "a loss that is not minimised has no column");
    // The map between the widths stays with the trainer.
    let exported = whole.keys().filter(|path| path.ends_with("model.safetensors")).count();
    assert!(exported > 0);
    let map = b"hidden.projection";
    assert!(
        whole
            .iter()
            .filter(|(path, _)| path.starts_with("models"))
            .all(|(_, bytes)| { !bytes.windows(map.len()).any(|window| window == map) })
    );
}

#[test]
fn layers_that_one_of_the_two_does_not_have_are_refused_before_any_work() {
    let place = Place::with_teacher();
    let said = place.stillflow(&format!("run {FROM_TEACHER} --set losses.hidden.layers=[\"9:0\"]"));
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(
        said.stderr.contains("`losses.hidden.layers`: expected layers of a teacher of"),
        "{}",
        said.stderr
    );
}
