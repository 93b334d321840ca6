//! Removed layers, against models that really lost them.

use datasets::loader::Sequence;
use datasets::table::{Column, Table};
use kernels::Device;
use kernels::host::take;
use stillflow::distill::Batch;
use stillflow::eval::choice::answers::ask;
use stillflow::eval::choice::{Answers, Choice, Question};
use stillflow::eval::losses::losses;
use stillflow::model::{Decoder, ModelConfig};
use stillflow::prune::depth::walk::Walk;
use stillflow::prune::depth::{gaps, layer_forwards};
use stillflow::prune::{Depth, DepthSums, Fingerprint, LayerPlan, PrunePlan, cut};
use stillflow::weights::initialise;

use super::training::golden;

const LAYERS: usize = 5;

/// Five layers of random weights, whose norms scale nothing.
fn teacher() -> Decoder {
    let config = ModelConfig { num_hidden_layers: LAYERS, ..golden("gqa-8-2").config };
    initialise(&config, 3, &Device::flex())
}

/// Two documents in each of three sequences, which do not see one another, and padding.
fn batch(first: u32) -> Batch {
    let sequence = |row: u32| Sequence {
        tokens: (0..13).map(|i| (i * 7 + row * 13 + i * i * row) % 90).collect(),
        starts: vec![0, 5],
        len: 11,
        ..Sequence::default()
    };
    Batch::new(&[first, first + 1, first + 2].map(sequence), true)
}

/// The layers that stay, with everything in them.
fn with(teacher: &Decoder, layers: impl IntoIterator<Item = usize>) -> Decoder {
    let config = &teacher.config;
    let layer = |source| LayerPlan {
        source,
        heads: (0..config.num_attention_heads).collect(),
        neurons: (0..config.intermediate_size).collect(),
        ..LayerPlan::default()
    };
    let layers = layers.into_iter().map(layer).collect();
    cut(
        teacher,
        &PrunePlan {
            schema: 1,
            hidden: (0..config.hidden_size).collect(),
            layers,
            ..PrunePlan::default()
        },
    )
    .unwrap()
}

fn labelled(batch: &Batch) -> Vec<usize> {
    let all = 0..batch.batch * batch.seq;
    all.filter(|row| !batch.unlabelled.contains(&u32::try_from(*row).unwrap())).collect()
}

