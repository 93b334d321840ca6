//! The words of the grammar: a few real ones, and many that could be.

use std::collections::HashSet;
use std::ops::Range;

use crate::random::{below, stream};

/// The kinds of words that fill slots. A word belongs to one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Topic,
    Name,
    Kind,
    Noun,
    Place,
    Verb,
    Adjective,
}

pub(super) const CLASSES: [Class; 7] = [
    Class::Topic,
    Class::Name,
    Class::Kind,
    Class::Noun,
    Class::Place,
    Class::Verb,
    Class::Adjective,
];

impl Class {
    /// How many words there are, real ones first.
    fn size(self) -> usize {
        match self {
            Self::Topic => 24,
            Self::Name => 400,
            Self::Kind => 120,
            Self::Noun => 1200,
            Self::Place => 240,
            Self::Verb => 480,
            Self::Adjective => 360,
        }
    }

    fn real(self) -> &'static str {
        match self {
            Self::Topic => {
                "friendship courage winter music gardens weather thunder kindness patience luck trade war \
                 sleep hunger magic summer work travel dance secrets letters memory fire harvest"
            }
            Self::Name => {
                "Lily Tom Anna Ben Mia Sam Lucy Max Ella Jack Rose Tim Sara Leo Nina Paul Ivy Hugo Clara Finn"
            }
            Self::Kind => {
                "girl boy dog cat bird fox bear rabbit mouse horse farmer baker king queen sailor teacher \
                 doctor frog duck wolf lion owl"
            }
            Self::Noun => {
                "ball apple tree stone book box door key lamp song cake cup hat coat bell boat rope bread egg \
                 flower leaf star cloud letter map coin ring drum kite doll spoon shoe chair table window basket \
                 ladder bucket candle mirror blanket feather bone wheel nut seed shell stick picture toy"
            }
            Self::Place => {
                "park forest garden house village river hill kitchen market beach field school barn castle \
                 cave lake bridge mill harbour island valley tower meadow shop"
            }
            Self::Verb => {
                "found lost took made broke pushed pulled carried painted opened closed washed fixed hid \
                 caught dropped kicked threw cut moved shook held touched chased watched heard followed called \
                 helped loved kept brought"
            }
            Self::Adjective => {
                "big little old new red blue green happy sad brave kind quiet loud soft hard warm cold shiny \
                 dark bright clever silly tired hungry angry pretty heavy light funny strange wet dry"
            }
        }
    }

    /// What ends an invented word, so that its kind can be guessed as in English.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Name => &["a", "o", "in", "el", "ia"],
            Self::Kind => &["er", "ling", "ox", "ow"],
            Self::Noun => &["t", "le", "ck", "m", "rd", "sh"],
            Self::Place => &["ton", "wood", "dale", "ford", "mere"],
            Self::Verb => &["ed"],
            Self::Topic | Self::Adjective => &["y", "ish", "ful", "ous"],
        }
    }
}

/// A word's id, which is also its id in the tokenizer.
pub(super) type Word = u32;

/// All words, and where each class's lie.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) list: Vec<String>,
    ranges: Vec<Range<Word>>,
}

impl Words {
    /// The special tokens, the words of the templates, then the classes. Another seed invents other words.
    pub(super) fn new(seed: u64, literals: &[&str]) -> Self {
        let mut list: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
        list.extend(literals.iter().map(|word| (*word).to_owned()));
        let mut taken: HashSet<String> = list
            .iter()
            .cloned()
            .chain(CLASSES.iter().flat_map(|c| c.real().split(' ').map(str::to_owned)))
            .collect();
        let mut ranges = Vec::new();
        for class in CLASSES {
            let start = id(list.len());
            list.extend(class.real().split_whitespace().map(str::to_owned));
            let mut tries = 0;
            while list.len() < start as usize + class.size() {
                let word = invent(seed, class, tries);
                tries += 1;
                if taken.insert(word.clone()) {
                    list.push(word);
                }
            }
            ranges.push(start..id(list.len()));
        }
        Self { list, ranges }
    }

    pub(super) fn range(&self, class: Class) -> Range<Word> {
        self.ranges[class as usize].clone()
    }
}

pub(super) fn id(index: usize) -> Word {
    u32::try_from(index).expect("there are a few thousand words")
}

fn invent(seed: u64, class: Class, n: u64) -> String {
    const ONSETS: &[&str] = &[
        "b", "br", "d", "f", "fl", "g", "gr", "h", "k", "l", "m", "n", "p", "pl", "r", "s", "st",
        "t", "tr", "w",
    ];
    const VOWELS: &[&str] = &["a", "e", "i", "o", "u", "ai", "oo"];
    let mut rng = stream(seed, "grammar words", class as u64, n);
    let mut pick = |from: &[&str]| {
        let at = below(&mut rng, from.len() as u64);
        from[usize::try_from(at).expect("an index of a short list")].to_owned()
    };
    let mut word = pick(ONSETS) + &pick(VOWELS) + &pick(ONSETS);
    if class.endings().iter().all(|ending| !ending.starts_with(['a', 'e', 'i', 'o', 'u', 'y'])) {
        word += &pick(VOWELS);
    }
    word += &pick(class.endings());
    if class == Class::Name {
        word[..1].make_ascii_uppercase();
    }
    word
}
