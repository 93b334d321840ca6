//! The recipes that come with the program, as the text of their files.
//!
//! What a recipe means is the root's affair; here they are only carried, beside the graphs they drive.

macro_rules! recipes {
    ($($name:literal at $file:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../recipes/", $file, ".toml")))),*]
    };
}

/// Name and text of every built-in recipe, the simplest first; those of `stillflow trends` last.
pub const RECIPES: &[(&str, &str)] = recipes![
    "quickstart" at "quickstart",
    "minitron-tiny" at "minitron-tiny",
    "capture-tiny" at "capture-tiny",
    "llama-3.1-minitron-4b-width" at "llama-3.1-minitron-4b-width",
    "llama-3.1-minitron-4b-depth" at "llama-3.1-minitron-4b-depth",
    "mn-minitron-8b" at "mn-minitron-8b",
    "trends-teacher" at "trends/teacher",
    "trends-student" at "trends/student",
    "trends-control" at "trends/control",
    "trends-random-channels" at "trends/random-channels",
    "trends-cross-entropy" at "trends/cross-entropy",
    "trends-cross-entropy-longer" at "trends/cross-entropy-longer",
    "trends-mixed" at "trends/mixed",
    "trends-reverse-kl" at "trends/reverse-kl",
    "trends-shifted" at "trends/shifted",
    "trends-corrected" at "trends/corrected",
    "trends-corrected-beside" at "trends/corrected-beside",
    "trends-depth" at "trends/depth",
    "trends-depth-scattered" at "trends/depth-scattered",
    "trends-aggregation" at "trends/aggregation",
    "trends-importance-2" at "trends/importance-2",
    "trends-importance-4" at "trends/importance-4",
    "trends-one-jump" at "trends/one-jump",
    "trends-hidden" at "trends/hidden",
    "trends-hidden-depth" at "trends/hidden-depth",
    "trends-search" at "trends/search",
];
