//! Section 3: by Bayes.

use maud::{Markup, html};

use super::{table, table_with_heads};
use crate::page::Figures;
use crate::page::notes::Note;
use crate::page::svg::Figure;
use crate::page::svg::axes::{Axes, Axis};
use crate::page::svg::panels::Panels;
use crate::page::text::{count, estimate, or_undefined, per_cent, percentage, term, undefined};
use crate::report::{Bayes, ClassBayes, EstimatedPrior, Expectation, OtherPrior, Report};

pub(crate) fn section(report: &Report, figures: &mut Figures) -> Markup {
    let bayes = &report.bayes;
    html! {
        p {
            "When the model says “A”, how likely is it an A? That depends on three numbers: how many images are A's (the
             prior), how many of these it finds (recall), and how many others it takes for one (the false alarm rate). Bayes'
             theorem" (Note::Bayes.mark()) " turns them into the posterior, which is the precision."
        }
        (worked_example(bayes))
        (theorem(report, bayes))
        details {
            summary { "The same computation for every class" }
            @for class in &bayes.classes { (computation(report, class)) }
        }
        h3 { "Where the class is rarer" }
        p {
            "Recall belongs to the model, the prior to the place where it is used; the false alarm rate belongs to both, as it
             depends on which other classes there are. With these as frequent among themselves as here, a model that is mostly
             right may be mostly wrong where the class is rare enough. A prior that names all classes is answered below."
        }
        (figures.show(by_prevalence(bayes), &html! {
            "The posterior of each class against its prevalence, on a logarithmic scale. The dot is the split's own prior." }))
        (other_priors(report, bayes))
        (estimated(report, bayes))
    }
}

/// The theorem with the numbers of the class whose posterior is lowest.
fn worked_example(bayes: &Bayes) -> Markup {
    let with_posterior = bayes.classes.iter().filter_map(|class| Some((class, class.posterior?)));
    let Some((class, _)) = with_posterior.min_by(|(_, a), (_, b)| a.total_cmp(b)) else { return Markup::default() };
    let (Some(says_and_is), Some(says_and_is_not), Some(posterior)) =
        (class.says_and_is, class.says_and_is_not, class.posterior)
    else {
        return Markup::default();
    };
    // Whole images, so that they add up.
    let [of_class, found, false_alarms] =
        [class.prior, says_and_is, says_and_is_not].map(|share| (share * 10_000.0).round() as u64);
    html! {
        div.computation {
            p {
                "The least certain answer is “" strong { (class.class) } "”. Of 10,000 images, " (count(of_class))
                " are of this class, and the model finds " (count(found)) " of these. Of the other " (count(10_000 - of_class))
                " it takes " (count(false_alarms)) " for one too. So it says “" (class.class) "” " (count(found + false_alarms))
                " times, and is right in " (percentage(posterior)) "."
            }
            (sum(class))
        }
    }
}

fn computation(report: &Report, class: &ClassBayes) -> Markup {
    let reason = report.reason(&format!("bayes.classes.{}.posterior", class.class)).unwrap_or("undefined");
    html! {
        div.computation {
            p { strong { (class.class) } }
            @if class.posterior.is_some() { (sum(class)) } @else {
                p { "The posterior does not exist: " (reason) "." }
            }
        }
    }
}

/// The theorem with numbers, step by step.
fn sum(class: &ClassBayes) -> Markup {
    let name = &class.class;
    let prior = term(class.prior);
    html! {
        @if let (Some(recall), Some(false_alarm_rate), Some(hits), Some(says_and_is_not), Some(posterior)) =
            (class.recall, class.false_alarm_rate, class.says_and_is, class.says_and_is_not, class.posterior) {
            @let [recall, rate, hits, others] = [recall, false_alarm_rate, hits, says_and_is_not].map(term);
            p.sum { "P(is " (name) " given says " (name) ") = recall · prior / (recall · prior + false alarm rate · (1 − prior))" }
            @let rest = term(1.0 - class.prior);
            p.sum { "= " (recall) " · " (prior) " / (" (recall) " · " (prior) " + " (rate) " · " (rest) ")" }
            p.sum { "= " (hits) " / (" (hits) " + " (others) ") = " strong { (percentage(posterior)) }
                @if let Some(counted) = class.counted_precision { "; counted: " (percentage(counted)) } }
        }
    }
}

