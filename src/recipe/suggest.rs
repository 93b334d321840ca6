//! Which known word was meant.

/// Other tools' words for our keys.
const SYNONYMS: [(&str, &str); 21] = [
    ("ffn_hidden_size", "intermediate_size"),
    ("mlp_hidden_size", "intermediate_size"),
    ("lr", "learning_rate"),
    ("min_lr", "min_learning_rate"),
    ("warmup", "warmup_steps"),
    ("batch_size", "global_batch_size"),
    ("gbs", "global_batch_size"),
    ("mbs", "micro_batch_size"),
    ("train_iters", "steps"),
    ("max_steps", "steps"),
    ("seq_length", "seq_tokens"),
    ("kl", "forward_kl"),
    ("fkl", "forward_kl"),
    ("rkl", "reverse_kl"),
    ("jsd", "jensen_shannon"),
    ("tvd", "total_variation"),
    ("akl", "adaptive_kl"),
    ("ce", "cross_entropy"),
    ("mse", "logit_mse"),
    ("train", "distil"),
    ("eval", "evaluate"),
];

/// The candidate that `word` was perhaps meant to be: another tool's word for it, or the nearest in edits,
/// if fewer than a third of the letters differ.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let synonym = SYNONYMS.iter().find(|(other, ours)| *other == word && candidates.contains(ours));
    if let Some((_, ours)) = synonym {
        return Some((*ours).into());
    }
    let edits = |candidate: &str| strsim::osa_distance(&word.to_lowercase(), candidate);
    let best = candidates.into_iter().min_by_key(|c| edits(c))?;
    let allowed = word.chars().count().max(best.chars().count()).div_ceil(3);
    (edits(best) <= allowed).then(|| best.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] =
        ["learning_rate", "min_learning_rate", "hidden_size", "intermediate_size"];

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        assert_eq!(nearest("learning_rte", KEYS).as_deref(), Some("learning_rate"));
        assert_eq!(nearest("hidden-size", KEYS).as_deref(), Some("hidden_size"));
        assert_eq!(nearest("distill", ["distil", "data"]).as_deref(), Some("distil"));
    }

    #[test]
    fn another_tools_word_is_translated_and_not_compared() {
        assert_eq!(nearest("ffn_hidden_size", KEYS).as_deref(), Some("intermediate_size"));
        assert_eq!(nearest("lr", KEYS).as_deref(), Some("learning_rate"));
    }

    #[test]
    fn nothing_is_suggested_for_a_word_that_is_like_none() {
        assert_eq!(nearest("colour", KEYS), None);
        assert_eq!(nearest("x", []), None);
    }
}
