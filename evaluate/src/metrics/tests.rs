//! Expected values come from scikit-learn 1.9.1 and statsmodels 0.15.0:
//!
//! ```python
//! from sklearn.metrics import precision_recall_fscore_support
//! from statsmodels.stats.proportion import proportion_confint
//! precision_recall_fscore_support(true, predicted, labels=range(classes), zero_division=np.nan)
//! precision_recall_fscore_support(true, predicted, labels=range(classes), zero_division=np.nan, average="macro")
//! proportion_confint(successes, total, method="wilson")
//! ```

use super::*;

fn matrix(classes: usize, truth: &[u8], predicted: &[u8]) -> ConfusionMatrix {
    ConfusionMatrix::count(classes, truth.iter().copied().zip(predicted.iter().copied()))
}

fn figures(matrix: &ConfusionMatrix) -> Vec<ClassFigures> {
    let names: Vec<_> = (0..matrix.rows().len()).map(|class| class.to_string()).collect();
    matrix.per_class(&names)
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
fn rows_are_true_classes_and_columns_predicted_ones() {
    assert_eq!(twelve_images().rows(), [[3, 1, 1], [1, 2, 0], [0, 1, 3]]);
}

#[test]
fn the_figures_are_scikit_learn_s() {
    let figures = figures(&twelve_images());
    assert_close(figures.iter().map(|class| class.recall), &[Some(0.6), Some(2.0 / 3.0), Some(0.75)]);
    assert_close(figures.iter().map(|class| class.precision), &[Some(0.75), Some(0.5), Some(0.75)]);
    assert_close(figures.iter().map(|class| class.f1), &[Some(2.0 / 3.0), Some(0.571_428_571_428_571_4), Some(0.75)]);
    let average = MacroAverage::of(&figures);
    let expected = [Some(0.672_222_222_222_222_2), Some(2.0 / 3.0), Some(0.662_698_412_698_412_7)];
    assert_close([average.recall, average.precision, average.f1], &expected);
}

#[test]
fn priors_and_false_alarm_rates_are_those_worked_by_hand() {
    let figures = figures(&twelve_images());
    assert_close(figures.iter().map(|class| Some(class.prior)), &[Some(5.0 / 12.0), Some(0.25), Some(1.0 / 3.0)]);
    // False positives by all images of other classes: 1 of 7, 2 of 9, 1 of 8.
    let expected = [Some(1.0 / 7.0), Some(2.0 / 9.0), Some(0.125)];
    assert_close(figures.iter().map(|class| class.false_alarm_rate), &expected);
    assert_eq!(
        figures.iter().map(|class| (class.support, class.predicted)).collect::<Vec<_>>(),
        [(5, 4), (3, 4), (4, 4)]
    );
}

#[test]
fn bayes_theorem_holds_for_every_class() {
    for class in figures(&twelve_images()) {
        let (recall, false_alarms) = (class.recall.unwrap(), class.false_alarm_rate.unwrap());
        let posterior = recall * class.prior / (recall * class.prior + false_alarms * (1.0 - class.prior));
        assert_close([class.precision], &[Some(posterior)]);
    }
}

#[test]
fn what_does_not_exist_is_none_and_left_out_of_the_average() {
    // Class 1 is never predicted, class 2 has no image, class 3 neither.
    let figures = figures(&matrix(4, &[0, 0, 0, 1, 1, 0], &[0, 0, 2, 0, 0, 0]));
    assert_close(figures.iter().map(|class| class.recall), &[Some(0.75), Some(0.0), None, None]);
    assert_close(figures.iter().map(|class| class.precision), &[Some(0.6), None, Some(0.0), None]);
    assert_close(figures.iter().map(|class| class.f1), &[Some(2.0 / 3.0), Some(0.0), Some(0.0), None]);
    let rates = [Some(1.0), Some(0.0), Some(1.0 / 6.0), Some(0.0)];
    assert_close(figures.iter().map(|class| class.false_alarm_rate), &rates);
    let average = MacroAverage::of(&figures);
    assert_close([average.recall, average.precision, average.f1], &[Some(0.375), Some(0.3), Some(2.0 / 9.0)]);
}

#[test]
fn all_right_all_wrong_and_a_single_image() {
    let right = matrix(2, &[0, 1, 1], &[0, 1, 1]);
    assert_eq!((right.accuracy().correct, right.accuracy().value), (3, 1.0));
    assert_eq!(MacroAverage::of(&figures(&right)).f1, Some(1.0));

    let wrong = matrix(2, &[0, 1, 1], &[1, 0, 0]);
    assert_eq!((wrong.accuracy().correct, wrong.accuracy().value), (0, 0.0));
    assert_eq!(MacroAverage::of(&figures(&wrong)).false_alarm_rate, Some(1.0));

    let single = figures(&matrix(2, &[1], &[1]));
    assert_eq!((single[1].recall, single[1].precision, single[1].false_alarm_rate), (Some(1.0), Some(1.0), None));
    assert_eq!((single[0].recall, single[0].precision, single[0].false_alarm_rate), (None, None, Some(0.0)));
}

#[test]
fn wilson_intervals_are_statsmodels_s() {
    for (successes, total, expected) in [
        (0, 10, [0.0, 0.277_532_799_862_889_26]),
        (10, 10, [0.722_467_200_137_110_6, 1.0]),
        (1, 1, [0.206_549_314_377_237_4, 1.0]),
        (0, 1, [0.0, 0.793_450_685_622_762_7]),
        (1, 2, [0.094_531_205_734_230_68, 0.905_468_794_265_769_3]),
        (81, 263, [0.255_288_519_878_274_2, 0.366_209_576_982_800_04]),
        (17_250, 18_724, [0.917_333_131_067_494_3, 0.925_049_053_483_176_7]),
    ] {
        let found = wilson_interval(successes, total);
        assert_close(found.map(Some), &expected.map(Some));
    }
    assert_eq!(wilson_interval(0, 0), [0.0, 1.0]);
}

#[test]
fn wilson_intervals_end_exactly_at_0_and_1() {
    for total in 1..1000 {
        assert_eq!((wilson_interval(0, total)[0], wilson_interval(total, total)[1]), (0.0, 1.0));
    }
}
