//! The tensors of a decoder; gradients and moments have the same form.

use kernels::{DType, Device, Tensor};

use super::config::ModelConfig;
use super::linear::Linear;

/// The tensors of one layer.
#[derive(Clone, Debug)]
pub struct LayerParameters {
    /// `[hidden]`.
    pub input_layernorm: Tensor<1>,
    /// `[hidden, heads * head_dim]`.
    pub q_proj: Linear,
    /// `[hidden, kv_heads * head_dim]`.
    pub k_proj: Linear,
    /// `[hidden, kv_heads * head_dim]`.
    pub v_proj: Linear,
    /// `[heads * head_dim, hidden]`.
    pub o_proj: Linear,
    /// `[hidden]`.
    pub post_attention_layernorm: Tensor<1>,
    /// `[hidden, intermediate]`.
    pub gate_proj: Linear,
    /// `[hidden, intermediate]`.
    pub up_proj: Linear,
    /// `[intermediate, hidden]`.
    pub down_proj: Linear,
}

/// The tensors of a decoder.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// `[vocab, hidden]`.
    pub embed_tokens: Tensor<2>,
    /// In order.
    pub layers: Vec<LayerParameters>,
    /// `[hidden]`.
    pub norm: Tensor<1>,
    /// `[hidden, vocab]`; absent if the head is the embedding.
    pub lm_head: Option<Tensor<2>>,
}

/// One tensor, in the layout it has in memory.
#[derive(Clone, Debug)]
pub enum Weight {
    /// A norm's γ or a bias.
    Vector(Tensor<1>),
    /// An embedding `[vocab, hidden]`: Hugging Face's layout is the same.
    Table(Tensor<2>),
    /// A linear map `[in, out]`: Hugging Face stores the transpose.
    Matrix(Tensor<2>),
}

impl Weight {
    /// The dimensions that Hugging Face's file has.
    #[must_use]
    pub fn stored_dims(&self) -> Vec<usize> {
        match self {
            Self::Vector(t) => t.dims().to_vec(),
            Self::Table(t) => t.dims().to_vec(),
            Self::Matrix(t) => {
                let [inputs, outputs] = t.dims();
                vec![outputs, inputs]
            }
        }
    }

    /// Applies one of two functions by rank.
    #[must_use]
    pub fn apply(
        self,
        vector: impl FnOnce(Tensor<1>) -> Tensor<1>,
        matrix: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> Self {
        match self {
            Self::Vector(t) => Self::Vector(vector(t)),
            Self::Table(t) => Self::Table(matrix(t)),
            Self::Matrix(t) => Self::Matrix(matrix(t)),
        }
    }

    /// In another type.
    #[must_use]
    pub fn cast(self, dtype: DType) -> Self {
        self.apply(|t| t.cast(dtype), |t| t.cast(dtype))
    }

    /// Zeros of this shape, in f32.
    #[must_use]
    pub fn zeros(&self) -> Self {
        self.clone().apply(
            |t| Tensor::zeros(t.dims(), (&t.device(), DType::F32)),
            |t| Tensor::zeros(t.dims(), (&t.device(), DType::F32)),
        )
    }

    /// The tensor of a matrix.
    #[must_use]
    pub fn matrix(self) -> Option<Tensor<2>> {
        match self {
            Self::Table(t) | Self::Matrix(t) => Some(t),
            Self::Vector(_) => None,
        }
    }

    /// Whether weight decay applies: to matrices, not to norms, biases and embeddings' likes of rank one.
    #[must_use]
    pub fn decays(&self) -> bool {
        !matches!(self, Self::Vector(_))
    }

    /// The sum of two of one shape.
    ///
    /// # Panics
    ///
    /// If the kinds differ.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Vector(a), Self::Vector(b)) => Self::Vector(a + b),
            (Self::Table(a), Self::Table(b)) => Self::Table(a + b),
            (Self::Matrix(a), Self::Matrix(b)) => Self::Matrix(a + b),
            (a, b) => {
                panic!("parameters of two models: {:?} and {:?}", a.stored_dims(), b.stored_dims())
            }
        }
    }
}

/// What [`Parameters::map`] hands out: Hugging Face's name, and the tensor.
type Mapper<'a, E> = dyn FnMut(&str, Weight) -> Result<Weight, E> + 'a;

impl Parameters {
    /// Replaces every tensor, in the order and under the names of Hugging Face's files.
    ///
    /// # Errors
    ///
    /// The first that `f` returns.
    pub fn map<E>(self, f: &mut Mapper<'_, E>) -> Result<Self, E> {
        let embed_tokens = table("model.embed_tokens.weight", self.embed_tokens, f)?;
        let mut layers = Vec::with_capacity(self.layers.len());
        for (i, layer) in self.layers.into_iter().enumerate() {
            let name = |part: &str| format!("model.layers.{i}.{part}");
            layers.push(LayerParameters {
                input_layernorm: vector(&name("input_layernorm.weight"), layer.input_layernorm, f)?,
                q_proj: linear(&name("self_attn.q_proj"), layer.q_proj, f)?,
                k_proj: linear(&name("self_attn.k_proj"), layer.k_proj, f)?,
                v_proj: linear(&name("self_attn.v_proj"), layer.v_proj, f)?,
                o_proj: linear(&name("self_attn.o_proj"), layer.o_proj, f)?,
                post_attention_layernorm: vector(
                    &name("post_attention_layernorm.weight"),
                    layer.post_attention_layernorm,
                    f,
                )?,
                gate_proj: linear(&name("mlp.gate_proj"), layer.gate_proj, f)?,
                up_proj: linear(&name("mlp.up_proj"), layer.up_proj, f)?,
                down_proj: linear(&name("mlp.down_proj"), layer.down_proj, f)?,
            });
        }
        let norm = vector("model.norm.weight", self.norm, f)?;
        let lm_head = match self.lm_head {
            Some(head) => Some(matrix("lm_head.weight", head, f)?),
            None => None,
        };
        Ok(Self { embed_tokens, layers, norm, lm_head })
    }

