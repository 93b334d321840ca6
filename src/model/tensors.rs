//! The tensors of a shape, by Hugging Face's names, without making any.

use super::config::ModelConfig;

impl ModelConfig {
    /// Name and stored dimensions of every tensor, in the order of [`Parameters::map`](super::Parameters::map).
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, intermediate) = (self.hidden_size, self.intermediate_size);
        let queries = self.num_attention_heads * self.head_dim;
        let keys = self.num_key_value_heads * self.head_dim;
        let mut all = vec![("model.embed_tokens.weight".to_owned(), vec![self.vocab_size, hidden])];
        for i in 0..self.num_hidden_layers {
            let mut vector =
                |part: &str, dims| all.push((format!("model.layers.{i}.{part}"), dims));
            vector("input_layernorm.weight", vec![hidden]);
            for (part, outputs, inputs, has_bias) in [
                ("self_attn.q_proj", queries, hidden, self.attention_bias),
                ("self_attn.k_proj", keys, hidden, self.attention_bias),
                ("self_attn.v_proj", keys, hidden, self.attention_bias),
                ("self_attn.o_proj", hidden, queries, self.attention_bias),
                ("post_attention_layernorm", hidden, 0, false),
                ("mlp.gate_proj", intermediate, hidden, self.mlp_bias),
                ("mlp.up_proj", intermediate, hidden, self.mlp_bias),
                ("mlp.down_proj", hidden, intermediate, self.mlp_bias),
            ] {
                let dims = if inputs == 0 { vec![outputs] } else { vec![outputs, inputs] };
                vector(&format!("{part}.weight"), dims);
                if has_bias {
                    vector(&format!("{part}.bias"), vec![outputs]);
                }
            }
        }
        all.push(("model.norm.weight".to_owned(), vec![hidden]));
        if !self.tie_word_embeddings {
            all.push(("lm_head.weight".to_owned(), vec![self.vocab_size, hidden]));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use kernels::Device;

    use super::*;
    use crate::model::Parameters;
    use crate::recipe::described;

    #[test]
    fn the_list_is_that_of_the_parameters_made() {
        let shape = described("llama-3.2-1b").unwrap();
        let small = ModelConfig {
            hidden_size: 6,
            intermediate_size: 5,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 2,
            vocab_size: 7,
            ..shape
        };
        for (attention_bias, mlp_bias, tie_word_embeddings) in
            [(false, false, true), (true, true, false)]
        {
            let config =
                ModelConfig { attention_bias, mlp_bias, tie_word_embeddings, ..small.clone() };
            let made = Parameters::zeros(&config, &Device::flex()).named();
            let made: Vec<_> =
                made.into_iter().map(|(name, weight)| (name, weight.stored_dims())).collect();
            assert_eq!(config.tensors(), made);
            let numbers: usize = made.iter().map(|(_, dims)| dims.iter().product::<usize>()).sum();
            assert_eq!(config.num_parameters(), numbers as u64);
        }
    }
}
