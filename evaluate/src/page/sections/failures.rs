//! Section 5: where it fails.

use image::ImageError;
use maud::{Markup, html};

use super::images::{gallery, image, item, records};
use super::table;
use crate::page::Material;
use crate::page::notes::Note;
use crate::page::text::{count, counted, per_cent, percentage, split};
use crate::report::{Failures, LabelIssue, LabelIssues};

/// How many likely wrong labels are shown as pictures; the others are a list.
const PICTURES: usize = 48;

pub(crate) fn section(material: &Material<'_>) -> Result<Markup, ImageError> {
    let failures = &material.report.failures;
    let errors = records(material, &failures.confident_errors)?;
    let successes = records(material, &failures.unsure_successes)?;
    let issues =
        failures.label_issues.iter().map(|issues| label_issues(material, issues)).collect::<Result<Vec<_>, _>>()?;
    Ok(html! {
        h3 { "The most confident errors" }
        @if failures.confident_errors.is_empty() {
            p { "There is no error." }
        } @else {
            p { "The label, and what the model took the image for. Below, its probabilities in per cent: blue for the label, orange
                 for the answer. Where the label looks wrong, it may be." }
            (errors)
        }
        h3 { "The least confident successes" }
        @if failures.unsure_successes.is_empty() {
            p { "No image was classified rightly." }
        } @else {
            p { "Recognised, but only just." }
            (successes)
        }
        @if let Some(reason) = material.report.reason(Failures::TRAINING_LABELS) {
            h3 { "Likely wrong labels in the training split" }
            p { "They were not looked for: " (reason) "." }
        }
        @for issues in &issues { (issues) }
    })
}

fn label_issues(material: &Material<'_>, issues: &LabelIssues) -> Result<Markup, ImageError> {
    let (shown, listed) = issues.images_found.split_at(issues.images_found.len().min(PICTURES));
    let items = shown.iter().map(|issue| issue_item(material, issues, issue)).collect::<Result<Vec<_>, _>>()?;
    let left_out = issues.found - (issues.images_found.len() as u64).min(issues.found);
    Ok(html! {
        h3 { "Likely wrong labels in the " (split(issues.split)) " split" }
        p {
            "Confident learning" (Note::ConfidentLearning.mark()) " finds " (counted(issues.found, "image")) " of " (count(issues.images))
            " that are confidently of another class than their label"
            @if let Some(share) = issues.estimated_share { ", and estimates that " (percentage(share)) " of the labels are wrong, where images that could be of either class, or
             that the model has not learnt to tell apart, count as well" }
            ". The predictions are out of sample: " (issues.out_of_sample) "."
        }
        (gallery(&items))
        @if !listed.is_empty() {
            details {
                summary { "The next " (count(listed.len() as u64)) @if left_out > 0 { "; " (count(left_out)) " more are not listed" } }
                (table("More likely wrong labels", &["file", "label", "suggestion", "p(label), %", "p(suggestion), %"], html! {
                    @for issue in listed {
                        tr {
                            th.name scope="row" title=(issue.file) { (issue.file) }
                            td.name { (issue.label) }
                            td.name { (issue.suggestion) }
                            td { (per_cent(issue.label_probability)) }
                            td { (per_cent(issue.suggestion_probability)) }
                        }
                    }
                }, ""))
            }
        }
    })
}

fn issue_item(material: &Material<'_>, issues: &LabelIssues, issue: &LabelIssue) -> Result<Markup, ImageError> {
    let words = format!("labelled {}, likely {}", issue.label, issue.suggestion);
    let picture = image(material, issues.split, issue.row, &words)?;
    let answer = html! { (issue.label) ", rather " (issue.suggestion) };
    let details = html! {
        span { (percentage(issue.label_probability)) " against " (percentage(issue.suggestion_probability)) " " }
    };
    Ok(item(&picture, &answer, &details, issue.font.as_deref(), &issue.file))
}