    /// Every tensor with its name, in the order of [`Self::map`].
    #[must_use]
    pub fn named(&self) -> Vec<(String, Weight)> {
        let mut all = Vec::new();
        let mut keep = |name: &str, weight: Weight| {
            all.push((name.to_owned(), weight.clone()));
            Ok::<_, std::convert::Infallible>(weight)
        };
        let Ok(_) = self.clone().map(&mut keep);
        all
    }

    /// Every tensor in another type.
    #[must_use]
    pub fn cast(self, dtype: DType) -> Self {
        let mut cast = |_: &str, w: Weight| Ok::<_, std::convert::Infallible>(w.cast(dtype));
        let Ok(cast) = self.map(&mut cast);
        cast
    }

    /// The sum, tensor by tensor.
    ///
    /// # Panics
    ///
    /// If they are those of two models.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        let mut others = other.named().into_iter();
        let mut add = |_: &str, w: Weight| {
            let (_, other) = others.next().expect("two sets of one model's parameters");
            Ok::<_, std::convert::Infallible>(w.plus(other))
        };
        let Ok(sum) = self.map(&mut add);
        sum
    }

    /// No tensors to speak of: what stands in a value's place while it is moved out.
    #[must_use]
    pub fn empty(device: &Device) -> Self {
        Self {
            embed_tokens: Tensor::zeros([1, 1], device),
            layers: Vec::new(),
            norm: Tensor::zeros([1], device),
            lm_head: None,
        }
    }

    /// Zeros in f32, in the shapes that a configuration gives: what a file or an initialiser fills.
    #[must_use]
    pub fn zeros(config: &ModelConfig, device: &Device) -> Self {
        let hidden = config.hidden_size;
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        let vector = |n: usize| Tensor::<1>::zeros([n], device);
        let linear = |inputs: usize, outputs: usize, bias: bool| Linear {
            weight: Tensor::zeros([inputs, outputs], device),
            bias: bias.then(|| vector(outputs)),
        };
        let (attention_bias, mlp_bias) = (config.attention_bias, config.mlp_bias);
        let layer = |_| LayerParameters {
            input_layernorm: vector(hidden),
            q_proj: linear(hidden, queries, attention_bias),
            k_proj: linear(hidden, keys, attention_bias),
            v_proj: linear(hidden, keys, attention_bias),
            o_proj: linear(queries, hidden, attention_bias),
            post_attention_layernorm: vector(hidden),
            gate_proj: linear(hidden, config.intermediate_size, mlp_bias),
            up_proj: linear(hidden, config.intermediate_size, mlp_bias),
            down_proj: linear(config.intermediate_size, hidden, mlp_bias),
        };
        Self {
            embed_tokens: Tensor::zeros([config.vocab_size, hidden], device),
            layers: (0..config.num_hidden_layers).map(layer).collect(),
            norm: vector(hidden),
            lm_head: (!config.tie_word_embeddings)
                .then(|| Tensor::zeros([hidden, config.vocab_size], device)),
        }
    }
}

fn vector<E>(name: &str, t: Tensor<1>, f: &mut Mapper<'_, E>) -> Result<Tensor<1>, E> {
    match f(name, Weight::Vector(t))? {
        Weight::Vector(t) => Ok(t),
        other => panic!("`{name}` is a vector, not of shape {:?}", other.stored_dims()),
    }
}

fn table<E>(name: &str, t: Tensor<2>, f: &mut Mapper<'_, E>) -> Result<Tensor<2>, E> {
    match f(name, Weight::Table(t))? {
        Weight::Table(t) => Ok(t),
        other => panic!("`{name}` is a table, not of shape {:?}", other.stored_dims()),
    }
}

fn matrix<E>(name: &str, t: Tensor<2>, f: &mut Mapper<'_, E>) -> Result<Tensor<2>, E> {
    match f(name, Weight::Matrix(t))? {
        Weight::Matrix(t) => Ok(t),
        other => panic!("`{name}` is a matrix, not of shape {:?}", other.stored_dims()),
    }
}

fn linear<E>(name: &str, l: Linear, f: &mut Mapper<'_, E>) -> Result<Linear, E> {
    let weight = matrix(&format!("{name}.weight"), l.weight, f)?;
    let bias = match l.bias {
        Some(bias) => Some(vector(&format!("{name}.bias"), bias, f)?),
        None => None,
    };
    Ok(Linear { weight, bias })
}
