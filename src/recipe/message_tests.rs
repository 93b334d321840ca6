//! The exact text of what a person reads.

use super::Recipe;

/// Error and hint, as the command line shows them.
fn said(text: &str, sets: &[&str]) -> String {
    let sets: Vec<String> = sets.iter().map(|s| (*s).to_string()).collect();
    let error = Recipe::resolve(text, &sets).expect_err(text);
    match error.hint() {
        Some(hint) => format!("{error}\nhint: {hint}"),
        None => error.to_string(),
    }
}

#[test]
fn an_unknown_key_has_its_place_and_a_suggestion() {
    assert_eq!(
        said("seed = 1\n[distil]\nsteps = 5\nlearning_rte = 1e-4\n", &[]),
        "the recipe, line 4, column 1: unknown key `learning_rte`\n  |\n4 | learning_rte = 1e-4\n  | ^^^^^^^^^^^^\n\
         hint: did you mean `learning_rate`?"
    );
    assert_eq!(
        said("[prune]\nffn_hidden_size = 9216\n", &[]),
        "the recipe, line 2, column 1: unknown key `ffn_hidden_size`\n  |\n2 | ffn_hidden_size = 9216\n  | ^^^^^^^^^^^^^^^\n\
         hint: did you mean `intermediate_size`?"
    );
    assert_eq!(
        said("[evaluate]\ncolour = 9\n", &[]),
        "the recipe, line 2, column 1: unknown key `colour`, expected `sequences`, `batch` or `choices`\n  |\n2 | colour = 9\n  | ^^^^^^"
    );
}

#[test]
fn an_unknown_table_has_its_place_and_a_suggestion() {
    assert_eq!(
        said("[distill]\nsteps = 5\n", &[]),
        "the recipe, line 1, column 2: unknown key `distill`\n  |\n1 | [distill]\n  |  ^^^^^^^\nhint: did you mean `distil`?"
    );
}

#[test]
fn a_value_of_the_wrong_type_has_its_place() {
    assert_eq!(
        said("[distil]\nsteps = \"many\"\n", &[]),
        "the recipe, line 2, column 9: expected a whole number, 0 or more, found string \"many\"\n  |\n2 | steps = \"many\"\n  |         ^^^^^^"
    );
    assert_eq!(
        said("[distil]\nsteps = -5\n", &[]),
        "the recipe, line 2, column 9: expected a whole number, 0 or more, found integer `-5`\n  |\n2 | steps = -5\n  |         ^^"
    );
    assert_eq!(
        said("[distil]\ntokens = \"94e9\"\n", &[]),
        "the recipe, line 2, column 10: `94e9` is not a token count; write it like `12K`, `131M` or `94B`\n  |\n2 | tokens = \"94e9\"\n  |          ^^^^^^"
    );
    assert_eq!(
        said("[distil]\nrecompute = \"blocks\"\n", &[]),
        "the recipe, line 2, column 13: unknown word `blocks`\n  |\n2 | recompute = \"blocks\"\n  |             ^^^^^^^^\nhint: did you mean `block`?"
    );
}

#[test]
fn a_source_without_a_name_is_explained() {
    assert_eq!(
        said("[data]\npath = \"x\"\n", &[]),
        "the recipe, line 2, column 8: expected a table, found string \"x\"\n  |\n2 | path = \"x\"\n  |        ^^^\n\
         hint: a source of text has a name of its own, as in `[data.corpus]`"
    );
}

#[test]
fn what_is_not_toml_has_its_place() {
    let said = said("seed = = 1\n", &[]);
    assert!(said.starts_with("the recipe, line 1, column 8: "), "{said}");
    assert!(said.ends_with("\n1 | seed = = 1\n  |        ^"), "{said}");
}

#[test]
fn a_share_outside_of_its_range_is_refused() {
    assert_eq!(
        said("[prune]\nhidden_size = \"120%\"\n", &[]),
        "the recipe, line 2, column 15: `120%` is not a size; write a positive number like 3072, or a share above 0% and up to 100% like \"75%\"\n  |\n2 | hidden_size = \"120%\"\n  |               ^^^^^^"
    );
}

