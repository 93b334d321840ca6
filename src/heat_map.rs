//! Heat maps of scores by layer, with what is kept of each cell: for a terminal, and as SVG.
//!
//! A row has as many cells as fit. A cell of several scores shows their mean, and which share of them is kept. A row has a
//! scale of its own, as layers are ranked by themselves and differ by orders of magnitude: the square root of a score
//! over the row's largest; the row's mean stands before it.

use std::path::Path;

use plotters::prelude::*;

use crate::chart::{ChartError, FONT, draw};

/// One value and whether it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The score.
    pub score: f64,
    /// Whether it is kept.
    pub kept: bool,
}

/// Scores in rows of one scale.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// What they are of.
    pub title: String,
    /// A name, and the scores; rows may differ in length.
    pub rows: Vec<(String, Vec<Scored>)>,
}

/// A cell: the root of its mean over the row's largest, and the share that is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cell {
    heat: f64,
    kept: f64,
}

const SHADES: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

impl HeatMap {
    /// Rows of at most `columns` cells, which are equally many scores but for the last one's rounding.
    fn cells(&self, columns: usize) -> Vec<Vec<Cell>> {
        let longest = self.longest();
        let count = longest.min(columns.max(1)).max(1);
        let row = |scores: &[Scored]| -> Vec<Cell> {
            let cell = |i: usize| {
                let part = &scores[i * scores.len() / count..(i + 1) * scores.len() / count];
                let n = part.len().max(1) as f64;
                let heat = part.iter().map(|scored| scored.score).sum::<f64>() / n;
                let kept = part.iter().filter(|scored| scored.kept).count() as f64 / n;
                Cell { heat, kept }
            };
            (0..count.min(scores.len())).map(cell).collect()
        };
        let mut rows: Vec<Vec<Cell>> = self.rows.iter().map(|(_, scores)| row(scores)).collect();
        for row in &mut rows {
            let most = row.iter().map(|cell| cell.heat).fold(0.0, f64::max);
            for cell in row.iter_mut().filter(|_| most > 0.0) {
                cell.heat = (cell.heat.max(0.0) / most).sqrt();
            }
        }
        rows
    }

    fn longest(&self) -> usize {
        self.rows.iter().map(|(_, scores)| scores.len()).max().unwrap_or(0)
    }

    /// The names of the rows with their means, all of one width.
    fn labels(&self) -> Vec<String> {
        let width = self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let mean = |scores: &[Scored]| {
            scores.iter().map(|scored| scored.score).sum::<f64>() / scores.len().max(1) as f64
        };
        let label = |(name, scores): &(String, Vec<Scored>)| {
            format!("{name:>width$}  {:<7.1e}", mean(scores))
        };
        self.rows.iter().map(label).collect()
    }

    /// For a terminal of `width` characters. In colour a cell is one character, its upper half the score, its lower half
    /// what is kept; without, a row is a line of scores as heights and, if something goes, a line of shares that stay.
    #[must_use]
    pub fn text(&self, width: usize, in_colour: bool) -> String {
        let labels = self.labels();
        let label_width = labels.first().map_or(0, |label| label.chars().count());
        let rows = self.cells(width.saturating_sub(label_width + 3));
        let columns = rows.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let each = self.longest().div_ceil(columns);
        let of = if each > 1 { format!(", up to {each} a cell") } else { String::new() };
        let mut text = format!("{}{of}\n", self.title);
        for (label, cells) in labels.iter().zip(&rows) {
            text.push_str(&format!("  {label} "));
            if in_colour {
                for cell in cells {
                    let ([r, g, b], [x, y, z]) = (grey_to_red(cell.heat), cut_to_kept(cell.kept));
                    text.push_str(&format!("\x1b[38;2;{r};{g};{b};48;2;{x};{y};{z}m▀"));
                }
                text.push_str("\x1b[0m\n");
                continue;
            }
            text.extend(cells.iter().map(|cell| shade(cell.heat)));
            text.push('\n');
            if self.rows.iter().any(|(_, scores)| scores.iter().any(|scored| !scored.kept)) {
                text.push_str(&format!("  {:>label_width$} ", ""));
                text.extend(cells.iter().map(|cell| mark(cell.kept)));
                text.push('\n');
            }
        }
        text
    }
}

/// The height of a value from 0 to 1; only nothing is blank.
fn shade(value: f64) -> char {
    let steps = (SHADES.len() - 1) as f64;
    SHADES[whole((value.clamp(0.0, 1.0) * steps).ceil())]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "of numbers from 0 to some hundreds"
)]
fn whole(value: f64) -> usize {
    value as usize
}

/// What stays of a cell: all, more than half, less, nothing.
fn mark(kept: f64) -> char {
    match kept {
        k if k >= 1.0 => '█',
        k if k >= 0.5 => '▓',
        k if k > 0.0 => '░',
        _ => '·',
    }
}

fn between(from: [u8; 3], to: [u8; 3], share: f64) -> [u8; 3] {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 1.0 };
    std::array::from_fn(|i| {
        let (a, b) = (f64::from(from[i]), f64::from(to[i]));
        u8::try_from(whole((a + (b - a) * share).round())).unwrap_or(u8::MAX)
    })
}

/// Of a score: pale to dark red.
fn grey_to_red(heat: f64) -> [u8; 3] {
    between([246, 240, 232], [150, 20, 40], heat)
}

/// Of a share that stays: orange to blue.
fn cut_to_kept(kept: f64) -> [u8; 3] {
    between([235, 150, 60], [40, 90, 160], kept)
}

const CELLS: usize = 240;
const WIDTH: u32 = 960;
const ROW: i32 = 24;
const HEAD: i32 = 44;

