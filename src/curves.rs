//! Curves over steps or tokens as SVG: a line each, named at its end, with the spread of its repeats.

use std::path::Path;

use plotters::prelude::*;

use crate::chart::{ChartError, FONT, draw, short};

/// The palette: told apart by people who see few colours, too (Okabe and Ito 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
];

/// A line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// `x`, `y` and how far `y` spreads to each side.
    pub points: Vec<(f64, f64, f64)>,
    /// Whether it is drawn in grey, behind the others.
    pub is_minor: bool,
}

/// Draws lines. The vertical axis spans what is drawn, so a flat top of one line does not press the others together.
///
/// # Errors
/// [`ChartError`] if it cannot be drawn or written.
pub fn curves(
    path: &Path,
    title: &str,
    [x_label, y_label]: [&str; 2],
    lines: &[Line],
) -> Result<(), ChartError> {
    let all = || lines.iter().flat_map(|line| &line.points);
    let finite = |(x, y, _): &&(f64, f64, f64)| x.is_finite() && y.is_finite();
    let right = all().filter(finite).map(|p| p.0).fold(0.0, f64::max).max(1e-9);
    let low = all().filter(finite).map(|p| p.1 - p.2).fold(f64::INFINITY, f64::min);
    let high = all().filter(finite).map(|p| p.1 + p.2).fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = if low < high { (low, high) } else { (low.min(0.0), low.min(0.0) + 1.0) };
    let margin = (high - low) * 0.06;
    let digits = if high - low < 0.2 { 3 } else { 2 };
    draw(path, (860, 460), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 18))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..right * 1.28, low - margin..high + margin)?;
        chart
            .configure_mesh()
            .x_desc(x_label)
            .y_desc(y_label)
            .x_label_formatter(&|x| short(*x))
            .y_label_formatter(&|y| format!("{y:.digits$}"))
            .label_style((FONT, 13))
            .light_line_style(TRANSPARENT)
            .draw()?;
        let mut ends: Vec<(f64, f64, String, RGBColor)> = Vec::new();
        let minor_first = lines.iter().filter(|line| line.is_minor);
        let ordered = minor_first.chain(lines.iter().filter(|line| !line.is_minor));
        for (index, line) in ordered.enumerate() {
            let minor = lines.iter().filter(|line| line.is_minor).count();
            let colour = match line.is_minor {
                true => RGBColor(190, 190, 190),
                false => COLOURS[(index - minor) % COLOURS.len()],
            };
            let points: Vec<(f64, f64)> =
                line.points.iter().filter(finite).map(|(x, y, _)| (*x, *y)).collect();
            let width = if line.is_minor { 1 } else { 2 };
            chart.draw_series(std::iter::once(PathElement::new(
                points.clone(),
                colour.stroke_width(width),
            )))?;
            chart.draw_series(line.points.iter().filter(finite).filter(|p| p.2 > 0.0).map(
                |(x, y, spread)| {
                    PathElement::new(
                        vec![(*x, y - spread), (*x, y + spread)],
                        colour.mix(0.5).stroke_width(1),
                    )
                },
            ))?;
            if let Some((x, y)) = points.last().filter(|_| !line.is_minor) {
                ends.push((*x, *y, line.name.clone(), colour));
            }
        }
        // Names at the ends of their lines, moved apart where they would lie on one another.
        ends.sort_by(|a, b| b.1.total_cmp(&a.1));
        let apart = (high - low + 2.0 * margin) * 0.045;
        let mut above = f64::INFINITY;
        for (x, y, name, colour) in ends {
            let at = y.min(above - apart);
            above = at;
            let style = (FONT, 12).into_font().color(&colour);
            chart.draw_series(std::iter::once(Text::new(
                name,
                (x + right * 0.01, at + apart * 0.3),
                style,
            )))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_named_and_no_number_and_no_line_is_no_panic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("curves.svg");
        let line = |name: &str, y: f64, is_minor| Line {
            name: name.to_owned(),
            points: vec![(0.0, y + 1.0, 0.1), (10.0, y, 0.0), (20.0, f64::NAN, 0.0)],
            is_minor,
        };
        let lines = [line("width < depth", 3.0, false), line("other", 3.5, true)];
        curves(&path, "losses", ["tokens", "cross-entropy"], &lines).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.contains("width &lt; depth") && !svg.contains("other") && !svg.contains("NaN"));
        curves(&path, "nothing", ["x", "y"], &[]).unwrap();
        curves(
            &path,
            "one",
            ["x", "y"],
            &[Line { points: vec![(1.0, 2.0, 0.0)], ..Line::default() }],
        )
        .unwrap();
    }
}
