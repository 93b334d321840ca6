//! The dataflow alone: what it costs to hand a batch on, by payload, container, workers, processes and window.

use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dataflows::graphs::cluster::{Cluster, Listening, introduce};
use dataflows::graphs::{Container, Measured, Throughput, throughput};
use dataflows::{Failure, Halt};
use datasets::store::create_dir_all;
use datasets::table::{Column, Table};
use serde::Serialize;

use super::measurement::quantile;
use crate::chart::{Bar, bars};
use crate::error::Error;

/// How long processes may take to find one another.
const MEETING: Duration = Duration::from_secs(20);

/// An experiment on the dataflow.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Steps of a measurement.
    pub steps: u64,
    /// How often each is measured.
    pub repeats: u64,
    /// Where results go.
    pub out: PathBuf,
}

/// One setting, measured.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was varied.
    pub knob: &'static str,
    /// The setting.
    pub value: String,
    /// Bytes of a batch.
    pub payload_bytes: usize,
    /// Processes.
    pub processes: usize,
    /// Workers of each.
    pub workers: usize,
    /// Microseconds a batch: lowest, median, highest.
    pub batch_us: [f64; 3],
    /// Share of the batches that went to another worker.
    pub crossed_share: f64,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Costs {
    /// By setting.
    pub rows: Vec<Row>,
    /// Where the results are.
    pub out: PathBuf,
}

impl Costs {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let width = self.rows.iter().map(|row| row.value.chars().count()).max().unwrap_or(0);
        let mut text = format!(
            "{:9}  {:width$}  {:>10}  {:>20}  {:>8}  {:>7}\n",
            "knob", "setting", "us a batch", "lowest to highest", "GB/s", "crossed"
        );
        let mut last = "";
        for row in &self.rows {
            let [low, median, high] = row.batch_us;
            let knob = if row.knob == last { "" } else { row.knob };
            last = row.knob;
            #[expect(clippy::cast_precision_loss, reason = "a rate that is shown")]
            let rate = row.payload_bytes as f64 / median.max(1e-9) / 1e3;
            let spread = format!("{low:.2} to {high:.2}");
            text += &format!(
                "{knob:9}  {:width$}  {median:>10.2}  {spread:>20}  {rate:>8.2}  {:>6.0}%\n",
                row.value,
                row.crossed_share * 100.0
            );
        }
        text + &format!("\nresults and chart: {}", self.out.display())
    }
}

impl Graph {
    /// Measures all settings. `say` is told of each knob.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn run(&self, say: &dyn Fn(&str)) -> Result<Costs, Error> {
        create_dir_all(&self.out)?;
        let base = Throughput {
            payload_bytes: 64 << 10,
            container: Container::Page,
            exchange: true,
            per_step: 4,
            steps: self.steps,
            window: 8,
            workers: 2,
            serialize: false,
        };
        let mut rows = Vec::new();
        say("1/4: payload");
        for payload_bytes in [64, 4 << 10, 64 << 10, 1 << 20] {
            let graph = Throughput { payload_bytes, ..base };
            let value = format!("{payload_bytes} bytes, page, 2 workers");
            rows.push(self.measure("payload", value, &graph, 1)?);
        }
        say("2/4: container");
        for (name, container) in [
            ("records", Container::Records),
            ("bytes", Container::Bytes),
            ("page", Container::Page),
        ] {
            for (how, serialize, processes) in
                [("", false, 1), (", serialised", true, 1), (", 2 processes", false, 2)]
            {
                let workers = if processes > 1 { 1 } else { 2 };
                let graph = Throughput { container, serialize, workers, ..base };
                rows.push(self.measure("container", format!("{name}{how}"), &graph, processes)?);
            }
        }
        say("3/4: workers and processes");
        for (workers, processes) in [(1, 1), (2, 1), (4, 1), (1, 2), (2, 2)] {
            let graph = Throughput { workers, ..base };
            let value = format!("{processes} x {workers}");
            rows.push(self.measure("shape", value, &graph, processes)?);
        }
        say("4/4: window");
        for window in [1, 2, 4, 16, 64] {
            let graph = Throughput { window, ..base };
            rows.push(self.measure("window", format!("{window} steps"), &graph, 1)?);
        }
        self.write(&rows)?;
        Ok(Costs { rows, out: self.out.clone() })
    }

    fn measure(
        &self,
        knob: &'static str,
        value: String,
        graph: &Throughput,
        processes: usize,
    ) -> Result<Row, Error> {
        let mut times = Vec::new();
        let mut crossed_share = 0.0;
        for _ in 0..self.repeats.max(1) {
            let measured = match processes {
                1 => throughput(graph, None)?,
                _ => together(graph, processes)?,
            };
            if measured.digest != graph.digest() {
                return Err(Error::Lost { expected: graph.batches(), found: measured.batches });
            }
            #[expect(clippy::cast_precision_loss, reason = "a count of batches")]
            times.push(measured.seconds * 1e6 / measured.batches.max(1) as f64);
            crossed_share = measured.crossed_share();
        }
        times.sort_by(f64::total_cmp);
        let batch_us = [0.0, 0.5, 1.0].map(|share| quantile(&times, share));
        let (payload_bytes, workers) = (graph.payload_bytes, graph.workers);
        Ok(Row { knob, value, payload_bytes, processes, workers, batch_us, crossed_share })
    }

    fn write(&self, rows: &[Row]) -> Result<(), Error> {
        let text = |f: &dyn Fn(&Row) -> String| Column::Text(rows.iter().map(f).collect());
        let count = |f: &dyn Fn(&Row) -> u64| Column::U64(rows.iter().map(f).collect());
        let number = |f: &dyn Fn(&Row) -> f64| Column::F64(rows.iter().map(f).collect());
        let table = Table::new([
            ("knob", text(&|row| row.knob.to_owned())),
            ("value", text(&|row| row.value.clone())),
            ("payload_bytes", count(&|row| row.payload_bytes as u64)),
            ("processes", count(&|row| row.processes as u64)),
            ("workers", count(&|row| row.workers as u64)),
            ("batch_us_min", number(&|row| row.batch_us[0])),
            ("batch_us_median", number(&|row| row.batch_us[1])),
            ("batch_us_max", number(&|row| row.batch_us[2])),
            ("crossed_share", number(&|row| row.crossed_share)),
        ]);
        table.write(&self.out.join("results.parquet"))?;
        let bar = |row: &Row| {
            let [low, value, high] = row.batch_us;
            Bar { label: format!("{}: {}", row.knob, row.value), low, value, high }
        };
        let drawn: Vec<Bar> = rows.iter().map(bar).collect();
        bars(&self.out.join("batches.svg"), "Cost of handing a batch on", "us a batch", &drawn)?;
        Ok(())
    }
}

