//! Surgery from directory to directory: the same bytes as in memory, refusals, and what it costs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kernels::{DType, Device, Tensor};
use stillflow::model::{Decoder, ModelConfig, Weight};
use stillflow::prune::{HeadAddBack, LayerPlan, PrunePlan, cut, cut_directory};
use stillflow::recipe::described;
use stillflow::weights::safetensors_file::{Entry, write};
use stillflow::weights::{ModelDirectory, StoredType, initialise, load, save};

use super::command::Place;

const TYPES: [StoredType; 3] = [StoredType::F32, StoredType::F16, StoredType::Bf16];

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

/// Nothing of it is zero or one.
fn model(config: &ModelConfig) -> Decoder {
    let model = initialise(config, 3, &Device::flex());
    let mut seed = 0;
    let mut fill = |_: &str, weight: Weight| {
        seed += 1;
        Ok::<_, std::convert::Infallible>(weight.apply(
            |t| t.clone() + noise([1, t.dims()[0]], seed).reshape(t.dims()),
            |t| t.clone() + noise(t.dims(), seed),
        ))
    };
    let Ok(parameters) = model.parameters.map(&mut fill);
    Decoder { config: config.clone(), parameters }
}

fn noise(dims: [usize; 2], seed: u64) -> Tensor<2> {
    let mut rng = datasets::random::stream(seed, "surgery", 0, 0);
    let draw = |_| datasets::random::normal(&mut rng) as f32;
    kernels::host::give((0..dims[0] * dims[1]).map(draw).collect(), dims, &Device::flex())
}

/// Everything that a plan can say: layers go, channels in another order, merged keys, heads in heads, gains.
fn full(add_back: HeadAddBack) -> PrunePlan {
    let layer = |source: usize| LayerPlan {
        source,
        heads: vec![0, 5, 4, 7, 2, 3],
        neurons: vec![9, 1, 3, 4, 8],
        kv_groups: Some(vec![vec![0, 2], vec![3, 1]]),
        add_back: if add_back.is_off() { vec![] } else { vec![[5, 1], [2, 6]] },
        norm_gains: Some([0.875 + source as f64 / 7.0, 1.3]),
    };
    PrunePlan {
        head_add_back: add_back,
        norm_gain: Some(0.97),
        hidden: vec![11, 0, 2, 3, 7, 5, 9],
        layers: vec![layer(0), layer(2), layer(3)],
        ..PrunePlan::whole(&config(false, false))
    }
}

/// The features one at a time.
fn plans(config: &ModelConfig) -> Vec<(&'static str, PrunePlan)> {
    let with = |change: &dyn Fn(&mut PrunePlan)| {
        let mut plan = PrunePlan::whole(config);
        change(&mut plan);
        plan
    };
    let layers = |change: &dyn Fn(&mut LayerPlan)| with(&|p| p.layers.iter_mut().for_each(change));
    vec![
        ("whole", with(&|_| {})),
        ("channels", with(&|p| p.hidden = vec![1, 4, 2])),
        ("heads", layers(&|l| l.heads = vec![1, 2, 5, 6])),
        ("neurons", layers(&|l| l.neurons = vec![0, 9])),
        ("layers", with(&|p| drop(p.layers.drain(1..3)))),
        ("gains", with(&|p| p.norm_gain = Some(1.1))),
        (
            "one key-value head",
            layers(&|l| {
                l.kv_groups = Some(vec![vec![2, 0, 1, 3]]);
                l.heads = vec![4, 0, 7];
            }),
        ),
        ("all, off", full(HeadAddBack::Off)),
        ("all, plus", full(HeadAddBack::Plus)),
        ("all, minus", full(HeadAddBack::Minus)),
    ]
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

#[track_caller]
fn assert_same_files(what: &str, found: &Path, expected: &Path) {
    let (found, expected) = (files(found), files(expected));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in &found {
        assert!(bytes == &expected[name], "{what}: {name} is another");
    }
}

#[test]
fn a_student_cut_tensor_by_tensor_is_the_one_cut_in_memory_byte_for_byte() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    for (tied, biased) in [(true, false), (false, false), (true, true), (false, true)] {
        let config = config(tied, biased);
        for from in TYPES {
            let teacher = at("teacher");
            save(&model(&config), &teacher, from, 2000, None).unwrap();
            assert!(teacher.join("model.safetensors.index.json").exists(), "shards");
            let teacher = ModelDirectory::open(&teacher).unwrap();
            let loaded = load(&teacher, &Device::flex(), DType::F32).unwrap();
            for (name, plan) in plans(&config) {
                for to in TYPES {
                    for limit in [1500, 1 << 20] {
                        let (memory, stream) = (at("memory"), at("stream"));
                        save(&cut(&loaded, &plan).unwrap(), &memory, to, limit, None).unwrap();
                        cut_directory(&teacher, &plan, &stream, to, limit, None).unwrap();
                        let what =
                            format!("{name}, {from:?} to {to:?}, tied {tied}, biased {biased}");
                        assert_same_files(&what, &stream, &memory);
                        fs::remove_dir_all(memory).unwrap();
                        fs::remove_dir_all(stream).unwrap();
                    }
                }
            }
            fs::remove_dir_all(at("teacher")).unwrap();
        }
    }
}

