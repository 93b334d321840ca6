//! Surgery against plain arithmetic on small models of random weights: with and without biases, tied and untied, GQA,
//! and a `head_dim` that is not `hidden / heads`.

use kernels::host::{give, take};
use kernels::{DType, Device, Int, Tensor};

use super::{
    Aggregations, HeadAddBack, Importance, LayerPlan, PrunePlan, Residual, Scores, Sites, cut,
};
use crate::model::linear::Linear;
use crate::model::{Decoder, ModelConfig, Parameters, Weight};
use crate::recipe::{Recipe, described};
use crate::weights::{ModelDirectory, StoredType, load, save};

const SEQ: usize = 9;
const BATCH: usize = 3;

fn config(tied: bool, biased: bool) -> ModelConfig {
    ModelConfig {
        hidden_size: 12,
        intermediate_size: 10,
        num_hidden_layers: 4,
        num_attention_heads: 8,
        num_key_value_heads: 4,
        head_dim: 4,
        vocab_size: 17,
        tie_word_embeddings: tied,
        attention_bias: biased,
        mlp_bias: biased,
        ..described("llama-3.2-1b").unwrap()
    }
}

/// Weights of some size, norms around one: what is permuted or left out shows.
fn random(config: &ModelConfig) -> Decoder {
    let device = Device::flex();
    let mut rng = datasets::random::stream(7, "acceptance", 0, 0);
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    let mut normal =
        move |mean: f64, std: f64| (mean + std * datasets::random::normal(&mut rng)) as f32;
    let mut fill = |name: &str, weight: Weight| {
        let mean = if name.ends_with("norm.weight") { 1.0 } else { 0.0 };
        let mut values = |count: usize| (0..count).map(|_| normal(mean, 0.3)).collect::<Vec<f32>>();
        Ok::<_, std::convert::Infallible>(match weight {
            Weight::Vector(t) => Weight::Vector(give(values(t.dims()[0]), t.dims(), &device)),
            Weight::Table(t) => {
                Weight::Table(give(values(t.dims().iter().product()), t.dims(), &device))
            }
            Weight::Matrix(t) => {
                Weight::Matrix(give(values(t.dims().iter().product()), t.dims(), &device))
            }
        })
    };
    let Ok(parameters) = Parameters::zeros(config, &device).map(&mut fill);
    Decoder { config: config.clone(), parameters }
}

/// Tied and untied, with and without biases.
fn models() -> Vec<Decoder> {
    [(true, false), (false, false), (true, true), (false, true)]
        .map(|(tied, biased)| random(&config(tied, biased)))
        .into()
}

fn ids() -> Tensor<2, Int> {
    let ids: Vec<i64> = (0..(BATCH * SEQ) as i64).map(|i| (i * 7 + i / 5) % 17).collect();
    Tensor::<1, Int>::from_ints(ids.as_slice(), &Device::flex()).reshape([BATCH, SEQ])
}

fn logits(decoder: &Decoder) -> Vec<f32> {
    take(decoder.logits(&ids()))
}

/// The largest difference, over the largest value.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    a.iter().zip(b).fold(0.0f32, |most, (a, b)| most.max((a - b).abs())) / scale
}

fn assert_same(what: &str, a: &Decoder, b: &Decoder) {
    let off = distance(&logits(a), &logits(b));
    assert!(off < 5e-6, "{what}: the logits differ by {off:e}");
}

fn edit(tensor: &mut Tensor<2>, mut change: impl FnMut(usize, usize, &mut f32)) {
    let dims = tensor.dims();
    let mut values = take(tensor.clone());
    for (i, value) in values.iter_mut().enumerate() {
        change(i / dims[1], i % dims[1], value);
    }
    *tensor = give(values, dims, &Device::flex());
}

/// Zeroes the outputs that do not stay.
fn mask_outputs(linear: &mut Linear, stays: impl Fn(usize) -> bool) {
    edit(&mut linear.weight, |_, output, x| *x *= f32::from(u8::from(stays(output))));
    if let Some(bias) = &mut linear.bias {
        let mut values = take(bias.clone());
        values.iter_mut().enumerate().for_each(|(i, x)| *x *= f32::from(u8::from(stays(i))));
        *bias = give(values, bias.dims(), &Device::flex());
    }
}

