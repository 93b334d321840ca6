//! A plan as text.

use std::fmt::{self, Display, Formatter};

use super::{Bytes, Plan};
use crate::units::{bytes, count, duration, float, flops, thousands};

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.description.is_empty() {
            writeln!(f, "{}\n", self.description)?;
        }
        if !self.missing.is_empty() {
            writeln!(f, "to be set before a run: {}\n", self.missing.join(", "))?;
        }
        self.write_stages(f)?;
        self.write_shapes(f)?;
        self.write_flops(f)?;
        if !self.memory.is_empty() {
            write_bytes(
                f,
                "bytes on each device while distilling",
                &self.memory,
                self.memory_bytes(),
            )?;
        }
        write_bytes(f, "bytes on disk", &self.disk, self.disk_bytes())?;
        self.write_time(f)
    }
}

impl Plan {
    /// Each stage with what it reads and what it makes, and under it how much it does.
    fn write_stages(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "stages")?;
        let width = self.stages.iter().map(|stage| stage.name.len()).max().unwrap_or(0);
        for (i, stage) in self.stages.iter().enumerate() {
            let (reads, makes) = (stage.reads.join(" + "), stage.makes.join(" + "));
            writeln!(f, "  [ {:^width$} ]   {reads} ──▶ {makes}", stage.name)?;
            let line = if i + 1 < self.stages.len() { "│" } else { "" };
            writeln!(f, "    {line:^width$}     {}", stage.work)?;
        }
        writeln!(f)
    }

    fn write_shapes(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "shape                           teacher           student")?;
        for row in &self.shapes {
            let (before, after) = (thousands(row.teacher), thousands(row.student));
            let arrow = if row.teacher == row.student { " " } else { "→" };
            writeln!(f, "  {:<21} {before:>15} {arrow} {after:>15}", row.quantity)?;
        }
        writeln!(f, "\nparameters")?;
        for (what, before, after) in [
            ("embedding and head", self.teacher.embedding, self.student.embedding),
            ("non-embedding", self.teacher.non_embedding, self.student.non_embedding),
            ("total", self.teacher.total, self.student.total),
        ] {
            let share = 100.0 * float(after) / float(before.max(1));
            let (before, after) = (thousands(before), thousands(after));
            writeln!(f, "  {what:<21} {before:>15} → {after:>15}   {share:5.1}%")?;
        }
        writeln!(f)
    }

    fn write_flops(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "FLOPs a token (matrix products and attention; two a multiply-add)")?;
        for (what, forward) in
            [("teacher, forward", self.flops.teacher), ("student, forward", self.flops.student)]
        {
            let (total, attention, head) = (forward.total(), forward.attention, forward.head);
            writeln!(
                f,
                "  {what:<21} {:>15}   attention {}, head {}",
                flops(float(total)),
                flops(float(attention)),
                flops(float(head))
            )?;
        }
        for (what, each, formula) in [
            (
                "pretrain",
                self.flops.pretrain,
                "teacher: 3 forward, and its blocks again if recomputed",
            ),
            (
                "correct",
                self.flops.correct,
                "teacher: 3 forward, and its blocks again if recomputed",
            ),
            (
                "distil",
                self.flops.distil,
                "student: 3 forward, and its blocks again if recomputed; teacher: 1 forward, and as the student if it is corrected meanwhile",
            ),
            (
                "control",
                self.flops.control,
                "student: 3 forward, and its blocks again if recomputed",
            ),
        ] {
            if let Some(each) = each {
                writeln!(f, "  {what:<21} {:>15}   {formula}", flops(float(each)))?;
            }
        }
        if let (Some(steps), Some(tokens)) = (self.distil_steps, self.distil_tokens) {
            writeln!(f, "  distillation: {} steps, {} tokens", thousands(steps), count(tokens))?;
        }
        writeln!(f)
    }

    fn write_time(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let devices = match self.assumptions.num_devices {
            1 => "one device".to_string(),
            n => format!("{} devices", thousands(n)),
        };
        writeln!(
            f,
            "time, on {devices} achieving {} TFLOP/s in these FLOPs",
            self.assumptions.tflops
        )?;
        for stage in self.stages.iter().filter(|stage| stage.flops > 0.0) {
            writeln!(
                f,
                "  {:<21} {:>15} {:>15}",
                stage.name,
                flops(stage.flops),
                duration(stage.seconds)
            )?;
        }
        writeln!(
            f,
            "  {:<21} {:>15} {:>15}",
            "total",
            flops(self.total_flops),
            duration(self.total_seconds)
        )
    }
}

fn write_bytes(f: &mut Formatter<'_>, title: &str, kinds: &[Bytes], total: u64) -> fmt::Result {
    if kinds.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}")?;
    for kind in kinds {
        writeln!(f, "  {:<24} {:>12}   {}", kind.what, bytes(kind.bytes), kind.formula)?;
    }
    writeln!(f, "  {:<24} {:>12}\n", "total", bytes(total))
}
