//! The shape of a Llama-family decoder, read from and written to Hugging Face's `config.json`.
//!
//! Every key that a loader might otherwise fill with a default is written out, `head_dim` above all: it
//! is not `hidden_size / num_attention_heads` in a width-pruned model (nor in Mistral NeMo).

use serde_json::{Map, Value, json};

/// The families that share these equations; they differ in `config.json` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `LlamaForCausalLM`.
    Llama,
    /// `MistralForCausalLM` without a sliding window.
    Mistral,
}

impl Family {
    /// The value of `model_type`.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
        }
    }

    /// The entry of `architectures`.
    #[must_use]
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
        }
    }
}

/// Llama 3.1's stretching of the rotary frequencies (`rope_scaling` with `rope_type = "llama3"`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Rope {
    /// Divides the frequencies whose wavelength exceeds `original / low_freq_factor`.
    pub factor: f64,
    /// See `factor`.
    pub low_freq_factor: f64,
    /// Frequencies whose wavelength is below `original / high_freq_factor` stay as they are.
    pub high_freq_factor: f64,
    /// The context the model was first trained at.
    pub original_max_position_embeddings: f64,
}

/// What a decoder's `config.json` says, with Hugging Face's names.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Which family's names the export carries.
    pub family: Family,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Neurons of one MLP.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; each serves `num_attention_heads / num_key_value_heads` query heads.
    pub num_key_value_heads: usize,
    /// Width of one head, never computed from the others.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// The longest context the rotary embedding is meant for.
    pub max_position_embeddings: usize,
    /// Added to the mean square before the root.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Llama 3.1's frequency scaling, if any.
    pub rope_scaling: Option<Llama3Rope>,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Biases on q, k, v and o.
    pub attention_bias: bool,
    /// Biases on gate, up and down.
    pub mlp_bias: bool,
    /// Everything else the file said, kept for the export.
    pub other: Map<String, Value>,
}

/// What is wrong with a `config.json`, short of where the file is.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key is missing.
    #[error("`{key}` is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key holds the wrong kind of value.
    #[error("`{key}`: expected {expected}, found `{found}`")]
    Unexpected {
        /// The key.
        key: &'static str,
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// Two sizes do not go together.
    #[error("{rule}: {left} is not a multiple of {right}")]
    Indivisible {
        /// The rule that is broken.
        rule: &'static str,
        /// The dividend.
        left: usize,
        /// The divisor.
        right: usize,
    },
}

/// The keys that [`ModelConfig`] reads itself.
const KEYS: &[&str] = &[
    "architectures",
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "hidden_act",
    "sliding_window",
    "torch_dtype",
    "dtype",
    "transformers_version",
    "pretraining_tp",
];

fn unexpected(key: &'static str, expected: impl Into<String>, found: &Value) -> ConfigError {
    ConfigError::Unexpected { key, expected: expected.into(), found: found.to_string() }
}

fn size(object: &Map<String, Value>, key: &'static str) -> Result<Option<usize>, ConfigError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(n) if n > 0 => Ok(Some(n)),
            _ => Err(unexpected(key, "a positive integer", value)),
        },
    }
}

fn number(object: &Map<String, Value>, key: &'static str) -> Result<Option<f64>, ConfigError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or_else(|| unexpected(key, "a number", value)),
    }
}

fn flag(object: &Map<String, Value>, key: &'static str) -> Result<bool, ConfigError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| unexpected(key, "true or false", value)),
    }
}

fn required(object: &Map<String, Value>, key: &'static str) -> Result<usize, ConfigError> {
    size(object, key)?.ok_or(ConfigError::Missing { key })
}

/// `rope_theta` and `rope_scaling`, where version 4 of transformers has them or in version 5's `rope_parameters`.
fn rope(object: &Map<String, Value>) -> Result<(f64, Option<Llama3Rope>), ConfigError> {
    let nested = object.get("rope_parameters").and_then(Value::as_object);
    let theta = match number(object, "rope_theta")? {
        Some(theta) => Some(theta),
        None => nested.map_or(Ok(None), |n| number(n, "rope_theta"))?,
    };
    let scaling = object.get("rope_scaling").and_then(Value::as_object).or(nested);
    let kind = scaling.and_then(|s| s.get("rope_type").or_else(|| s.get("type")));
    let scaling = match (scaling, kind.and_then(Value::as_str)) {
        (None, _) | (Some(_), None | Some("default")) => None,
        (Some(s), Some("llama3")) => {
            let get = |key| number(s, key)?.ok_or(ConfigError::Missing { key });
            Some(Llama3Rope {
                factor: get("factor")?,
                low_freq_factor: get("low_freq_factor")?,
                high_freq_factor: get("high_freq_factor")?,
                original_max_position_embeddings: get("original_max_position_embeddings")?,
            })
        }
        (Some(_), Some(other)) => {
            return Err(unexpected("rope_scaling", "rope_type `llama3` or none", &json!(other)));
        }
    };
    Ok((theta.unwrap_or(10_000.0), scaling))
}