fn theorem(report: &Report, bayes: &Bayes) -> Markup {
    let images = bayes.classes.first().map_or(0, |class| class.posterior_after_images.len());
    let heads = html! {
        th scope="col" { "class" }
        th scope="col" { "prior, %" }
        th scope="col" { "recall, %" (Note::Recall.mark()) }
        th scope="col" { "false alarm rate, %" (Note::FalseAlarm.mark()) }
        th scope="col" { "posterior, %" (Note::Bayes.mark()) }
        th scope="col" { "counted, %" (Note::Precision.mark()) }
        @for number in 1..=images {
            th scope="col" { "after " (number) @if number == images { (Note::Updating.mark()) } }
        }
    };
    let rows = html! {
        @for class in &bayes.classes {
            @let counted = |field: &str| report.reason(&format!("by_class.classes.{}.{field}", class.class));
            @let unknown = report.reason(&format!("bayes.classes.{}.posterior", class.class));
            tr {
                th.name scope="row" { (class.class) }
                td { (per_cent(class.prior)) }
                td { (or_undefined(class.recall, per_cent, counted("recall"))) }
                td { (or_undefined(class.false_alarm_rate, per_cent, counted("false_alarm_rate"))) }
                td { strong { (or_undefined(class.posterior, per_cent, unknown)) } }
                td { (or_undefined(class.counted_precision, per_cent, counted("precision"))) }
                @for posterior in &class.posterior_after_images {
                    td { (or_undefined(*posterior, per_cent, unknown)) }
                }
            }
        }
    };
    html! {
        (table_with_heads("Bayes' theorem for each class", heads, rows, ""))
        p { "The last columns are the posterior in per cent after one, two and three images of the same letter in different
             fonts, all of them taken for the class: what is believed of each letter after an image is the prior of the next. All
             take the counted shares for the true ones, which a few images more would change: a share of 0 may be larger (section 2
             has its interval), and no posterior is 100 %." }
    }
}

fn by_prevalence(bayes: &Bayes) -> Figure {
    let names: Vec<&str> = bayes.classes.iter().map(|class| class.class.as_str()).collect();
    let low = bayes.prevalences.iter().copied().fold(0.5, f64::min);
    let high = bayes.prevalences.iter().copied().fold(low * 2.0, f64::max);
    let axes = |x, y| Axes::within(x, y, Axis::rates(low, high), Axis::percent("", 0.0, 1.0, 2));
    let draw = |index: usize, axes: &Axes| curve(bayes, &bayes.classes[index], axes);
    let Panels { width, height, drawing } = Panels::new(&names, ["prevalence, %", "posterior, %"], axes, draw);
    let rare = |class: &ClassBayes| {
        let place = bayes.prevalences.iter().position(|&prevalence| prevalence >= 0.01)?;
        let posterior = (*class.precision_by_prevalence.get(place)?)?;
        Some(format!(
            "{}: {} at a prevalence of {}",
            class.class,
            percentage(posterior),
            percentage(bayes.prevalences[place])
        ))
    };
    Figure {
        name: "precision-by-prevalence".to_owned(),
        title: "Precision against prevalence".to_owned(),
        description: format!(
            "A curve for each class; none rises as the class becomes rarer. {}.",
            bayes.classes.iter().filter_map(rare).collect::<Vec<_>>().join("; ")
        ),
        width,
        height,
        drawing,
    }
}

fn curve(bayes: &Bayes, class: &ClassBayes, axes: &Axes) -> Option<Markup> {
    let some = class.precision_by_prevalence.iter().any(Option::is_some);
    let points = bayes.prevalences.iter().copied().zip(class.precision_by_prevalence.iter().copied());
    some.then(|| {
        html! {
            (axes.line("first", points))
            @if let Some(posterior) = class.posterior {
                @let [prior, precision] = [class.prior, posterior].map(percentage);
                @let words = format!("{}: prior {prior}, posterior {precision}", class.class);
                (axes.point("second", class.prior, posterior, &words))
            }
        }
    })
}

fn other_priors(report: &Report, bayes: &Bayes) -> Markup {
    html! {
        h3 { "Other priors" }
        p {
            "What to expect where the classes are as frequent as given here, and look as they do in the split." (Note::OtherPriors.mark())
            " “Reweighed” is with the probabilities adjusted to that prior; otherwise the model's answers are taken as they are."
            (uncalibrated(report)) " All
             shares are in per cent; the small line is the 95 % interval, with the images taken as independent."
        }
        (table("Accuracy under other priors", &["prior", "accuracy", "reweighed"], html! {
            @for prior in &bayes.priors {
                @let reason = |field: &str| report.reason(&format!("bayes.priors.{}.{field}", prior.name));
                tr {
                    th.name scope="row" { (prior.name) }
                    td { (estimate(prior.unadjusted.accuracy, per_cent, reason("unadjusted.accuracy"))) }
                    td {
                        @match &prior.adjusted {
                            Some(adjusted) => (estimate(adjusted.accuracy, per_cent, reason("adjusted.accuracy"))),
                            None => (undefined(reason("adjusted"))),
                        }
                    }
                }
            }
        }, ""))
        (precision_by_prior(report, &bayes.priors))
        p { code { "evaluate --prior FILE" } " computes the same for other frequencies." }
    }
}

fn precision_by_prior(report: &Report, priors: &[OtherPrior]) -> Markup {
    let columns = |prior: &OtherPrior| [format!("{}: share", prior.name), "precision".into(), "reweighed".into()];
    let columns: Vec<String> = priors.iter().flat_map(columns).collect();
    let columns: Vec<&str> = ["class"].into_iter().chain(columns.iter().map(String::as_str)).collect();
    let share = |prior: &OtherPrior, which: &str, expectation: Option<&Expectation>, class: usize| {
        let place = format!("bayes.priors.{}.{which}", prior.name);
        let value = expectation.and_then(|expectation| expectation.precision.get(class).copied().flatten());
        let reason = report.reason(&format!("{place}.precision.{}", report.model.classes[class]));
        or_undefined(value, per_cent, reason.or_else(|| report.reason(&place)))
    };
    table(
        "Precision of each class under other priors",
        &columns,
        html! {
            @for (class, name) in report.model.classes.iter().enumerate() {
                tr {
                    th.name scope="row" { (name) }
                    @for prior in priors {
                        td { (prior.priors.get(class).map_or_else(|| undefined(None), |share| html! { (per_cent(*share)) })) }
                        td { (share(prior, "unadjusted", Some(&prior.unadjusted), class)) }
                        td { (share(prior, "adjusted", prior.adjusted.as_ref(), class)) }
                    }
                }
            }
        },
        "",
    )
}

/// A caveat where probabilities are used that no temperature has brought nearer to the truth.
fn uncalibrated(report: &Report) -> &'static str {
    if report.calibration.fitted.is_some() {
        ""
    } else {
        " No temperature could be fitted: what is computed from probabilities takes them as the model gives them, and may be far off."
    }
}

