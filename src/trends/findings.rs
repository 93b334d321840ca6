//! T1 to T12: the papers' claims, and what became of them.
//!
//! P1 is Muralidharan et al. 2024 (arXiv:2407.14679), P2 Sreenivas et al. 2024 (arXiv:2408.11796). Losses are
//! cross-entropies in nats a token, on text that nobody was trained on.

use serde::{Deserialize, Serialize};

use super::compare::{Verdict, both, less, mean_sd};
use super::results::Results;
use crate::curves::Line;
use crate::search::report::spearman;
use crate::units::float;

/// A claim of the papers.
pub struct Trend {
    /// `T1` …
    pub id: &'static str,
    /// What is claimed.
    pub claim: &'static str,
    /// The papers' own number.
    pub paper: &'static str,
    /// The arms that it takes.
    pub arms: &'static [&'static str],
    judge: fn(&Results) -> Option<Judged>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// The numbers in words.
    pub said: String,
    /// What was compared: a value a seed.
    pub rows: Vec<(String, Vec<f64>)>,
    /// What is drawn, if there is something to be.
    #[serde(skip)]
    pub lines: Vec<Line>,
    /// What its axes are.
    #[serde(skip)]
    pub axes: [&'static str; 2],
}

const LOSS: [&str; 2] = ["tokens", "held-out cross-entropy"];

impl Judged {
    /// The verdict for people; of one seed, whose spread nobody knows, it says so.
    #[must_use]
    pub fn verdict_said(&self) -> String {
        let seeds = self.rows.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        let alone = if seeds == 1 { ", by one seed" } else { "" };
        format!("{}{alone}", self.verdict.said())
    }
}

impl Trend {
    /// The verdict; none where an arm is missing.
    #[must_use]
    pub fn judge(&self, results: &Results) -> Option<Judged> {
        (self.judge)(results)
    }
}

/// All twelve, and the two that stand beside one of them.
pub const TRENDS: &[Trend] = &[
    Trend {
        id: "T1",
        claim: "a pruned beginning beats a random one, by more than 0.3 nats",
        paper: "P1 Table 1: 2.05 against 3.95",
        arms: &["control"],
        judge: t1,
    },
    Trend {
        id: "T2",
        claim: "importance beats random channels, before training and after",
        paper: "P2 Figure 6, in curves alone",
        arms: &["student", "random-channels"],
        judge: t2,
    },
    Trend {
        id: "T3",
        claim: "after pruning, distillation beats cross-entropy, at as many steps and as many FLOPs",
        paper: "P1 Table 14: MMLU 37.81 against 24.57 at as much compute",
        arms: &["student", "cross-entropy", "cross-entropy-longer"],
        judge: t3,
    },
    Trend {
        id: "T4",
        claim: "KL alone is no worse than KL with cross-entropy, and better than reverse KL",
        paper: "P1 Table 15: 2.107 against 2.117; Table 16, by depth: 2.155 against 2.665",
        arms: &["student", "mixed", "reverse-kl"],
        judge: t4,
    },
    Trend {
        id: "T5",
        claim: "a teacher that was corrected on the text makes a better student",
        paper: "P2 Figure 4: more than 6 % less loss",
        arms: &["shifted", "corrected"],
        judge: t5,
    },
    Trend {
        id: "T5b",
        claim: "correcting it while it teaches is as good",
        paper: "P2 Figure 5: on par",
        arms: &["corrected", "corrected-beside"],
        judge: t5b,
    },
    Trend {
        id: "T6",
        claim: "at as many parameters, width beats depth after distillation",
        paper: "P1 Table 13: 2.049 against 2.155",
        arms: &["student", "depth"],
        judge: t6,
    },
    Trend {
        id: "T7",
        claim: "before training, layers that are least missed alone cost less loss than a block of as many, and more right answers",
        paper: "P2 Figure 8, in curves alone; the block is better at Winogrande, 0.595 against 0.5",
        arms: &["depth", "depth-scattered"],
        judge: t7,
    },
    Trend {
        id: "T8",
        claim: "before training, the mean over the sequence beats L2 and variance, whatever the batch's",
        paper: "P1 Table 11: 7.18 to 8.34 against 8.18 to 10.55",
        arms: &[
            "mean,mean",
            "mean,l2",
            "mean,variance",
            "l2,mean",
            "l2,l2",
            "l2,variance",
            "variance,mean",
            "variance,l2",
            "variance,variance",
        ],
        judge: t8,
    },
    Trend {
        id: "T9",
        claim: "importance measured again in steps gains nothing after training",
        paper: "P1 Table 12: 1.92 with 1, 2 and 4 steps",
        arms: &["student", "importance-2", "importance-4"],
        judge: t9,
    },
    Trend {
        id: "T10",
        claim: "100 → 56 → 27 % beats 100 → 27 % at as many tokens",
        paper: "P1 Table 14: HellaSwag 52.04 against 51.04, MMLU 42.45 against 37.81",
        arms: &["control", "one-jump"],
        judge: t10,
    },
    Trend {
        id: "T11",
        claim: "hidden states beside the logits help where layers went, and only there",
        paper: "P1 Table 17: 2.141 against 2.155 by depth; Table 18: no gain by width",
        arms: &["student", "depth", "hidden", "hidden-depth"],
        judge: t11,
    },
    Trend {
        id: "T12",
        claim: "the order of candidates settles early: Spearman's ρ with the last order is above 0.9 from three quarters on",
        paper: "P1 Figure 9: stable from some 300 of 400 steps on",
        arms: &["search"],
        judge: t12,
    },
];

