//! What to do about an error: a command where there is one.
//!
//! An error does not carry its hint: what helps depends on what the program offers, which a library does not know.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use datasets::logits::LogitError;
use datasets::shard::ShardError;
use datasets::store::StoreError;
use datasets::text::TextError;
use datasets::tokenizer::TokenizerError;

use super::Error;
use crate::eval::choice::ChoiceError;
use crate::prune::PlanError;
use crate::prune::sums::ImportanceError;
use crate::recipe::RecipeError;
use crate::stages::hands::HandError;
use crate::weights::WeightsError;

const A_MODEL: &str =
    "a model is a Hugging Face directory: `config.json`, `*.safetensors` and `tokenizer.json`";
const ANOTHER_FIELD: &str =
    "`--set data.<name>.field=<name>` names another (`--field` does for `stillflow eval`)";
const FETCH_AGAIN: &str = "copy or download it again (`git lfs pull`, where it was cloned)";

/// The hint of an error somewhere in a chain of sources.
#[must_use]
pub fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        // A shared error hides what it is of.
        let error = match error.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>() {
            Some(shared) => &**shared,
            None => error,
        };
        let hint = error.downcast_ref::<Error>().and_then(of_command);
        let hint = hint.or_else(|| error.downcast_ref().and_then(of_recipe));
        let hint = hint.or_else(|| error.downcast_ref().and_then(of_weights));
        let hint = hint.or_else(|| error.downcast_ref().and_then(of_text));
        let hint = hint.or_else(|| error.downcast_ref().and_then(of_tokenizer));
        let hint = hint.or_else(|| error.downcast_ref().and_then(of_logits));
        let hint = hint.or_else(|| error.downcast_ref().and_then(of_shard));
        let hint = hint.or_else(|| error.downcast_ref().and_then(of_store));
        let hint = hint.or_else(|| error.downcast_ref().and_then(of_hand));
        let hint = hint.or_else(|| error.downcast_ref().and_then(of_system));
        if hint.is_some() {
            return hint;
        }
        next = error.source();
    }
    None
}

fn of_command(error: &Error) -> Option<String> {
    Some(match error {
        // A transparent error is not in the chain of sources itself.
        Error::Recipe(error) => return of_recipe(error),
        Error::Weights(error) => return of_weights(error),
        Error::Text(error) => return of_text(error),
        Error::Tokenizer(error) => return of_tokenizer(error),
        Error::Shard(error) => return of_shard(error),
        Error::Store(error) => return of_store(error),
        Error::Logits(error) => return of_logits(error),
        Error::Hand(error) => return of_hand(error),
        Error::DamagedCache { path, .. } => format!(
            "`stillflow cache compact {} --retire <shard>` takes a shard out, and its samples can be captured again",
            path.display()
        ),
        Error::NotCached { path, .. } => format!(
            "`stillflow run capture-tiny --set capture.dir={}` with the recipe's own `teacher`, `data` and `tokens` adds them; \
             `--set logits.missing=ask` does as it trains",
            path.display()
        ),
        Error::Sparse(_) => "without `[logits]` the teacher is asked, of whom all is known".into(),
        Error::TooLong { limit, .. } => {
            format!("`--set tokens.max_document_tokens={}` cuts it", limit.saturating_sub(2))
        }
        Error::Missing { keys } => {
            let sets: Vec<String> = keys.iter().map(|key| format!("--set {key}=…")).collect();
            format!("add `{}`", sets.join(" "))
        }
        Error::OtherRecipe { path, .. } => {
            let path = path.display();
            format!("`stillflow run {path}` goes on with its own recipe; `--dir` names another directory")
        }
        Error::NotARun { .. } => "`--dir` names a new directory, or that of a run".into(),
        Error::NoRun { .. } => "`stillflow ls runs <directory>` lists the runs below a directory".into(),
        Error::NoStudent { path } => format!("`stillflow show {}` says how far the run is", path.display()),
        Error::InputChanged { .. } => "put it back, or start anew with another `--dir`".into(),
        Error::NoDocuments { .. } => "`--set tokens.held_out=0.1` holds out a tenth, in another `--dir`".into(),
        Error::NoSpecial { which, .. } => format!("`--set tokens.{which}=auto`"),
        Error::Pack { which: "given", .. } => "`--seq-tokens` makes sequences shorter; or give more text".into(),
        Error::Pack { .. } => {
            "`--set tokens.seq_tokens=…` makes sequences shorter, in another `--dir`; or give more text".into()
        }
        Error::Stopped { path, .. } => format!("`stillflow run {}` goes on there", path.display()),
        Error::Sums(ImportanceError::Foreign { .. } | ImportanceError::Other { .. }) => {
            "without `prune.importance` this teacher is measured, in another `--dir`".into()
        }
        Error::NoneFits(_) => {
            "a wider window, or other sizes in `[search]`; `stillflow plan` says what a shape costs".into()
        }
        Error::Sums(_) => "`prune.importance` names the `scores/sums.parquet` of a run".into(),
        Error::Choice(ChoiceError::Unreadable { source, .. }) if of_system(source).is_some() => {
            return of_system(source);
        }
        Error::Choice(_) => {
            r#"an item is a line of JSON: `{"context": "…", "choices": ["…", "…"], "answer": 0}`"#.into()
        }
        Error::Device(_) => "`stillflow doctor` says which devices are here".into(),
        Error::Vocabulary { .. } => "`--set tokens.tokenizer=<directory>` names the model's own".into(),
        Error::Plan(PlanError::Other { what, .. }) => {
            format!("if it is meant for this model all the same, take the line `{what} = …` out of it")
        }
        Error::Flag { .. } => "`--help` after the command says what it takes".into(),
        _ => return None,
    })
}