impl ModelConfig {
    /// Reads the object of a `config.json`.
    ///
    /// # Errors
    ///
    /// If a key is missing or wrong, or the architecture is none of [`Family`]'s.
    pub fn from_json(object: &Map<String, Value>) -> Result<Self, ConfigError> {
        let kind =
            object.get("model_type").or_else(|| object.get("architectures").and_then(|a| a.get(0)));
        let family = match kind.and_then(Value::as_str) {
            Some("llama" | "LlamaForCausalLM") => Family::Llama,
            Some("mistral" | "MistralForCausalLM") => Family::Mistral,
            _ => {
                let found = kind.cloned().unwrap_or(Value::Null);
                return Err(unexpected("model_type", "`llama` or `mistral`", &found));
            }
        };
        if let Some(act) =
            object.get("hidden_act").filter(|a| !a.is_null() && a.as_str() != Some("silu"))
        {
            return Err(unexpected("hidden_act", "`silu`", act));
        }
        let max_position_embeddings = size(object, "max_position_embeddings")?.unwrap_or(2048);
        if let Some(window) =
            size(object, "sliding_window")?.filter(|w| *w < max_position_embeddings)
        {
            return Err(unexpected("sliding_window", "null, or the whole context", &json!(window)));
        }
        let hidden_size = required(object, "hidden_size")?;
        let num_attention_heads = required(object, "num_attention_heads")?;
        let head_dim = match size(object, "head_dim")? {
            Some(head_dim) => head_dim,
            None if hidden_size.is_multiple_of(num_attention_heads) => {
                hidden_size / num_attention_heads
            }
            None => {
                return Err(ConfigError::Indivisible {
                    rule: "without `head_dim`, hidden_size must be a multiple of num_attention_heads",
                    left: hidden_size,
                    right: num_attention_heads,
                });
            }
        };
        let (rope_theta, rope_scaling) = rope(object)?;
        let config = Self {
            family,
            hidden_size,
            intermediate_size: required(object, "intermediate_size")?,
            num_hidden_layers: required(object, "num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads: size(object, "num_key_value_heads")?.unwrap_or(match family {
                Family::Llama => num_attention_heads,
                Family::Mistral => 8,
            }),
            head_dim,
            vocab_size: required(object, "vocab_size")?,
            max_position_embeddings,
            rms_norm_eps: number(object, "rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            tie_word_embeddings: flag(object, "tie_word_embeddings")?,
            attention_bias: flag(object, "attention_bias")?,
            mlp_bias: flag(object, "mlp_bias")?,
            other: object
                .iter()
                .filter(|(k, _)| !KEYS.contains(&k.as_str()))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        };
        config.check()?;
        Ok(config)
    }