fn rows(values: Vec<f32>, tokens: usize) -> Vec<Vec<f64>> {
    let width = values.len() / tokens;
    values.chunks(width).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// `hidden` of a model on a batch; of no layer, the embeddings, whose direction is that of their norm.
fn hidden(model: Option<&Decoder>, teacher: &Decoder, batch: &Batch) -> Vec<Vec<f64>> {
    let ids = batch.inputs(&Device::flex());
    let hidden = match model {
        Some(model) => model.hidden(&ids, batch.documents().as_ref(), &mut |_, _, _| {}),
        None => teacher.embed(&ids),
    };
    rows(take(hidden), batch.batch * batch.seq)
}

fn logits(model: &Decoder, batch: &Batch) -> Vec<Vec<f64>> {
    let ids = batch.inputs(&Device::flex());
    let hidden = model.hidden(&ids, batch.documents().as_ref(), &mut |_, _, _| {});
    rows(take(hidden.matmul(model.head())), batch.batch * batch.seq)
}

#[test]
fn what_a_gap_costs_is_what_a_model_without_it_shows() {
    let (teacher, batch, dropped) = (teacher(), batch(0), 2);
    let sums = Walk::new(teacher.clone(), &[dropped]).sums(&batch);
    let labelled = labelled(&batch);
    assert_eq!(
        (sums.tokens, labelled.len()),
        (27, 27),
        "12 positions, less 2 of padding and 1 between documents"
    );
    let whole = losses(&teacher, None, &batch);
    assert!((sums.loss - whole.cross_entropy).abs() < 1e-6 * whole.cross_entropy);
    let whole = logits(&teacher, &batch);
    let squares: f64 = labelled.iter().map(|row| dot(&whole[*row], &whole[*row])).sum();
    assert!((sums.logits - squares).abs() < 1e-5 * squares);
    let prefixes: Vec<_> = (0..=LAYERS)
        .map(|n| {
            let model = (n > 0).then(|| with(&teacher, 0..n));
            hidden(model.as_ref(), &teacher, &batch)
        })
        .collect();
    let found: Vec<_> = gaps(LAYERS, &[dropped]).collect();
    assert_eq!(found, [0..1, 1..2, 2..3, 3..4, 4..5, 0..2, 1..3, 2..4, 3..5]);
    for (gap, removed) in found.into_iter().zip(&sums.removed) {
        let cut = with(&teacher, (0..LAYERS).filter(|layer| !gap.contains(layer)));
        let expected = losses(&cut, None, &batch).cross_entropy;
        assert!((removed.loss - expected).abs() < 1e-6 * expected, "{gap:?}: loss");
        let logits = logits(&cut, &batch);
        let error = |row: &usize| {
            let off: Vec<f64> = whole[*row].iter().zip(&logits[*row]).map(|(a, b)| a - b).collect();
            dot(&off, &off)
        };
        let expected: f64 = labelled.iter().map(error).sum();
        assert!((removed.logit_error - expected).abs() < 1e-4 * expected, "{gap:?}: logits");
        let (before, after) = (&prefixes[gap.start], &prefixes[gap.end]);
        let cosine = |row: &usize| {
            let (x, y) = (&before[*row], &after[*row]);
            dot(x, y) / (dot(x, x) * dot(y, y)).sqrt()
        };
        let expected: f64 = labelled.iter().map(cosine).sum();
        assert!((removed.cosine - expected).abs() < 1e-4, "{gap:?}: cosine");
    }
}

#[test]
fn what_lies_before_a_gap_runs_once() {
    let teacher = teacher();
    // 5 layers, and after each of the gaps 4 + 3 + 2 + 1 + 0, and 2 + 1 + 0 of blocks of three.
    assert_eq!(Walk::new(teacher.clone(), &[3]).sums(&batch(0)).layer_forwards, 5 + 10 + 3);
    assert_eq!(layer_forwards(LAYERS, &[3]), 18);
    let four = Walk::new(with(&teacher, 0..4), &[1]).sums(&batch(0));
    assert_eq!((four.layer_forwards, four.removed.len()), (4 + 6, 4));
}

#[test]
fn one_pass_over_several_lengths_says_of_each_what_a_pass_of_its_own_does() {
    let (teacher, batch) = (teacher(), batch(0));
    let together = Walk::new(teacher.clone(), &[2, 4]).sums(&batch);
    let found: Vec<_> = gaps(LAYERS, &[2, 4]).skip(LAYERS).collect();
    assert_eq!(found, [0..2, 1..3, 2..4, 3..5, 0..4, 1..5]);
    assert_eq!(together.layer_forwards, layer_forwards(LAYERS, &[2, 4]) as u64);
    let [two, four] = [2, 4].map(|length| Walk::new(teacher.clone(), &[length]).sums(&batch));
    assert_eq!(together.removed[..9], two.removed);
    assert_eq!(together.removed[..5], four.removed[..5]);
    assert_eq!(together.removed[9..], four.removed[5..]);
    for by in [Depth::Perplexity, Depth::BlockImportance, Depth::LogitError] {
        for contiguous in [true, false] {
            assert_eq!(together.choose(by, contiguous, 2), two.choose(by, contiguous, 2));
            assert_eq!(together.choose(by, contiguous, 4), four.choose(by, contiguous, 4));
        }
    }
}

#[test]
fn a_layer_that_does_nothing_is_missed_by_no_score() {
    let mut teacher = teacher();
    let idle = &mut teacher.parameters.layers[2];
    idle.o_proj.weight = idle.o_proj.weight.clone().zeros_like();
    idle.down_proj.weight = idle.down_proj.weight.clone().zeros_like();
    let sums = Walk::new(teacher, &[]).sums(&batch(0));
    for by in [Depth::Perplexity, Depth::BlockImportance, Depth::LogitError] {
        let scores = sums.scores(by);
        assert!(scores[2].abs() < 1e-6, "{by:?}: {scores:?}");
        // Random layers can help the loss, but none leaves stream and logits as they were.
        if by != Depth::Perplexity {
            assert_eq!(sums.choose(by, true, 1), [2], "{by:?}: {scores:?}");
        }
    }
}

/// Two to four choices each, of words that are not the teacher's: it has no reason to be right, nor to be wrong.
fn questions() -> Vec<Question> {
    let word = |n: usize| (n * n * 31 + n * 17) as u32 % 90;
    let choice = |q: usize, c: usize| {
        let (context_tokens, own) = (1 + q % 5, 1 + q % 3);
        let context = (0..context_tokens).map(|i| word(q * 7 + i));
        let tokens: Vec<u32> =
            context.chain((0..own).map(|i| word(q * 5 + c * 11 + i + 40))).collect();
        Choice { tokens, context_tokens, num_chars: 4 * own }
    };
    let question = |q: usize| Question {
        choices: (0..2 + q % 3).map(|c| choice(q, c)).collect(),
        answer: q % 2,
    };
    (0..40).map(question).collect()
}

#[test]
fn what_a_gap_costs_in_answers_is_what_a_model_without_it_answers() {
    let (mut teacher, questions) = (teacher(), questions());
    // Random layers say little beside the stream, and an answer does not hang on them.
    for layer in &mut teacher.parameters.layers {
        layer.o_proj.weight = layer.o_proj.weight.clone() * 30.0;
        layer.down_proj.weight = layer.down_proj.weight.clone() * 30.0;
    }
    let lengths = [2, 3];
    let sums = Walk::new(teacher.clone(), &lengths).answers(&questions);
    assert_eq!(sums.layer_forwards, layer_forwards(LAYERS, &lengths) as u64);
    assert_eq!((sums.answers, sums.answers.items), (ask(&teacher, &questions), 40));
    let mut rights = vec![sums.answers.right];
    for (gap, removed) in gaps(LAYERS, &lengths).zip(&sums.removed) {
        let cut = with(&teacher, (0..LAYERS).filter(|layer| !gap.contains(layer)));
        let Answers { right, log_likelihood, .. } = ask(&cut, &questions);
        assert_eq!(removed.right, right, "{gap:?}");
        let off = (removed.log_likelihood - log_likelihood).abs();
        assert!(off < 1e-6 * log_likelihood.abs(), "{gap:?}: {off}");
        rights.push(right);
    }
    rights.sort_unstable();
    rights.dedup();
    assert!(rights.len() > 2, "layers that are missed alike test nothing: {rights:?}");
    for (score, removed) in sums.scores(Depth::Task).iter().zip(&sums.removed) {
        let lost = sums.answers.right as f64 - removed.right as f64;
        assert!((score - lost / 40.0).abs() < 1e-12);
    }
}

#[test]
fn answers_without_gaps_add_up_and_are_read_back_bit_for_bit() {
    let (teacher, questions) = (teacher(), questions());
    let of = Fingerprint::of(&teacher, datasets::store::digest_bytes(b"tokenizer"));
    let walk = Walk::new(teacher, &[2]);
    let (some, others) = questions.split_at(13);
    let mut sums = DepthSums::zeros(LAYERS, &[2]);
    sums.add(&walk.answers(some));
    sums.add(&walk.answers(others));
    let whole = walk.answers(&questions);
    assert_eq!((sums.answers.items, sums.answers.right), (40, whole.answers.right));
    let rights = |sums: &DepthSums| sums.removed.iter().map(|r| r.right).collect::<Vec<_>>();
    assert_eq!(rights(&sums), rights(&whole));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("depth.parquet");
    sums.write(&path, &of).unwrap();
    assert_eq!(DepthSums::read(&path, LAYERS, &[2]).unwrap(), sums);
    let table = Table::read(&path).unwrap();
    let Some(Column::F64(scores)) = table.column("task") else { panic!("no scores") };
    assert_eq!(*scores, sums.scores(Depth::Task));
    let mut broken = sums;
    broken.removed[6].log_likelihood = f64::NAN;
    assert_eq!(broken.not_finite(), Some(1));
}

#[test]
fn sums_of_gaps_add_up_and_are_read_back_bit_for_bit() {
    let teacher = teacher();
    let of = Fingerprint::of(&teacher, datasets::store::digest_bytes(b"tokenizer"));
    let walk = Walk::new(teacher, &[2]);
    let mut sums = DepthSums::zeros(LAYERS, &[2]);
    for first in [0, 3] {
        sums.add(&walk.sums(&batch(first)));
    }
    assert_eq!(sums.tokens, 54);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("depth.parquet");
    sums.write(&path, &of).unwrap();
    assert_eq!(DepthSums::read(&path, LAYERS, &[2]).unwrap(), sums);
    // Blocks of three and one of five are as many as blocks of two.
    let error = DepthSums::read(&path, LAYERS, &[3, 5]).unwrap_err().to_string();
    let expected =
        "holds gaps of layers: 5 of 1, 4 of 2; this model and recipe have 5 of 1, 3 of 3, 1 of 5";
    assert!(error.ends_with(expected), "{error}");
    let mut broken = sums.clone();
    broken.removed[7].cosine = f64::NAN;
    assert_eq!((sums.not_finite(), broken.not_finite()), (None, Some(2)));
}