fn importance(decoder: &Decoder) -> Scores {
    let sums = Importance::of(decoder, &ids(), None, Sites::Nvidia);
    Scores::activation(&sums, Aggregations::default(), &decoder.config)
}

/// What is chosen for a student of these sizes.
fn chosen(teacher: &Decoder, student: &ModelConfig, sources: &[usize]) -> PrunePlan {
    PrunePlan::choose(&teacher.config, student, sources, &importance(teacher)).unwrap()
}

/// (a): the whole model in another order is the same function.
#[test]
fn sorting_alone_leaves_the_logits_as_they_are() {
    for model in models() {
        let plan = PrunePlan::sorted(&model.config, &importance(&model)).unwrap();
        assert_ne!(plan, PrunePlan::whole(&model.config), "nothing was sorted");
        let sorted = cut(&model, &plan).unwrap();
        assert_same("sorted", &sorted, &model);
        assert_ne!(
            take(sorted.parameters.embed_tokens.clone()),
            take(model.parameters.embed_tokens.clone())
        );
        // What is cut of a sorted model is what is cut of the model: students are nested.
        let shape = ModelConfig {
            hidden_size: 8,
            intermediate_size: 6,
            num_attention_heads: 4,
            ..model.config.clone()
        };
        let mut prefix = PrunePlan::whole(&model.config);
        prefix.hidden.truncate(8);
        for layer in &mut prefix.layers {
            layer.neurons.truncate(6);
            layer.heads = vec![0, 2, 4, 6];
        }
        let direct = cut(&model, &chosen(&model, &shape, &[0, 1, 2, 3])).unwrap();
        assert_same("a prefix", &cut(&sorted, &prefix).unwrap(), &direct);
    }
}

/// (c), (m): what is cut is what is zeroed.
#[test]
fn cut_neurons_and_heads_are_zeroed_ones() {
    for model in models() {
        let shape =
            ModelConfig { intermediate_size: 6, num_attention_heads: 4, ..model.config.clone() };
        let plan = chosen(&model, &shape, &[0, 1, 2, 3]);
        let mut masked = model.clone();
        let head_dim = model.config.head_dim;
        for (layer, kept) in masked.parameters.layers.iter_mut().zip(&plan.layers) {
            edit(&mut layer.o_proj.weight, |input, _, x| {
                if !kept.heads.contains(&(input / head_dim)) {
                    *x = 0.0;
                }
            });
            edit(&mut layer.down_proj.weight, |input, _, x| {
                if !kept.neurons.contains(&input) {
                    *x = 0.0;
                }
            });
        }
        let student = cut(&model, &plan).unwrap();
        assert_same("cut and masked", &student, &masked);
        assert!(distance(&logits(&student), &logits(&model)) > 1e-2, "the cut shows");
    }
}

/// (c), (m): for channels, if the masked model takes its root mean squares over those that stay. With zeros elsewhere
/// that is `Σ x² / d · d/|E|`, a change of γ and of ε.
#[test]
fn cut_channels_are_zeroed_ones_with_the_norms_taken_over_those_that_stay() {
    for model in models() {
        let shape = ModelConfig { hidden_size: 7, ..model.config.clone() };
        let plan = chosen(&model, &shape, &[0, 1, 2, 3]);
        let share = 7.0 / 12.0;
        let stays = |channel: usize| plan.hidden.contains(&channel);
        let mut masked = model.clone();
        masked.config.rms_norm_eps *= share;
        let parameters = &mut masked.parameters;
        // A tied head reads the zeros with the final norm's zeros: nothing of them comes through.
        edit(&mut parameters.embed_tokens, |_, channel, x| {
            if !stays(channel) {
                *x = 0.0;
            }
        });
        parameters.norm = parameters.norm.clone().mul_scalar(share.sqrt());
        for layer in &mut parameters.layers {
            mask_outputs(&mut layer.o_proj, stays);
            mask_outputs(&mut layer.down_proj, stays);
            for norm in [&mut layer.input_layernorm, &mut layer.post_attention_layernorm] {
                *norm = norm.clone().mul_scalar(share.sqrt());
            }
        }
        assert_same("channels", &cut(&model, &plan).unwrap(), &masked);
    }
}

