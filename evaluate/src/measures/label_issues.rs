//! Labels that are likely wrong: confident learning (Northcutt 2021).

use crate::measures::outcomes::Outcomes;

/// What confident learning finds, before images have names.
#[derive(Debug, Clone, PartialEq)]
pub struct Confident {
    /// See [`crate::report::LabelIssues::thresholds`].
    pub thresholds: Vec<Option<f64>>,
    /// See [`crate::report::LabelIssues::confident_joint`].
    pub joint: Vec<Vec<u64>>,
    /// The rows off the joint's diagonal with the class each is confidently of, least probable label first.
    pub issues: Vec<(usize, u8)>,
}

/// Judges the labels by probabilities that are out of sample.
///
/// An image labelled i counts in `joint[i][j]` for the class j with the largest probability among those whose probability
/// reaches their threshold (section 3.1, eq. 1); one that reaches none is left out.
#[must_use]
pub fn find(outcomes: &Outcomes) -> Confident {
    let classes = outcomes.classes();
    let thresholds = thresholds(outcomes);
    let mut joint = vec![vec![0; classes]; classes];
    let mut issues = Vec::new();
    for (row, &label) in outcomes.labels.iter().enumerate() {
        if let Some(class) = confident_class(outcomes, row, &thresholds) {
            joint[usize::from(label)][usize::from(class)] += 1;
            if class != label {
                issues.push((row, class));
            }
        }
    }
    let self_confidence = |row: usize| outcomes.probabilities[[row, usize::from(outcomes.labels[row])]];
    issues.sort_by(|&(one, _), &(other, _)| self_confidence(one).total_cmp(&self_confidence(other)));
    Confident { thresholds, joint, issues }
}

fn thresholds(outcomes: &Outcomes) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0_usize); outcomes.classes()];
    for (row, &label) in outcomes.labels.iter().enumerate() {
        let (sum, count) = &mut sums[usize::from(label)];
        *sum += outcomes.probabilities[[row, usize::from(label)]];
        *count += 1;
    }
    sums.into_iter().map(|(sum, count)| (count > 0).then(|| sum / count as f64)).collect()
}

fn confident_class(outcomes: &Outcomes, row: usize, thresholds: &[Option<f64>]) -> Option<u8> {
    let probabilities = outcomes.probabilities.row(row);
    let reached = (0..=u8::MAX).zip(probabilities).zip(thresholds).filter_map(|((class, &probability), threshold)| {
        // The mean of equal numbers may be rounded to one just above them.
        (probability >= (*threshold)? - 1e-12).then_some((class, probability))
    });
    reached.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(class, _)| class)
}

impl Confident {
    /// The share of labels that is wrong: the joint with each row scaled to the number of its labels (eq. 3), off the
    /// diagonal. A row without confident images is taken as right. Nothing where no image is confident.
    #[must_use]
    pub fn estimated_share(&self, labels: &[u8]) -> Option<f64> {
        if self.joint.iter().flatten().all(|&images| images == 0) {
            return None;
        }
        let mut wrong = 0.0;
        for (class, row) in self.joint.iter().enumerate() {
            let confident: u64 = row.iter().sum();
            if confident > 0 {
                let labelled = labels.iter().filter(|&&label| usize::from(label) == class).count() as f64;
                wrong += labelled * (confident - row[class]) as f64 / confident as f64;
            }
        }
        Some(wrong / labels.len() as f64)
    }
}
