//! What a search found: the candidates, their curves, the choice and why.

use serde::{Deserialize, Serialize};

use super::cost::Cost;
use crate::curves::Line;
use crate::model::ModelConfig;
use crate::units::{float, thousands};

/// A candidate, and how it fared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fared {
    /// Its sizes.
    pub num_hidden_layers: usize,
    /// Its width.
    pub hidden_size: usize,
    /// Its neurons.
    pub intermediate_size: usize,
    /// Its query heads.
    pub num_attention_heads: usize,
    /// Its key and value heads.
    pub num_key_value_heads: usize,
    /// What it costs.
    pub cost: Cost,
    /// Its cross-entropy before training, on calibration sequences.
    pub zero_shot: f64,
    /// Its held-out cross-entropy at the end of each rung that it was in.
    pub rungs: Vec<f64>,
    /// Held-out cross-entropy by step.
    pub curve: Vec<(u64, f64)>,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Shapes that the recipe lists.
    pub shapes: usize,
    /// Those within the budget, the best before training first. A candidate's number is its place here.
    pub candidates: Vec<Fared>,
    /// Tokens that are learnt from at the end of each rung.
    pub rung_tokens: Vec<u64>,
    /// Tokens of a step.
    pub step_tokens: u64,
    /// The number of the choice.
    pub choice: usize,
}

impl Fared {
    /// A candidate that was not trained yet.
    #[must_use]
    pub fn untrained(config: &ModelConfig, cost: Cost, zero_shot: f64) -> Self {
        Self {
            num_hidden_layers: config.num_hidden_layers,
            hidden_size: config.hidden_size,
            intermediate_size: config.intermediate_size,
            num_attention_heads: config.num_attention_heads,
            num_key_value_heads: config.num_key_value_heads,
            cost,
            zero_shot,
            rungs: Vec::new(),
            curve: Vec::new(),
        }
    }

    /// The shape, of a model of which it has the rest.
    #[must_use]
    pub fn shape(&self, of: &ModelConfig) -> ModelConfig {
        ModelConfig {
            num_hidden_layers: self.num_hidden_layers,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads,
            ..of.clone()
        }
    }
}

/// How far two orders agree: Spearman's ρ of two lists of losses, −1 to 1; none for fewer than three.
#[must_use]
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    let n = a.len();
    if n != b.len() || n < 3 {
        return None;
    }
    let ranks = |values: &[f64]| -> Vec<f64> {
        // Equal values share the mean of their ranks.
        values
            .iter()
            .map(|value| {
                let below = values.iter().filter(|other| *other < value).count();
                let same = values.iter().filter(|other| *other == value).count();
                float(below as u64) + (float(same as u64) - 1.0) / 2.0
            })
            .collect()
    };
    let (a, b) = (ranks(a), ranks(b));
    let middle = (float(n as u64) - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum()
    };
    let spread = (product(&a, &a) * product(&b, &b)).sqrt();
    (spread > 0.0).then(|| product(&a, &b) / spread)
}

impl Found {
    /// Who was in a rung, with the loss at its end.
    fn field(&self, rung: usize) -> Vec<(usize, f64)> {
        let in_it = |(number, fared): (usize, &Fared)| Some((number, *fared.rungs.get(rung)?));
        self.candidates.iter().enumerate().filter_map(in_it).collect()
    }

    /// How far the order before a rung agrees with that at its end, of those who were in it.
    #[must_use]
    pub fn agreement(&self, rung: usize) -> Option<f64> {
        let field = self.field(rung);
        let before = field.iter().map(|(number, _)| {
            let fared = &self.candidates[*number];
            rung.checked_sub(1).map_or(fared.zero_shot, |before| fared.rungs[before])
        });
        let after: Vec<f64> = field.iter().map(|(_, loss)| *loss).collect();
        spearman(&before.collect::<Vec<_>>(), &after)
    }

    /// Why the choice is the choice.
    #[must_use]
    pub fn why(&self) -> String {
        let last = self.rung_tokens.len().checked_sub(1);
        let mut field: Vec<(usize, f64)> = match last {
            Some(last) => self.field(last),
            None => self.candidates.iter().map(|fared| fared.zero_shot).enumerate().collect(),
        };
        field.sort_by(|a, b| a.1.total_cmp(&b.1));
        let when = match self.rung_tokens.last() {
            Some(tokens) => format!("after {} tokens", thousands(*tokens)),
            None => "before training".to_owned(),
        };
        match field[..] {
            [] => "there is no candidate".to_owned(),
            [(number, loss)] => format!("candidate {number}: {loss:.4} {when}, the only one left"),
            [(number, loss), (second, next), ..] => format!(
                "candidate {number}: the least loss {when}, {loss:.4}; next is {second} with {:.4} more",
                next - loss
            ),
        }
    }

