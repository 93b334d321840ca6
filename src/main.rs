//! The command line; its verbs are still to come.

fn main() {}