/// What in-memory surgery is compared with is not the streamed one's own arithmetic: a few values by hand.
#[test]
fn a_streamed_value_is_the_plans_formula() {
    let place = tempfile::tempdir().unwrap();
    let teacher = place.path().join("teacher");
    let config = config(false, true);
    save(&model(&config), &teacher, StoredType::F32, 1 << 20, None).unwrap();
    let teacher = ModelDirectory::open(&teacher).unwrap();
    let student = place.path().join("student");
    let plan = full(HeadAddBack::Plus);
    cut_directory(&teacher, &plan, &student, StoredType::F32, 1 << 20, None).unwrap();
    let student = ModelDirectory::open(&student).unwrap();
    let read = |model: &ModelDirectory, name: &str| {
        let dims: BTreeMap<_, _> = model.config.tensors().into_iter().collect();
        model.read(name, &dims[name]).unwrap()
    };
    // The student's layer 1 is the teacher's 2; its second head is 5, with 1 added back; its third channel is 2.
    let (q, of) = ("self_attn.q_proj.weight", |row: usize, width: usize| row * width + 2);
    let (theirs, ours) = (
        read(&teacher, &format!("model.layers.2.{q}")),
        read(&student, &format!("model.layers.1.{q}")),
    );
    let expected = 2.0 * theirs[of(5 * 4 + 3, 12)] - theirs[of(4 + 3, 12)];
    assert!((ours[of(4 + 3, 7)] - expected).abs() < 1e-6);
    let bias = "self_attn.v_proj.bias";
    let (theirs, ours) = (
        read(&teacher, &format!("model.layers.2.{bias}")),
        read(&student, &format!("model.layers.1.{bias}")),
    );
    // The second key-value head is the mean of 3 and 1.
    assert!((ours[4 + 1] - (theirs[3 * 4 + 1] + theirs[4 + 1]) / 2.0).abs() < 1e-6);
    let (theirs, ours) = (read(&teacher, "model.norm.weight"), read(&student, "model.norm.weight"));
    assert!((ours[0] - theirs[11] * 0.97).abs() < 1e-6);
}

#[test]
fn what_cannot_be_cut_is_named_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (dir, to) = (place.path().join("teacher"), place.path().join("student"));
    let config = config(false, false);
    save(&model(&config), &dir, StoredType::F32, 1 << 20, None).unwrap();
    let whole = PrunePlan::whole(&config);
    let teacher = ModelDirectory::open(&dir).unwrap();
    let refused = |plan: &PrunePlan, to: &Path| {
        let error = cut_directory(&teacher, plan, to, StoredType::F32, 1 << 20, None);
        error.unwrap_err().to_string()
    };
    let mut wrong = whole.clone();
    wrong.hidden[3] = 12;
    assert_eq!(refused(&wrong, &to), "`hidden`: expected different indices below 12, found 12");
    assert!(!to.exists(), "nothing is made");
    assert_eq!(refused(&whole, &dir), format!("`{}` already exists", dir.display()));

    // A shard in which one tensor is missing, of another shape, or of a type that weights do not have.
    let shard = dir.join("model.safetensors");
    let name = "model.layers.1.mlp.up_proj.weight";
    let stored = |change: &dyn Fn(&mut Vec<Entry>)| {
        let entry = |(name, dims)| Entry { name, dtype: "F32", dims };
        let mut entries: Vec<Entry> = config.tensors().into_iter().map(entry).collect();
        change(&mut entries);
        let bytes: Vec<u64> = entries.iter().map(Entry::num_bytes).collect();
        write(&shard, &entries, |i| vec![0; bytes[i] as usize]).unwrap();
        ModelDirectory::open(&dir).map(|_| ()).unwrap_err().to_string()
    };
    let at = |entries: &[Entry]| entries.iter().position(|entry| entry.name == name).unwrap();
    let (dir_name, shard_name) = (dir.display(), shard.display());
    assert_eq!(
        stored(&|entries| drop(entries.remove(at(entries)))),
        format!("tensor `{name}` is missing from `{dir_name}`")
    );
    assert_eq!(
        stored(&|entries| {
            let at = at(entries);
            entries[at].dims = vec![12, 10];
        }),
        format!("tensor `{name}` in `{shard_name}`: expected shape [10, 12], found [12, 10]")
    );
    assert_eq!(
        stored(&|entries| {
            let at = at(entries);
            entries[at].dtype = "I16";
        }),
        format!("tensor `{name}` in `{shard_name}`: expected f32, f16 or bf16, found I16")
    );
}

