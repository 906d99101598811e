//! `evaluate bayes`: Bayes' theorem with a person's own numbers, each step shown.

use terminal::Console;

use crate::error::Error;
use crate::measures::bayes::posterior;

/// The numbers of the question, and the answers that came.
#[derive(Debug, Clone, clap::Args)]
pub struct Question {
    /// P(T): how frequent the thing is before anything is known, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub prior: f64,

    /// P(P given T): the share of those with it that the test finds, the sensitivity
    #[arg(long, visible_alias = "sensitivity", value_name = "SHARE", value_parser = share)]
    pub recall: f64,

    /// P(P given not T): the share of those without it that the test takes for it, 1 - specificity
    #[arg(long, value_name = "SHARE", value_parser = share, required_unless_present = "specificity")]
    pub false_alarm: Option<f64>,

    /// P(not P given not T) instead: the share of those without it that the test clears
    #[arg(long, value_name = "SHARE", value_parser = share, conflicts_with = "false_alarm")]
    pub specificity: Option<f64>,

    /// What tests said, one after the other, independent given T and given not T, as `positive,positive,negative`
    #[arg(long, value_enum, value_delimiter = ',', default_value = "positive")]
    pub results: Vec<TestResult>,
}

impl Question {
    fn false_alarm_rate(&self) -> f64 {
        let rate = self.false_alarm.or_else(|| self.specificity.map(|specificity| 1.0 - specificity));
        rate.expect("the command line takes one of the two")
    }
}

/// What a test said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TestResult {
    /// It is there
    Positive,
    /// It is not there
    Negative,
}

/// Answers the question: the steps go to stderr, the posterior to stdout.
///
/// # Errors
/// When a result cannot come with these numbers.
pub fn answer(question: &Question, console: &Console) -> Result<(), Error> {
    let (prior, recall, false_alarm) = (question.prior, question.recall, question.false_alarm_rate());
    console.say(format!("prior             P(T) = {prior}"));
    console.say(format!("recall            P(positive given T) = {recall}"));
    console.say(format!("false alarm rate  P(positive given not T) = {}", rounded(false_alarm)));
    let mut belief = prior;
    for (number, &result) in (1..).zip(&question.results) {
        belief = update(belief, number, result, question, console)?;
    }
    console.data(format!("posterior {belief}"));
    Ok(())
}

/// One step: the belief after a result.
fn update(prior: f64, number: usize, result: TestResult, question: &Question, console: &Console) -> Result<f64, Error> {
    let (word, with, without) = match result {
        TestResult::Positive => ("positive", question.recall, question.false_alarm_rate()),
        TestResult::Negative => ("negative", 1.0 - question.recall, 1.0 - question.false_alarm_rate()),
    };
    let after = posterior(prior, with, without).ok_or(Error::ImpossibleResult { number, word, belief: prior })?;
    let [with, without, prior_rounded] = [with, without, prior].map(rounded);
    let [of_those, of_others] = [with * prior, without * (1.0 - prior)].map(rounded);
    let all = rounded(of_those + of_others);
    for line in [
        String::new(),
        format!("test {number} is {word}"),
        format!("  has it and is {word}      {with} x {prior_rounded} = {of_those}"),
        format!("  lacks it and is {word}    {without} x {} = {of_others}", rounded(1.0 - prior)),
        format!("  is {word} at all          {of_those} + {of_others} = {all}"),
        format!("  P(T given {word})         {of_those} / {all} = {}", rounded(after)),
        odds(prior, with, without, after),
    ] {
        console.say(line);
    }
    Ok(after)
}

/// The same in odds: those before, times the likelihood ratio, are those after.
fn odds(prior: f64, with: f64, without: f64, after: f64) -> String {
    if without == 0.0 || prior == 1.0 || after == 1.0 {
        return "  in odds                   certain".to_owned();
    }
    let [before, ratio, odds] = [prior / (1.0 - prior), with / without, after / (1.0 - after)].map(rounded);
    format!("  in odds                   {before} x {ratio} (likelihood ratio) = {odds}")
}

/// To six significant digits, for the eye.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 1 was expected".to_owned()),
    }
}
