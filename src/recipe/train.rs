//! The keys that every stage that trains has in common, `[distil]` and `[pretrain]` alike.

use serde::{Deserialize, Serialize};

use super::token_count::TokenCount;
use crate::distill::LearningRate;
use crate::model::Recompute;

/// Sequences of one optimizer step, unless `global_batch_size` says otherwise.
pub const DEFAULT_GLOBAL_BATCH_SIZE: u64 = 16;
/// Sequences of one forward pass, unless `micro_batch_size` says otherwise.
pub const DEFAULT_MICRO_BATCH_SIZE: u64 = 8;
/// Peak learning rate: P2's, for Llama-3.1-Minitron-4B.
pub const DEFAULT_LEARNING_RATE: f64 = 1e-4;
/// Where the cosine ends: P2's, for Llama-3.1-Minitron-4B.
pub const DEFAULT_MIN_LEARNING_RATE: f64 = 1e-5;
/// Steps of linear warm-up: P2's, for Llama-3.1-Minitron-4B.
pub const DEFAULT_WARMUP_STEPS: u64 = 40;
/// Decoupled weight decay.
pub const DEFAULT_WEIGHT_DECAY: f64 = 0.0;
/// Decay of the first moment.
pub const DEFAULT_BETA1: f64 = 0.9;
/// Decay of the second moment.
pub const DEFAULT_BETA2: f64 = 0.95;
/// Added to the root of the second moment.
pub const DEFAULT_EPSILON: f64 = 1e-8;
/// The global gradient norm is cut to this.
pub const DEFAULT_CLIP_NORM: f64 = 1.0;
/// Steps between checkpoints.
pub const DEFAULT_CHECKPOINT_EVERY: u64 = 100;
/// Steps between evaluations.
pub const DEFAULT_EVALUATE_EVERY: u64 = 100;
/// Checkpoints that stay on disk.
pub const DEFAULT_KEEP_CHECKPOINTS: u64 = 2;