/// Runs the graph as several processes of this program, and adds up what they measured.
fn together(graph: &Throughput, processes: usize) -> Result<Measured, Error> {
    let program = std::env::current_exe().map_err(Error::io(Path::new("stillflow"), "find"))?;
    let failed = |operation| Error::io(&program, operation);
    let asked = serde_json::to_string(graph)
        .map_err(|error| Error::Process { reason: error.to_string() })?;
    let mut children = Vec::new();
    for _ in 0..processes {
        let mut command = Command::new(&program);
        command.args(["bench", "graph", "--process", &asked]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        children.push(command.spawn().map_err(failed("start"))?);
    }
    let mut ends = Vec::new();
    for child in &mut children {
        if let (Some(said), Some(heard)) = (child.stdout.take(), child.stdin.take()) {
            ends.push((BufReader::new(said), heard));
        }
    }
    let secret = u64::from(std::process::id());
    let met = introduce(&mut ends, secret).map_err(|source| Error::Cluster { source });
    let mut whole = Measured::default();
    let mut wrong = None;
    for (child, (said, _heard)) in children.iter_mut().zip(ends) {
        let status = child.wait().map_err(failed("wait for"))?;
        match serde_json::from_reader::<_, Measured>(said) {
            Ok(measured) if status.success() => whole = whole.and(measured),
            _ => wrong = Some(Error::Process { reason: status.to_string() }),
        }
    }
    met?;
    wrong.map_or(Ok(whole), Err)
}

/// One process of a measurement: meets the others by its standard input and output.
///
/// # Errors
/// See [`Error`].
pub fn process(asked: &str) -> Result<Measured, Error> {
    let graph: Throughput = serde_json::from_str(asked)
        .map_err(|error| Error::Process { reason: error.to_string() })?;
    let cluster = meet().map_err(|source| Error::Cluster { source })?;
    let halt: Halt = Arc::new(|failure: Failure| {
        let _ = writeln!(std::io::stderr(), "error: {failure}: {}", failure.cause);
        #[expect(clippy::exit, reason = "fail-stop: no process of a cluster goes on alone")]
        std::process::exit(1);
    });
    Ok(throughput(&graph, Some((cluster, halt)))?)
}

fn meet() -> Result<Cluster, dataflows::graphs::cluster::ClusterError> {
    let listening = Listening::on("127.0.0.1")?;
    listening.meet(&mut std::io::stdin().lock(), &mut std::io::stdout(), MEETING)
}
