//! Plans held against the papers' numbers, and against sums by hand.

use super::*;
use crate::model::Recompute;
use crate::recipe::described;

fn plan(name: &str, sets: &[&str]) -> Plan {
    let sets: Vec<String> = sets.iter().map(|s| (*s).to_string()).collect();
    let recipe = Recipe::resolve(name, &sets).unwrap();
    let teacher = recipe.teacher_shape(512).unwrap();
    Plan::of(&recipe, &teacher, &Assumptions::default()).unwrap()
}

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found / expected - 1.0).abs() < tolerance, "expected {expected}, found {found}");
}

#[test]
fn the_papers_models_have_the_papers_parameters() {
    for (name, teacher, student) in [
        ("llama-3.1-minitron-4b-width", 8_030_261_248, 4_512_746_496),
        ("llama-3.1-minitron-4b-depth", 8_030_261_248, 4_540_469_248),
        ("mn-minitron-8b", 12_247_782_400, 8_414_105_600),
    ] {
        let plan = plan(name, &[]);
        assert_eq!((plan.teacher.total, plan.student.total), (teacher, student), "{name}");
        assert_eq!(plan.student.embedding + plan.student.non_embedding, student);
    }
    assert_eq!(plan("llama-3.1-minitron-4b-width", &[]).student.embedding, 2 * 128_256 * 3072);
}

#[test]
fn a_forward_pass_is_two_flops_a_weight_and_four_an_attended_channel() {
    let config = described("llama-3.1-8b").unwrap();
    let forward = Forward::of(&config, 1);
    // Norms are weights without a product, and the embedding is looked up.
    let norms = 32 * 2 * 4096 + 4096;
    let embedding = 128_256 * 4096;
    let attention = 32 * 4 * 32 * 128;
    assert_eq!(forward.total(), 2 * (config.num_parameters() - norms - embedding) + attention);
    assert_eq!(
        Forward::of(&config, 8191).attention,
        4096 * forward.attention,
        "half of 8192 on average"
    );
}

#[test]
fn attention_is_counted_as_a_causal_mask_leaves_it() {
    let config = described("llama-3.2-1b").unwrap();
    let seq = 7_u64;
    let pairs: u64 = (1..=seq).sum();
    let by_hand = 16 * pairs * 4 * 32 * 64;
    assert_eq!(Forward::of(&config, seq).attention * seq, by_hand);
}

#[test]
fn a_distilled_token_is_three_student_passes_and_one_of_the_teacher() {
    let plan = plan("llama-3.1-minitron-4b-width", &["distil.recompute=none"]);
    let Flops { teacher, student, distil, .. } = plan.flops;
    assert_eq!(distil, Some(3 * student.total() + teacher.total()));
    // P2's recipe by the rule of thumb 6 N_s + 2 N_t, on the weights that are multiplied; attention adds to it.
    let products = 6.0 * (4.51e9 - 0.39e9) + 2.0 * (8.03e9 - 0.53e9);
    let attention = crate::units::float(3 * student.attention + teacher.attention);
    near(crate::units::float(distil.unwrap()), products + attention, 0.01);
    assert_eq!(student.train(Recompute::Block), 4 * student.layers + 3 * student.head);
}

#[test]
fn the_papers_run_has_its_tokens_and_its_cost() {
    let plan = plan("llama-3.1-minitron-4b-width", &[]);
    assert_eq!(plan.distil_steps, Some(9_961));
    assert_eq!(plan.distil_tokens, Some(9_961 * 1152 * 8192));
    let distil = plan.stages.iter().find(|stage| stage.name == "distil").unwrap();
    near(
        distil.flops,
        9_961.0 * 1152.0 * 8192.0 * crate::units::float(plan.flops.distil.unwrap()),
        1e-12,
    );
    near(distil.seconds, distil.flops / 4e14, 1e-12);
    assert!(plan.total_flops > distil.flops);
}

#[test]
fn twice_the_devices_take_half_the_time_and_the_same_flops() {
    let recipe = Recipe::resolve("mn-minitron-8b", &[]).unwrap();
    let teacher = recipe.teacher_shape(0).unwrap();
    let of = |num_devices| {
        Plan::of(&recipe, &teacher, &Assumptions { num_devices, ..Assumptions::default() }).unwrap()
    };
    let (one, two) = (of(1), of(2));
    near(one.total_seconds, 2.0 * two.total_seconds, 1e-12);
    near(one.total_flops, two.total_flops, 1e-12);
}