/// (d): from the shapes alone.
#[test]
fn students_have_the_papers_numbers_of_parameters() {
    for (teacher, prune, each, total) in [
        ("llama-3.1-8b", "", 218_112_000, 8_030_261_248_u64),
        (
            "llama-3.1-8b",
            "hidden_size = 3072\nintermediate_size = 9216",
            116_398_080,
            4_512_746_496,
        ),
        (
            "llama-3.1-8b",
            "hidden_size = \"75%\"\nintermediate_size = \"64%\"\nround_to = 256",
            116_398_080,
            4_512_746_496,
        ),
        (
            "llama-3.1-8b",
            "drop_layers = [15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]",
            218_112_000,
            4_540_469_248,
        ),
        ("mistral-nemo-12b", "", 272_640_000, 12_247_782_400),
        (
            "mistral-nemo-12b",
            "hidden_size = 4096\nintermediate_size = 11520",
            183_508_992,
            8_414_105_600,
        ),
        // Half of the key-value heads: 2 · 4096 · 4 · 128 numbers less in each layer.
        ("llama-3.1-8b", "num_key_value_heads = 4", 213_917_696, 7_896_043_520),
    ] {
        let teacher = described(teacher).unwrap();
        let recipe = Recipe::resolve(&format!("[prune]\n{prune}\n"), &[]).unwrap();
        let student = recipe.student_config(&teacher).unwrap();
        assert_eq!((student.num_parameters_per_layer(), student.num_parameters()), (each, total));
        // A plan of these sizes says the same of itself.
        let (n, g) = (student.num_attention_heads, student.num_key_value_heads);
        let merged = teacher.num_key_value_heads / g;
        let layer = |source| LayerPlan {
            source,
            heads: (0..n).collect(),
            neurons: (0..student.intermediate_size).collect(),
            kv_groups: (merged > 1)
                .then(|| (0..g).map(|g| (g * merged..(g + 1) * merged).collect()).collect()),
            ..LayerPlan::default()
        };
        let plan = PrunePlan {
            schema: 1,
            hidden: (0..student.hidden_size).collect(),
            layers: (0..student.num_hidden_layers).map(layer).collect(),
            ..PrunePlan::default()
        };
        plan.check(&teacher).unwrap();
        assert_eq!(plan.student(&teacher), student);
    }
}

/// Every axis at once, the layers not contiguous: sizes, tensors and count go together, and (k) a Hugging Face
/// directory of it reads back to the same logits.
#[test]
fn every_axis_together_round_trips_through_a_hugging_face_directory() {
    for (i, model) in models().into_iter().enumerate() {
        let shape = ModelConfig {
            hidden_size: 7,
            intermediate_size: 6,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            num_hidden_layers: 2,
            ..model.config.clone()
        };
        let plan = chosen(&model, &shape, &[0, 3]);
        let student = cut(&model, &plan).unwrap();
        assert_eq!(student.config, shape);
        assert_ne!(shape.head_dim, shape.hidden_size / shape.num_attention_heads);
        let named = student.parameters.named();
        let dims: Vec<_> = named.iter().map(|(n, w)| (n.clone(), w.stored_dims())).collect();
        assert_eq!(dims, shape.tensors());
        let numbers: usize = dims.iter().map(|(_, dims)| dims.iter().product::<usize>()).sum();
        assert_eq!(numbers as u64, shape.num_parameters());
        let has_head = named.iter().any(|(name, _)| name == "lm_head.weight");
        assert_ne!(has_head, shape.tie_word_embeddings);

        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join(i.to_string());
        save(&student, &out, StoredType::F32, 1 << 20, None).unwrap();
        let back = load(&ModelDirectory::open(&out).unwrap(), &Device::flex(), DType::F32).unwrap();
        assert_eq!(back.config.head_dim, 4);
        assert_eq!(logits(&back), logits(&student));
        // transformers refuses 7 channels for 4 heads of a Llama: without biases it is written as a Mistral.
        let written = std::fs::read_to_string(out.join("config.json")).unwrap();
        assert_eq!(written.contains("MistralForCausalLM"), !shape.attention_bias, "{written}");
    }
}

