//! `stillflow check`.

use clap::Args;

use crate::error::Error;
use crate::recipe::Recipe;
use crate::stages::inputs::inputs;
use crate::units::thousands;

/// Check a recipe and what it names, without doing any of it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stillflow check minitron-tiny --set teacher.model=DIR --set data.corpus.path=TEXT
  stillflow check my-recipe.toml")]
pub(super) struct Check {
    /// A built-in recipe, a TOML file or a run directory
    recipe: String,
    /// Override one key of the recipe; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

impl Check {
    pub(super) fn run(self) -> Result<(), Error> {
        let recipe = Recipe::resolve(&self.recipe, &self.sets)?;
        let found = inputs(&recipe)?;
        if let Some(teacher) = &found.teacher {
            super::print(&format!("teacher: {} parameters\n", thousands(teacher.num_parameters())));
            let student = recipe.student_config(teacher)?;
            super::print(&format!("student: {} parameters\n", thousands(student.num_parameters())));
        }
        if let Some(vocab_size) = found.vocab_size {
            super::print(&format!("tokenizer: {} ids\n", thousands(u64::from(vocab_size))));
        }
        for (name, files, bytes) in &found.sources {
            super::print(&format!("data.{name}: {files} files, {} bytes\n", thousands(*bytes)));
        }
        let missing = recipe.missing();
        if missing.is_empty() {
            super::print("the recipe can run\n");
        } else {
            super::print(&format!(
                "the recipe can be planned; to run it, set {}\n",
                missing.join(", ")
            ));
        }
        Ok(())
    }
}