/// Half of the channels of [`Place::teacher`], of which 4 heads do not divide the 18.
fn plan(place: &Place) -> PrunePlan {
    let teacher = ModelDirectory::open(&place.at("teacher")).unwrap();
    let mut plan = PrunePlan::whole(&teacher.config);
    plan.hidden = (0..18).map(|i| (i * 5) % 32).collect();
    plan.norm_gain = Some(0.9);
    plan.layers.iter_mut().for_each(|layer| layer.neurons.truncate(30));
    plan
}

const ONLY_CUT: &str = "schema = 1\n[teacher]\nmodel = \"teacher\"\n[data.corpus]\npath = \"text.txt\"\n\
    [tokens]\nseq_tokens = 16\nheld_out = 0.3\n[prune]\nplan = \"own.toml\"\nhidden_size = 18\nintermediate_size = 30\n";

#[test]
fn a_recipe_that_only_cuts_streams_its_student_and_says_what_family_it_is() {
    let place = Place::with_teacher();
    let plan = plan(&place);
    place.write("own.toml", toml::to_string(&plan).unwrap());
    let teacher = ModelDirectory::open(&place.at("teacher")).unwrap();
    let loaded = load(&teacher, &Device::flex(), DType::F32).unwrap();
    let expected = place.at("expected");
    let student = cut(&loaded, &plan).unwrap();
    save(&student, &expected, StoredType::F32, 3000, Some(&place.at("teacher"))).unwrap();

    let limit = "[export]\nmax_shard_bytes = 3000\n";
    place.write("cut.toml", format!("{ONLY_CUT}{limit}[evaluate]\nsequences = 4\n"));
    let said = place.stillflow("run cut.toml --dir judged --device cpu");
    let line = "export: DIR/judged/models/student (written as `mistral`, the same equations: transformers 5 refuses \
        a `llama` whose hidden_size 18 is not a multiple of its 4 heads)";
    let line = line.replace("DIR/", "");
    assert!(said.stderr.contains(&line), "{}", said.stderr);
    assert!(said.done().contains("pruned"), "it is evaluated");
    assert_same_files("judged", &place.at("judged/models/student"), &expected);

    place.write("cut.toml", format!("{ONLY_CUT}{limit}[evaluate]\nsequences = 0\n"));
    place.stillflow("run cut.toml --dir unjudged --device cpu -q").done();
    assert_same_files("unjudged", &place.at("unjudged/models/student"), &expected);
    assert!(!place.at("unjudged/eval/held-out.json").exists());
    let before = place.files("unjudged/models");
    place.stillflow("run unjudged --device cpu -q").done();
    assert_eq!(place.files("unjudged/models"), before, "a run that is over stays as it is");
    let config = String::from_utf8(place.read("unjudged/models/student/config.json")).unwrap();
    assert!(config.contains("\"MistralForCausalLM\"") && config.contains("\"head_dim\": 8"));
}

#[test]
fn only_a_run_that_trains_nothing_may_leave_its_evaluation_out() {
    let place = Place::with_teacher();
    let refused =
        "error: `evaluate.sequences`: expected 1 or more, where a model is trained, found 0<…>";
    place
        .stillflow(&format!("run {} --set evaluate.sequences=0", super::command::FROM_TEACHER))
        .refused(refused);
    assert!(!place.at("run").exists());
}