/// (l): groups in another order, their query heads with them, are the same function; whatever is cut of them, too.
#[test]
fn query_heads_keep_their_keys_when_groups_change_places() {
    for model in models() {
        let permute = |heads: &[usize], plan: &mut PrunePlan| {
            for layer in &mut plan.layers {
                layer.kv_groups = Some(vec![vec![2], vec![0], vec![3], vec![1]]);
                layer.heads = heads.to_vec();
            }
        };
        let mut whole = PrunePlan::whole(&model.config);
        permute(&[4, 5, 0, 1, 6, 7, 2, 3], &mut whole);
        assert_same("groups permuted", &cut(&model, &whole).unwrap(), &model);

        let mut cut_in_order = PrunePlan::whole(&model.config);
        let mut cut_permuted = cut_in_order.clone();
        cut_in_order.layers.iter_mut().for_each(|layer| layer.heads = vec![1, 2, 4, 7]);
        permute(&[4, 1, 7, 2], &mut cut_permuted);
        let in_order = cut(&model, &cut_in_order).unwrap();
        assert_same("cut", &cut(&model, &cut_permuted).unwrap(), &in_order);
        // The same heads at other keys are another function, which a plan cannot even say.
        let mut wrong = whole.clone();
        wrong.layers.iter_mut().for_each(|layer| layer.kv_groups = None);
        assert!(cut(&model, &wrong).is_err());
    }
}

/// Key-value heads that are alike merge without a trace; others into the mean of their rows.
#[test]
fn merged_key_value_heads_are_the_mean_and_equal_ones_leave_no_trace() {
    for model in models() {
        let shape = ModelConfig { num_key_value_heads: 2, ..model.config.clone() };
        let plan = chosen(&model, &shape, &[0, 1, 2, 3]);
        assert_eq!(plan.layers[0].kv_groups, Some(vec![vec![0, 1], vec![2, 3]]));
        assert_eq!(plan.layers[0].heads, [0, 1, 2, 3, 4, 5, 6, 7], "all query heads stay");
        let student = cut(&model, &plan).unwrap();
        for (before, after) in model.parameters.layers.iter().zip(&student.parameters.layers) {
            for (before, after) in
                [(&before.k_proj, &after.k_proj), (&before.v_proj, &after.v_proj)]
            {
                let mean = |row: &[f32], i: usize| {
                    let (group, channel) = (i / 4, i % 4);
                    f32::midpoint(row[group * 8 + channel], row[group * 8 + 4 + channel])
                };
                let rows = |t: Tensor<2>| take(t);
                let (was, is) = (rows(before.weight.clone()), rows(after.weight.clone()));
                for (was, is) in was.chunks(16).zip(is.chunks(8)) {
                    (0..8).for_each(|i| assert!((mean(was, i) - is[i]).abs() < 1e-6));
                }
                if let (Some(was), Some(is)) = (&before.bias, &after.bias) {
                    let (was, is) = (take(was.clone()), take(is.clone()));
                    (0..8).for_each(|i| assert!((mean(&was, i) - is[i]).abs() < 1e-6));
                }
            }
        }
        assert!(distance(&logits(&student), &logits(&model)) > 1e-2, "the merge shows");

        let mut alike = model.clone();
        for layer in &mut alike.parameters.layers {
            for linear in [&mut layer.k_proj, &mut layer.v_proj] {
                let row = |values: &mut [f32]| {
                    values.chunks_mut(8).for_each(|pair| pair.copy_within(0..4, 4))
                };
                let (dims, mut values) = (linear.weight.dims(), take(linear.weight.clone()));
                values.chunks_mut(16).for_each(row);
                linear.weight = give(values, dims, &Device::flex());
                if let Some(bias) = &mut linear.bias {
                    let mut values = take(bias.clone());
                    row(&mut values);
                    *bias = give(values, [16], &Device::flex());
                }
            }
        }
        assert_same("alike", &cut(&alike, &plan).unwrap(), &alike);
    }
}