    /// Refuses sizes that no attention can be built of.
    ///
    /// # Errors
    ///
    /// If the query heads do not divide among the key-value heads, `head_dim` is odd, or a size is larger than any
    /// model's: what is computed of them stays within 64 bits.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (key, size, bits) in [
            ("hidden_size", self.hidden_size, 20),
            ("intermediate_size", self.intermediate_size, 20),
            ("num_attention_heads", self.num_attention_heads, 14),
            ("num_key_value_heads", self.num_key_value_heads, 14),
            ("head_dim", self.head_dim, 14),
            ("num_hidden_layers", self.num_hidden_layers, 14),
            ("vocab_size", self.vocab_size, 28),
        ] {
            if size >> bits > 0 {
                let (expected, found) = (format!("less than {}", 1_u64 << bits), size.to_string());
                return Err(ConfigError::Unexpected { key, expected, found });
            }
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(ConfigError::Indivisible {
                rule: "each key-value head serves the same number of query heads",
                left: self.num_attention_heads,
                right: self.num_key_value_heads,
            });
        }
        if !self.head_dim.is_multiple_of(2) {
            let rule = "rotary embedding turns pairs of a head's channels";
            return Err(ConfigError::Indivisible { rule, left: self.head_dim, right: 2 });
        }
        Ok(())
    }

    /// The object of a `config.json` that transformers 4 and 5, vLLM and llama.cpp's converter read alike.
    ///
    /// transformers 5 refuses a `LlamaForCausalLM` whose `hidden_size` is not a multiple of its heads, so such
    /// a student is written as `MistralForCausalLM`: the same equations. See [`Self::exported_family`]. A `head_dim`
    /// that is not `hidden_size / num_attention_heads` is read by transformers since August 2024 (#32050 for Mistral,
    /// #32857 for Llama).
    #[must_use]
    pub fn to_json(&self, dtype: &str) -> Map<String, Value> {
        let mut object = self.other.clone();
        let family = self.exported_family();
        let scaling = self.rope_scaling.map_or(Value::Null, |s| {
            json!({
                "rope_type": "llama3", "factor": s.factor, "low_freq_factor": s.low_freq_factor,
                "high_freq_factor": s.high_freq_factor,
                "original_max_position_embeddings": s.original_max_position_embeddings.round().max(0.0),
            })
        });
        let written = json!({
            "architectures": [family.architecture()], "model_type": family.model_type(),
            "hidden_size": self.hidden_size, "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers, "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads, "head_dim": self.head_dim,
            "vocab_size": self.vocab_size, "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": self.rms_norm_eps, "rope_theta": self.rope_theta, "rope_scaling": scaling,
            "tie_word_embeddings": self.tie_word_embeddings, "hidden_act": "silu", "torch_dtype": dtype,
        });
        if let Value::Object(written) = written {
            object.extend(written);
        }
        match family {
            Family::Llama => {
                object.insert("attention_bias".into(), json!(self.attention_bias));
                object.insert("mlp_bias".into(), json!(self.mlp_bias));
            }
            Family::Mistral => {
                object.insert("sliding_window".into(), Value::Null);
            }
        }
        object
    }

    /// The family an export is written as: Mistral where transformers would refuse the shape as Llama; Llama where
    /// there are biases, which Mistral has none of.
    #[must_use]
    pub fn exported_family(&self) -> Family {
        let refused = !self.hidden_size.is_multiple_of(self.num_attention_heads);
        match (self.attention_bias || self.mlp_bias, refused) {
            (true, _) => Family::Llama,
            (false, true) => Family::Mistral,
            (false, false) => self.family,
        }
    }

    /// What a person should know of the export: that it is of another family than the model, or that transformers 5
    /// will not read it.
    #[must_use]
    pub fn exported_as(&self) -> Option<String> {
        let (found, family) = (self.exported_family(), self.family.model_type());
        let shape = format!(
            "a `llama` whose hidden_size {} is not a multiple of its {} heads",
            self.hidden_size, self.num_attention_heads
        );
        let refused = !self.hidden_size.is_multiple_of(self.num_attention_heads);
        match found {
            Family::Llama if refused => Some(format!(
                "warning: transformers 5 refuses {shape}, and its biases keep it from being written as `mistral`"
            )),
            Family::Mistral if self.family != found => Some(format!(
                "written as `mistral`, the same equations: transformers 5 refuses {shape}"
            )),
            Family::Llama if self.family != found => {
                Some(format!("written as `llama`, the same equations: a `{family}` has no biases"))
            }
            Family::Llama | Family::Mistral => None,
        }
    }

    /// Parameters of one decoder layer.
    #[must_use]
    pub fn num_parameters_per_layer(&self) -> u64 {
        let (hidden, intermediate) = (self.hidden_size as u64, self.intermediate_size as u64);
        let queries = (self.num_attention_heads * self.head_dim) as u64;
        let keys = (self.num_key_value_heads * self.head_dim) as u64;
        let attention = hidden * (2 * queries + 2 * keys);
        let mlp = 3 * hidden * intermediate;
        let attention_bias = if self.attention_bias { queries + 2 * keys + hidden } else { 0 };
        let mlp_bias = if self.mlp_bias { 2 * intermediate + hidden } else { 0 };
        attention + mlp + attention_bias + mlp_bias + 2 * hidden
    }

    /// Parameters of the embedding and the head (one matrix if they are tied).
    #[must_use]
    pub fn num_embedding_parameters(&self) -> u64 {
        let matrix = (self.vocab_size * self.hidden_size) as u64;
        if self.tie_word_embeddings { matrix } else { 2 * matrix }
    }

    /// All parameters, exactly.
    #[must_use]
    pub fn num_parameters(&self) -> u64 {
        self.num_embedding_parameters()
            + self.num_hidden_layers as u64 * self.num_parameters_per_layer()
            + self.hidden_size as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "json! makes a value")]
    fn config(value: Value) -> ModelConfig {
        ModelConfig::from_json(value.as_object().unwrap()).unwrap()
    }

    fn llama_8b() -> Value {
        json!({
            "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "rope_theta": 500000.0,
            "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "bos_token_id": 128000,
            "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
        })
    }

    #[test]
    fn counts_the_papers_parameters_exactly() {
        let teacher = config(llama_8b());
        assert_eq!(teacher.num_parameters(), 8_030_261_248);
        let width = ModelConfig { hidden_size: 3072, intermediate_size: 9216, ..teacher.clone() };
        assert_eq!(width.num_parameters(), 4_512_746_496);
        let depth = ModelConfig { num_hidden_layers: 16, ..teacher };
        assert_eq!(depth.num_parameters(), 4_540_469_248);
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let teacher = config(llama_8b());
        let pruned = ModelConfig { hidden_size: 3072, ..teacher };
        let json = pruned.to_json("bfloat16");
        assert_eq!(json["head_dim"], 128);
        assert_eq!(json["bos_token_id"], 128000, "keys we do not know are kept");
        assert_eq!(ModelConfig::from_json(&json).unwrap(), pruned);
    }

    #[test]
    fn a_llama_that_transformers_would_refuse_is_written_as_mistral() {
        let odd = ModelConfig { hidden_size: 3080, ..config(llama_8b()) };
        let json = odd.to_json("float32");
        assert_eq!(json["architectures"][0], "MistralForCausalLM");
        assert_eq!(json["sliding_window"], Value::Null);
    }

    #[test]
    fn biases_are_written_as_llama_and_what_transformers_will_not_read_is_said() {
        let mut value = llama_8b();
        assert_eq!(config(value.clone()).exported_as(), None);
        value["hidden_size"] = json!(3080);
        value["head_dim"] = json!(128);
        let refused = "transformers 5 refuses a `llama` whose hidden_size 3080 is not a multiple of its 32 heads";
        assert_eq!(
            config(value.clone()).exported_as().unwrap(),
            format!("written as `mistral`, the same equations: {refused}")
        );
        value["mlp_bias"] = json!(true);
        assert_eq!(config(value.clone()).exported_family(), Family::Llama);
        assert_eq!(
            config(value.clone()).exported_as().unwrap(),
            format!("warning: {refused}, and its biases keep it from being written as `mistral`")
        );
        value["model_type"] = json!("mistral");
        value["hidden_size"] = json!(4096);
        let biased = config(value);
        assert_eq!(
            biased.exported_as().unwrap(),
            "written as `llama`, the same equations: a `mistral` has no biases"
        );
        let read = ModelConfig::from_json(&biased.to_json("float32")).unwrap();
        assert!(read.mlp_bias, "biases are read again");
    }

    #[test]
    fn an_unsupported_architecture_is_named() {
        let mut value = llama_8b();
        value["model_type"] = json!("gemma2");
        let error = ModelConfig::from_json(value.as_object().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`model_type`: expected `llama` or `mistral`, found `\"gemma2\"`"
        );
    }

    #[test]
    fn an_absurd_size_is_refused_before_anything_is_computed_of_it() {
        let mut value = llama_8b();
        value["num_hidden_layers"] = json!(u64::MAX / 2);
        let error = ModelConfig::from_json(value.as_object().unwrap()).unwrap_err();
        let said =
            format!("`num_hidden_layers`: expected less than 16384, found `{}`", u64::MAX / 2);
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn version_five_rope_parameters_are_read() {
        let mut value = llama_8b();
        let object = value.as_object_mut().unwrap();
        object.remove("rope_theta");
        let mut scaling = object.remove("rope_scaling").unwrap();
        scaling["rope_theta"] = json!(500_000.0);
        object.insert("rope_parameters".into(), scaling);
        assert_eq!(config(value), config(llama_8b()));
    }
}
