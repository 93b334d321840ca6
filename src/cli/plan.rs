//! `stillflow plan`.

use clap::Args;
use datasets::grammar::Grammar;

use super::Format;
use crate::error::Error;
use crate::plan::{Assumptions, DEFAULT_TFLOPS, Plan as Planned, Working};
use crate::recipe::Recipe;

/// Shapes, parameters, FLOPs, bytes and time of a run, before any work.
#[derive(Debug, Args)]
#[command(after_help = "\
Needs no weights: the papers' models are described.

Examples:
  stillflow plan llama-3.1-minitron-4b-width
  stillflow plan mn-minitron-8b --devices 8 --tflops 400 --format json")]
pub(super) struct Plan {
    /// A built-in recipe, a TOML file or a run directory
    recipe: String,
    /// Override one key of the recipe; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// 10^12 FLOPs a second that one device achieves on such models
    #[arg(long, default_value_t = DEFAULT_TFLOPS, value_parser = positive, allow_negative_numbers = true)]
    tflops: f64,
    /// Devices that share the work evenly
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    devices: u64,
    /// Compute in 32 bits instead of bf16
    #[arg(long)]
    f32: bool,
    /// Print the plan as this
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("expected a number above 0".to_owned()),
    }
}

impl Plan {
    pub(super) fn run(self) -> Result<(), Error> {
        let recipe = Recipe::resolve(&self.recipe, &self.sets)?;
        // A teacher that is trained here has the words of the stories, or of the tokenizer that is named.
        let vocab_size = match (&recipe.pretrain, &recipe.tokens.tokenizer) {
            (None, _) => 0,
            (Some(_), Some(path)) => {
                datasets::tokenizer::Tokenizer::load(std::path::Path::new(path))?.vocab_size()
                    as usize
            }
            (Some(_), None) => Grammar::new(recipe.seed).vocabulary().len(),
        };
        let working = if self.f32 { Working::F32 } else { Working::Bf16 };
        let assumptions = Assumptions { tflops: self.tflops, num_devices: self.devices, working };
        let plan = Planned::of(&recipe, &recipe.teacher_shape(vocab_size)?, &assumptions)?;
        match self.format {
            Format::Json => super::print_json(&plan),
            Format::Text => super::print(&plan.to_string()),
        }
        Ok(())
    }
}
