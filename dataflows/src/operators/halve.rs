//! The better part of each field goes on.

use std::collections::BTreeMap;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

use crate::time::Step;

/// What a candidate is worth: less is better, and what is no number is worst.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Verdict {
    /// Its number.
    pub candidate: u64,
    /// Its loss.
    pub loss: f64,
}

/// The best first; of two equal ones the one of the lower number.
pub fn rank(field: &mut [Verdict]) {
    let key = |verdict: &Verdict| if verdict.loss.is_nan() { f64::INFINITY } else { verdict.loss };
    field.sort_by(|a, b| key(a).total_cmp(&key(b)).then(a.candidate.cmp(&b.candidate)));
}

/// Extension trait for streams of verdicts, at the rung of the field that they are of.
pub trait Halve<'scope> {
    /// Brings the verdicts of all workers to worker 0. When a rung has its last, its field is ranked, and the best of it
    /// are sent at its rung, with the next: as many as `keep` says of the rung and its field.
    ///
    /// # Examples
    /// ```
    /// use dataflows::Step;
    /// use dataflows::operators::{Halve, Verdict};
    /// use timely::dataflow::operators::{Inspect, ToStream};
    ///
    /// timely::example(|scope| {
    ///     let mut expected = [(Step(1), 2), (Step(1), 0)].into_iter();
    ///     [5.0, 9.0, 3.0, 7.0]
    ///         .iter()
    ///         .zip(0..)
    ///         .map(|(loss, candidate)| Verdict { candidate, loss: *loss })
    ///         .to_stream(scope)
    ///         .container::<Vec<_>>()
    ///         .halve(|_rung, field| field.len() / 2)
    ///         .inspect(move |candidate| assert_eq!(Some(*candidate), expected.next()));
    /// });
    /// ```
    fn halve<K>(self, keep: K) -> StreamVec<'scope, u64, (Step, u64)>
    where
        K: FnMut(Step, &[Verdict]) -> usize + 'static;
}

impl<'scope> Halve<'scope> for StreamVec<'scope, u64, Verdict> {
    fn halve<K>(self, mut keep: K) -> StreamVec<'scope, u64, (Step, u64)>
    where
        K: FnMut(Step, &[Verdict]) -> usize + 'static,
    {
        let to_one = Exchange::new(|_: &Verdict| 0);
        self.unary_frontier(to_one, "Halve", move |_capability, _info| {
            let mut fields: BTreeMap<u64, (Vec<Verdict>, Capability<u64>)> = BTreeMap::new();
            move |(input, frontier), output| {
                let port = output.output_index();
                input.for_each(|capability, verdicts| {
                    let capability = capability.retain_least(port);
                    let capability = capability.expect("verdicts travel at their rung");
                    let field = fields.entry(*capability.time());
                    field.or_insert_with(|| (Vec::new(), capability)).0.append(verdicts);
                });
                while let Some(entry) = fields.first_entry() {
                    if frontier.less_equal(entry.key()) {
                        break;
                    }
                    let (rung, (mut field, capability)) = entry.remove_entry();
                    rank(&mut field);
                    let stay = keep(Step(rung), &field).min(field.len());
                    let best =
                        field[..stay].iter().map(|verdict| (Step(rung + 1), verdict.candidate));
                    output.session(&capability).give_iterator(best);
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_losses_the_lower_number_is_better_and_no_number_is_worst() {
        let mut field: Vec<Verdict> = [f64::NAN, 2.0, 1.0, 1.0, f64::INFINITY]
            .into_iter()
            .zip(0..)
            .map(|(loss, candidate)| Verdict { candidate, loss })
            .collect();
        rank(&mut field);
        let order: Vec<u64> = field.iter().map(|verdict| verdict.candidate).collect();
        assert_eq!(order, [2, 3, 1, 0, 4]);
    }
}
