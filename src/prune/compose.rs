//! Two plans as one: the first's student, cut by the second, is the first's teacher, cut by both.

use super::fit::PlanError;
use super::plan::{LayerPlan, PrunePlan, SCHEMA};
use crate::model::ModelConfig;

impl PrunePlan {
    /// This plan, then one of its student: a plan of this one's teacher.
    ///
    /// # Errors
    ///
    /// If either does not fit its model, or what the two say together is more than one plan can: heads added to heads
    /// that others were added to, a mean of groups of unequal sizes.
    pub fn then(&self, second: &Self, teacher: &ModelConfig) -> Result<Self, PlanError> {
        self.check(teacher)?;
        let student = self.student(teacher);
        second.check(&student)?;
        let layers = second.layers.iter().map(|layer| {
            let first = &self.layers[layer.source];
            compose(first, layer, &first.groups(teacher), &student)
        });
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let used = |plan: &Self| plan.layers.iter().any(|layer| !layer.add_back.is_empty());
        if used(self) && used(second) {
            return Err(cannot("both add removed heads back: the second would add sums of heads"));
        }
        let head_add_back = if used(second) { second.head_add_back } else { self.head_add_back };
        let plan = Self {
            schema: SCHEMA,
            teacher: self.teacher.clone(),
            scores: None,
            head_add_back,
            norm_gain: product(self.norm_gain, second.norm_gain),
            hidden: pick(&self.hidden, &second.hidden),
            layers,
        };
        plan.check(teacher)?;
        Ok(plan)
    }
}

fn cannot(reason: &str) -> PlanError {
    PlanError::Compose { reason: reason.to_owned() }
}

fn pick(of: &[usize], indices: &[usize]) -> Vec<usize> {
    indices.iter().map(|index| of[*index]).collect()
}

fn product(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a * b),
        (a, b) => a.or(b),
    }
}

fn compose(
    first: &LayerPlan,
    second: &LayerPlan,
    groups: &[Vec<usize>],
    student: &ModelConfig,
) -> Result<LayerPlan, PlanError> {
    let heads = pick(&first.heads, &second.heads);
    let mut merged = Vec::new();
    for group in second.groups(student) {
        let parts: Vec<&Vec<usize>> = group.iter().map(|head| &groups[*head]).collect();
        if parts.iter().any(|part| part.len() != parts[0].len()) {
            return Err(cannot(
                "the second merges key-value heads that are means of different numbers",
            ));
        }
        merged.push(parts.into_iter().flatten().copied().collect());
    }
    let mut add_back: Vec<[usize; 2]> =
        first.add_back.iter().filter(|[stays, _]| heads.contains(stays)).copied().collect();
    add_back.extend(second.add_back.iter().map(|pair| pair.map(|head| first.heads[head])));
    let norm_gains = match (first.norm_gains, second.norm_gains) {
        (Some([a, b]), Some([c, d])) => Some([a * c, b * d]),
        (a, b) => a.or(b),
    };
    Ok(LayerPlan {
        source: first.source,
        heads,
        neurons: pick(&first.neurons, &second.neurons),
        kv_groups: (first.kv_groups.is_some() || second.kv_groups.is_some()).then_some(merged),
        add_back,
        norm_gains,
    })
}
