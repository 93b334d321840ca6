//! Scores against the formulas as they are written, from raw activations and raw weights, in f64.

use kernels::Device;
use kernels::host::take;
use stillflow::model::{Decoder, Site, Weight};
use stillflow::prune::{Aggregation, Aggregations, Fingerprint, Importance, Scores, Sites};

use super::training::{SEQ, SEQUENCES, batches, golden};

/// `[layers]` of `[tokens, channels]`, of all sequences.
fn activations(teacher: &Decoder, wanted: Site) -> Vec<Vec<f32>> {
    let mut found = Vec::new();
    let ids = batches(SEQUENCES as usize)[0].inputs(&Device::flex());
    let _ = teacher.hidden(&ids, None, &mut |_, site, x| {
        if site == wanted {
            found.push(take(x.clone()));
        }
    });
    found
}

/// arXiv:2407.14679, section 2.2.
fn aggregate(by: Aggregation, values: &[f64]) -> f64 {
    let n = values.len() as f64;
    match by {
        Aggregation::Mean => values.iter().map(|x| x.abs()).sum::<f64>() / n,
        Aggregation::L2 => values.iter().map(|x| x * x).sum::<f64>().sqrt(),
        Aggregation::Variance => {
            let mean = values.iter().sum::<f64>() / n;
            values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n
        }
    }
}

/// A score a channel, of values `[sequences * SEQ][channels]`.
fn scores(by: Aggregations, values: &[f64], channels: usize) -> Vec<f64> {
    let of_channel = |c: usize| {
        let of_sequence = |s: u32| {
            let positions = (0..SEQ).map(|p| values[(s as usize * SEQ + p) * channels + c]);
            aggregate(by.sequence, &positions.collect::<Vec<_>>())
        };
        aggregate(by.batch, &(0..SEQUENCES).map(of_sequence).collect::<Vec<_>>())
    };
    (0..channels).map(of_channel).collect()
}

/// A matrix in Hugging Face's layout, `[out][in]`.
fn weight(teacher: &Decoder, name: &str) -> Vec<Vec<f64>> {
    let named = teacher.parameters.named();
    match named.into_iter().find(|(found, _)| found == name).unwrap().1 {
        Weight::Vector(_) => panic!("{name} is a vector"),
        Weight::Table(t) => rows(&take(t.clone()), t.dims()[1]),
        Weight::Matrix(t) => {
            let t = t.transpose();
            rows(&take(t.clone()), t.dims()[1])
        }
    }
}

fn rows(values: &[f32], width: usize) -> Vec<Vec<f64>> {
    values.chunks(width).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect()
}

fn column(of: &[Vec<f64>], c: usize) -> impl Iterator<Item = f64> + '_ {
    of.iter().map(move |row| row[c])
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

/// Everything scored by hand; with `weighs`, times the norms of the weights that read it.
fn by_hand(teacher: &Decoder, sites: Sites, by: Aggregations, weighs: bool) -> Scores {
    let config = &teacher.config;
    let (hidden, heads, head_dim) =
        (config.hidden_size, config.num_attention_heads, config.head_dim);
    let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let neuron_site = if sites == Sites::Nvidia { Site::Neurons } else { Site::Gate };
    let [input, attention, post, neurons] =
        [Site::InputNorm, Site::AttentionOutput, Site::PostAttentionNorm, neuron_site]
            .map(|site| activations(teacher, site));
    let mut found = Scores { hidden: vec![0.0; hidden], ..Scores::default() };
    for layer in 0..config.num_hidden_layers {
        let matrix = |name: &str| weight(teacher, &format!("model.layers.{layer}.{name}.weight"));
        let [q, k, v] = ["q_proj", "k_proj", "v_proj"].map(|n| matrix(&format!("self_attn.{n}")));
        let [gate, up, down] =
            ["gate_proj", "up_proj", "down_proj"].map(|n| matrix(&format!("mlp.{n}")));
        let o = matrix("self_attn.o_proj");
        let factor = |of: &[&Vec<Vec<f64>>], c: usize| {
            if weighs { norm(of.iter().flat_map(|w| column(w, c))) } else { 1.0 }
        };
        let (from_input, from_post) =
            (scores(by, &wide(&input[layer]), hidden), scores(by, &wide(&post[layer]), hidden));
        for c in 0..hidden {
            found.hidden[c] += from_input[c] * factor(&[&q, &k, &v], c);
            found.hidden[c] += from_post[c] * factor(&[&gate, &up], c);
        }
        let of_neurons = scores(by, &wide(&neurons[layer]), config.intermediate_size);
        let of_neurons = of_neurons.iter().enumerate().map(|(c, s)| s * factor(&[&down], c));
        found.neurons.push(of_neurons.collect());
        let attention = wide(&attention[layer]);
        found.heads.push(match sites {
            Sites::Nvidia => {
                let channels = scores(by, &attention, heads * head_dim);
                let channel = |c: usize| channels[c] * factor(&[&o], c);
                (0..heads).map(|h| norm((h * head_dim..(h + 1) * head_dim).map(channel))).collect()
            }
            Sites::Paper => {
                let norms = attention.chunks(head_dim).map(|head| norm(head.iter().copied()));
                let scores = scores(by, &norms.collect::<Vec<_>>(), heads);
                let of =
                    |h: usize| norm((h * head_dim..(h + 1) * head_dim).map(|c| factor(&[&o], c)));
                let of = |h: usize| if weighs { of(h) } else { 1.0 };
                scores.iter().enumerate().map(|(h, score)| score * of(h)).collect()
            }
        });
    }
    found
}

