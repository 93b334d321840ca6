//! One page: a table of the verdicts, and for each trend the claim, the papers' number, ours and a picture.

use std::path::Path;

use datasets::store::write_atomic;
use serde::Serialize;

use super::compare::{Verdict, mean_sd};
use super::findings::{Judged, TRENDS, Trend};
use super::results::Results;
use crate::curves::curves;
use crate::error::Error;

/// What became of every trend.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How it was made, a line a fact.
    pub made: Vec<String>,
    /// By trend; nothing where arms are missing.
    pub trends: Vec<(String, Option<Judged>)>,
}

impl Report {
    /// Judges what is there.
    #[must_use]
    pub fn of(results: &Results, made: Vec<String>) -> Self {
        let judged = |trend: &Trend| (trend.id.to_owned(), trend.judge(results));
        Self { made, trends: TRENDS.iter().map(judged).collect() }
    }

    fn each(&self) -> impl Iterator<Item = (&Trend, Option<&Judged>)> {
        TRENDS.iter().zip(&self.trends).map(|(trend, (_, judged))| (trend, judged.as_ref()))
    }

    /// For the terminal: a trend, its verdict and numbers.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (trend, judged) in self.each() {
            let verdict = judged.map_or_else(|| "not run".to_owned(), Judged::verdict_said);
            text.push_str(&format!("{:>4}  {verdict}: {}\n", trend.id, trend.claim));
            if let Some(judged) = judged {
                text.push_str(&format!("      {}\n", judged.said));
            }
            text.push_str(&format!("      {}\n", trend.paper));
        }
        text
    }

    /// Writes `report.html`, `report.json` and a picture of each trend that has one.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let mut page = String::from(HEAD);
        for line in &self.made {
            page.push_str(&format!("<p class=\"made\">{}</p>\n", escaped(line)));
        }
        page.push_str("<table><tr><th></th><th>claim</th><th>verdict</th></tr>\n");
        for (trend, judged) in self.each() {
            let (class, verdict) = verdict(judged);
            page.push_str(&format!(
                "<tr><td><a href=\"#{0}\">{0}</a></td><td>{1}</td><td class=\"{class}\">{verdict}</td></tr>\n",
                trend.id,
                escaped(trend.claim)
            ));
        }
        page.push_str("</table>\n");
        for (trend, judged) in self.each() {
            let (class, verdict) = verdict(judged);
            page.push_str(&format!(
                "<h2 id=\"{0}\">{0} <span class=\"{class}\">{verdict}</span></h2>\n<p>{1}</p>\n<p class=\"made\">{2}</p>\n",
                trend.id,
                escaped(trend.claim),
                escaped(trend.paper)
            ));
            let Some(judged) = judged else { continue };
            page.push_str(&table(judged));
            if !judged.lines.is_empty() {
                let picture = dir.join(format!("{}.svg", trend.id));
                curves(&picture, trend.id, judged.axes, &judged.lines)?;
                let svg = std::fs::read_to_string(&picture).map_err(Error::io(&picture, "read"))?;
                page.push_str(&svg);
            }
        }
        page.push_str("</body></html>\n");
        write_atomic(&dir.join("report.html"), |file| file.write_all(page.as_bytes()))?;
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        write_atomic(&dir.join("report.json"), |file| writeln!(file, "{json}"))?;
        Ok(())
    }
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>trends</title><style>
body { font: 15px/1.5 sans-serif; max-width: 900px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: 2px 12px 2px 0; text-align: left; vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums } .made { color: #666; margin: 0 }
.reproduced { color: #00735c } .not { color: #777 } .opposite { color: #b34700 } h2 span { font-weight: normal }
svg { max-width: 100%; height: auto }
</style></head><body><h1>The papers' findings on a small teacher</h1>
";

fn verdict(judged: Option<&Judged>) -> (&'static str, String) {
    let Some(judged) = judged else { return ("not", "not run".to_owned()) };
    let class = match judged.verdict {
        Verdict::Reproduced => "reproduced",
        Verdict::NotReproduced => "not",
        Verdict::Opposite => "opposite",
    };
    (class, judged.verdict_said())
}

fn table(judged: &Judged) -> String {
    let seeds = judged.rows.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let mut text = String::from("<table><tr><th></th><th>mean</th><th>sd</th>");
    (1..=seeds).for_each(|seed| text.push_str(&format!("<th>seed {seed}</th>")));
    text.push_str("</tr>\n");
    for (name, values) in &judged.rows {
        let (mean, sd) = mean_sd(values);
        text.push_str(&format!(
            "<tr><td>{}</td><td class=\"n\">{mean:.4}</td><td class=\"n\">{sd:.4}</td>",
            escaped(name)
        ));
        values.iter().for_each(|value| text.push_str(&format!("<td class=\"n\">{value:.4}</td>")));
        text.push_str("</tr>\n");
    }
    text.push_str("</table>\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
