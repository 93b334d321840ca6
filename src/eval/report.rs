//! Means with their units, and the table that a person reads.

use kernels::loss::LossSums;
use serde::{Deserialize, Serialize};

use super::choice::Answers;
use crate::units::thousands;

/// What one model is worth. All of it is a function of the model and the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// `teacher`, `pruned`, `student`, `control`, or a directory.
    pub model: String,
    /// Exactly.
    pub num_parameters: u64,
    /// Tokens that were predicted.
    pub tokens: u64,
    /// Nats a token.
    pub cross_entropy: f64,
    /// e to the cross-entropy.
    pub perplexity: f64,
    /// Bits a byte of text; absent where the text's length is not known.
    pub bits_per_byte: Option<f64>,
    /// KL(teacher ‖ model), nats a token.
    pub forward_kl: Option<f64>,
    /// Share of the tokens at which the model's first choice is the teacher's.
    pub agreement: Option<f64>,
    /// Nats a token above the entropy of the text, where that is known.
    pub above_entropy: Option<f64>,
    /// Of multiple-choice items, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<Accuracy>,
}

/// Shares of multiple-choice items that are answered rightly, as lm-evaluation-harness names them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Items.
    pub n: u64,
    /// By the likeliest choice.
    pub acc: f64,
    /// By the likeliest choice a character.
    pub acc_norm: f64,
}

impl Accuracy {
    /// The shares of these sums.
    #[expect(clippy::cast_precision_loss, reason = "counts of items")]
    pub fn of(answers: &Answers) -> Self {
        let share = |right: u64| right as f64 / answers.items as f64;
        Self { n: answers.items, acc: share(answers.right), acc_norm: share(answers.right_norm) }
    }
}

/// What the models of a run are worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Held-out sequences that were scored.
    pub sequences: u64,
    /// Tokens of one sequence.
    pub seq_tokens: u64,
    /// Nats a token of a text whose law is known.
    pub entropy: Option<f64>,
    /// In the order of the stages.
    pub models: Vec<ModelReport>,
}

/// What is known of the text, besides the tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Text {
    /// Nats a token.
    pub entropy: Option<f64>,
    /// Bytes of UTF-8 a token.
    pub bytes_per_token: Option<f64>,
}

impl ModelReport {
    /// The means of these sums.
    #[expect(clippy::cast_precision_loss, reason = "counts of tokens")]
    pub fn of(
        model: &str,
        num_parameters: u64,
        sums: &LossSums,
        has_teacher: bool,
        text: Text,
    ) -> Self {
        let tokens = sums.tokens as f64;
        let cross_entropy = sums.cross_entropy / tokens;
        Self {
            model: model.to_owned(),
            num_parameters,
            tokens: sums.tokens,
            cross_entropy,
            perplexity: cross_entropy.exp(),
            bits_per_byte: text
                .bytes_per_token
                .map(|bytes| cross_entropy / std::f64::consts::LN_2 / bytes),
            forward_kl: has_teacher.then_some(sums.forward_kl / tokens),
            agreement: has_teacher.then_some(sums.agreed as f64 / tokens),
            above_entropy: text.entropy.map(|entropy| cross_entropy - entropy),
            choices: None,
        }
    }
}

/// What a model has in a column, if anything.
type Cell = fn(&ModelReport) -> Option<f64>;

