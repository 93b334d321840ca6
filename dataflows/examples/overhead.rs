//! What the dataflow itself costs: microseconds a step of distillation whose roles do nothing.
//!
//! `cargo run --release -p dataflows --example overhead [steps]`

#![expect(
    clippy::print_stdout,
    reason = "an example that measures says what it measured"
)]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use dataflows::graphs::{Distil, distil};
use dataflows::roles::{Commit, Feed, Identity, Judge, Learn, Part, Record, Staging, Waits};
use dataflows::{At, Failure, Halt, Shape, Span, Step, Stop};

#[derive(Clone, Copy)]
struct Nothing;

impl Feed for Nothing {
    type Batch = u64;
    fn feed(&mut self, at: At) -> Result<u64, Failure> {
        Ok(at.step.0)
    }
}
impl Learn for Nothing {
    type Lesson = u64;
    type Report = u64;
    type Snapshot = ();
    fn learn(&mut self, _: At, _: u64) -> Result<(), Failure> {
        Ok(())
    }
    fn update(&mut self, step: Step) -> Result<u64, Failure> {
        Ok(step.0)
    }
    fn snapshot(&mut self) {}
    fn part(&mut self, _: Step) -> Staging {
        Box::new(|| Ok(vec![]))
    }
}
impl Judge for Nothing {
    type Snapshot = ();
    type Verdict = ();
    fn judge(&mut self, _: Step, (): ()) -> Result<(), Failure> {
        Ok(())
    }
}
impl Record for Nothing {
    type Report = u64;
    type Verdict = ();
    fn report(&mut self, _: Step, _: u64, _: Waits) {}
    fn verdict(&mut self, _: Step, (): ()) {}
    fn part(&mut self, _: Step) -> Staging {
        Box::new(|| Ok(vec![]))
    }
}
impl Commit for Nothing {
    fn commit(&mut self, _: Step, _: Vec<Part>) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let steps = std::env::args()
        .nth(1)
        .map_or(Ok(5000), |steps| steps.parse())?;
    println!("workers  shards  µs/step");
    for workers in [1, 2] {
        for shards in [1, 2, 4, 8] {
            let span = Span {
                resume: 0,
                end: steps,
                every: 100,
            };
            let shape = Shape {
                workers,
                shards,
                window: 8,
                uncommitted: 100,
                span,
            };
            let mut best = f64::INFINITY;
            for _ in 0..3 {
                let roles = Distil {
                    feed: |_| Nothing,
                    teach: |_| Identity::new(),
                    learn: Nothing,
                    judge: Nothing,
                    record: Nothing,
                    commit: Nothing,
                    eval_every: 100,
                };
                let halt: Halt = Arc::new(|_| std::process::abort());
                let begun = Instant::now();
                distil(&shape, roles, &Stop::new(), halt)?;
                best = best.min(begun.elapsed().as_secs_f64() * 1e6 / steps as f64);
            }
            println!("{workers:7}  {shards:6}  {best:7.1}");
        }
    }
    Ok(())
}
