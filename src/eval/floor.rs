//! The entropy of generated stories: what a model that knew the grammar would lose, and none loses less.

use datasets::grammar::Grammar;
use datasets::shard::Sample;

/// Nats a token over the documents that lie wholly in the first `scored_tokens` of the packed stream.
///
/// A document of *n* tokens costs −ln of its probability, its end included; the tokens that begin and end a
/// document, `around` of them, are counted as the model is scored on them: the end is in the probability, and a
/// beginning follows an end with certainty. `None` if a document is not the grammar's, or none is whole.
#[expect(clippy::cast_precision_loss, reason = "counts of tokens")]
pub fn entropy_floor(
    grammar: &Grammar,
    samples: &[Sample],
    around: u64,
    scored_tokens: u64,
) -> Option<f64> {
    let words = grammar.vocabulary();
    let (mut nats, mut tokens) = (0.0, 0);
    for sample in samples {
        let whole = sample.tokens.len() as u64 + around;
        if tokens + whole > scored_tokens {
            break;
        }
        let text: Option<Vec<&str>> =
            sample.tokens.iter().map(|id| words.get(*id as usize).map(String::as_str)).collect();
        nats -= grammar.log_prob(&text?.join(" "))?;
        tokens += whole;
    }
    (tokens > 0).then(|| nats / tokens as f64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datasets::shard::SampleId;

    use super::*;

    #[test]
    fn the_floor_is_the_mean_surprise_of_the_whole_documents() {
        let grammar = Grammar::new(7);
        let place = |word: &str| grammar.vocabulary().iter().position(|w| w == word);
        let id = |word: &str| u32::try_from(place(word).unwrap()).unwrap();
        let stories: Vec<_> = (0..3).map(|i| grammar.story(i)).collect();
        let samples: Vec<Sample> = stories
            .iter()
            .map(|story| Sample {
                id: SampleId::of_text(&story.text),
                source: Arc::from("test"),
                tokens: story.text.split(' ').map(id).collect(),
                num_bytes: 0,
            })
            .collect();
        let tokens: u64 = samples[..2].iter().map(|s| s.tokens.len() as u64 + 2).sum();
        let expected = -(stories[0].log_prob + stories[1].log_prob) / tokens as f64;
        let floor = entropy_floor(&grammar, &samples, 2, tokens + 1).unwrap();
        assert!((floor - expected).abs() < 1e-12, "{floor} {expected}");
        assert_eq!(entropy_floor(&grammar, &samples, 2, 3), None);
    }
}