/// Means and spreads in words.
fn said(rows: &[(String, Vec<f64>)]) -> String {
    let row = |(name, values): &(String, Vec<f64>)| {
        let (mean, sd) = mean_sd(values);
        match values.len() {
            0 | 1 => format!("{name} {mean:.3}"),
            _ => format!("{name} {mean:.3} ± {sd:.3}"),
        }
    };
    rows.iter().map(row).collect::<Vec<_>>().join(", ")
}

fn judged(
    verdict: Verdict,
    rows: Vec<(&str, Vec<f64>)>,
    lines: Vec<Option<Line>>,
) -> Option<Judged> {
    let rows: Vec<_> = rows.into_iter().map(|(name, values)| (name.to_owned(), values)).collect();
    let lines = lines.into_iter().flatten().collect();
    Some(Judged { verdict, said: said(&rows), rows, lines, axes: LOSS })
}

/// That an arm gains nothing: reproduced unless it is better by more than the seeds' spread, then it is the opposite.
fn no_gain(arm: &[f64], than: &[f64]) -> Verdict {
    match less(arm, than, 0.0) {
        Verdict::Reproduced => Verdict::Opposite,
        Verdict::NotReproduced | Verdict::Opposite => Verdict::Reproduced,
    }
}

fn t1(r: &Results) -> Option<Judged> {
    let (student, control) = (r.losses("control", "student")?, r.losses("control", "control")?);
    let verdict = less(&student, &control, 0.3);
    judged(verdict, vec![("pruned", student), ("random", control)], vec![])
}

fn t2(r: &Results) -> Option<Judged> {
    let (a, b) = (r.losses("student", "pruned")?, r.losses("random-channels", "pruned")?);
    let (c, d) = (r.losses("student", "student")?, r.losses("random-channels", "student")?);
    let verdict = both(less(&a, &b, 0.0), less(&c, &d, 0.0));
    let rows =
        vec![("before: importance", a), ("random", b), ("after: importance", c), ("random", d)];
    judged(
        verdict,
        rows,
        vec![r.line("student", "importance"), r.line("random-channels", "random")],
    )
}

fn t3(r: &Results) -> Option<Judged> {
    let kl = r.losses("student", "student")?;
    let ce = r.losses("cross-entropy", "student")?;
    let longer = r.losses("cross-entropy-longer", "student")?;
    let verdict = both(less(&kl, &ce, 0.0), less(&kl, &longer, 0.0));
    let rows = vec![("KL", kl), ("cross-entropy", ce), ("cross-entropy at as many FLOPs", longer)];
    let lines = vec![
        r.line("student", "KL"),
        r.line("cross-entropy", "cross-entropy"),
        r.line("cross-entropy-longer", "as many FLOPs"),
    ];
    judged(verdict, rows, lines)
}

fn t4(r: &Results) -> Option<Judged> {
    let (kl, mixed) = (r.losses("student", "student")?, r.losses("mixed", "student")?);
    let reverse = r.losses("reverse-kl", "student")?;
    let verdict = both(no_gain(&mixed, &kl), less(&kl, &reverse, 0.0));
    let lines = vec![
        r.line("student", "KL"),
        r.line("mixed", "KL + cross-entropy"),
        r.line("reverse-kl", "reverse KL"),
    ];
    let rows = vec![("KL", kl), ("KL + cross-entropy", mixed), ("reverse KL", reverse)];
    judged(verdict, rows, lines)
}

fn t5(r: &Results) -> Option<Judged> {
    let before = r.losses("shifted", "student")?;
    let after = r.losses("corrected", "student")?;
    let verdict = less(&after, &before, 0.0);
    let lines = vec![r.line("shifted", "uncorrected"), r.line("corrected", "corrected")];
    let mut found = judged(
        verdict,
        vec![("uncorrected", before.clone()), ("corrected", after.clone())],
        lines,
    )?;
    let (before, after) = (mean_sd(&before).0, mean_sd(&after).0);
    found.said.push_str(&format!(": {:+.1} %", (after / before - 1.0) * 100.0));
    Some(found)
}

