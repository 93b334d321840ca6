//! All questions of a file, in micro-batches of whole questions.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::{ChoiceError, Encoding, Question, items};

/// Questions, the longest first: those of a micro-batch are of a length, and little of it is padding.
#[derive(Clone, Debug)]
pub struct Questions {
    questions: Arc<Vec<Question>>,
    batches: Arc<Vec<Range<usize>>>,
}

impl Questions {
    /// Of a file of items, in micro-batches of `batch` choices, or of one question that has more.
    ///
    /// # Errors
    ///
    /// [`ChoiceError`] for the first item that does not do.
    pub fn read(path: &Path, encoding: &Encoding<'_>, batch: u64) -> Result<Self, ChoiceError> {
        let items = items::read(path)?;
        let questions = items.iter().map(|item| encoding.question(path, item));
        Ok(Self::new(questions.collect::<Result<_, _>>()?, batch))
    }

    /// Of questions.
    #[must_use]
    pub fn new(mut questions: Vec<Question>, batch: u64) -> Self {
        questions.sort_by_key(|question| std::cmp::Reverse(question.longest()));
        let (mut batches, mut first, mut choices) = (Vec::new(), 0, 0);
        for (i, question) in questions.iter().enumerate() {
            choices += question.choices.len() as u64;
            if choices > batch && i > first {
                batches.push(first..i);
                (first, choices) = (i, question.choices.len() as u64);
            }
        }
        if first < questions.len() {
            batches.push(first..questions.len());
        }
        Self { questions: Arc::new(questions), batches: Arc::new(batches) }
    }

    /// Micro-batches.
    #[must_use]
    pub fn num_batches(&self) -> u64 {
        self.batches.len() as u64
    }

    /// The questions of a micro-batch; none behind the last.
    #[must_use]
    pub fn batch(&self, index: u64) -> Option<Vec<Question>> {
        let range = self.batches.get(usize::try_from(index).ok()?)?;
        Some(self.questions[range.clone()].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Choice;
    use super::*;

    #[test]
    fn micro_batches_are_whole_questions_of_about_a_length() {
        let question = |choices: usize, tokens: usize| Question {
            choices: vec![
                Choice { tokens: vec![0; tokens], context_tokens: 1, num_chars: 1 };
                choices
            ],
            answer: 0,
        };
        let all = [(2, 5), (4, 9), (2, 7), (9, 8), (2, 6), (2, 3)];
        let all = all.map(|(choices, tokens)| question(choices, tokens)).to_vec();
        let questions = Questions::new(all, 4);
        let found: Vec<Vec<usize>> = (0..questions.num_batches())
            .map(|i| questions.batch(i).unwrap().iter().map(Question::longest).collect())
            .collect();
        assert_eq!(found, [vec![9], vec![8], vec![7, 6], vec![5, 3]]);
        assert_eq!(questions.batch(4), None);
        assert_eq!(Questions::new(Vec::new(), 4).num_batches(), 0);
    }
}
