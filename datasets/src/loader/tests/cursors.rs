//! Places that a run goes on from.

use super::*;

#[test]
fn a_cursor_is_refused_with_everything_that_differs() {
    let groups = [Memory::new(1, 10, 20, 60), Memory::new(2, 4, 30, 50)];
    let base = settings(20, Shuffle::Global, Method::Concat);
    let sources = |weight| {
        vec![source("a", &groups[0], weight, Some(2)), source("b", &groups[1], 0.3, Some(1))]
    };
    let loader = Loader::open(sources(0.7), &base).unwrap();
    let cursor = loader.cursor(17);
    let text = serde_json::to_string(&cursor).unwrap();
    let again: Cursor = serde_json::from_str(&text).unwrap();
    assert_eq!(again, cursor);
    loader.check(&again).unwrap();
    loader.check(&loader.cursor(loader.num_sequences().unwrap())).unwrap();
    let error = loader.check(&loader.cursor(1 << 40)).unwrap_err();
    assert_eq!(error.fields[0].field, "next_sequence");

    let other = Settings {
        seed: 6,
        shuffle: Shuffle::Window,
        eos: Some(3),
        packing: Method::BestFit,
        window_tokens: Some(5),
        ..settings(21, Shuffle::None, Method::Concat)
    };
    let mut changed = sources(0.6);
    changed[0].epochs = None;
    changed[1].groups = Arc::clone(&groups[0]) as Arc<dyn Groups>;
    let other = Settings { shuffle: Shuffle::Window, ..other };
    let error = Loader::open(changed, &other).unwrap().check(&cursor).unwrap_err();
    let fields: Vec<&str> = error.fields.iter().map(|field| &*field.field).collect();
    let expected = [
        "seed",
        "shuffle",
        "window_tokens",
        "seq_tokens",
        "packing",
        "eos",
        "source \"a\": weight",
        "source \"a\": epochs",
        "source \"b\": digest",
    ];
    assert_eq!(fields, expected);
    assert!(error.to_string().contains("seed was 5 and is 6; shuffle was \"global\" and is"));
    let one = Loader::open(sources(0.7).split_off(1), &base).unwrap();
    let error = one.check(&cursor).unwrap_err();
    assert!(error.to_string().contains("sources was [\"a\", \"b\"] and is [\"b\"]"), "{error}");
}

#[test]
fn resuming_at_a_cursor_gives_what_comes_after_it() {
    let groups = Memory::new(1, 30, 20, 60);
    for packing in [Method::Concat, Method::BestFit] {
        let settings =
            Settings { window_tokens: Some(900), ..settings(33, Shuffle::Global, packing) };
        let open = || Loader::open(vec![source("a", &groups, 1.0, None)], &settings).unwrap();
        let loader = open();
        let all: Vec<Sequence> = (0..1000).map(|index| get(&loader, index)).collect();
        let mut rng = stream(8, "cursor", 0, 0);
        for _ in 0..20 {
            let next = below(&mut rng, 990);
            let again = open();
            again.check(&loader.cursor(next)).unwrap();
            for index in next..next + 10 {
                assert_eq!(get(&again, index), all[usize::try_from(index).unwrap()]);
            }
        }
    }
}
