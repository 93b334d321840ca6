//! The sentences of the grammar.

/// What fills a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The story's topic: drawn once, then known.
    Topic,
    /// The name of someone new.
    NewName,
    /// What someone new is.
    NewKind,
    /// Someone of the story; of two in a sentence, the second is another one.
    Name,
    /// What someone of the story is.
    Kind,
    /// A thing, after an adjective mostly one that goes with it.
    Noun,
    /// A thing that the one before in the sentence has, mostly.
    Owned,
    /// A place.
    Place,
    /// The place where the story is, mostly.
    Here,
    /// What the one before in the sentence did: it depends on what they are.
    Verb,
    /// A property.
    Adjective,
    /// A property of the one before in the sentence, mostly the one they came with.
    Trait,
}

/// A token of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Literal(&'static str),
    Fill(Slot),
}

pub(super) const ABOUT: usize = 0;
pub(super) const INTRODUCE: usize = 1;
pub(super) const SETTING: usize = 2;
pub(super) const GAVE: usize = 3;
/// From here on: what happens.
pub(super) const FIRST_EVENT: usize = 3;
pub(super) const END: usize = 17;

/// All sentences. No two can be the same text: their literal words differ in kind or place.
const TEXTS: [&str; 18] = [
    "this story is about TOPIC .",
    "there was a ADJ NEWKIND named NEWNAME who had a NOUN .",
    "they lived in a ADJ PLACE .",
    "NAME gave the OWNED to NAME .",
    "NAME VERB ADJ NOUN in the HERE .",
    "NAME went to the PLACE .",
    "NAME saw ADJ NOUN and ADJ NOUN .",
    "then the KIND VERB NAME .",
    "NAME said that NOUN was ADJ .",
    "the NOUN VERB NOUN and NOUN VERB NOUN .",
    "NAME and NAME VERB ADJ NOUN .",
    "at PLACE NAME VERB ADJ NOUN with the OWNED .",
    "but ADJ NOUN VERB ADJ NOUN .",
    "NAME liked ADJ NOUN because NOUN was ADJ .",
    "soon NAME was very TRAIT .",
    "NAME asked NAME about NOUN and TOPIC .",
    "NAME VERB and VERB until NOUN VERB NOUN .",
    "the end .",
];

/// The templates as tokens.
pub(super) fn templates() -> Vec<Vec<Token>> {
    TEXTS.iter().map(|text| text.split(' ').map(token).collect()).collect()
}

fn token(word: &'static str) -> Token {
    Token::Fill(match word {
        "TOPIC" => Slot::Topic,
        "NEWNAME" => Slot::NewName,
        "NEWKIND" => Slot::NewKind,
        "NAME" => Slot::Name,
        "KIND" => Slot::Kind,
        "NOUN" => Slot::Noun,
        "OWNED" => Slot::Owned,
        "PLACE" => Slot::Place,
        "HERE" => Slot::Here,
        "VERB" => Slot::Verb,
        "ADJ" => Slot::Adjective,
        "TRAIT" => Slot::Trait,
        literal => return Token::Literal(literal),
    })
}

/// The words of the templates, each once.
pub(super) fn literals() -> Vec<&'static str> {
    let mut words: Vec<_> = TEXTS.iter().flat_map(|text| text.split(' ')).collect();
    words.retain(|word| matches!(token(word), Token::Literal(_)));
    words.sort_unstable();
    words.dedup();
    words
}