impl Report {
    /// The table; `tokens_per_second` is by model, as the clock of this machine had it.
    pub fn table(&self, tokens_per_second: &[Option<f64>]) -> String {
        let has = |f: Cell| self.models.iter().any(|model| f(model).is_some());
        let mut head = vec!["model", "parameters", "cross-entropy", "perplexity"];
        let optional: [(&str, Cell, usize); 6] = [
            ("bits/byte", |m| m.bits_per_byte, 4),
            ("KL to teacher", |m| m.forward_kl, 4),
            ("top-1 agreement", |m| m.agreement.map(|share| share * 100.0), 1),
            ("above entropy", |m| m.above_entropy, 4),
            ("acc", |m| m.choices.map(|choices| choices.acc * 100.0), 1),
            ("acc_norm", |m| m.choices.map(|choices| choices.acc_norm * 100.0), 1),
        ];
        let optional: Vec<_> = optional.into_iter().filter(|(_, f, _)| has(*f)).collect();
        head.extend(optional.iter().map(|(name, ..)| *name));
        let timed = tokens_per_second.iter().any(Option::is_some);
        if timed {
            head.push("tokens/s");
        }
        let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
        for (i, model) in self.models.iter().enumerate() {
            let mut row = vec![
                model.model.clone(),
                thousands(model.num_parameters),
                format!("{:.4}", model.cross_entropy),
                format!("{:.2}", model.perplexity),
            ];
            for (name, f, digits) in &optional {
                let is_share = ["top-1 agreement", "acc", "acc_norm"].contains(name);
                let percent = if is_share { "%" } else { "" };
                row.push(
                    f(model).map_or_else(|| "–".to_owned(), |v| format!("{v:.digits$}{percent}")),
                );
            }
            if timed {
                let rate = tokens_per_second.get(i).copied().flatten();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a rate that is shown"
                )]
                row.push(
                    rate.map_or_else(|| "–".to_owned(), |rate| thousands(rate.round() as u64)),
                );
            }
            rows.push(row);
        }
        let mut text = aligned(&rows);
        if let Some(entropy) = self.entropy {
            text.push_str(&format!("entropy of the text: {entropy:.4} nats a token\n"));
        }
        if let Some(choices) = self.models.iter().find_map(|model| model.choices) {
            text.push_str(&format!("acc, acc_norm: of {} items\n", thousands(choices.n)));
        }
        text
    }
}

/// Columns under one another, the first to the left and the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[i] - cell.chars().count());
            text.push_str(&if i == 0 { format!("{cell}{pad}") } else { format!("  {pad}{cell}") });
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_sums_divided_once_and_bits_are_by_byte() {
        let sums = LossSums {
            tokens: 4,
            cross_entropy: 8.0,
            forward_kl: 2.0,
            agreed: 3,
            teacher_cross_entropy: 7.0,
            ..LossSums::default()
        };
        let text = Text { entropy: Some(1.5), bytes_per_token: Some(4.0) };
        let report = ModelReport::of("student", 7, &sums, true, text);
        assert_eq!(
            (report.cross_entropy, report.forward_kl, report.agreement),
            (2.0, Some(0.5), Some(0.75))
        );
        assert_eq!((report.above_entropy, report.perplexity), (Some(0.5), 2f64.exp()));
        assert!((report.bits_per_byte.unwrap() - 0.5 / std::f64::consts::LN_2).abs() < 1e-15);
    }

    #[test]
    fn accuracies_are_in_the_table_and_in_the_json_where_there_are_items() {
        let sums = LossSums { tokens: 1, cross_entropy: 2.0, ..LossSums::default() };
        let mut model = ModelReport::of("m", 12_345, &sums, false, Text::default());
        assert!(!serde_json::to_string(&model).unwrap().contains("choices"));
        let answers = Answers { items: 8, right: 3, right_norm: 4, log_likelihood: -9.0 };
        model.choices = Some(Accuracy::of(&answers));
        let json = serde_json::to_string(&model).unwrap();
        assert!(json.ends_with(r#""choices":{"n":8,"acc":0.375,"acc_norm":0.5}}"#), "{json}");
        assert_eq!(serde_json::from_str::<ModelReport>(&json).unwrap(), model);
        let report = Report { sequences: 1, seq_tokens: 1, entropy: None, models: vec![model] };
        let expected = "model  parameters  cross-entropy  perplexity    acc  acc_norm\n\
                        m          12,345         2.0000        7.39  37.5%     50.0%\n\
                        acc, acc_norm: of 8 items\n";
        assert_eq!(report.table(&[]), expected);
    }

    #[test]
    fn the_table_leaves_out_what_is_not_known() {
        let sums = LossSums { tokens: 1, cross_entropy: 2.0, ..LossSums::default() };
        let models = vec![ModelReport::of("m", 12_345, &sums, false, Text::default())];
        let report = Report { sequences: 1, seq_tokens: 1, entropy: None, models };
        let expected = "model  parameters  cross-entropy  perplexity\nm          12,345         2.0000        7.39\n";
        assert_eq!(report.table(&[]), expected);
    }
}