/// A table that trains: its own keys, and those of all training.
///
/// Serde's `flatten` would lose both the refusal of unknown keys and the line of an error, so the shared
/// keys are written into each table by this.
macro_rules! training_table {
    (
        $(#[$doc:meta])* $table:ident {
            $( $(#[$key_doc:meta])* $key:ident: $kind:ty = $default:expr ),* $(,)?
        }
        $( but { $( $shared:ident: $instead:expr ),* $(,)? } )?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $table {
            $( $(#[$key_doc])* pub $key: $kind, )*
            /// Optimizer steps. Exactly one of `steps` and `tokens`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub steps: Option<u64>,
            /// Tokens to train on, for instance `"94B"`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub tokens: Option<TokenCount>,
            /// Sequences of one step.
            pub global_batch_size: u64,
            /// Sequences of one forward pass; divides `global_batch_size`.
            pub micro_batch_size: u64,
            /// Peak learning rate.
            pub learning_rate: f64,
            /// Learning rate of the last step.
            pub min_learning_rate: f64,
            /// Steps of linear warm-up.
            pub warmup_steps: u64,
            /// Decoupled weight decay.
            pub weight_decay: f64,
            /// Decay of the first moment.
            pub beta1: f64,
            /// Decay of the second moment.
            pub beta2: f64,
            /// Added to the root of the second moment.
            pub epsilon: f64,
            /// The global gradient norm is cut to this.
            pub clip_norm: f64,
            /// What the backward pass computes again.
            pub recompute: Recompute,
            /// Steps between checkpoints.
            pub checkpoint_every: u64,
            /// Steps between evaluations.
            pub evaluate_every: u64,
            /// Checkpoints that stay on disk.
            pub keep_checkpoints: u64,
        }

        impl Default for $table {
            fn default() -> Self {
                let table = Self {
                    $( $key: $default, )*
                    steps: None,
                    tokens: None,
                    global_batch_size: DEFAULT_GLOBAL_BATCH_SIZE,
                    micro_batch_size: DEFAULT_MICRO_BATCH_SIZE,
                    learning_rate: DEFAULT_LEARNING_RATE,
                    min_learning_rate: DEFAULT_MIN_LEARNING_RATE,
                    warmup_steps: DEFAULT_WARMUP_STEPS,
                    weight_decay: DEFAULT_WEIGHT_DECAY,
                    beta1: DEFAULT_BETA1,
                    beta2: DEFAULT_BETA2,
                    epsilon: DEFAULT_EPSILON,
                    clip_norm: DEFAULT_CLIP_NORM,
                    recompute: Recompute::default(),
                    checkpoint_every: DEFAULT_CHECKPOINT_EVERY,
                    evaluate_every: DEFAULT_EVALUATE_EVERY,
                    keep_checkpoints: DEFAULT_KEEP_CHECKPOINTS,
                };
                $( let table = Self { $( $shared: $instead, )* ..table }; )?
                table
            }
        }

        impl $table {
            /// The training keys of this table by themselves.
            #[must_use]
            pub fn train(&self) -> Train {
                Train {
                    steps: self.steps,
                    tokens: self.tokens,
                    global_batch_size: self.global_batch_size,
                    micro_batch_size: self.micro_batch_size,
                    learning_rate: self.learning_rate,
                    min_learning_rate: self.min_learning_rate,
                    warmup_steps: self.warmup_steps,
                    weight_decay: self.weight_decay,
                    beta1: self.beta1,
                    beta2: self.beta2,
                    epsilon: self.epsilon,
                    clip_norm: self.clip_norm,
                    recompute: self.recompute,
                    checkpoint_every: self.checkpoint_every,
                    evaluate_every: self.evaluate_every,
                    keep_checkpoints: self.keep_checkpoints,
                }
            }
        }
    };
}

training_table! {
    /// `[distil]`, and what training needs to know anywhere: how long, how fast, how often it is saved.
    Train {}
}

training_table! {
    /// `[pretrain]`: the shape of a teacher that the run trains itself, and how.
    Pretrain {
        /// Width of the residual stream.
        hidden_size: usize = DEFAULT_HIDDEN_SIZE,
        /// Neurons of one MLP.
        intermediate_size: usize = DEFAULT_INTERMEDIATE_SIZE,
        /// Decoder layers.
        num_hidden_layers: usize = DEFAULT_NUM_HIDDEN_LAYERS,
        /// Query heads.
        num_attention_heads: usize = DEFAULT_NUM_ATTENTION_HEADS,
        /// Key and value heads.
        num_key_value_heads: usize = DEFAULT_NUM_KEY_VALUE_HEADS,
        /// Width of one head.
        head_dim: usize = DEFAULT_HEAD_DIM,
        /// Whether the head is the embedding.
        tie_word_embeddings: bool = true,
    }
}

training_table! {
    /// `[correct]`: the teacher goes on being trained on the text that is distilled on, before it teaches (P2,
    /// "Teacher Correction"), or while it does. Its rate is low: a fifth of the one that it was trained with.
    Correct {
        /// While the student learns from it, and not before: its batches and its steps are then those of `[distil]`.
        parallel: bool = false,
    } but {
        learning_rate: DEFAULT_LEARNING_RATE / 5.0,
        min_learning_rate: DEFAULT_MIN_LEARNING_RATE / 5.0,
        warmup_steps: DEFAULT_CORRECT_WARMUP_STEPS,
    }
}

/// Steps of linear warm-up of the teacher's correction: P2's.
pub const DEFAULT_CORRECT_WARMUP_STEPS: u64 = 120;
/// Width of a teacher trained here, unless `[pretrain]` says otherwise.
pub const DEFAULT_HIDDEN_SIZE: usize = 128;
/// Neurons of one MLP of a teacher trained here.
pub const DEFAULT_INTERMEDIATE_SIZE: usize = 384;
/// Layers of a teacher trained here.
pub const DEFAULT_NUM_HIDDEN_LAYERS: usize = 4;
/// Query heads of a teacher trained here.
pub const DEFAULT_NUM_ATTENTION_HEADS: usize = 8;
/// Key and value heads of a teacher trained here.
pub const DEFAULT_NUM_KEY_VALUE_HEADS: usize = 4;
/// Width of one head of a teacher trained here.
pub const DEFAULT_HEAD_DIM: usize = 16;

impl Train {
    /// Tokens of one step.
    #[must_use]
    pub fn tokens_per_step(&self, seq_tokens: u64) -> u64 {
        self.global_batch_size.saturating_mul(seq_tokens)
    }

    /// Optimizer steps: `steps`, or the fewest whose tokens are at least `tokens`.
    #[must_use]
    pub fn steps_for(&self, seq_tokens: u64) -> u64 {
        match (self.steps, self.tokens) {
            (Some(steps), _) => steps,
            (None, Some(tokens)) => tokens.get().div_ceil(self.tokens_per_step(seq_tokens).max(1)),
            (None, None) => 0,
        }
    }

    /// Forward passes of one step.
    #[must_use]
    pub fn micro_batches(&self) -> u64 {
        self.global_batch_size / self.micro_batch_size.max(1)
    }

    /// The learning rate as a function of the step.
    #[must_use]
    pub fn rate(&self, seq_tokens: u64) -> LearningRate {
        LearningRate {
            peak: self.learning_rate,
            min: self.min_learning_rate,
            warmup_steps: self.warmup_steps,
            steps: self.steps_for(seq_tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_token_budgets_give_the_papers_steps() {
        let llama = Train {
            tokens: Some(TokenCount::new(94_000_000_000)),
            global_batch_size: 1152,
            ..Train::default()
        };
        assert_eq!(llama.steps_for(8192), 9_961);
        let nemo = Train {
            tokens: Some(TokenCount::new(380_000_000_000)),
            global_batch_size: 768,
            ..Train::default()
        };
        assert_eq!(nemo.steps_for(8192), 60_400);
    }

    #[test]
    fn the_steps_of_a_token_budget_cover_it_and_one_fewer_would_not() {
        for tokens in [1, 4095, 4096, 4097, 1_000_000] {
            let train = Train { tokens: Some(TokenCount::new(tokens)), ..Train::default() };
            let steps = train.steps_for(256);
            assert!(steps * train.tokens_per_step(256) >= tokens);
            assert!((steps - 1) * train.tokens_per_step(256) < tokens);
        }
    }

    #[test]
    fn correction_goes_at_a_fifth_of_the_rate_after_the_papers_warm_up() {
        let correct = Correct::default();
        assert!((correct.learning_rate - Train::default().learning_rate / 5.0).abs() < 1e-18);
        assert!(
            (correct.min_learning_rate - Train::default().min_learning_rate / 5.0).abs() < 1e-18
        );
        assert_eq!(correct.warmup_steps, 120);
        let same = |train: Train| Train {
            learning_rate: 1.0,
            min_learning_rate: 1.0,
            warmup_steps: 0,
            ..train
        };
        assert_eq!(same(correct.train()), same(Train::default()));
    }

    #[test]
    fn pretraining_keeps_every_training_key() {
        let text = "steps = 7\nglobal_batch_size = 6\nmicro_batch_size = 3\nlearning_rate = 0.5\n\
            min_learning_rate = 0.25\nwarmup_steps = 2\nweight_decay = 0.125\nbeta1 = 0.5\nbeta2 = 0.75\n\
            epsilon = 0.0625\nclip_norm = 2.0\nrecompute = \"none\"\ncheckpoint_every = 11\n\
            evaluate_every = 12\nkeep_checkpoints = 13\n";
        let pretrain: Pretrain = toml::from_str(text).unwrap();
        let train: Train = toml::from_str(text).unwrap();
        assert_eq!(pretrain.train(), train);
        assert_eq!(toml::to_string(&train).unwrap(), text);
    }
}