fn t5b(r: &Results) -> Option<Judged> {
    let before = r.losses("corrected", "student")?;
    let beside = r.losses("corrected-beside", "student")?;
    // On par: within one per cent of one another.
    let gap = mean_sd(&beside).0 / mean_sd(&before).0 - 1.0;
    let verdict = if gap < 0.01 { Verdict::Reproduced } else { Verdict::NotReproduced };
    let lines = vec![r.line("corrected", "before"), r.line("corrected-beside", "beside")];
    let mut found = judged(verdict, vec![("before", before), ("beside", beside)], lines)?;
    found.said.push_str(&format!(": {:+.1} %", gap * 100.0));
    Some(found)
}

fn t6(r: &Results) -> Option<Judged> {
    let (a, b) = (r.losses("student", "pruned")?, r.losses("depth", "pruned")?);
    let (width, depth) = (r.losses("student", "student")?, r.losses("depth", "student")?);
    let verdict = less(&width, &depth, 0.0);
    let rows = vec![("before: width", a), ("depth", b), ("after: width", width), ("depth", depth)];
    judged(verdict, rows, vec![r.line("student", "width"), r.line("depth", "depth")])
}

fn t7(r: &Results) -> Option<Judged> {
    let block = r.losses("depth", "pruned")?;
    let scattered = r.losses("depth-scattered", "pruned")?;
    let (c, d) = (r.losses("depth", "student")?, r.losses("depth-scattered", "student")?);
    let mut verdict = less(&scattered, &block, 0.0);
    let mut rows = vec![
        ("before: block", block),
        ("scattered", scattered),
        ("after: block", c),
        ("scattered", d),
    ];
    let answered = |arm: &str, model: &str| r.answered(arm, model);
    // The other half of the claim, where there is a probe: of right answers more is better.
    if let (Some(whole), Some(block), Some(scattered)) = (
        answered("depth", "teacher"),
        answered("depth", "pruned"),
        answered("depth-scattered", "pruned"),
    ) {
        verdict = both(verdict, less(&scattered, &block, 0.0));
        rows.extend([
            ("right answers: teacher", whole),
            ("block", block),
            ("scattered", scattered),
        ]);
    }
    judged(verdict, rows, vec![r.line("depth", "block"), r.line("depth-scattered", "scattered")])
}

fn t8(r: &Results) -> Option<Judged> {
    let names = ["mean", "l2", "variance"];
    let loss = |sequence: &str, batch: &str| r.losses(&format!("{sequence},{batch}"), "pruned");
    let mut rows = Vec::new();
    let mut verdicts = Vec::new();
    for batch in names {
        let mean = loss("mean", batch)?;
        for sequence in names {
            let other = loss(sequence, batch)?;
            if sequence != "mean" {
                verdicts.push(less(&mean, &other, 0.0));
            }
            rows.push((format!("{sequence},{batch}"), other));
        }
    }
    let verdict = verdicts.iter().copied().reduce(both)?;
    let held = verdicts.iter().filter(|verdict| **verdict == Verdict::Reproduced).count();
    let text = format!("(sequence, batch) {}: {held} of {} hold", said(&rows), verdicts.len());
    Some(Judged { verdict, said: text, rows, lines: Vec::new(), axes: LOSS })
}

fn t9(r: &Results) -> Option<Judged> {
    let once = r.losses("student", "student")?;
    let (two, four) = (r.losses("importance-2", "student")?, r.losses("importance-4", "student")?);
    let verdict = match [&two, &four].map(|again| no_gain(again, &once)) {
        [Verdict::Reproduced, Verdict::Reproduced] => Verdict::Reproduced,
        _ => Verdict::Opposite,
    };
    let lines = vec![
        r.line("student", "once"),
        r.line("importance-2", "twice"),
        r.line("importance-4", "four times"),
    ];
    judged(verdict, vec![("once", once), ("twice", two), ("four times", four)], lines)
}

fn t10(r: &Results) -> Option<Judged> {
    let two = r.losses("control", "then.quarter")?;
    let one = r.losses("one-jump", "student")?;
    judged(less(&two, &one, 0.0), vec![("two steps", two), ("one jump", one)], vec![])
}

