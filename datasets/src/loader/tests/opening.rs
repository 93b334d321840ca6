//! Plans and settings.

use super::*;

#[test]
fn a_plan_of_packing_is_used_again_if_it_fits_and_only_then() {
    let groups = Memory::new(1, 30, 20, 60);
    let settings = settings(33, Shuffle::Global, Method::BestFit);
    let open = |plan: Option<PackPlan>, settings: &Settings| {
        let source = Source { pack_plan: plan, ..source("a", &groups, 1.0, None) };
        Loader::open(vec![source], settings).unwrap()
    };
    let loader = open(None, &settings);
    let plan = loader.pack_plans().next().unwrap().clone();
    assert!((0.0..0.2).contains(&plan.padding()), "{}", plan.padding());
    let text = serde_json::to_string(&plan).unwrap();
    let kept: PackPlan = serde_json::from_str(&text).unwrap();
    assert_eq!(get(&open(Some(kept), &settings), 40), get(&loader, 40));
    // A plan of this data that was tampered with is found out.
    let mut wrong = plan.clone();
    wrong.bins.iter_mut().for_each(|bins| *bins += 1);
    let error = open(Some(wrong), &settings).fill(0, &mut Sequence::default()).unwrap_err();
    assert!(matches!(error, LoadError::Changed { what: "bins", .. }), "{error}");
    let other = Settings { eos: Some(3), ..settings.clone() };
    let again = open(Some(plan.clone()), &other);
    assert_ne!(*again.pack_plans().next().unwrap(), plan);
    let n = loader.sequences_per_epoch()[0];
    (0..n).for_each(|index| drop(get(&loader, index)));
    let stats = &loader.stats()[0];
    assert!(stats.padding > 0 && stats.padding + stats.tokens == 33 * stats.sequences);
}

#[test]
fn settings_that_cannot_be_are_errors() {
    let groups = Memory::new(1, 3, 20, 60);
    let tokens: u64 = groups.sizes().iter().map(|size| size.tokens).sum();
    let error = |settings: &Settings, groups: &Arc<Memory>, epochs| {
        let opened = Loader::open(vec![source("web", groups, 1.0, epochs)], settings);
        opened.err().expect("it is refused").to_string()
    };
    let base = settings(8, Shuffle::Global, Method::Concat);
    let long = Settings { seq_tokens: usize::try_from(tokens).unwrap(), ..base.clone() };
    let text = format!("source \"web\" has {tokens} tokens, one sequence needs {}", tokens + 1);
    assert_eq!(error(&long, &groups, None), text);
    let just = Settings { seq_tokens: long.seq_tokens - 1, ..long };
    let loader = Loader::open(vec![source("web", &groups, 1.0, Some(1))], &just).unwrap();
    assert_eq!(loader.num_sequences(), Some(1));
    get(&loader, 0);
    for packing in [Method::Concat, Method::BestFit] {
        let settings = Settings { packing, ..base.clone() };
        let text = "source \"web\" has 0 tokens, one sequence needs ";
        assert!(error(&settings, &Memory::of(vec![]), None).starts_with(text));
    }
    assert_eq!(error(&base, &groups, Some(0)), "source \"web\" has no sequence");
    let none = Settings { seq_tokens: 0, ..base.clone() };
    assert_eq!(error(&none, &groups, None), "a sequence can have 1 to 4294967294 tokens, not 0");
    let eos = Settings { vocab_size: 50, eos: Some(50), ..base.clone() };
    let text = "the eos token is 50, expected an id below the vocabulary's 50";
    assert_eq!(error(&eos, &groups, None), text);
    let schedule = vec![Step { from_tokens: 8, weights: vec![("wbe".into(), 1.0)] }];
    let text = error(&Settings { schedule, ..base.clone() }, &groups, None);
    assert!(text.contains("weighs source \"wbe\", which is not one of [\"web\"]"), "{text}");
    let opened = Loader::open(vec![], &base);
    assert_eq!(opened.err().unwrap().to_string(), "a mixture needs at least one source");
}
