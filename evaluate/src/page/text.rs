//! Numbers as words, and what is undefined as a dash.

use artifacts::{ModelDescription, SplitName};
use maud::{Markup, html};
pub(crate) use terminal::{counted, grouped as count};

use crate::report::{Estimate, Proportion, Ratio};

/// What neither HTML nor XML takes, such as a control character in a file's name, becomes the replacement character.
pub(crate) fn printable(text: &str) -> String {
    let is_printable = |c: &char| matches!(c, '\t' | '\n' | ' '..='\u{7e}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if is_printable(&c) { c } else { '\u{fffd}' }).collect()
}

/// A split's name as a word.
pub(crate) fn split(name: SplitName) -> &'static str {
    match name {
        SplitName::Train => "training",
        SplitName::Valid => "validation",
        SplitName::Test => "test",
    }
}

/// A network by its sizes: "784–256–10".
pub(crate) fn network(model: &ModelDescription) -> String {
    let sizes = model.sizes().iter().map(ToString::to_string).collect::<Vec<_>>().join("–");
    match model.groups.get() {
        1 => sizes,
        groups => format!("{sizes} (hidden layers in {groups} groups)"),
    }
}

/// A share in per cent, without the sign: one decimal, or up to three to tell it from 0 and 100 where it is neither.
pub(crate) fn per_cent(share: f64) -> String {
    let value = share * 100.0;
    if value == 0.0 || value == 100.0 {
        return format!("{value:.1}");
    }
    let mut texts = (1..=3).map(|decimals| format!("{value:.decimals$}"));
    let telling = texts.find(|text| text.parse() != Ok(0.0) && text.parse() != Ok(100.0));
    telling.unwrap_or_else(|| if value < 50.0 { "<0.001".to_owned() } else { ">99.999".to_owned() })
}

/// With the sign.
pub(crate) fn percentage(share: f64) -> String {
    format!("{}\u{a0}%", per_cent(share))
}

/// A share to reckon with: three significant digits, or more to tell it from 100 %.
pub(crate) fn term(share: f64) -> String {
    if share < 0.1 { format!("{}\u{a0}%", number(share * 100.0)) } else { percentage(share) }
}

/// Three significant digits.
pub(crate) fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // Once rounded: 9.996 has the digits of 10.
    let rounded = format!("{value:.2e}");
    let magnitude: i32 = rounded.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    if magnitude < -4 {
        return format!("{value:.1e}");
    }
    let decimals = usize::try_from(2 - magnitude).unwrap_or(0);
    format!("{value:.decimals$}")
}

/// "94.7 to 97.1".
pub(crate) fn interval(ends: [f64; 2], write: fn(f64) -> String) -> String {
    let [low, high] = ends.map(write);
    format!("{low} to {high}")
}

/// What does not exist: a dash that says why where a pointer rests on it, and to a screen reader.
pub(crate) fn undefined(reason: Option<&str>) -> Markup {
    let reason = reason.unwrap_or("undefined");
    html! { span.undefined role="img" title=(reason) aria-label={ "undefined: " (reason) } { "–" } }
}

/// A value, or why there is none.
pub(crate) fn or_undefined(value: Option<f64>, write: fn(f64) -> String, reason: Option<&str>) -> Markup {
    html! { @match value { Some(value) => (write(value)), None => (undefined(reason)) } }
}

/// A share in per cent above its Wilson interval.
pub(crate) fn proportion(proportion: &Proportion, reason: Option<&str>) -> Markup {
    html! {
        (or_undefined(proportion.value, per_cent, reason))
        @if let (Some(_), Some(ends)) = (proportion.value, proportion.wilson_95) {
            small { (interval(ends, per_cent)) }
        }
    }
}

/// A figure above its interval.
pub(crate) fn estimate(estimate: Estimate, write: fn(f64) -> String, reason: Option<&str>) -> Markup {
    html! {
        (or_undefined(estimate.value, write, reason))
        @if let Some(ends) = estimate.interval_95 { small { (interval(ends, write)) } }
    }
}

/// A ratio above its interval, or above its lower bound where that is all that is known.
pub(crate) fn ratio(ratio: Ratio, reason: Option<&str>) -> Markup {
    html! {
        (or_undefined(ratio.value, number, reason))
        @match ratio.interval_95 {
            Some((low, Some(high))) => { small { (interval([low, high], number)) } }
            Some((low, None)) => { small { "above " (number(low)) } }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_is_not_whole_does_not_look_so() {
        let shares = [0.9611, 1.0, 0.0, 0.9996, 0.000_04, 1.0 / 3.0, 1e-9, 1.0 - 1e-9];
        assert_eq!(shares.map(per_cent), ["96.1", "100.0", "0.0", "99.96", "0.004", "33.3", "<0.001", ">99.999"]);
    }

    #[test]
    fn a_ratio_without_an_upper_end_is_above_its_lower_one() {
        let shown = |value, interval_95| ratio(Ratio { value, interval_95 }, None).into_string();
        assert_eq!(shown(Some(2.0), Some((0.5, Some(4.0)))), "2.00<small>0.500 to 4.00</small>");
        assert!(shown(None, Some((230.4, None))).ends_with("</span><small>above 230</small>"));
        assert!(shown(None, None).ends_with("</span>"));
    }

    #[test]
    fn a_term_keeps_its_digits_however_small_it_is() {
        let shares = [0.0, 0.000_123, 0.008_9, 0.097_7, 0.101, 0.9996, 1.0];
        let texts = ["0", "0.0123", "0.890", "9.77", "10.1", "99.96", "100.0"].map(|text| format!("{text}\u{a0}%"));
        assert_eq!(shares.map(term), texts);
    }

    #[test]
    fn numbers_have_three_significant_digits() {
        let numbers = [0.0, 288.76, 12.345, 1.0, 0.2237, 0.000_012_3, -0.5, 0.9996, -9.996, 999.6, 0.000_099_96];
        let expected = ["0", "289", "12.3", "1.00", "0.224", "1.2e-5", "-0.500", "1.00", "-10.0", "1000", "0.000100"];
        assert_eq!(numbers.map(number), expected);
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn what_markup_does_not_take_is_replaced() {
        assert_eq!(printable("a\0\u{1b}é\n😀\u{ffff}"), "a\u{fffd}\u{fffd}é\n😀\u{fffd}");
    }
}
