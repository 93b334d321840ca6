//! A linear map of rows: `y = x W + b`.

use kernels::{DType, Tensor};

/// The weight as `[in, out]` (Hugging Face stores the transpose), and a bias where the family has one.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[in, out]`.
    pub weight: Tensor<2>,
    /// `[out]`.
    pub bias: Option<Tensor<1>>,
}

impl Linear {
    /// # Shapes
    ///
    /// - x: `[tokens, in]`
    /// - output: `[tokens, out]`
    #[must_use]
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let y = x.matmul(self.weight.clone());
        match &self.bias {
            Some(bias) => y + bias.clone().unsqueeze_dim(0),
            None => y,
        }
    }

    /// The gradients of the input and of the parameters (in f32), given that of the output.
    ///
    /// # Shapes
    ///
    /// - x: `[tokens, in]`, dy: `[tokens, out]`
    /// - output: `[tokens, in]`, and a [`Linear`] of this one's shapes
    #[must_use]
    pub fn backward(&self, x: Tensor<2>, dy: Tensor<2>) -> (Tensor<2>, Self) {
        let dx = dy.clone().matmul(self.weight.clone().transpose());
        let bias = self.bias.as_ref();
        let bias = bias.map(|_| dy.clone().cast(DType::F32).sum_dim(0).squeeze_dim(0));
        let weight = x.transpose().matmul(dy).cast(DType::F32);
        (dx, Self { weight, bias })
    }
}
