//! Whether the values of `[search]` go together, and with those of the other tables.

use super::check::{ensure, positive, wrong};
use super::{Recipe, RecipeError, Search};

impl Recipe {
    pub(super) fn check_search(&self) -> Result<(), RecipeError> {
        let Some(search) = &self.search else { return Ok(()) };
        let Some(prune) = &self.prune else {
            return Err(RecipeError::Alone { table: "search", needed: "prune" });
        };
        if prune.plan.is_some() {
            return Err(RecipeError::Both { first: "search".into(), second: "prune.plan".into() });
        }
        if !prune.drop_layers.is_empty() && !search.num_hidden_layers.is_empty() {
            let (first, second) = ("search.num_hidden_layers".into(), "prune.drop_layers".into());
            return Err(RecipeError::Both { first, second });
        }
        positive(
            "search",
            &[
                ("candidates", search.candidates),
                ("zero_shot_sequences", search.zero_shot_sequences),
                ("context_tokens", search.context_tokens),
                ("prefill_tokens", search.prefill_tokens),
            ],
        )?;
        ensure(
            search.has_budget(),
            "search",
            "a budget: one of `parameters`, `non_embedding_parameters`, \
            `weight_bytes`, `kv_cache_bytes`, `flops_per_token`, `prefill_ms`, `decode_ms`",
            "none",
        )?;
        ensure(
            search.lists_sizes(),
            "search",
            "a list of sizes of one axis at least, such as \
            `hidden_size = [\"75%\", \"62.5%\"]`",
            "none",
        )?;
        let Some(distil) = &self.distil else {
            return match search.tokens.is_empty() {
                true => Ok(()),
                false => Err(RecipeError::Alone { table: "search.tokens", needed: "distil" }),
            };
        };
        let each = distil.tokens_per_step(self.tokens.seq_tokens).max(1);
        let mut before = 0;
        for tokens in &search.tokens {
            let steps = tokens.get().div_ceil(each);
            let expected = format!("each a step more than the one before: a step is {each} tokens");
            if steps <= before {
                return Err(wrong("search.tokens", expected, tokens));
            }
            before = steps;
        }
        Ok(())
    }
}

impl Search {
    fn has_budget(&self) -> bool {
        self.parameters.is_some()
            || self.non_embedding_parameters.is_some()
            || self.weight_bytes.is_some()
            || self.kv_cache_bytes.is_some()
            || self.flops_per_token.is_some()
            || self.times()
    }

    fn lists_sizes(&self) -> bool {
        [
            &self.hidden_size,
            &self.intermediate_size,
            &self.num_attention_heads,
            &self.num_key_value_heads,
            &self.num_hidden_layers,
        ]
        .iter()
        .any(|sizes| !sizes.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_says_what_it_lacks() {
        let refused = |text: &str| Recipe::resolve(text, &[]).unwrap_err().to_string();
        let prune = "[prune]\n[distil]\nsteps = 9\n[search]\n";
        for (text, said) in [
            ("[search]\nparameters = \"..1M\"\n".to_owned(), "needs"),
            (format!("{prune}hidden_size = [8]"), "a budget: one of"),
            (format!("{prune}parameters = \"..1M\""), "a list of sizes"),
            (
                format!("{prune}parameters = \"..1M\"\nhidden_size = [8]\ntokens = [5000, 6000]"),
                "a step is 4096 tokens",
            ),
            (
                format!("{prune}parameters = \"..1M\"\nhidden_size = [8]\ncandidates = 0"),
                "search.candidates",
            ),
            (
                format!("{prune}parameters = \"2M..1M\"\nhidden_size = [8]"),
                "the first is more than the second",
            ),
        ] {
            let found = refused(&text);
            assert!(found.contains(said), "{found}");
        }
    }
}
