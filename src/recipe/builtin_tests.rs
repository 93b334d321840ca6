//! The built-in recipes, held against the papers.

use dataflows::recipes::RECIPES;

use super::{Recipe, RecipeError, Size};

fn resolve(name: &str) -> Recipe {
    Recipe::resolve(name, &[]).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn every_built_in_recipe_resolves_and_what_is_written_resolves_to_the_same() {
    for (name, _) in RECIPES {
        let recipe = resolve(name);
        assert!(!recipe.description.is_empty(), "{name}");
        let text = recipe.to_toml();
        assert_eq!(Recipe::resolve(&text, &[]).unwrap(), recipe, "{name}");
        assert_eq!(Recipe::resolve(&text, &[]).unwrap().to_toml(), text, "{name}");
    }
}

#[test]
fn the_papers_students_have_the_papers_parameters() {
    for (name, teacher, student) in [
        ("llama-3.1-minitron-4b-width", 8_030_261_248, 4_512_746_496),
        ("llama-3.1-minitron-4b-depth", 8_030_261_248, 4_540_469_248),
        ("mn-minitron-8b", 12_247_782_400, 8_414_105_600),
    ] {
        let recipe = resolve(name);
        let shape = recipe.teacher_shape(0).unwrap();
        assert_eq!(shape.num_parameters(), teacher, "{name}");
        assert_eq!(recipe.student_config(&shape).unwrap().num_parameters(), student, "{name}");
    }
}

#[test]
fn a_recipe_says_what_is_still_to_be_set() {
    assert_eq!(resolve("quickstart").missing(), [""; 0]);
    assert_eq!(resolve("minitron-tiny").missing(), ["teacher.model", "data.corpus.path"]);
    assert_eq!(resolve("capture-tiny").missing(), ["teacher.model", "data.corpus.path"]);
    assert_eq!(resolve("mn-minitron-8b").missing(), ["teacher.model", "data.corpus.path"]);
    let sets = ["teacher.model=a", "data.corpus.path=b"].map(String::from);
    assert_eq!(Recipe::resolve("minitron-tiny", &sets).unwrap().missing(), [""; 0]);
    let own_text = Recipe::resolve("quickstart", &["data.corpus.path=b".into()]).unwrap();
    assert_eq!(
        own_text.missing(),
        ["tokens.tokenizer"],
        "a teacher from nothing has no tokenizer of its own"
    );
}

#[test]
fn a_file_extends_a_built_in_recipe_and_a_set_comes_last() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base.toml");
    std::fs::write(&base, "extends = \"minitron-tiny\"\nseed = 5\n[distil]\nsteps = 7\n").unwrap();
    let path = base.to_str().unwrap();
    let recipe = Recipe::resolve(
        path,
        &["distil.micro_batch_size=4".into(), "prune.hidden_size=50%".into()],
    )
    .unwrap();
    let distil = recipe.distil.clone().unwrap();
    assert_eq!((recipe.seed, distil.steps, distil.micro_batch_size), (5, Some(7), 4));
    assert_eq!(distil.global_batch_size, 16, "from the base");
    assert_eq!(recipe.prune.as_ref().unwrap().hidden_size, Some(Size::Percent(50.0)));
    assert_eq!(recipe.extends, None);

    let over = dir.path().join("over.toml");
    std::fs::write(&over, "extends = \"base.toml\"\n").unwrap();
    let error = Recipe::resolve(over.to_str().unwrap(), &[]).unwrap_err();
    assert!(
        matches!(&error, RecipeError::ExtendsTwice { base, further, .. } if base == "base.toml" && further == "minitron-tiny"),
        "{error}"
    );
}

#[test]
fn a_run_directory_stands_for_the_recipe_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = resolve("quickstart");
    std::fs::write(dir.path().join("recipe.toml"), recipe.to_toml()).unwrap();
    assert_eq!(Recipe::resolve(dir.path().to_str().unwrap(), &[]).unwrap(), recipe);
}

#[test]
fn a_set_replaces_what_it_excludes() {
    let recipe = Recipe::resolve("quickstart", &["data.corpus.path=2024".into()]).unwrap();
    let source = &recipe.data["corpus"];
    assert_eq!(
        (source.path.as_deref(), source.generate, source.num_stories),
        (Some("2024"), None, None)
    );
    let recipe = Recipe::resolve("quickstart", &["teacher.model=here".into()]).unwrap();
    assert!(recipe.pretrain.is_none());
    let recipe = Recipe::resolve("quickstart", &["distil.tokens=1M".into()]).unwrap();
    assert_eq!(recipe.distil.unwrap().steps_for(128), 977);
}

#[test]
fn texts_that_need_escaping_survive() {
    let text = "description = \"a \\\"b\\\" = c # d\"\n[data.\"my corpus\"]\npath = 'x'\nsplit = \"<|endoftext|>\\n\"\n";
    let recipe = Recipe::resolve(text, &["data.\"my corpus\".field=body".into()]).unwrap();
    assert_eq!(recipe.data["my corpus"].field(), "body");
    assert_eq!(Recipe::resolve(&recipe.to_toml(), &[]).unwrap(), recipe);
}

#[test]
fn no_damage_to_a_recipe_panics() {
    for (_, text) in RECIPES {
        for i in (0..text.len()).step_by(7).filter(|i| text.is_char_boundary(*i)) {
            let (before, after) = text.split_at(i);
            for damaged in
                [before.into(), format!("{before}\n={after}"), format!("{before}9é\"{after}")]
            {
                if let Err(error) = Recipe::resolve(&format!("{damaged}\n"), &[]) {
                    assert!(!error.to_string().is_empty());
                    assert!(error.hint().is_none_or(|hint| !hint.is_empty()));
                }
            }
        }
    }
}
