//! Small charts as SVG: bars with their spread, and points with names.

use std::path::{Path, PathBuf};

use datasets::store::{StoreError, write_atomic};
use plotters::prelude::*;

const BLUE_GREY: RGBColor = RGBColor(69, 105, 144);
const ORANGE: RGBColor = RGBColor(214, 122, 48);
const WIDTH: u32 = 860;
const ROW: u32 = 26;
pub(crate) const FONT: &str = "sans-serif";

/// A chart that could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// The drawing library's complaint.
    #[error("the chart `{}` could not be drawn: {reason}", path.display())]
    Drawing {
        /// The chart.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// The file cannot be written.
    #[error("the chart `{}` cannot be written", path.display())]
    Store {
        /// The chart.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}

/// A bar, and the lowest and highest of what it is the middle of.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it is of.
    pub label: String,
    /// The lowest.
    pub low: f64,
    /// Its length.
    pub value: f64,
    /// The highest.
    pub high: f64,
}

impl Bar {
    /// A bar without a spread.
    pub fn new(label: impl Into<String>, value: f64) -> Self {
        Self { label: label.into(), low: value, value, high: value }
    }
}

/// Draws horizontal bars, the first at the top.
///
/// # Errors
/// [`ChartError`] if it cannot be drawn or written.
pub fn bars(path: &Path, title: &str, x_label: &str, bars: &[Bar]) -> Result<(), ChartError> {
    let rows = u32::try_from(bars.len().max(1)).unwrap_or(u32::MAX);
    let height = 110u32.saturating_add(ROW.saturating_mul(rows)).min(20_000);
    let most = bars.iter().map(|bar| bar.high.max(bar.value)).fold(0.0, f64::max);
    let longest = bars.iter().map(|bar| bar.label.chars().count()).max().unwrap_or(0);
    let margin = u32::try_from(longest).unwrap_or(40).min(40) * 7 + 16;
    draw(path, (WIDTH, height), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 18))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(margin)
            .build_cartesian_2d(0.0..most.max(f64::MIN_POSITIVE) * 1.06, 0.0..f64::from(rows))?;
        // The labels of rows are drawn beside them: the axis knows numbers alone.
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_desc(x_label)
            .x_label_formatter(&|x| short(*x))
            .label_style((FONT, 13))
            .light_line_style(TRANSPARENT)
            .draw()?;
        let at =
            |index: usize| f64::from(rows) - 0.5 - f64::from(u32::try_from(index).unwrap_or(0));
        chart.draw_series(bars.iter().enumerate().map(|(i, bar)| {
            Rectangle::new([(0.0, at(i) - 0.34), (bar.value, at(i) + 0.34)], BLUE_GREY.filled())
        }))?;
        chart.draw_series(bars.iter().enumerate().filter(|(_, bar)| bar.high > bar.low).map(
            |(i, bar)| {
                PathElement::new(vec![(bar.low, at(i)), (bar.high, at(i))], ORANGE.stroke_width(3))
            },
        ))?;
        for (i, bar) in bars.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(0.0, at(i)));
            let label: String = bar.label.chars().take(40).collect();
            let style = (FONT, 13).into_text_style(area);
            let style = style.pos(plotters::style::text_anchor::Pos::new(
                plotters::style::text_anchor::HPos::Right,
                plotters::style::text_anchor::VPos::Center,
            ));
            area.draw_text(&label, &style, (x - 6, y))?;
        }
        Ok(())
    })
}

/// Draws named points.
///
/// # Errors
/// [`ChartError`] if it cannot be drawn or written.
pub fn points(
    path: &Path,
    title: &str,
    [x_label, y_label]: [&str; 2],
    points: &[(String, f64, f64)],
) -> Result<(), ChartError> {
    let most = |f: fn(&(String, f64, f64)) -> f64| points.iter().map(f).fold(0.0, f64::max) * 1.15;
    let (right, top) = (most(|p| p.1), most(|p| p.2));
    draw(path, (WIDTH, 520), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 18))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..right.max(1e-9), 0.0..top.max(1e-9))?;
        chart
            .configure_mesh()
            .x_desc(x_label)
            .y_desc(y_label)
            .x_label_formatter(&|x| short(*x))
            .y_label_formatter(&|y| short(*y))
            .label_style((FONT, 13))
            .light_line_style(TRANSPARENT)
            .draw()?;
        chart.draw_series(
            points.iter().map(|(_, x, y)| Circle::new((*x, *y), 4, BLUE_GREY.filled())),
        )?;
        chart.draw_series(points.iter().map(|(name, x, y)| {
            Text::new(name.clone(), (*x + right * 0.01, *y), (FONT, 12).into_font())
        }))?;
        Ok(())
    })
}

pub(crate) type Drawing<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Paints on white, and writes it.
pub(crate) fn draw(
    path: &Path,
    size: (u32, u32),
    paint: impl FnOnce(&Drawing<'_>) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<(), ChartError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let painted = area
            .fill(&WHITE)
            .map_err(Into::into)
            .and_then(|()| paint(&area))
            .and_then(|()| area.present().map_err(Into::into));
        painted.map_err(|error| ChartError::Drawing {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    }
    write_atomic(path, |file| file.write_all(svg.as_bytes()))
        .map_err(|source| ChartError::Store { path: path.to_owned(), source })?;
    Ok(())
}

/// A number as an axis shows it: `1.5 M`, `320`, `0.25`.
pub(crate) fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, " G"),
        v if v >= 1e6 => (value / 1e6, " M"),
        v if v >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = if scaled.abs() >= 100.0 || scaled.fract().abs() < 1e-9 { 0 } else { 2 };
    format!("{scaled:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_hold_their_labels_and_numbers_and_odd_names_are_escaped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bars.svg");
        let spread = Bar { label: "a < b & c".into(), low: 1.0e6, value: 2.0e6, high: 3.0e6 };
        bars(&path, "speed", "tokens/s", &[spread, Bar::new("none", 0.0)]).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("none"), "{svg}");
        assert!(svg.contains("tokens/s") && svg.contains(" M"), "{svg}");
        bars(&path, "nothing", "x", &[]).unwrap();
        let named = [("PLAIN".to_owned(), 4.0, 1.5e9)];
        points(&path, "size and speed", ["bytes per token", "tokens/s"], &named).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("PLAIN"));
    }

    #[test]
    fn numbers_are_short() {
        let said = [0.25, 320.0, 45_000.0, 1.5e6, 2.0e9].map(short);
        assert_eq!(said, ["0.25", "320", "45 k", "1.50 M", "2 G"]);
    }
}
