//! What `stillflow show` says of a plan: a picture, a difference, or one plan out of two.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::Error;
use crate::heat_map::{HeatMap, Scored, heat_maps};
use crate::model::ModelConfig;
use crate::prune::written::{digest_scores, read_scores};
use crate::prune::{Axis, LayerPlan, PrunePlan};
use crate::recipe::read_plan;

/// The picture's name in a run directory.
const PICTURE: &str = "plan.svg";
/// Characters of a line where there is no terminal.
const WIDTH: usize = 80;

/// What a plan keeps, in numbers.
#[derive(Debug, Serialize)]
pub(super) struct Kept {
    layers: Vec<usize>,
    hidden_size: usize,
    intermediate_size: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    teacher: Option<String>,
    scores: Option<String>,
}

impl Kept {
    pub(super) fn of(plan: &PrunePlan) -> Self {
        let first = plan.layers.first();
        let groups = first.and_then(|layer| layer.kv_groups.as_ref());
        Self {
            layers: plan.layers.iter().map(|layer| layer.source).collect(),
            hidden_size: plan.hidden.len(),
            intermediate_size: first.map_or(0, |layer| layer.neurons.len()),
            num_attention_heads: first.map_or(0, |layer| layer.heads.len()),
            num_key_value_heads: groups.map(Vec::len),
            teacher: plan.teacher.clone(),
            scores: plan.scores.clone(),
        }
    }

    pub(super) fn text(&self) -> String {
        let Self { layers, hidden_size, intermediate_size, num_attention_heads, .. } = self;
        let merged =
            self.num_key_value_heads.map_or(String::new(), |n| format!(", {n} key-value heads"));
        format!(
            "kept: layers {}, {hidden_size} channels, {intermediate_size} neurons and {num_attention_heads} query heads a layer{merged}\n",
            ranges(layers)
        )
    }
}

/// `0–14, 31`.
fn ranges(ascending: &[usize]) -> String {
    let runs = ascending.chunk_by(|a, b| a + 1 == *b).filter_map(|run| {
        let (first, last) = (run.first()?, run.last()?);
        Some(if first == last { first.to_string() } else { format!("{first}–{last}") })
    });
    runs.collect::<Vec<_>>().join(", ")
}

/// The plan's file in a run directory; a plan is its own.
pub(super) fn plan_path(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("plan.toml") } else { path.to_owned() }
}

/// How two plans differ.
///
/// # Errors
/// [`Error::Recipe`] if one is none.
pub(super) fn difference(a: &Path, b: &Path) -> Result<Vec<String>, Error> {
    let (a, b) = (read_plan(&plan_path(a), None)?, read_plan(&plan_path(b), None)?);
    Ok(a.differences(&b))
}

/// The plan of `second`, whose teacher is the student of `first`, as a plan of the first's `teacher`: TOML.
///
/// # Errors
/// [`Error::Recipe`] if one is none, [`Error::Plan`] if they do not compose.
pub(super) fn composed(
    first: &Path,
    second: &Path,
    teacher: &ModelConfig,
) -> Result<String, Error> {
    let first = read_plan(&plan_path(first), Some(teacher))?;
    let path = plan_path(second);
    let second = read_plan(&path, Some(&first.student(teacher)))?;
    let plan = first.then(&second, teacher)?;
    toml::to_string(&plan).map_err(|error| Error::Malformed { path, reason: error.to_string() })
}

/// The scores of a run and what its plan keeps of them, for the terminal; and beside the plan as SVG. None where there
/// are no scores.
///
/// # Errors
/// [`Error::Chart`] if the picture cannot be drawn or written.
pub(super) fn picture(run: &Path, plan: Option<&PrunePlan>) -> Result<Option<String>, Error> {
    let dir = run.join("scores");
    let Ok(digest) = digest_scores(&dir) else { return Ok(None) };
    if let Some(found) = plan.and_then(|plan| plan.scores.as_ref()).filter(|d| **d != digest) {
        let dir = dir.display();
        return Ok(Some(format!(
            "the plan is not by the scores in `{dir}`, which are not drawn: expected {digest}, found {found}\n"
        )));
    }
    let maps: Vec<HeatMap> = [Axis::HiddenSize, Axis::IntermediateSize, Axis::NumAttentionHeads]
        .into_iter()
        .filter_map(|axis| Some(map(axis, &read_scores(&dir, axis)?, plan)))
        .collect();
    let path = run.join(PICTURE);
    heat_maps(&path, &format!("{}: scores by layer, and what is kept", run.display()), &maps)?;
    let terminal = std::io::stdout().is_terminal();
    let in_colour = terminal && std::env::var_os("NO_COLOR").is_none();
    let width = terminal.then(columns).flatten().unwrap_or(WIDTH);
    let mut text = String::new();
    for map in &maps {
        text.push_str(&map.text(width, in_colour));
        text.push('\n');
    }
    text.push_str(
        "a row: the layer, the mean of its scores, and the scores, on a scale of its own;\n",
    );
    text.push_str(if plan.is_none() {
        "nothing is planned yet\n"
    } else if in_colour {
        "above pale to dark, below what stays: blue is kept, orange is cut\n"
    } else {
        "below what stays: █ all, ▓ most, ░ some, · nothing\n"
    });
    text.push_str(&format!("picture: {}\n", path.display()));
    Ok(Some(text))
}

/// Characters of a line of the terminal that standard output is.
#[expect(unsafe_code, reason = "the system's call for it")]
fn columns() -> Option<usize> {
    // SAFETY: a `winsize` is four integers, for which zeros are values, and the call writes no more than one.
    let (size, asked) = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        let asked = libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size);
        (size, asked)
    };
    (asked == 0 && size.ws_col > 0).then(|| usize::from(size.ws_col))
}

fn map(axis: Axis, scores: &[Vec<f64>], plan: Option<&PrunePlan>) -> HeatMap {
    let of_layer = |layer: &'_ LayerPlan| match axis {
        Axis::IntermediateSize => layer.neurons.clone(),
        _ => layer.heads.clone(),
    };
    let kept = |row: usize| match (plan, axis) {
        (None, _) => None,
        (Some(plan), Axis::HiddenSize) => Some(plan.hidden.clone()),
        (Some(plan), _) => {
            let layer = plan.layers.iter().find(|layer| layer.source == row);
            Some(layer.map(of_layer).unwrap_or_default())
        }
    };
    let rows = scores.iter().enumerate().map(|(row, scores)| {
        let kept = kept(row);
        let mut stays = vec![kept.is_none(); scores.len()];
        for index in kept.unwrap_or_default() {
            if let Some(stays) = stays.get_mut(index) {
                *stays = true;
            }
        }
        let scored = scores.iter().zip(stays).map(|(score, kept)| Scored { score: *score, kept });
        let name = if axis == Axis::HiddenSize { "all".to_owned() } else { row.to_string() };
        (name, scored.collect())
    });
    HeatMap { title: axis.name().to_owned(), rows: rows.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_said_in_runs() {
        assert_eq!(ranges(&[0, 1, 2, 31]), "0–2, 31");
        assert_eq!(ranges(&[]), "");
    }
}