fn nine() -> impl Iterator<Item = Aggregations> {
    let all = Aggregation::ALL;
    all.into_iter().flat_map(move |sequence| all.map(move |batch| Aggregations { sequence, batch }))
}

fn observe(teacher: &Decoder, size: usize, sites: Sites) -> Importance {
    let mut sums = Importance::zeros(&teacher.config, sites);
    for batch in batches(size) {
        sums.add(&Importance::of(teacher, &batch.inputs(&Device::flex()), None, sites));
    }
    sums
}

/// Within `tolerance` of the largest score of the row: small differences of large sums are no scores.
fn close(what: &str, found: &Scores, expected: &Scores, tolerance: f64) {
    let all = |s: &Scores| {
        let mut all = vec![s.hidden.clone()];
        all.extend(s.heads.iter().chain(&s.neurons).cloned());
        all
    };
    let (found, expected) = (all(found), all(expected));
    assert_eq!(
        found.iter().map(Vec::len).collect::<Vec<_>>(),
        expected.iter().map(Vec::len).collect::<Vec<_>>()
    );
    for (found, expected) in found.iter().zip(&expected) {
        let largest = expected.iter().copied().fold(0.0, f64::max);
        assert!(largest > 0.0, "{what}: nothing is scored");
        for (found, expected) in found.iter().zip(expected) {
            let off = (found - expected).abs() / largest;
            assert!(off < tolerance, "{what}: {found}, expected {expected}");
        }
    }
}

#[test]
fn each_of_the_nine_at_both_sites_is_the_formula_and_saved_sums_give_it_too() {
    let teacher = golden("gqa-8-2");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sums.parquet");
    let of = Fingerprint::of(&teacher, datasets::store::digest_bytes(b"tokenizer"));
    for sites in [Sites::Nvidia, Sites::Paper] {
        let fresh = observe(&teacher, SEQUENCES as usize, sites);
        fresh.write(&path, &of).unwrap();
        let saved = Importance::read_of(&path, &teacher.config, &of, sites).unwrap();
        assert_eq!(saved, fresh);
        for by in nine() {
            let what = format!("{sites:?} {by:?}");
            let found = Scores::activation(&fresh, by, &teacher.config);
            // A head's norms are f32, as a device takes them.
            close(&what, &found, &by_hand(&teacher, sites, by, false), 2e-7);
            assert_eq!(Scores::activation(&saved, by, &teacher.config), found, "{what}");
            let found = Scores::product(&saved, by, &teacher);
            close(&what, &found, &by_hand(&teacher, sites, by, true), 2e-7);
        }
    }
}

#[test]
fn no_score_depends_on_its_micro_batches() {
    let teacher = golden("gqa-8-2");
    for sites in [Sites::Nvidia, Sites::Paper] {
        let whole = observe(&teacher, SEQUENCES as usize, sites);
        for size in [1, 2, 4] {
            let cut = observe(&teacher, size, sites);
            assert_eq!(cut.samples, whole.samples);
            for by in nine() {
                let [found, expected] =
                    [&cut, &whole].map(|sums| Scores::activation(sums, by, &teacher.config));
                // Attention's and the matrix products' own rounding, in f32.
                close(&format!("{sites:?} {by:?} by {size}"), &found, &expected, 1e-5);
            }
        }
    }
}