fn of_recipe(error: &RecipeError) -> Option<String> {
    error.hint().or_else(|| match error {
        RecipeError::Unreadable { .. } => {
            Some("a recipe is a TOML file: `stillflow new quickstart` prints one".into())
        }
        RecipeError::NotJson { .. } | RecipeError::Shape { .. } => Some(A_MODEL.into()),
        _ => Some("`stillflow new quickstart` prints a recipe with every key".into()),
    })
}

fn of_weights(error: &WeightsError) -> Option<String> {
    Some(match error {
        WeightsError::NoDirectory { .. } | WeightsError::Json { .. } => A_MODEL.into(),
        WeightsError::NoFile { path, .. } => format!("{A_MODEL}; `ls {}`", path.display()),
        WeightsError::NoShard { path }
        | WeightsError::CutShort { path, .. }
        | WeightsError::Damaged { path, .. } => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            format!("{FETCH_AGAIN}: the model is not whole without `{name}`")
        }
        WeightsError::Config { .. } => {
            "any Llama or Mistral without a sliding window does; `stillflow ls recipes` shows some"
                .into()
        }
        WeightsError::NoTensor { .. } | WeightsError::Shape { .. } => {
            "`config.json` and the weights are of two models: fetch both from one place".into()
        }
        WeightsError::Type { .. } => {
            "quantised weights cannot be pruned: use the model they were made from".into()
        }
        WeightsError::Exists { path } => {
            format!(
                "name a directory that does not exist yet, or move that one away: `mv {0} {0}.old`",
                path.display()
            )
        }
        WeightsError::Store(error) => return of_store(error),
        WeightsError::Io { .. } => return None,
    })
}

fn of_text(error: &TextError) -> Option<String> {
    Some(match error {
        TextError::NoFiles { .. } | TextError::Empty { .. } => {
            "a text is a .txt, .md, .jsonl (also as .gz or .zst) or .parquet file, a folder of them or a glob such as 'corpus/*.jsonl'".into()
        }
        TextError::BadPattern { .. } => "quote what is meant as it stands: `[[]` is `[`".into(),
        TextError::UnknownFormat { .. } => "`--set data.<name>.format=txt` says what it is".into(),
        TextError::EmptyDelimiter => "`--set data.<name>.split=blank_line`".into(),
        TextError::Changed { .. } => "start again when nothing writes to it any more".into(),
        TextError::NotUtf8 { path, .. } => {
            format!("`iconv -f latin1 -t utf-8 {}` makes UTF-8 of Latin-1", path.display())
        }
        TextError::BadJson { path, line, .. } => format!("`sed -n {line}p {}` shows the line", path.display()),
        TextError::MissingField { .. }
        | TextError::WrongField { .. }
        | TextError::MissingColumn { .. }
        | TextError::WrongType { .. } => ANOTHER_FIELD.into(),
        TextError::Null { .. } => format!("leave out the rows that are null; {ANOTHER_FIELD}"),
        TextError::NotParquet { .. }
        | TextError::BadRowGroup { .. }
        | TextError::BadStream { .. } => FETCH_AGAIN.into(),
        _ => return None,
    })
}

