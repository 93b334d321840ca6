//! The recipes that come with the program, as the text of their files.
//!
//! What a recipe means is the root's affair; here they are only carried, beside the graphs they drive.

/// Name and text of every built-in recipe, the simplest first.
pub const RECIPES: &[(&str, &str)] = &[
    ("quickstart", include_str!("../recipes/quickstart.toml")),
    ("minitron-tiny", include_str!("../recipes/minitron-tiny.toml")),
    ("llama-3.1-minitron-4b-width", include_str!("../recipes/llama-3.1-minitron-4b-width.toml")),
    ("llama-3.1-minitron-4b-depth", include_str!("../recipes/llama-3.1-minitron-4b-depth.toml")),
    ("mn-minitron-8b", include_str!("../recipes/mn-minitron-8b.toml")),
];
