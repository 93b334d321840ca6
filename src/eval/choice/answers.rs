//! Log-likelihoods of choices, and how many answers are right.
//!
//! `ln p(choice | context) = Σ ln q_token` over the choice's tokens. The answer is the choice with the largest, for
//! `acc_norm` with the largest a character; of equal ones it is the first.

use kernels::loss::{Objective, head_loss};
use kernels::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use super::{Question, Questions};
use crate::distill::Batch;
use crate::model::Decoder;

/// Sums over questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// Questions.
    pub items: u64,
    /// Those of which the likeliest choice is right.
    pub right: u64,
    /// Those of which the likeliest choice a character is right.
    pub right_norm: u64,
    /// `Σ ln p` of the right choices.
    pub log_likelihood: f64,
}

impl Answers {
    /// Of questions with the log-likelihood of each choice.
    #[must_use]
    pub fn of(questions: &[Question], log_likelihoods: &[Vec<f64>]) -> Self {
        let mut answers = Self::default();
        for (question, found) in questions.iter().zip(log_likelihoods) {
            #[expect(clippy::cast_precision_loss, reason = "characters of a choice")]
            let by_char = |(p, choice): (&f64, &super::Choice)| p / choice.num_chars as f64;
            let norm: Vec<f64> = found.iter().zip(&question.choices).map(by_char).collect();
            answers.items += 1;
            answers.right += u64::from(largest(found) == Some(question.answer));
            answers.right_norm += u64::from(largest(&norm) == Some(question.answer));
            answers.log_likelihood += found[question.answer];
        }
        answers
    }

    /// Adds another set of questions.
    pub fn add(&mut self, other: &Self) {
        self.items += other.items;
        self.right += other.right;
        self.right_norm += other.right_norm;
        self.log_likelihood += other.log_likelihood;
    }
}

/// The place of the first of the largest.
fn largest(values: &[f64]) -> Option<usize> {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values.iter().position(|value| *value >= max)
}

/// What a model reads of questions: every choice behind its context, padded on the right, where no position before
/// looks.
///
/// # Shapes
///
/// - output: `[choices, seq]`
#[must_use]
pub fn inputs(questions: &[Question], device: &Device) -> Tensor<2, Int> {
    let length = longest(questions);
    let row = |choice: &super::Choice| {
        let mut tokens = choice.tokens.clone();
        tokens.resize(length, 0);
        tokens
    };
    let rows: Vec<_> = questions.iter().flat_map(|q| q.choices.iter().map(row)).collect();
    Batch::of_tokens(&rows).inputs(device)
}

fn longest(questions: &[Question]) -> usize {
    questions.iter().map(Question::longest).max().unwrap_or(0)
}

/// The log-likelihood of each choice of each question, of the hidden states for [`inputs`] after the final norm. The
/// head is multiplied by the positions that predict a choice's tokens, and by no other.
///
/// # Shapes
///
/// - hidden: `[choices * seq, hidden]`, head: `[hidden, vocab]`
#[must_use]
pub fn log_likelihoods(
    questions: &[Question],
    hidden: &Tensor<2>,
    head: &Tensor<2>,
) -> Vec<Vec<f64>> {
    let seq = longest(questions).saturating_sub(1);
    let mut row = 0;
    let mut one = |choice: &super::Choice| {
        let (context, tokens) = choice.tokens.split_at(choice.context_tokens);
        let labels: Vec<i64> = tokens.iter().map(|id| i64::from(*id)).collect();
        let labels = Tensor::<1, Int>::from_ints(labels.as_slice(), &hidden.device());
        // The position before a token predicts it.
        let states = hidden.clone().narrow(0, row * seq + context.len() - 1, tokens.len());
        row += 1;
        -head_loss(&states, head, None, &labels, &Objective::cross_entropy()).cross_entropy
    };
    questions.iter().map(|question| question.choices.iter().map(&mut one).collect()).collect()
}

/// What a model answers.
#[must_use]
pub fn ask(model: &Decoder, questions: &[Question]) -> Answers {
    let ids = inputs(questions, &model.device());
    let hidden = model.hidden(&ids, None, &mut |_, _, _| {});
    Answers::of(questions, &log_likelihoods(questions, &hidden, &model.head()))
}

/// What a model answers to all questions: the plain loop.
#[must_use]
pub fn over(model: &Decoder, questions: &Questions) -> Answers {
    let mut answers = Answers::default();
    for questions in (0..questions.num_batches()).filter_map(|index| questions.batch(index)) {
        answers.add(&ask(model, &questions));
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::super::Choice;
    use super::*;

    #[test]
    fn the_first_of_the_likeliest_is_the_answer_and_by_character_another_may_be() {
        let choice = |num_chars| Choice { tokens: vec![0, 1], context_tokens: 1, num_chars };
        let question = |answer| Question { choices: vec![choice(2), choice(4)], answer };
        let of = |answer, found: [f64; 2]| Answers::of(&[question(answer)], &[found.to_vec()]);
        let expected = |right, right_norm, log_likelihood| Answers {
            items: 1,
            right,
            right_norm,
            log_likelihood,
        };
        // −3 and −4; a character −1.5 and −1.
        assert_eq!(of(0, [-3.0, -4.0]), expected(1, 0, -3.0));
        assert_eq!(of(1, [-3.0, -4.0]), expected(0, 1, -4.0));
        assert_eq!(of(0, [-3.0, -3.0]).right, 1);
        assert_eq!(of(1, [-3.0, -3.0]).right, 0);
        let mut sum = of(0, [-3.0, -4.0]);
        sum.add(&of(1, [-3.0, -4.0]));
        let both = Answers { items: 2, right: 1, right_norm: 1, log_likelihood: -7.0 };
        assert_eq!(sum, both);
    }
}