    /// The table of the candidates, and the choice.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} shapes, {} within the budget\n",
            thousands(self.shapes as u64),
            thousands(self.candidates.len() as u64)
        );
        text.push_str(&format!(
            "{:>4}  {:<52}  {:>13}  {:>9}",
            "", "held-out loss after tokens", "parameters", "zero-shot"
        ));
        for tokens in &self.rung_tokens {
            text.push_str(&format!("  {:>9}", thousands(*tokens)));
        }
        text.push('\n');
        for (number, fared) in self.candidates.iter().enumerate() {
            let mark = if number == self.choice { '*' } else { ' ' };
            let shape = format!(
                "layers {}, hidden {}, intermediate {}, heads {}/{}",
                fared.num_hidden_layers,
                fared.hidden_size,
                fared.intermediate_size,
                fared.num_attention_heads,
                fared.num_key_value_heads
            );
            let parameters = thousands(fared.cost.parameters);
            text.push_str(&format!(
                "{mark}{number:>3}  {shape:<52}  {parameters:>13}  {:>9.4}",
                fared.zero_shot
            ));
            for loss in &fared.rungs {
                text.push_str(&format!("  {loss:>9.4}"));
            }
            text.push('\n');
        }
        let agreed: Vec<String> = (0..self.rung_tokens.len())
            .map(|rung| self.agreement(rung).map_or("-".to_owned(), |rho| format!("{rho:.2}")))
            .collect();
        if !agreed.is_empty() {
            text.push_str(&format!(
                "order before and after each rung, Spearman's ρ: {}\n",
                agreed.join(", ")
            ));
        }
        text.push_str(&format!("chosen: {}\n", self.why()));
        text
    }

    /// The curves: those of the last field in colours.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let last = self.rung_tokens.len();
        let lines = self.candidates.iter().enumerate().filter(|(_, fared)| !fared.curve.is_empty());
        lines
            .map(|(number, fared)| Line {
                name: format!("{number}: {}", short_name(fared)),
                points: fared
                    .curve
                    .iter()
                    .map(|(step, loss)| (float(step * self.step_tokens), *loss, 0.0))
                    .collect(),
                is_minor: fared.rungs.len() < last,
            })
            .collect()
    }
}

fn short_name(fared: &Fared) -> String {
    format!(
        "{}L {}h {}i {}/{}",
        fared.num_hidden_layers,
        fared.hidden_size,
        fared.intermediate_size,
        fared.num_attention_heads,
        fared.num_key_value_heads
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Search, described};

    #[test]
    fn orders_that_agree_are_one_and_those_that_are_turned_round_minus_one() {
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[10.0, 20.0, 30.0]), Some(1.0));
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
        // scipy.stats.spearmanr([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) = 0.8207826816681233
        let rho = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]).unwrap();
        assert!((rho - 0.820_782_681_668_123_3).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 2.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
    }

    #[test]
    fn the_choice_says_by_how_much_and_losers_are_grey() {
        let config = described("llama-3.1-8b").unwrap();
        let cost = Cost::of(&config, &Search::default(), 8192, None);
        let fared = |zero_shot, rungs: &[f64]| Fared {
            rungs: rungs.to_vec(),
            curve: vec![(0, zero_shot), (10, rungs.last().copied().unwrap_or(zero_shot))],
            ..Fared::untrained(&config, cost, zero_shot)
        };
        let found = Found {
            shapes: 9,
            candidates: vec![
                fared(5.0, &[3.0, 2.5]),
                fared(5.5, &[3.2]),
                fared(6.0, &[2.9, 2.25]),
                fared(7.0, &[3.5]),
            ],
            rung_tokens: vec![10_000, 20_000],
            step_tokens: 1000,
            choice: 2,
        };
        assert_eq!(
            found.why(),
            "candidate 2: the least loss after 20,000 tokens, 2.2500; next is 0 with 0.2500 more"
        );
        assert!(found.text().contains("*  2  layers 32"), "{}", found.text());
        assert!((found.agreement(0).unwrap() - 0.4).abs() < 1e-12);
        let minor: Vec<bool> = found.lines().iter().map(|line| line.is_minor).collect();
        assert_eq!(minor, [false, true, false, true]);
    }
}