/// What hidden states beside the logits gain where width was cut, and where layers went.
fn t11(r: &Results) -> Option<Judged> {
    let (width, depth) = (r.losses("student", "student")?, r.losses("depth", "student")?);
    let (wide, deep) = (r.losses("hidden", "student")?, r.losses("hidden-depth", "student")?);
    let verdict = both(no_gain(&wide, &width), less(&deep, &depth, 0.0));
    let lines = vec![
        r.line("student", "width"),
        r.line("hidden", "width, hidden states"),
        r.line("depth", "depth"),
        r.line("hidden-depth", "depth, hidden states"),
    ];
    let rows = vec![
        ("width", width),
        ("with hidden states", wide),
        ("depth", depth),
        ("with hidden states", deep),
    ];
    judged(verdict, rows, lines)
}

/// Of each seed's search, ρ of the order at each step with the last.
fn t12(r: &Results) -> Option<Judged> {
    let mut by_seed: Vec<Vec<(u64, f64)>> = Vec::new();
    for outcome in r.arms.get("search").filter(|outcomes| !outcomes.is_empty())? {
        let curves: Vec<&Vec<(u64, f64)>> = outcome
            .found
            .as_ref()?
            .candidates
            .iter()
            .map(|c| &c.curve)
            .filter(|c| !c.is_empty())
            .collect();
        let at = |i: usize| -> Option<Vec<f64>> {
            curves.iter().map(|curve| curve.get(i).map(|point| point.1)).collect()
        };
        let points = curves.first()?.len();
        let last = at(points.checked_sub(1)?)?;
        let rho = (0..points).filter_map(|i| Some((curves[0][i].0, spearman(&at(i)?, &last)?)));
        by_seed.push(rho.collect());
    }
    let points = by_seed.iter().map(Vec::len).min()?;
    let values = |i: usize| -> Vec<f64> { by_seed.iter().map(|seed| seed[i].1).collect() };
    let from = points * 3 / 4;
    let settled = (from..points).all(|i| mean_sd(&values(i)).0 > 0.9);
    let verdict = if settled { Verdict::Reproduced } else { Verdict::NotReproduced };
    let line = Line {
        name: "ρ with the last order".to_owned(),
        points: (0..points)
            .map(|i| {
                let (mean, sd) = mean_sd(&values(i));
                (float(by_seed[0][i].0 * r.step_tokens), mean, sd)
            })
            .collect(),
        is_minor: false,
    };
    let rows = [0, points / 4, points / 2, from.min(points - 1)];
    let rows: Vec<_> =
        rows.into_iter().map(|i| (format!("ρ at step {}", by_seed[0][i].0), values(i))).collect();
    Some(Judged {
        verdict,
        said: said(&rows),
        rows,
        lines: vec![line],
        axes: ["tokens", "Spearman's ρ"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trends::arms::named;
    use crate::trends::results::Outcome;

    fn arm(losses: &[(&str, f64)]) -> Vec<Outcome> {
        let losses =
            |shift: f64| losses.iter().map(|(m, l)| ((*m).to_owned(), l + shift)).collect();
        [0.0, 0.01, -0.01]
            .map(|shift| Outcome {
                losses: losses(shift),
                curve: vec![(10, 4.0 + shift)],
                ..Outcome::default()
            })
            .to_vec()
    }

    #[test]
    fn every_arm_of_a_trend_is_one_and_a_missing_one_gives_no_verdict() {
        for trend in TRENDS {
            assert!(trend.arms.iter().all(|arm| named(arm).is_some()), "{}", trend.id);
            assert!(trend.judge(&Results::default()).is_none(), "{}", trend.id);
        }
    }

    #[test]
    fn verdicts_follow_the_losses() {
        let mut r = Results { step_tokens: 100, ..Results::default() };
        let mut put =
            |name: &str, losses: &[(&str, f64)]| r.arms.insert(name.to_owned(), arm(losses));
        put("control", &[("student", 3.0), ("control", 4.0), ("then.quarter", 3.5)]);
        put("student", &[("pruned", 6.0), ("student", 3.0)]);
        put("depth", &[("pruned", 5.0), ("student", 3.2)]);
        put("mixed", &[("student", 3.1)]);
        put("reverse-kl", &[("student", 2.9)]);
        put("one-jump", &[("student", 3.5)]);
        let verdict = |id: &str| {
            let trend = TRENDS.iter().find(|trend| trend.id == id).unwrap();
            trend.judge(&r).unwrap().verdict
        };
        assert_eq!(verdict("T1"), Verdict::Reproduced);
        assert_eq!(verdict("T4"), Verdict::NotReproduced, "one half of it holds");
        assert_eq!(verdict("T6"), Verdict::Reproduced);
        assert_eq!(verdict("T10"), Verdict::NotReproduced);
        let t6 = TRENDS.iter().find(|trend| trend.id == "T6").unwrap().judge(&r).unwrap();
        assert!(t6.said.starts_with("before: width 6.000 ± 0.010, depth 5.000"), "{}", t6.said);
        assert_eq!(t6.lines[0].points[0].0, 0.0);
    }
}