/// The paper's formula, head by head, on `W_q` alone.
#[test]
fn queries_of_removed_heads_are_added_by_rank_inside_their_group() {
    for model in models() {
        let shape =
            ModelConfig { num_attention_heads: 6, num_key_value_heads: 2, ..model.config.clone() };
        let scores = importance(&model);
        let plain = chosen(&model, &shape, &[0, 1, 2, 3]);
        let without = cut(&model, &plain).unwrap();
        for (sign, factors) in
            [(HeadAddBack::Plus, [2.0f32, -1.0]), (HeadAddBack::Minus, [0.0, 1.0])]
        {
            let mut plan = plain.clone();
            plan.pair_heads(&model.config, &scores, sign);
            plan.check(&model.config).unwrap();
            let with = cut(&model, &plan).unwrap();
            for (l, layer) in plan.layers.iter().enumerate() {
                // Of each group of four heads three stay: the third is paired with the fourth, i = K = 3, 2K − i + 1 = 4.
                let head = &scores.heads[l];
                let pair = |g: usize| {
                    let mut heads: Vec<usize> = (g * 4..g * 4 + 4).collect();
                    heads.sort_by(|a, b| head[*b].total_cmp(&head[*a]));
                    [heads[2], heads[3]]
                };
                assert_eq!(layer.add_back, [pair(0), pair(1)]);
                let teacher = take(model.parameters.layers[l].q_proj.weight.clone());
                let student = take(with.parameters.layers[l].q_proj.weight.clone());
                for (was, is) in teacher.chunks(32).zip(student.chunks(24)) {
                    for (place, stays) in layer.heads.iter().enumerate() {
                        let pair = layer.add_back.iter().find(|[kept, _]| kept == stays);
                        for c in 0..4 {
                            let own = was[stays * 4 + c];
                            let expected = pair.map_or(own, |[_, goes]| {
                                factors[0] * own + factors[1] * was[goes * 4 + c]
                            });
                            assert!((is[place * 4 + c] - expected).abs() < 1e-6);
                        }
                    }
                }
            }
            // Nothing else is touched.
            for ((name, a), (_, b)) in
                with.parameters.named().into_iter().zip(without.parameters.named())
            {
                let flat = |w: Weight| match w {
                    Weight::Vector(t) => take(t),
                    Weight::Table(t) | Weight::Matrix(t) => take(t),
                };
                assert_eq!(flat(a) != flat(b), name.contains("q_proj"), "{name}");
            }
        }
    }
}

/// The gains are the formula's over what passes, in any micro-batches, and multiply γ.
#[test]
fn norms_make_up_for_the_channels_that_go() {
    for model in models() {
        let observe = |ids: Tensor<2, Int>| {
            let [batch, _] = ids.dims();
            let (mut residual, mut inputs) = (Residual::zeros(&model.config), vec![]);
            let importance =
                Importance::beside(&model, &ids, None, Sites::Nvidia, &mut |layer, site, x| {
                    residual.see(layer, site, x, batch);
                    if matches!(
                        site,
                        crate::model::Site::InputNormInput
                            | crate::model::Site::PostAttentionNormInput
                    ) {
                        inputs.push(take(x.clone()));
                    }
                });
            assert_eq!(
                importance,
                Importance::of(&model, &ids, None, Sites::Nvidia),
                "the tap changes nothing"
            );
            (residual, inputs)
        };
        let (whole, inputs) = observe(ids());
        assert_eq!(inputs.len(), 9, "two norms in each of four layers, and the last");
        let shape = ModelConfig { hidden_size: 7, num_hidden_layers: 2, ..model.config.clone() };
        let mut plan = chosen(&model, &shape, &[1, 3]);
        plan.compensate(&whole);
        let expected = |norm: usize| {
            let mean = |channels: &[usize]| {
                let sum = inputs[norm].chunks(12).flat_map(|row| channels.iter().map(|c| row[*c]));
                sum.map(|x| f64::from(x).powi(2)).sum::<f64>() / channels.len() as f64
            };
            (mean(&plan.hidden) / mean(&(0..12).collect::<Vec<_>>())).sqrt()
        };
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} and {b}");
        for (layer, norms) in plan.layers.iter().zip([[2, 3], [6, 7]]) {
            let gains = layer.norm_gains.unwrap();
            norms.iter().zip(gains).for_each(|(norm, gain)| close(gain, expected(*norm)));
            assert!(gains[0] > 1.0, "what stays is larger than what goes");
        }
        close(plan.norm_gain.unwrap(), expected(8));

        let mut parts = Residual::zeros(&model.config);
        for sample in 0..BATCH {
            parts.add(&observe(ids().narrow(0, sample, 1)).0);
        }
        let mut again = plan.clone();
        again.compensate(&parts);
        close(again.norm_gain.unwrap(), plan.norm_gain.unwrap());

        let mut plain = plan.clone();
        plain.norm_gain = None;
        plain.layers.iter_mut().for_each(|layer| layer.norm_gains = None);
        let (with, without) = (cut(&model, &plan).unwrap(), cut(&model, &plain).unwrap());
        let ratio = |a: &Tensor<1>, b: &Tensor<1>| {
            f64::from(take(a.clone())[0]) / f64::from(take(b.clone())[0])
        };
        let [w, wo] = [&with.parameters, &without.parameters];
        assert!((ratio(&w.norm, &wo.norm) - plan.norm_gain.unwrap()).abs() < 1e-6);
        let gains = plan.layers[1].norm_gains.unwrap();
        let [w, wo] = [&w.layers[1], &wo.layers[1]];
        assert!((ratio(&w.input_layernorm, &wo.input_layernorm) - gains[0]).abs() < 1e-6);
        let post = ratio(&w.post_attention_layernorm, &wo.post_attention_layernorm);
        assert!((post - gains[1]).abs() < 1e-6);

        let mut all = PrunePlan::whole(&model.config);
        all.compensate(&whole);
        assert_eq!(all, PrunePlan::whole(&model.config), "nothing went");
    }
}

