//! What a story has said so far, and what may come next. All of it is a function of the words so far.

use super::dist::{Dist, Mixture};
use super::templates::{ABOUT, END, FIRST_EVENT, GAVE, INTRODUCE, SETTING, Slot};
use super::words::{Class, Word};

const MIN_CAST: usize = 2;
const MAX_CAST: usize = 4;
const MIN_EVENTS: u32 = 7;
const END_PROBABILITY: f64 = 0.13;

/// Someone of the story.
#[derive(Debug, Clone)]
struct Person {
    name: Word,
    kind: Word,
    quality: Word,
    object: Word,
}

/// The state between two sentences.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    topic: Option<Word>,
    cast: Vec<Person>,
    /// Places in `cast`, who was spoken of last first.
    recent: Vec<usize>,
    place: Option<Word>,
    last: Option<usize>,
    events: u32,
}

impl State {
    /// The sentences that may come, with their probabilities; none after the end.
    pub(super) fn templates(&self) -> Vec<(usize, f64)> {
        match self.last {
            None => vec![(ABOUT, 1.0)],
            Some(ABOUT) => vec![(INTRODUCE, 1.0)],
            Some(INTRODUCE) if self.cast.len() < MIN_CAST => vec![(INTRODUCE, 1.0)],
            Some(INTRODUCE) if self.cast.len() < MAX_CAST => {
                vec![(INTRODUCE, 0.5), (SETTING, 0.5)]
            }
            Some(INTRODUCE) => vec![(SETTING, 1.0)],
            Some(END) => Vec::new(),
            Some(last) => {
                let end = if self.events < MIN_EVENTS { 0.0 } else { END_PROBABILITY };
                let weights: Vec<(usize, f64)> = (FIRST_EVENT..END)
                    .map(|next| (next, 1.0 / f64::from(1 + affinity(last, next))))
                    .collect();
                let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
                let mut all = vec![(END, end)];
                all.extend(weights.iter().map(|(next, w)| (*next, w / total * (1.0 - end))));
                all
            }
        }
    }

    /// What may fill a slot, given the slots before it in the sentence and their words.
    pub(super) fn slot(&self, slot: Slot, before: &[(Slot, Word)]) -> Mixture {
        let topic = u64::from(self.topic.unwrap_or(0));
        let zipf = |class| Dist::Zipf { class, of: topic };
        let mostly = |weight: f64, word: Option<Word>, class| match word {
            Some(word) => {
                vec![(weight, Dist::Some(vec![(word, 1.0)])), (1.0 - weight, zipf(class))]
            }
            None => vec![(1.0, zipf(class))],
        };
        let goes_with = |weight: f64, word: Option<Word>, class, ranks| match word {
            Some(word) => {
                let top = Dist::Top { class, of: u64::from(word) << 32, ranks };
                vec![(weight, top), (1.0 - weight, zipf(class))]
            }
            None => vec![(1.0, zipf(class))],
        };
        let person = before.iter().rev().find_map(|(slot, word)| self.who(*slot, *word));
        let person = person.map(|at| &self.cast[at]);
        match slot {
            Slot::Topic => match self.topic {
                Some(topic) => vec![(1.0, Dist::Some(vec![(topic, 1.0)]))],
                None => vec![(1.0, Dist::Zipf { class: Class::Topic, of: 0 })],
            },
            Slot::NewName => {
                let words = self.cast.iter().map(|person| person.name).collect();
                vec![(1.0, Dist::Without { class: Class::Name, of: 0, words })]
            }
            Slot::NewKind => vec![(1.0, zipf(Class::Kind))],
            Slot::Name => vec![(1.0, self.anyone(|person| person.name, before))],
            Slot::Kind => vec![(1.0, self.anyone(|person| person.kind, before))],
            Slot::Noun => {
                let adjective = before.last().filter(|(slot, _)| *slot == Slot::Adjective);
                goes_with(0.6, adjective.map(|(_, word)| *word), Class::Noun, 12)
            }
            Slot::Owned => mostly(0.7, person.map(|person| person.object), Class::Noun),
            Slot::Place => vec![(1.0, zipf(Class::Place))],
            Slot::Here => mostly(0.7, self.place, Class::Place),
            Slot::Verb => goes_with(0.5, person.map(|person| person.kind), Class::Verb, 16),
            Slot::Adjective => vec![(1.0, zipf(Class::Adjective))],
            Slot::Trait => mostly(0.6, person.map(|person| person.quality), Class::Adjective),
        }
    }

    /// Someone of the story who is not in the sentence yet, rather one spoken of lately.
    fn anyone(&self, word: impl Fn(&Person) -> Word, before: &[(Slot, Word)]) -> Dist {
        let named =
            |at: usize| before.iter().any(|(slot, word)| self.who(*slot, *word) == Some(at));
        let free: Vec<usize> = self.recent.iter().copied().filter(|at| !named(*at)).collect();
        let weights: Vec<f64> =
            (0..free.len()).map(|rank| 0.5f64.powi(i32::try_from(rank).unwrap_or(0))).collect();
        let total: f64 = weights.iter().sum();
        // Two of one kind add up in `Dist::Some`.
        Dist::Some(
            free.iter().zip(&weights).map(|(at, w)| (word(&self.cast[*at]), w / total)).collect(),
        )
    }

    /// Whom a word of the sentence speaks of. Of two of one kind it is the first.
    fn who(&self, slot: Slot, word: Word) -> Option<usize> {
        match slot {
            Slot::Name => self.cast.iter().position(|person| person.name == word),
            Slot::Kind => self.cast.iter().position(|person| person.kind == word),
            _ => None,
        }
    }

    /// The state after a sentence.
    pub(super) fn after(mut self, template: usize, filled: &[(Slot, Word)]) -> Self {
        let word =
            |wanted: Slot| filled.iter().find(|(slot, _)| *slot == wanted).map(|(_, word)| *word);
        self.topic = self.topic.or(word(Slot::Topic));
        self.place = word(Slot::Place).or(self.place);
        if let (Some(name), Some(kind), Some(quality), Some(object)) =
            (word(Slot::NewName), word(Slot::NewKind), word(Slot::Adjective), word(Slot::Noun))
        {
            self.recent.insert(0, self.cast.len());
            self.cast.push(Person { name, kind, quality, object });
        }
        let spoken_of: Vec<usize> =
            filled.iter().filter_map(|(slot, word)| self.who(*slot, *word)).collect();
        for at in &spoken_of {
            self.recent.retain(|other| other != at);
            self.recent.insert(0, *at);
        }
        if let (GAVE, [_, receiver], Some(object)) = (template, &spoken_of[..], word(Slot::Owned)) {
            self.cast[*receiver].object = object;
        }
        self.events += u32::from((FIRST_EVENT..END).contains(&template));
        self.last = Some(template);
        self
    }
}

/// The rank of a sentence after another one: a fixed order, another one for each.
fn affinity(last: usize, next: usize) -> u32 {
    let n = (END - FIRST_EVENT) as u64;
    let rank = crate::random::permute((next - FIRST_EVENT) as u64, n, last as u64 + 1);
    u32::try_from(rank).expect("a rank among a few templates")
}
