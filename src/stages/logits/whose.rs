//! Whose logits a run captures, or expects to find.

use std::collections::BTreeMap;
use std::path::Path;

use datasets::logits::{Cache, Identity, LogitError, Profile, Teacher, TokenizerIdentity};
use datasets::store::digest_bytes;
use datasets::tokenizer::Tokenizer;
use kernels::DType;
use kernels::host::take;

use super::super::context::Context;
use super::super::data::Data;
use super::super::models;
use crate::error::Error;
use crate::model::{Decoder, Weight};
use crate::recipe::{AddToken, Recipe};

/// The identity of what the run's teacher, the one that it has before anything is cut, thinks of the run's text.
///
/// # Errors
/// [`Error::Io`] if the teacher's files cannot be read; what [`models::original`] returns, where the run trains it.
pub fn of_run(ctx: &Context, data: &Data, profile: &Profile) -> Result<Identity, Error> {
    let recipe = &ctx.run.recipe;
    let teacher = match (
        &recipe.teacher.model,
        recipe.makes_teacher() && recipe.correction_beside().is_none(),
    ) {
        (Some(directory), false) => of_directory(Path::new(directory))?,
        _ => of_decoder(&models::original(ctx, data)?)?,
    };
    let (bos, eos) = (data.bos, data.eos);
    let mut identity = identity(teacher, &data.tokenizer, bos, eos, profile)?;
    let dtype = format!("{:?}", ctx.working).to_lowercase();
    identity.provenance.insert("dtype".into(), dtype);
    Ok(identity)
}

/// The identity that a recipe means, where that can be said before it runs: not if it trains its teacher or brings its words.
///
/// # Errors
/// [`Error::Io`] if the teacher's files cannot be read, [`Error::Tokenizer`] if its tokenizer cannot.
pub fn of_recipe(recipe: &Recipe, profile: &Profile) -> Result<Option<Identity>, Error> {
    let (Some(model), Some(tokenizer)) = (&recipe.teacher.model, recipe.tokenizer()) else {
        return Ok(None);
    };
    if recipe.makes_teacher() {
        return Ok(None);
    }
    let words = Tokenizer::load(Path::new(tokenizer))?;
    let around = |add, id: Option<u32>| id.filter(|_| add != AddToken::Never);
    let bos = around(recipe.tokens.bos, words.bos_id());
    let eos = around(recipe.tokens.eos, words.eos_id());
    identity(of_directory(Path::new(model))?, Path::new(tokenizer), bos, eos, profile).map(Some)
}

/// Refuses a recipe that fills or reads a cache of other logits, before any work.
///
/// # Errors
/// [`Error::Logits`] with what differs; or if there is no cache where one is read.
pub fn check(recipe: &Recipe) -> Result<(), Error> {
    let filled = recipe.capture.as_ref().and_then(|capture| capture.dir.as_ref());
    let read = recipe.logits.as_ref().and_then(|logits| logits.dir.as_ref());
    for dir in filled.into_iter().chain(read) {
        let is_made = filled == Some(dir)
            || recipe.logits.as_ref().is_some_and(|l| l.missing == crate::recipe::Missing::Ask);
        let dir = Path::new(dir);
        if is_made && !dir.exists() {
            continue;
        }
        let found = Cache::open(dir, None)?;
        if let Some(expected) = of_recipe(recipe, &Profile::default())? {
            require(&expected, &found)?;
        }
    }
    Ok(())
}

/// Refuses a cache of other logits; in which code they are kept is the cache's affair.
///
/// # Errors
/// [`Error::Logits`] with what differs.
pub fn require(expected: &Identity, cache: &Cache) -> Result<(), Error> {
    let differences = as_kept(expected, cache.identity()).differences(cache.identity());
    if differences.is_empty() {
        return Ok(());
    }
    let path = cache.path().to_owned();
    Err(LogitError::Other { path, differences }.into())
}

/// An identity in the code of another.
pub fn as_kept(identity: &Identity, kept: &Identity) -> Identity {
    Identity {
        values: kept.values,
        sampled: kept.sampled,
        label: kept.label,
        temperatures: kept.temperatures.clone(),
        ..identity.clone()
    }
}

/// The teacher of a directory.
///
/// # Errors
/// [`Error::Io`] if a file cannot be read.
pub fn of_directory(directory: &Path) -> Result<Teacher, Error> {
    Teacher::of_directory(directory).map_err(Error::io(directory, "read"))
}

/// A teacher in memory, by its tensors in f32.
fn of_decoder(decoder: &Decoder) -> Result<Teacher, Error> {
    let config = serde_json::Value::Object(decoder.config.to_json("float32")).to_string();
    let mut teacher = Teacher::new(&config)
        .map_err(|e| Error::Malformed { path: "config.json".into(), reason: e.to_string() })?;
    for (name, weight) in decoder.parameters.named() {
        let dims: Vec<u64> = weight.stored_dims().into_iter().map(|dim| dim as u64).collect();
        let values = match weight {
            Weight::Vector(t) => take(t.cast(DType::F32)),
            Weight::Table(t) | Weight::Matrix(t) => take(t.cast(DType::F32)),
        };
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        teacher.add_tensor(&name, "F32", &dims, digest_bytes(&bytes));
    }
    Ok(teacher)
}

/// An identity of samples with these tokens around them.
///
/// # Errors
/// [`Error::Tokenizer`] if the tokenizer cannot be read.
pub fn identity(
    teacher: Teacher,
    tokenizer: &Path,
    bos: Option<u32>,
    eos: Option<u32>,
    profile: &Profile,
) -> Result<Identity, Error> {
    let tokenizer = TokenizerIdentity::load(tokenizer)?;
    let around = |name: &str, id: Option<u32>| match id {
        Some(id) => format!("{name} {id}"),
        None => format!("no {name}"),
    };
    let context = format!("{}, {}, each document alone", around("bos", bos), around("eos", eos));
    let version = format!("stillflow {}", env!("CARGO_PKG_VERSION"));
    Ok(Identity {
        teacher,
        vocab_size: tokenizer.size,
        tokenizer,
        template: String::new(),
        context,
        values: profile.values,
        sampled: profile.is_sampled(),
        label: true,
        temperatures: Vec::new(),
        provenance: BTreeMap::from([("engine".to_owned(), version)]),
    })
}
