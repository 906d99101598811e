//! Expected values come from scikit-learn 1.9.1:
//!
//! ```python
//! from sklearn.metrics import precision_recall_fscore_support
//! precision_recall_fscore_support(true, predicted, labels=range(classes), zero_division=np.nan)
//! precision_recall_fscore_support(true, predicted, labels=range(classes), zero_division=np.nan, average="macro")
//! precision_recall_fscore_support(true, predicted, labels=range(classes), zero_division=np.nan, average="weighted")
//! ```

use super::*;

fn matrix(classes: usize, truth: &[u8], predicted: &[u8]) -> ConfusionMatrix {
    ConfusionMatrix::count(classes, truth.iter().copied().zip(predicted.iter().copied()))
}

fn judged(matrix: &ConfusionMatrix) -> (Vec<ClassFigures>, Vec<String>) {
    let names: Vec<_> = (0..matrix.classes()).map(|class| class.to_string()).collect();
    let mut reasons = Reasons::default();
    let classes = classes(matrix, &names, &mut reasons);
    (classes, reasons.into_list().into_iter().map(|undefined| undefined.figure).collect())
}

fn figures(matrix: ConfusionMatrix) -> Vec<ClassFigures> {
    judged(&matrix).0
}

/// Three classes of 5, 3 and 4 images.
fn twelve_images() -> ConfusionMatrix {
    matrix(3, &[0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2], &[0, 0, 0, 1, 2, 1, 1, 0, 2, 2, 1, 2])
}

fn assert_close(found: impl IntoIterator<Item = Option<f64>>, expected: &[Option<f64>]) {
    let found: Vec<_> = found.into_iter().collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let close = match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() < 1e-15,
            (found, expected) => found == expected,
        };
        assert!(close, "{found:?} is not {expected:?}");
    }
}

#[test]
fn the_figures_are_scikit_learn_s() {
    let figures = figures(twelve_images());
    assert_close(figures.iter().map(|class| class.recall.value), &[Some(0.6), Some(2.0 / 3.0), Some(0.75)]);
    assert_close(figures.iter().map(|class| class.precision.value), &[Some(0.75), Some(0.5), Some(0.75)]);
    assert_close(
        figures.iter().map(|class| class.f1.value),
        &[Some(2.0 / 3.0), Some(0.571_428_571_428_571_4), Some(0.75)],
    );
    let average = macro_average(&figures);
    let expected = [Some(0.672_222_222_222_222_2), Some(2.0 / 3.0), Some(0.662_698_412_698_412_7)];
    assert_close([average.recall, average.precision, average.f1], &expected);
    let average = weighted_average(&figures, &mut Reasons::default());
    let expected = [Some(2.0 / 3.0), Some(0.6875), Some(0.670_634_920_634_920_6)];
    assert_close([average.recall, average.precision, average.f1], &expected);
}

#[test]
fn priors_and_false_alarm_rates_are_those_worked_by_hand() {
    let figures = figures(twelve_images());
    assert_close(figures.iter().map(|class| Some(class.prior)), &[Some(5.0 / 12.0), Some(0.25), Some(1.0 / 3.0)]);
    // False positives by all images of other classes: 1 of 7, 2 of 9, 1 of 8.
    let expected = [Some(1.0 / 7.0), Some(2.0 / 9.0), Some(0.125)];
    assert_close(figures.iter().map(|class| class.false_alarm_rate.value), &expected);
    assert_eq!(
        figures.iter().map(|class| (class.support, class.predicted)).collect::<Vec<_>>(),
        [(5, 4), (3, 4), (4, 4)]
    );
}

#[test]
fn bayes_theorem_holds_for_every_class() {
    for class in figures(twelve_images()) {
        let (recall, false_alarms) = (class.recall.value.unwrap(), class.false_alarm_rate.value.unwrap());
        let posterior = recall * class.prior / (recall * class.prior + false_alarms * (1.0 - class.prior));
        assert_close([class.precision.value], &[Some(posterior)]);
    }
}