#[test]
fn what_importance_and_depth_are_told_must_go_together() {
    for (text, message) in [
        (
            "num_hidden_layers = 2\ndrop_layers = [1]",
            "`prune.num_hidden_layers` and `prune.drop_layers`",
        ),
        (
            "depth = \"logit_error\"",
            "`prune.depth`: expected it beside `prune.num_hidden_layers` alone, found logit_error",
        ),
        (
            "drop_layers = [1]\ndepth_contiguous = false",
            "`prune.depth_contiguous`: expected it beside `prune.num_hidden_layers` alone, found false",
        ),
        (
            "num_hidden_layers = 2\ndepth = \"task\"",
            "`prune.depth`: expected `prune.depth_task`, a file of multiple-choice items, beside `task`, found none",
        ),
        (
            "num_hidden_layers = 2\ndepth_task = \"items.jsonl\"",
            "`prune.depth_task`: expected it beside `prune.depth = \"task\"` alone, found items.jsonl",
        ),
        (
            "num_hidden_layers = 2\ndepth = \"tasks\"\ndepth_task = \"items.jsonl\"",
            "did you mean `task`?",
        ),
        (
            "num_hidden_layers = 2\ndepth = \"task\"\ndepth_task = \"\"",
            "`prune.depth_task`: expected a file of items, found an empty text",
        ),
        (
            "score = \"magnitude\"\nimportance = \"sums.parquet\"",
            "`prune.importance`: expected none beside a `score` that looks at no activation",
        ),
        ("batch_aggregation = \"l1\"", "unknown word `l1`"),
        ("sequence_aggregation = \"std\"", "expected `mean`, `l2` or `variance`"),
        ("sites = \"papers\"", "did you mean `paper`?"),
        ("score = \"weights\"", "`activation_times_magnitude` or `random`"),
    ] {
        let said = said(&format!("[prune]\n{text}\n"), &[]);
        assert!(said.contains(message), "{text}: {said}");
    }
}

#[test]
fn an_unknown_recipe_is_answered_with_the_nearest() {
    assert_eq!(
        said("quikstart", &[]),
        "no recipe is called `quikstart`, and no file is\nhint: did you mean `quickstart`? `stillflow ls recipes` lists them all"
    );
    assert_eq!(
        said("zzz", &[]),
        "no recipe is called `zzz`, and no file is\nhint: `stillflow ls recipes` lists them all"
    );
}

#[test]
fn keys_that_exclude_one_another_are_refused_together() {
    for (text, message) in [
        (
            "[distil]\nsteps = 1\ntokens = \"1M\"\n",
            "`distil.steps` and `distil.tokens` are both set; a recipe has one of them",
        ),
        (
            "[distil]\nlearning_rate = 1e-4\n",
            "neither `distil.steps` nor `distil.tokens` is set; a recipe has one of them",
        ),
        (
            "[teacher]\nmodel = \"a\"\nconfig = \"b\"\n",
            "`teacher.model` and `teacher.config` are both set; a recipe has one of them",
        ),
        (
            "[data.a]\npath = \"x\"\ngenerate = \"stories\"\n",
            "`data.a.path` and `data.a.generate` are both set; a recipe has one of them",
        ),
        (
            "[teacher]\nmodel = \"a\"\n[pretrain]\nsteps = 1\n",
            "`teacher.model` and `pretrain` are both set; a recipe has one of them\nhint: remove `[pretrain]`, or `teacher.model`",
        ),
        (
            "[control]\nobjective = \"cross_entropy\"\n",
            "`[control]` needs `[distil]`, which the recipe does not have",
        ),
    ] {
        assert_eq!(said(text, &[]), message);
    }
}

#[test]
fn values_that_do_not_go_together_name_the_key_what_was_expected_and_what_was_found() {
    let distil = |keys: &str| format!("[distil]\nsteps = 5\n{keys}\n");
    for (text, message) in [
        ("schema = 2\n".into(), "`schema`: expected 1, found 2"),
        (
            distil("micro_batch_size = 5"),
            "`distil.micro_batch_size`: expected a divisor of global_batch_size = 16, found 5",
        ),
        (distil("micro_batch_size = 0"), "`distil.micro_batch_size`: expected 1 or more, found 0"),
        (
            distil("learning_rate = nan"),
            "`distil.learning_rate`: expected a number above 0, found NaN",
        ),
        (
            distil("min_learning_rate = 1.0"),
            "`distil.min_learning_rate`: expected a number between 0 and learning_rate = 0.0001, found 1",
        ),
        (distil("beta2 = 1.0"), "`distil.beta2`: expected a number from 0 and below 1, found 1"),
        (
            "[tokens]\nseq_tokens = 1\n".into(),
            "`tokens.seq_tokens`: expected 2 to 16777216, found 1",
        ),
        (
            "[pretrain]\nsteps = 1\nhidden_size = 0\n".into(),
            "`pretrain.hidden_size`: expected 1 to 1048576, found 0",
        ),
        (
            "[tokens]\nheld_out = 1.5\n".into(),
            "`tokens.held_out`: expected a share between 0 and 1, found 1.5",
        ),
        (
            "[losses.forward_kl]\nweight = 0.0\n".into(),
            "`losses`: expected one weight above 0 at least, found none",
        ),
        (
            "[losses.forward_kl]\ntemperature = 0.0\n".into(),
            "`losses.forward_kl.temperature`: expected a number above 0, found 0",
        ),
        (
            "[losses.reverse_kl]\nweight = -1.0\n".into(),
            "`losses.reverse_kl.weight`: expected a number, 0 or more, found -1",
        ),
        (
            "[losses.jensen_shannon]\nbeta = 0.0\n".into(),
            "`losses.jensen_shannon.beta`: expected a number between 0 and 1, found 0",
        ),
        (
            "[losses.skew_forward_kl]\nalpha = 1.0\n".into(),
            "`losses.skew_forward_kl.alpha`: expected a number from 0 and below 1, found 1",
        ),
        (
            "[losses.adaptive_kl]\nhead_mass = 1.0\n".into(),
            "`losses.adaptive_kl.head_mass`: expected a number between 0 and 1, found 1",
        ),
        (
            "[prune]\ndrop_layers = [3, 1, 3]\n".into(),
            "`prune.drop_layers`: expected each layer once, found layer 3 twice",
        ),
        (
            "[data.a]\npath = \"x\"\nnum_stories = 5\n".into(),
            "`data.a.num_stories`: expected it beside `generate` alone, found 5",
        ),
        (
            "[pretrain]\nsteps = 1\nnum_key_value_heads = 3\n".into(),
            "the sizes in `[pretrain]` do not go together",
        ),
    ] {
        assert_eq!(said(&text, &[]), message);
    }
}

