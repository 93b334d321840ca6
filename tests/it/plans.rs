//! Plans through the binary: drawn, compared, composed, and taken from a file.

use stillflow::prune::PrunePlan;

use crate::command::{Place, QUICK};

fn quick(place: &Place, dir: &str, sets: &str) -> crate::command::Said {
    place.stillflow(&format!("run {QUICK} --dir {dir} {sets}"))
}

fn plan(place: &Place, name: &str) -> PrunePlan {
    toml::from_str(&String::from_utf8(place.read(name)).unwrap()).unwrap()
}

/// The same plan from a file makes the same student, and nothing is measured for it.
#[test]
fn a_plan_of_ones_own_is_taken_and_makes_what_it_says() {
    let place = Place::new();
    quick(&place, "first", "").done();
    let chosen = String::from_utf8(place.read("first/plan.toml")).unwrap();
    place.write("own.toml", &chosen);
    quick(&place, "same", "--set prune.plan=own.toml").done();
    assert_eq!(plan(&place, "same/plan.toml"), plan(&place, "first/plan.toml"));
    let student = "models/student/model.safetensors";
    assert_eq!(place.read(&format!("same/{student}")), place.read(&format!("first/{student}")));
    assert!(!place.at("same/scores").exists() && !place.at("same/stages/observe.json").exists());

    // One channel for another, by hand.
    let mut changed: PrunePlan = toml::from_str(&chosen).unwrap();
    let width = 32;
    let other = (0..width).find(|channel| !changed.hidden.contains(channel)).unwrap();
    let gone = std::mem::replace(&mut changed.hidden[3], other);
    place.write("own.toml", toml::to_string(&changed).unwrap());
    let refused = quick(&place, "same", "--set prune.plan=own.toml");
    assert!(refused.stderr.contains("own.toml` changed since the run began"), "{refused:?}");
    quick(&place, "changed", "--set prune.plan=own.toml").done();
    assert_eq!(
        place.stillflow("show first --diff changed").done(),
        format!("hidden ({}): −{gone}  +{other}\n", changed.hidden.len())
    );
    assert_eq!(place.stillflow("show first --diff same").done(), "they make the same student\n");
}

#[test]
fn a_plan_that_is_not_this_models_is_refused_before_anything_is_made() {
    let place = Place::new();
    quick(&place, "first", "").done();
    let chosen = String::from_utf8(place.read("first/plan.toml")).unwrap();
    let (line, hidden) =
        chosen.lines().enumerate().find(|(_, line)| line.starts_with("hidden = ")).unwrap();
    let first = hidden.find(',').unwrap();
    let broken = format!(
        "{}, 32{}",
        &hidden[..first],
        &hidden[hidden[first + 1..].find(',').unwrap() + first + 1..]
    );
    place.write("own.toml", chosen.replace(hidden, &broken));
    let said = quick(&place, "second", "--set prune.plan=own.toml");
    assert_eq!(said.code, Some(1));
    let expected = format!(
        "error: `own.toml`, line {}, column {}: `hidden`: expected different indices below 32, found 32\n",
        line + 1,
        first + 3
    );
    assert!(said.stderr.starts_with(&expected), "{expected}\n{}", said.stderr);
    assert!(!place.at("second").exists(), "nothing is made");

    place.write("own.toml", &chosen);
    let said = quick(&place, "second", "--set prune.plan=own.toml --set prune.hidden_size=16");
    assert!(
        said.stderr.contains("`prune.hidden_size`: expected 24 as in `own.toml`"),
        "{}",
        said.stderr
    );
    // The same shape of another seed is another teacher.
    let said = quick(&place, "second", "--set prune.plan=own.toml --set seed=2");
    assert!(
        said.stderr.contains("the plan is of another model: expected teacher "),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("take the line `teacher = …` out of it"), "{}", said.stderr);
    let anyone = chosen.lines().filter(|line| !line.starts_with("teacher = "));
    place.write("anyone.toml", anyone.map(|line| format!("{line}\n")).collect::<String>());
    quick(&place, "third", "--set prune.plan=anyone.toml --set seed=2").done();
}

/// Every axis at once, then once more from the student: the two are one plan of the first teacher.
#[test]
fn a_run_from_a_runs_student_composes_with_it() {
    let place = Place::new();
    let sets = "--set prune.num_key_value_heads=1 --set prune.head_add_back=minus \
        --set prune.norm_compensation=true --set prune.num_attention_heads=3";
    quick(&place, "first", sets).done();
    let teacher = "--set teacher.model=first/models/student --set prune.hidden_size=16 \
        --set prune.num_attention_heads=2 --set prune.drop_layers=[0]";
    let without: Vec<&str> =
        QUICK.split("--set ").filter(|set| !set.starts_with("pretrain")).collect();
    place.stillflow(&format!("run {} --dir second {teacher}", without.join("--set "))).done();
    let text = place.stillflow("show second --after first").done();
    let both: PrunePlan = toml::from_str(&text).unwrap();
    let (first, second) = (plan(&place, "first/plan.toml"), plan(&place, "second/plan.toml"));
    assert_eq!(both.teacher, first.teacher);
    assert_eq!(both.layers.len(), 1);
    assert_eq!(both.layers[0].source, 1);
    assert_eq!(both.layers[0].kv_groups, Some(vec![vec![0, 1]]));
    let picked = |of: &[usize], by: &[usize]| by.iter().map(|i| of[*i]).collect::<Vec<_>>();
    assert_eq!(both.hidden, picked(&first.hidden, &second.hidden));
    let layers = (&first.layers[1], &second.layers[0]);
    assert_eq!(both.layers[0].neurons, picked(&layers.0.neurons, &layers.1.neurons));
    assert_eq!(both.layers[0].heads, picked(&layers.0.heads, &layers.1.heads));
    let refused = place.stillflow("show first --after second");
    assert!(refused.stderr.contains("`first/plan.toml`, line "), "{}", refused.stderr);
}

#[test]
fn show_draws_scores_and_what_is_kept_plainly_where_no_terminal_is() {
    let place = Place::new();
    quick(&place, "run", "").done();
    let shown = place.stillflow("show run").done();
    assert!(!shown.contains('\x1b'), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 110), "{shown}");
    let plan = plan(&place, "run/plan.toml");
    let lines: Vec<&str> = shown.lines().collect();
    let hidden = lines.iter().position(|line| *line == "hidden_size").unwrap();
    assert_eq!(lines[hidden + 2].matches('█').count(), plan.hidden.len(), "{shown}");
    assert_eq!(lines[hidden + 2].matches('·').count(), 32 - plan.hidden.len(), "{shown}");
    for axis in ["intermediate_size", "num_attention_heads"] {
        assert!(lines.iter().any(|line| line.starts_with(axis)), "{axis} in\n{shown}");
    }
    let svg = String::from_utf8(place.read("run/plan.svg")).unwrap();
    assert!(svg.contains("num_attention_heads") && svg.contains("#EB963C"), "cut is orange");

    // Scores that the plan was not chosen by are not drawn as if it had been.
    let other = place.read("run/scores/num_attention_heads.parquet");
    place.write("run/scores/hidden_size.parquet", other);
    let shown = place.stillflow("show run").done();
    assert!(shown.contains("the plan is not by the scores in `run/scores`"), "{shown}");
}
