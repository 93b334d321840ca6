//! The grammar against its own parser, its distributions and the frequencies of its draws.

use std::collections::{HashMap, HashSet};
use std::fs;

use super::words::{CLASSES, Class};
use super::*;
use crate::text::{Corpus, CorpusSpec};
use crate::tokenizer::Tokenizer;

fn grammar() -> Grammar {
    Grammar::new(7)
}

/// The classes whose words a slot can hold.
fn class(slot: Slot) -> Class {
    match slot {
        Slot::Topic => Class::Topic,
        Slot::NewName | Slot::Name => Class::Name,
        Slot::NewKind | Slot::Kind => Class::Kind,
        Slot::Noun | Slot::Owned => Class::Noun,
        Slot::Place | Slot::Here => Class::Place,
        Slot::Verb => Class::Verb,
        Slot::Adjective | Slot::Trait => Class::Adjective,
    }
}

#[test]
fn a_probability_read_from_the_text_alone_is_the_one_it_was_told_with() {
    let grammar = grammar();
    for index in 0..100 {
        let story = grammar.story(index);
        let read = grammar.log_prob(&story.text).expect("the grammar tells it");
        assert!((read - story.log_prob).abs() < 1e-9 * story.log_prob.abs(), "{}", story.text);
        assert_eq!(story.num_tokens as usize, story.text.split(' ').count() + 1);
        assert_eq!(grammar.story(index), story);
    }
}

#[test]
fn a_text_that_the_grammar_never_tells_has_no_probability() {
    let grammar = grammar();
    let text = grammar.story(0).text;
    for (old, new) in
        [(" end .", " ."), ("this ", ""), (".", "!"), (" a ", " the "), (" . ", " .  ")]
    {
        assert_eq!(grammar.log_prob(&text.replacen(old, new, 1)), None, "{old:?}");
    }
    let stranger = text.replace("the end .", "soon Nobody was very big . the end .");
    for text in ["", " ", ".", &format!("{text} the end ."), &stranger] {
        assert_eq!(grammar.log_prob(text), None, "{text}");
    }
    let cut = text.rsplit_once(" the end .").unwrap().0;
    assert_eq!(grammar.log_prob(cut), None, "a story has an end");
}

#[test]
fn no_two_templates_make_the_same_sentence_and_no_word_has_two_classes() {
    let grammar = grammar();
    let mut shapes = HashSet::new();
    for template in &grammar.templates {
        let shape: Vec<String> = template
            .iter()
            .map(|token| match token {
                Token::Literal(word) => (*word).to_owned(),
                Token::Fill(slot) => format!("{:?}", class(*slot)),
            })
            .collect();
        assert!(shapes.insert(shape), "{template:?}");
    }
    let distinct: HashSet<_> = grammar.vocabulary().iter().collect();
    assert_eq!(
        distinct.len(),
        grammar.vocabulary().len(),
        "a literal is no word of a class either"
    );
    assert!(grammar.vocabulary().iter().all(|w| !w.is_empty() && !w.contains(char::is_whitespace)));
    let total: usize = CLASSES.iter().map(|class| grammar.words.range(*class).len()).sum();
    assert_eq!(total + 3 + literals().len(), distinct.len());
}