/// Draws the maps, one below the other: of each cell the upper part is its score, the strip below what is kept of it.
///
/// # Errors
/// [`ChartError`] if it cannot be drawn or written.
pub fn heat_maps(path: &Path, title: &str, maps: &[HeatMap]) -> Result<(), ChartError> {
    let rows: usize = maps.iter().map(|map| map.rows.len()).sum();
    let pixels = |count: usize| i32::try_from(count).unwrap_or(i32::MAX / 4096);
    let height = 90 + pixels(rows) * ROW + pixels(maps.len()) * HEAD;
    let size = (WIDTH, u32::try_from(height).unwrap_or(u32::MAX));
    draw(path, size, |area| {
        let text = |at: (i32, i32), size: i32, words: &str| {
            area.draw_text(words, &(FONT, size).into_text_style(area), at)
        };
        text((14, 12), 18, title)?;
        legend(area)?;
        let mut top = 74;
        for map in maps {
            let columns = map.longest().clamp(1, CELLS);
            let each = map.longest().div_ceil(columns);
            let of = if each > 1 { format!(", up to {each} a cell") } else { String::new() };
            text((14, top), 14, &format!("{}: layer, mean score, scores{of}", map.title))?;
            top += 22;
            let labels = map.labels();
            let left = 22 + pixels(labels.first().map_or(0, String::len)) * 8;
            let room = i32::try_from(WIDTH).unwrap_or(i32::MAX) - left - 14;
            for (label, cells) in labels.iter().zip(map.cells(CELLS)) {
                text((14, top + 4), 12, label)?;
                let x = |i: usize| left + room * pixels(i) / pixels(columns);
                for (i, cell) in cells.into_iter().enumerate() {
                    let [r, g, b] = grey_to_red(cell.heat);
                    let upper = [(x(i), top), (x(i + 1), top + 15)];
                    area.draw(&Rectangle::new(upper, RGBColor(r, g, b).filled()))?;
                    let [r, g, b] = cut_to_kept(cell.kept);
                    let lower = [(x(i), top + 15), (x(i + 1), top + 20)];
                    area.draw(&Rectangle::new(lower, RGBColor(r, g, b).filled()))?;
                }
                top += ROW;
            }
            top += HEAD - 22;
        }
        Ok(())
    })
}

/// What the colours say.
fn legend(area: &crate::chart::Drawing<'_>) -> Result<(), Box<dyn std::error::Error>> {
    type Scale = fn(f64) -> [u8; 3];
    let scales: [(i32, &str, &str, Scale); 2] =
        [(14, "score: none", "the highest", grey_to_red), (330, "cut", "kept", cut_to_kept)];
    for (left, low, high, colour) in scales {
        let style = (FONT, 12).into_text_style(area);
        area.draw_text(low, &style, (left, 42))?;
        let start = left + 12 + 6 * i32::try_from(low.len()).unwrap_or(0);
        for i in 0..20 {
            let [r, g, b] = colour(f64::from(i) / 19.0);
            let corners = [(start + i * 6, 42), (start + i * 6 + 6, 54)];
            area.draw(&Rectangle::new(corners, RGBColor(r, g, b).filled()))?;
        }
        area.draw_text(high, &style, (start + 128, 42))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> HeatMap {
        let row = |scores: &[f64], kept: &[bool]| {
            let pairs = scores.iter().zip(kept);
            pairs.map(|(score, kept)| Scored { score: *score, kept: *kept }).collect()
        };
        HeatMap {
            title: "neurons".into(),
            rows: vec![
                ("0".into(), row(&[8.0, 0.0, 1.0, 4.0], &[true, false, false, true])),
                ("11".into(), row(&[2.0, 2.0, 6.0, 6.0], &[false, false, true, true])),
            ],
        }
    }

    #[test]
    fn a_line_has_heights_and_below_what_stays() {
        let expected = "neurons\n   0  3.2e0   █ ▃▆\n              █··█\n  11  4.0e0   ▅▅██\n              ··██\n";
        assert_eq!(map().text(80, false), expected);
        // Two scores a cell where there is no room: means 4 and 2.5, 2 and 6.
        let narrow = "neurons, up to 2 a cell\n   0  3.2e0   █▇\n              ▓▓\n  11  4.0e0   ▅█\n              ·█\n";
        assert_eq!(map().text(16, false), narrow);
        let mut whole = map();
        whole.rows.iter_mut().flat_map(|(_, row)| row).for_each(|scored| scored.kept = true);
        assert_eq!(whole.text(80, false), "neurons\n   0  3.2e0   █ ▃▆\n  11  4.0e0   ▅▅██\n");
    }

    #[test]
    fn in_colour_a_cell_is_one_character_and_colours_end_with_the_line() {
        let text = map().text(80, true);
        assert_eq!(text.matches('▀').count(), 8);
        assert!(text.lines().skip(1).all(|line| line.ends_with("\x1b[0m")), "{text:?}");
        assert!(text.contains("38;2;150;20;40;48;2;40;90;160m▀"), "the highest, kept: {text:?}");
    }

    #[test]
    fn what_is_not_a_number_is_drawn_as_the_most_and_nothing_as_nothing() {
        let mut odd = map();
        odd.rows[0].1[0].score = f64::NAN;
        odd.rows.push(("12".into(), vec![]));
        assert!(odd.text(80, true).contains("12"));
        assert_eq!(HeatMap { title: "none".into(), rows: vec![] }.text(80, false), "none\n");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.svg");
        heat_maps(&path, "a <plan>", &[odd, map()]).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.contains("a &lt;plan&gt;") && svg.contains("neurons"), "{svg}");
        assert_eq!(
            svg.matches("#EB963C").count(),
            4 + 4 + 1,
            "each cell that is cut, and the legend's end"
        );
    }
}