#[test]
fn training_holds_eighteen_bytes_a_parameter_in_bf16_and_sixteen_in_f32() {
    let recipe = Recipe::resolve("llama-3.1-minitron-4b-width", &[]).unwrap();
    let teacher = recipe.teacher_shape(0).unwrap();
    for (working, each, teachers) in [(Working::Bf16, 18, 2), (Working::F32, 16, 4)] {
        let device = Assumptions { working, ..Assumptions::default() };
        let plan = Plan::of(&recipe, &teacher, &device).unwrap();
        let of = |names: &[&str]| -> u64 {
            plan.memory
                .iter()
                .filter(|kind| names.contains(&kind.what))
                .map(|kind| kind.bytes)
                .sum()
        };
        let own = of(&["working weights", "master weights", "moments", "gradients"]);
        assert_eq!(own, each * 4_512_746_496);
        assert_eq!(of(&["teacher weights"]), teachers * 8_030_261_248);
    }
}

#[test]
fn computing_blocks_again_keeps_one_layer_and_the_inputs_of_all() {
    let config = described("llama-3.1-8b").unwrap();
    let layer = 4 * 4096 + (3 * 32 + 3 * 8) * 128 + 3 * 14_336;
    assert_eq!(memory::kept(&config, Recompute::None), 32 * layer);
    assert_eq!(memory::kept(&config, Recompute::Block), 32 * 4096 + layer);
}

#[test]
fn the_disk_holds_the_kept_checkpoints_and_the_one_being_written() {
    let plan = plan("mn-minitron-8b", &["distil.keep_checkpoints=3"]);
    let of = |what: &str| plan.disk.iter().find(|kind| kind.what == what).unwrap().bytes;
    assert_eq!(of("checkpoints of distil"), 4 * 12 * 8_414_105_600);
    assert_eq!(of("models/student"), 2 * 8_414_105_600);
    assert_eq!(of("token shards"), 4 * plan.distil_tokens.unwrap());
}

#[test]
fn a_small_vocabulary_takes_two_bytes_a_token() {
    let plan = plan("quickstart", &["distil.steps=1", "pretrain.steps=7"]);
    let shards = plan.disk.iter().find(|kind| kind.what == "token shards").unwrap();
    let recipe = Recipe::resolve("quickstart", &[]).unwrap();
    let per_step = recipe.pretrain.unwrap().train().tokens_per_step(recipe.tokens.seq_tokens);
    assert_eq!(shards.bytes, 2 * 7 * per_step, "of the longer stage");
}

#[test]
fn the_stages_are_those_whose_tables_are_there() {
    let names = |plan: &Plan| -> Vec<&str> { plan.stages.iter().map(|stage| stage.name).collect() };
    assert_eq!(
        names(&plan("quickstart", &[])),
        ["prepare", "pretrain", "observe", "prune", "distil", "control", "evaluate", "export"]
    );
    assert_eq!(
        names(&plan("mn-minitron-8b", &[])),
        ["prepare", "observe", "prune", "distil", "evaluate", "export"]
    );
    assert_eq!(
        names(&plan("mn-minitron-8b", &["prune.num_hidden_layers=20"])),
        ["prepare", "observe", "depth", "prune", "distil", "evaluate", "export"]
    );
    assert_eq!(
        names(&plan("[teacher]\nconfig = \"llama-3.2-1b\"\n", &[])),
        ["prepare", "evaluate"]
    );
}

#[test]
fn what_a_stage_reads_was_made_before_it_or_is_given() {
    let plan = plan("quickstart", &[]);
    let mut made = vec!["data.corpus", "tokenizer", "random weights"];
    for stage in &plan.stages {
        for read in &stage.reads {
            assert!(made.contains(&read.as_str()), "{} reads {read}", stage.name);
        }
        made.extend(&stage.makes);
    }
}

#[test]
fn the_text_shows_the_exact_counts_and_what_is_missing() {
    let text = plan("llama-3.1-minitron-4b-width", &[]).to_string();
    for part in [
        "to be set before a run: teacher.model, data.corpus.path\n",
        "  hidden_size                     4,096 →           3,072\n",
        "  head_dim                          128               128\n",
        "  total                   8,030,261,248 →   4,512,746,496    56.2%\n",
        "9,961 steps of 1,152 sequences of 8,192 tokens",
        "time, on one device achieving 400 TFLOP/s in these FLOPs\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_plan_is_also_json() {
    let json = serde_json::to_value(plan("mn-minitron-8b", &[])).unwrap();
    assert_eq!(json["student"]["total"], 8_414_105_600_u64);
    assert_eq!(json["assumptions"]["working"], "bf16");
}

#[test]
fn absurd_numbers_do_not_overflow() {
    let huge = i64::MAX.to_string();
    let sets = [
        format!("distil.steps={huge}"),
        format!("distil.keep_checkpoints={huge}"),
        format!("distil.global_batch_size={huge}"),
        format!("distil.micro_batch_size={huge}"),
        "tokens.seq_tokens=16777216".into(),
        format!("evaluate.sequences={huge}"),
    ];
    let plan = plan("mn-minitron-8b", &sets.each_ref().map(String::as_str));
    assert_eq!(plan.distil_tokens, Some(u64::MAX));
    assert!(!plan.to_string().is_empty());
}