#[test]
fn a_set_that_does_not_fit_is_answered_like_a_line_of_the_file() {
    for (set, message) in [
        (
            "distil.lr=1",
            "`--set distil.lr=1`: unknown key `lr`\nhint: did you mean `learning_rate`?",
        ),
        (
            "distill.steps=1",
            "`--set distill.steps=1`: unknown key `distill`\nhint: did you mean `distil`?",
        ),
        (
            "distil.steps=many",
            "`--set distil.steps=many`: expected a whole number, 0 or more, found string \"many\"",
        ),
        (
            "distil.steps",
            "`--set distil.steps`: expected `key=value`\nhint: for instance `--set distil.steps=100`",
        ),
        (
            "losses.jsd.weight=1",
            "`--set losses.jsd.weight=1`: unknown key `jsd`\nhint: did you mean `jensen_shannon`?",
        ),
        (
            "losses.reverse_kl.beta=1",
            "`--set losses.reverse_kl.beta=1`: unknown key `beta`, expected `weight`, `temperature` or `temperature_squared`",
        ),
        ("=5", "`--set =5`: expected `key=value`\nhint: for instance `--set distil.steps=100`"),
        ("distil=5", "`--set distil=5`: expected a table, found integer `5`"),
        ("extends=quickstart", "`--set extends=quickstart`: a recipe says itself what it extends"),
        (
            "distil.steps.more=5",
            "`--set distil.steps.more=5`: expected a whole number, 0 or more, found map",
        ),
    ] {
        assert_eq!(said("quickstart", &[set]), message);
    }
}

#[test]
fn a_file_is_named_by_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    std::fs::write(&path, "sed = 1\n").unwrap();
    let said = said(path.to_str().unwrap(), &[]);
    assert!(
        said.starts_with(&format!("`{}`, line 1, column 1: unknown key `sed`\n", path.display())),
        "{said}"
    );
    assert!(said.ends_with("hint: did you mean `seed`?"), "{said}");
}

#[test]
fn a_shape_that_nobody_knows_is_answered_with_the_nearest() {
    let recipe = Recipe::resolve("[teacher]\nconfig = \"llama-3.1-9b\"\n", &[]).unwrap();
    let error = recipe.teacher_shape(0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`teacher.config`: no model shape is called `llama-3.1-9b`, and no file is"
    );
    assert_eq!(error.hint().as_deref(), Some("did you mean `llama-3.1-8b`?"));
}

#[test]
fn weights_that_mean_nothing_are_refused_by_their_key() {
    let two = |first: &str, second: &str, rest: &str| {
        said(
            &format!("[data.a]\npath = \"x\"\n{first}\n[data.b]\npath = \"y\"\n{second}\n{rest}"),
            &[],
        )
    };
    for (first, second, rest, expected) in [
        ("weight = -1", "weight = 1", "", "data.a.weight"),
        ("weight = nan", "weight = 1", "", "data.a.weight"),
        ("weight = 0", "weight = 0", "", "weight above 0"),
        ("weight = 0", "weight = 1", "", "data.a.weight"),
        ("weight = 1", "", "", "data.b.weight"),
        ("epochs = 0", "", "", "data.a.epochs"),
        ("", "", "[mixture.end]\nafter = \"1M\"\nc = 1", "a source: a, b"),
        ("", "", "[mixture.end]\nafter = \"1M\"\na = 0\nb = 0", "mixture.end"),
        ("", "", "[mixture.end]\nafter = 0\na = 1", "mixture.end.after"),
        ("", "", "[mixture.x]\nafter = 5\na = 1\n[mixture.y]\nafter = 5\na = 2", "mixture.y.after"),
        ("", "", "[tokens]\nshuffle_window = 0", "tokens.shuffle_window"),
        ("", "", "[tokens]\npacking = \"best-fit\"", "did you mean `best_fit`?"),
        ("", "", "[tokens]\nshuffle = \"globl\"", "did you mean `global`?"),
    ] {
        let message = two(first, second, rest);
        assert!(message.contains(expected), "{expected}: {message}");
    }
    // A source that waits for its phase is not a mistake.
    let waits = "[data.a]\npath = \"x\"\nweight = 1\n[data.b]\npath = \"y\"\nweight = 0\n[mixture.late]\nafter = \"1M\"\nb = 1";
    assert!(Recipe::resolve(waits, &[]).is_ok());
}