#[test]
fn the_probabilities_of_all_that_may_come_next_sum_to_one() {
    let grammar = grammar();
    let all: Vec<Word> = (0..id(grammar.vocabulary().len())).collect();
    let mut slots = HashSet::new();
    for index in 0..12 {
        let story = grammar.story(index).text;
        let words: Vec<&str> = story.split(' ').collect();
        let mut state = State::default();
        for sentence in words.split_inclusive(|word| *word == ".") {
            let next = state.templates();
            assert!((next.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-12);
            let fits: Vec<_> = (0..grammar.templates.len())
                .filter_map(|t| grammar.fit(&state, t, sentence).map(|(_, filled)| (t, filled)))
                .collect();
            assert_eq!(fits.len(), 1, "one derivation: {sentence:?}");
            let (template, filled) = fits.into_iter().next().unwrap();
            for at in 0..filled.len() {
                let mixture = state.slot(filled[at].0, &filled[..at]);
                let sum: f64 = all.iter().map(|w| grammar.laws.probability(&mixture, *w)).sum();
                assert!((sum - 1.0).abs() < 1e-9, "{:?} sums to {sum}", filled[at].0);
                let outside =
                    all.iter().filter(|w| !grammar.words.range(class(filled[at].0)).contains(w));
                assert!(outside.clone().all(|w| grammar.laws.probability(&mixture, *w) == 0.0));
                slots.insert(format!("{:?}", filled[at].0));
            }
            state = state.after(template, &filled);
        }
    }
    assert_eq!(slots.len(), 12, "every kind of slot was seen: {slots:?}");
}

#[test]
fn words_are_drawn_as_often_as_their_probability_says() {
    let grammar = grammar();
    let (topic, name) = (grammar.words.range(Class::Topic).start, grammar.words.range(Class::Name));
    let filled = [(Slot::Topic, topic)];
    let mut state = State::default().after(templates::ABOUT, &filled);
    let introduced = [
        (Slot::Adjective, grammar.words.range(Class::Adjective).start),
        (Slot::NewKind, grammar.words.range(Class::Kind).start),
        (Slot::NewName, name.start + 3),
        (Slot::Noun, grammar.words.range(Class::Noun).start + 9),
    ];
    state = state.after(templates::INTRODUCE, &introduced);
    let someone = [(Slot::Name, name.start + 3)];
    let cases: [(Slot, &[(Slot, Word)]); 5] = [
        (Slot::Noun, &introduced[..1]),
        (Slot::NewName, &[]),
        (Slot::Verb, &someone),
        (Slot::Owned, &someone),
        (Slot::Adjective, &[]),
    ];
    for (slot, before) in cases {
        let mixture = state.slot(slot, before);
        let mut counts: HashMap<Word, u32> = HashMap::new();
        let n = 40_000;
        for draw in 0..n {
            let mut rng = stream(3, "frequencies", slot as u64, draw);
            *counts.entry(grammar.laws.draw(&mixture, &mut rng)).or_default() += 1;
        }
        let mut checked = 0;
        for word in grammar.words.range(class(slot)) {
            let p = grammar.laws.probability(&mixture, word);
            let (expected, found) = (p * n as f64, f64::from(*counts.get(&word).unwrap_or(&0)));
            assert!(
                (found - expected).abs() < 5.0 * expected.sqrt() + 5.0,
                "{slot:?}: {found}, {expected}"
            );
            checked += u32::from(expected > 100.0);
        }
        assert!(checked > 10 || slot == Slot::Owned);
        assert_eq!(counts.values().sum::<u32>() as u64, n);
    }
}

#[test]
fn the_entropy_lies_well_below_that_of_single_words() {
    let grammar = grammar();
    let stories: Vec<Story> = (0..1500).map(|index| grammar.story(index)).collect();
    let tokens: f64 = stories.iter().map(|story| f64::from(story.num_tokens)).sum();
    let entropy = -stories.iter().map(|story| story.log_prob).sum::<f64>() / tokens;
    let mut counts: HashMap<&str, f64> = HashMap::new();
    for word in stories.iter().flat_map(|story| story.text.split(' ').chain(["</s>"])) {
        *counts.entry(word).or_default() += 1.0;
    }
    let unigram: f64 = counts.values().map(|n| -n / tokens * (n / tokens).ln()).sum();
    let length = tokens / stories.len() as f64;
    println!(
        "{length:.1} tokens a story, {entropy:.3} nats a token, {unigram:.3} of single words, {} words",
        counts.len()
    );
    assert!((120.0..180.0).contains(&length), "{length} tokens a story");
    assert!((1.8..3.0).contains(&entropy), "{entropy} nats a token");
    assert!(unigram > entropy + 2.0, "{unigram} nats a word");
    assert!(grammar.vocabulary().len() > 2500 && counts.len() > 2000);
}

#[test]
fn its_tokenizer_has_one_token_a_word() {
    let grammar = grammar();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tokenizer.json"), grammar.tokenizer_json()).unwrap();
    fs::write(dir.path().join("tokenizer_config.json"), grammar.tokenizer_config_json()).unwrap();
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    assert_eq!((tokenizer.bos_id(), tokenizer.eos_id()), (Some(1), Some(2)));
    assert_eq!(tokenizer.vocab_size() as usize, grammar.vocabulary().len());
    for index in 0..20 {
        let story = grammar.story(index);
        let ids = tokenizer.encode(&story.text).unwrap();
        assert_eq!(ids.len() + 1, story.num_tokens as usize);
        assert!(ids.iter().all(|id| *id > 2));
        assert_eq!(tokenizer.decode(&ids).unwrap(), story.text);
    }
}

#[test]
fn stories_in_parquet_are_a_corpus_and_always_the_same_bytes() {
    let grammar = grammar();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = grammar.write_parquet(a.path(), 10..2510).unwrap();
    let again = grammar.write_parquet(b.path(), 10..2510).unwrap();
    assert_eq!((files.len(), again.len()), (1, 1));
    assert_eq!(fs::read(&files[0]).unwrap(), fs::read(&again[0]).unwrap());
    let corpus = Corpus::open(&CorpusSpec::new(a.path().to_str().unwrap())).unwrap();
    assert_eq!(corpus.num_chunks(), 2);
    let last = corpus.chunk(1).unwrap().pop().unwrap();
    assert_eq!((last.text, last.at), (grammar.story(2509).text, 2499));
    assert!(grammar.write_parquet(a.path(), 5..5).unwrap().is_empty());
}

#[test]
fn another_seed_is_another_language() {
    let (one, other) = (Grammar::new(1), Grammar::new(2));
    assert_ne!(one.vocabulary(), other.vocabulary());
    assert_eq!(one.vocabulary().len(), other.vocabulary().len());
    assert_ne!(one.story(0), one.story(1));
}