#[test]
fn a_magnitude_is_the_norm_of_the_rows_and_columns_that_go() {
    let teacher = golden("gqa-8-2");
    let config = &teacher.config;
    let found = Scores::magnitude(&teacher);
    let names = teacher.parameters.named();
    let matrices: Vec<(String, Vec<Vec<f64>>)> = names
        .iter()
        .filter(|(name, w)| !matches!(w, Weight::Vector(_)) && !name.ends_with("bias"))
        .map(|(name, _)| (name.clone(), weight(&teacher, name)))
        .collect();
    let writes = |name: &str| name.contains("o_proj") || name.contains("down_proj");
    let of_channel = |c: usize| {
        norm(matrices.iter().flat_map(|(name, w)| -> Vec<f64> {
            if writes(name) { w[c].clone() } else { column(w, c).collect() }
        }))
    };
    let mut expected =
        Scores { hidden: (0..config.hidden_size).map(of_channel).collect(), ..Scores::default() };
    for layer in 0..config.num_hidden_layers {
        let matrix = |name: &str| weight(&teacher, &format!("model.layers.{layer}.{name}.weight"));
        let (q, o) = (matrix("self_attn.q_proj"), matrix("self_attn.o_proj"));
        let [gate, up, down] = ["gate", "up", "down"].map(|n| matrix(&format!("mlp.{n}_proj")));
        let of_head = |h: usize| {
            let channels = h * config.head_dim..(h + 1) * config.head_dim;
            norm(channels.flat_map(|c| q[c].iter().copied().chain(column(&o, c))))
        };
        let of_neuron =
            |n: usize| norm(gate[n].iter().chain(&up[n]).copied().chain(column(&down, n)));
        expected.heads.push((0..config.num_attention_heads).map(of_head).collect());
        expected.neurons.push((0..config.intermediate_size).map(of_neuron).collect());
    }
    close("magnitude", &found, &expected, 1e-12);
}

#[test]
fn activations_that_are_no_numbers_name_their_layer_and_site() {
    let teacher = golden("gqa-8-2");
    let mut burst = |name: &str, w: Weight| {
        let bursts = name == "model.layers.1.mlp.up_proj.weight";
        Ok::<_, std::convert::Infallible>(w.apply(|t| t, |t| if bursts { t * 1e38 } else { t }))
    };
    let Ok(parameters) = teacher.parameters.clone().map(&mut burst);
    let burst = Decoder { parameters, ..teacher.clone() };
    assert_eq!(observe(&teacher, 2, Sites::Nvidia).not_finite(), None);
    assert_eq!(observe(&burst, 2, Sites::Nvidia).not_finite(), Some((1, "mlp.down_proj")));
}

#[test]
fn a_fingerprint_is_the_weights_and_nothing_else() {
    let tokenizer = datasets::store::digest_bytes(b"tokenizer");
    let (one, again) = (golden("gqa-8-2"), golden("gqa-8-2"));
    assert_eq!(Fingerprint::of(&one, tokenizer), Fingerprint::of(&again, tokenizer));
    let mut nudge = |name: &str, w: Weight| {
        let here = name == "model.layers.0.mlp.up_proj.weight";
        Ok::<_, std::convert::Infallible>(w.apply(|t| t, |t| if here { t * 1.000_001 } else { t }))
    };
    let Ok(parameters) = one.parameters.clone().map(&mut nudge);
    let other = Decoder { parameters, ..one.clone() };
    assert_ne!(Fingerprint::of(&one, tokenizer), Fingerprint::of(&other, tokenizer));
}

/// Figures for the log: `cargo test --release --test it -- --ignored --nocapture what_a_look_costs`.
#[test]
#[ignore = "it measures, and asserts nothing that a busy machine would not fail"]
fn what_a_look_costs() {
    let config = stillflow::model::ModelConfig {
        hidden_size: 512,
        intermediate_size: 1536,
        num_hidden_layers: 4,
        num_attention_heads: 8,
        head_dim: 64,
        ..golden("gqa-8-2").config
    };
    let model = stillflow::weights::initialise(&config, 1, &Device::flex());
    let rows: Vec<Vec<u32>> =
        (0..4).map(|r| (0..257).map(|i| (i * 7 + r) % 90).collect()).collect();
    let ids = stillflow::distill::Batch::of_tokens(&rows).inputs(&Device::flex());
    let best = |f: &dyn Fn()| {
        let timed = (0..9).map(|_| {
            let begun = std::time::Instant::now();
            f();
            begun.elapsed().as_secs_f64()
        });
        1024.0 / timed.fold(f64::INFINITY, f64::min)
    };
    let plain = best(&|| drop(model.hidden(&ids, None, &mut |_, _, _| {})));
    for sites in [Sites::Nvidia, Sites::Paper] {
        let looked = best(&|| drop(Importance::of(&model, &ids, None, sites)));
        let sums = Importance::zeros(&config, sites);
        let of = Fingerprint::of(&model, datasets::store::digest_bytes(b"tokenizer"));
        let dir = tempfile::tempdir().unwrap();
        let mut one = Importance::of(&model, &ids, None, sites);
        one.add(&sums);
        let bytes = one.write(&dir.path().join("sums.parquet"), &of).unwrap().bytes;
        println!(
            "{sites:?}: {looked:.0} tokens/s, plain {plain:.0}: {:.3}; {bytes} bytes at rest",
            looked / plain
        );
    }
}