fn of_tokenizer(error: &TokenizerError) -> Option<String> {
    Some(match error {
        TokenizerError::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
            "a tokenizer is a `tokenizer.json`; `--set tokens.tokenizer=<directory>` names one that lies elsewhere".into()
        }
        TokenizerError::BadJson { .. } => FETCH_AGAIN.into(),
        TokenizerError::UnknownSpecial { path, .. } => {
            format!("correct `{}`, or remove the key", path.display())
        }
        TokenizerError::Unsupported { .. } | TokenizerError::BadVocabulary { .. } => {
            "`AutoTokenizer.from_pretrained(…).save_pretrained(…)` writes the form that is read".into()
        }
        _ => return None,
    })
}

/// What a cache holds cannot be made again without the teacher: damage is named, and taken out by hand.
fn of_logits(error: &LogitError) -> Option<String> {
    Some(match error {
        LogitError::NotACache { path, .. } => format!(
            "`stillflow run capture-tiny --set teacher.model=… --set data.corpus.path=… --set capture.dir={}` makes one",
            path.display()
        ),
        LogitError::Other { .. } => {
            "name the teacher and the tokenizer that it was captured with, or another directory: \
             `stillflow run capture-tiny --set capture.dir=…` makes one of this teacher"
                .into()
        }
        LogitError::OtherProfile { .. } => {
            "`--set capture.dir=…` names another directory: a cache has values of one code".into()
        }
        LogitError::TooFew { stored, .. } => format!("`--set logits.k={stored}`, or capture with a larger profile"),
        LogitError::Sampled { .. } => "without `logits.k` and `logits.rest` all entries are read, as what they are".into(),
        LogitError::Row { path, .. } | LogitError::NoCommit { path } | LogitError::BadCommit { path, .. } => {
            let cache = path.ancestors().find(|dir| dir.join("_tlc").is_dir()).unwrap_or(path);
            format!("`stillflow cache verify {}` lists every damaged file", cache.display())
        }
        LogitError::Shard(_) => "`stillflow cache verify <dir>` lists every damaged file".into(),
        LogitError::Store { source, .. } if of_store(source).is_none() => {
            "`stillflow cache verify <dir>` lists every damaged file".into()
        }
        LogitError::Import { .. } => {
            "a folder of DistillKit's has `compression_config.yaml` and `*.parquet` with `compressed_logprobs`".into()
        }
        LogitError::Level { level } if *level <= 4 => "`--teacher <directory>` names it".into(),
        _ => return None,
    })
}

/// Shards are a function of the recipe and the text: what is damaged is made again, the same bytes.
fn of_shard(error: &ShardError) -> Option<String> {
    let path = match error {
        ShardError::Size { path, .. }
        | ShardError::Hash { path, .. }
        | ShardError::NotParquet { path, .. }
        | ShardError::BadRowGroup { path, .. }
        | ShardError::Inconsistent { path, .. }
        | ShardError::NumTokens { path, .. }
        | ShardError::TokenOutOfRange { path, .. } => path,
        ShardError::Io { path, source, .. } if source.kind() == ErrorKind::NotFound => path,
        // That a disk is full is not the shard's fault.
        ShardError::Store { path, source } if of_store(source).is_none() => path,
        _ => return None,
    };
    let run =
        path.ancestors().find(|dir| dir.ends_with("tokens")).and_then(Path::parent)?.display();
    Some(format!(
        "`rm -r {run}/tokens {run}/checkpoints/prepare {run}/stages/prepare.json`, then `stillflow run {run}` \
         makes the same shards again"
    ))
}

fn of_store(error: &StoreError) -> Option<String> {
    match error {
        StoreError::Locked { path, .. } => {
            let dir = path.parent().map(|p| p.display().to_string()).unwrap_or_default();
            Some(format!("`stillflow show {dir}` says how far that run is"))
        }
        StoreError::Io { source, .. } => of_system(source),
        _ => None,
    }
}

fn of_hand(error: &HandError) -> Option<String> {
    Some(match error {
        HandError::Ended { .. } => {
            "the same command goes on with what is committed; without `-n` in one process".into()
        }
        HandError::Weights { .. } => "`--device` names one for all of them".into(),
        HandError::Samples { .. } => {
            "start again when nothing writes to the tokens or the cache".into()
        }
        HandError::Task { .. } => return None,
    })
}

fn of_system(error: &std::io::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some("make room, then the same command goes on where it stopped".into())
        }
        _ => None,
    }
}