#[test]
fn what_does_not_exist_is_none_and_left_out_of_the_average_but_for_what_is_never_said() {
    // Class 1 is never predicted, class 2 has no image, class 3 neither.
    let figures = figures(matrix(4, &[0, 0, 0, 1, 1, 0], &[0, 0, 2, 0, 0, 0]));
    assert_close(figures.iter().map(|class| class.recall.value), &[Some(0.75), Some(0.0), None, None]);
    assert_close(figures.iter().map(|class| class.precision.value), &[Some(0.6), None, Some(0.0), None]);
    assert_close(figures.iter().map(|class| class.f1.value), &[Some(2.0 / 3.0), Some(0.0), Some(0.0), None]);
    let rates = [Some(1.0), Some(0.0), Some(1.0 / 6.0), Some(0.0)];
    assert_close(figures.iter().map(|class| class.false_alarm_rate.value), &rates);
    let average = macro_average(&figures);
    // That of class 1, which has images, counts as 0.
    assert_close([average.recall, average.precision, average.f1], &[Some(0.375), Some(0.2), Some(2.0 / 9.0)]);
}

#[test]
fn all_right_all_wrong_and_a_single_image() {
    let right = figures(matrix(2, &[0, 1, 1], &[0, 1, 1]));
    assert_eq!((macro_average(&right).recall, macro_average(&right).f1), (Some(1.0), Some(1.0)));
    assert_eq!(right[0].positive_likelihood_ratio.value, None);
    assert_eq!(right[0].negative_likelihood_ratio.value, Some(0.0));

    let wrong = figures(matrix(2, &[0, 1, 1], &[1, 0, 0]));
    assert_eq!((macro_average(&wrong).recall, macro_average(&wrong).false_alarm_rate), (Some(0.0), Some(1.0)));
    assert_eq!(wrong[0].positive_likelihood_ratio.value, Some(0.0));
    assert_eq!(wrong[0].negative_likelihood_ratio.value, None);

    let single = figures(matrix(2, &[1], &[1]));
    let of = |class: &ClassFigures| [class.recall.value, class.precision.value, class.false_alarm_rate.value];
    assert_eq!((of(&single[1]), of(&single[0])), ([Some(1.0), Some(1.0), None], [None, None, Some(0.0)]));
}

#[test]
fn every_figure_that_does_not_exist_has_its_reason() {
    let matrices = [
        matrix(3, &[0, 1, 2], &[0, 1, 2]),
        matrix(2, &[0, 1, 1], &[1, 0, 0]),
        matrix(2, &[1], &[1]),
        matrix(4, &[0, 0, 0, 1, 1, 0], &[0, 0, 2, 0, 0, 0]),
    ];
    for matrix in matrices {
        let (classes, reasons) = judged(&matrix);
        let mut missing = Vec::new();
        for class in &classes {
            let mut expect = |is_missing: bool, figure: &str| {
                if is_missing {
                    missing.push(format!("by_class.classes.{}.{figure}", class.class));
                }
            };
            let (positive, negative) = (class.positive_likelihood_ratio, class.negative_likelihood_ratio);
            expect(class.recall.value.is_none(), "recall");
            expect(class.specificity.value.is_none(), "specificity");
            expect(class.false_alarm_rate.value.is_none(), "false_alarm_rate");
            expect(class.precision.value.is_none(), "precision");
            expect(class.f1.value.is_none(), "f1");
            for (ratio, name) in [(positive, "positive_likelihood_ratio"), (negative, "negative_likelihood_ratio")] {
                expect(ratio.value.is_none(), name);
                assert!(ratio.value.is_none() || ratio.interval_95.is_some(), "{name} of {}", class.class);
            }
        }
        assert_eq!(reasons, missing);
        assert!(!missing.is_empty());
    }
}