/// The power of the residual stream is read back bit for bit, and not for another model.
#[test]
fn the_power_of_the_residual_stream_at_rest() {
    let model = random(&config(false, false));
    let mut residual = Residual::zeros(&model.config);
    let _ = model.hidden(&ids(), None, &mut |l, site, x| residual.see(l, site, x, BATCH));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("residual.parquet");
    residual.write(&path).unwrap();
    assert_eq!(Residual::read(&path, &model.config).unwrap(), residual);
    assert_eq!(residual.not_finite(), None);
    let other = ModelConfig { num_hidden_layers: 3, ..model.config };
    let error = Residual::read(&path, &other).unwrap_err().to_string();
    assert!(error.ends_with("holds 108 sums, this model has 84"), "{error}");
}

/// A plan of a plan's student is a plan: every axis twice.
#[test]
fn two_plans_after_one_another_are_their_composition() {
    for model in models() {
        let shape = |hidden, neurons, heads, groups, layers| ModelConfig {
            hidden_size: hidden,
            intermediate_size: neurons,
            num_attention_heads: heads,
            num_key_value_heads: groups,
            num_hidden_layers: layers,
            ..model.config.clone()
        };
        let mut residual = Residual::zeros(&model.config);
        let _ = model.hidden(&ids(), None, &mut |l, site, x| residual.see(l, site, x, BATCH));
        let mut first = chosen(&model, &shape(10, 8, 6, 2, 3), &[0, 2, 3]);
        first.pair_heads(&model.config, &importance(&model), HeadAddBack::Plus);
        first.compensate(&residual);
        let once = cut(&model, &first).unwrap();
        let mut residual = Residual::zeros(&once.config);
        let _ = once.hidden(&ids(), None, &mut |l, site, x| residual.see(l, site, x, BATCH));
        let mut second = chosen(&once, &shape(7, 5, 4, 1, 2), &[0, 2]);
        second.compensate(&residual);
        let twice = cut(&once, &second).unwrap();
        let both = first.then(&second, &model.config).unwrap();
        assert_eq!(both.layers[0].kv_groups, Some(vec![vec![0, 1, 2, 3]]));
        assert_same("composed", &cut(&model, &both).unwrap(), &twice);
        let text = toml::to_string(&both).unwrap();
        assert_eq!(toml::from_str::<PrunePlan>(&text).unwrap(), both, "{text}");

        let mut again = second.clone();
        again.pair_heads(&once.config, &importance(&once), HeadAddBack::Plus);
        let said = first.then(&again, &model.config).unwrap_err().to_string();
        assert!(said.starts_with("the plans do not compose: both add"), "{said}");
        assert!(second.then(&first, &model.config).is_err(), "the first is not of that student");
    }
}