fn estimated(report: &Report, bayes: &Bayes) -> Markup {
    let Some(estimate) = &bayes.estimated_prior else {
        return html! {
            p { code { "evaluate --estimate-prior FILE.npy" } " estimates how frequent the classes are among images without labels." }
        };
    };
    let EstimatedPrior { images, expectation_maximisation, black_box_shift_estimation, .. } = estimate;
    let columns = ["class", "training, %", "answers, %", "by expectation maximisation, %", "by black box shift, %"];
    html! {
        h3 { "An unknown prior" }
        p {
            "How frequent the classes are among " (count(*images)) " images without labels: by expectation maximisation on the
             probabilities" (Note::ExpectationMaximisation.mark()) " and from the answers and the validation split's confusion matrix
             alone." (Note::BlackBoxShift.mark()) " Both take it that images of a class look as they did in training and in the
             validation split, and only the classes' frequencies differ; where that is so, the second asks nothing of the
             probabilities. Neither tells how far chance
             may have moved it." (uncalibrated(report))
            @if let Some(found) = expectation_maximisation {
                " The first took " (count(found.rounds.into())) " rounds" @if !found.converged { ", and had not converged" } "."
            }
        }
        (table("Estimated prior", &columns, html! {
            @for (class, name) in report.model.classes.iter().enumerate() {
                @let share = |shares: Option<&Vec<f64>>, field: &str| or_undefined(
                    shares.and_then(|shares| shares.get(class).copied()), per_cent,
                    report.reason(&format!("bayes.estimated_prior.{field}")));
                tr {
                    th.name scope="row" { (name) }
                    td { (share(estimate.training_prior.as_ref(), "training_prior")) }
                    td { (share(Some(&estimate.predicted_share), "predicted_share")) }
                    td { (share(expectation_maximisation.as_ref().map(|found| &found.priors), "expectation_maximisation")) }
                    td { (share(black_box_shift_estimation.as_ref().map(|found| &found.priors), "black_box_shift_estimation")) }
                }
            }
        }, ""))
    }
}
