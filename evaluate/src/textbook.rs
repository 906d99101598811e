//! `evaluate bayes`: Bayes' theorem with a person's own numbers, each step shown.

use terminal::Console;

use crate::error::Error;

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

/// A factor of a belief: `value · 2^exponent`. Whatever results come, neither side of a belief is rounded to 0 or to the
/// whole before it is.
#[derive(Debug, Clone, Copy)]
struct Scaled {
    value: f64,
    exponent: i32,
}

impl Scaled {
    /// A value below this is scaled up: the product of it and of the least share is still a number of full precision.
    const SMALL: f64 = 1.0 / Self::STEP;
    /// 2^256
    const STEP: f64 = 1.157_920_892_373_162e77;
    const STEP_EXPONENT: i32 = 256;

    fn of(value: f64) -> Self {
        Self { value, exponent: 0 }.normal()
    }

    fn times(self, share: f64) -> Self {
        let share = Self::of(share);
        Self { value: self.value * share.value, exponent: self.exponent + share.exponent }.normal()
    }

    fn normal(mut self) -> Self {
        while self.value > 0.0 && self.value < Self::SMALL {
            self.value *= Self::STEP;
            self.exponent -= Self::STEP_EXPONENT;
        }
        self
    }

    /// How many times as large as the other one.
    fn over(self, other: Self) -> f64 {
        // However far apart the exponents are: 0 times a power beyond all numbers would be none.
        if self.value == 0.0 {
            0.0
        } else {
            self.value / other.value * f64::from(self.exponent - other.exponent).exp2()
        }
    }
}

/// What is believed: for T and for not T, the probability of it and of all results so far.
#[derive(Debug, Clone, Copy)]
struct Belief {
    with: Scaled,
    without: Scaled,
}

impl Belief {
    fn new(prior: f64) -> Self {
        Self { with: Scaled::of(prior), without: Scaled::of(1.0 - prior) }
    }

    /// After a result that comes so often with T and without; nothing where it cannot come.
    fn after(self, with: f64, without: f64) -> Option<Self> {
        let after = Self { with: self.with.times(with), without: self.without.times(without) };
        (after.with.value > 0.0 || after.without.value > 0.0).then_some(after)
    }

    /// P(T) and P(not T), each with its own precision.
    fn shares(self) -> [f64; 2] {
        let share = |one: Scaled, other: Scaled| if one.value > 0.0 { 1.0 / (1.0 + other.over(one)) } else { 0.0 };
        [share(self.with, self.without), share(self.without, self.with)]
    }

    /// T's odds; none where it is certain.
    fn odds(self) -> Option<f64> {
        (self.without.value > 0.0).then(|| self.with.over(self.without))
    }
}

/// Answers the question: the steps go to stderr, the posterior to stdout.
///
/// # Errors
/// When a result cannot come with these numbers.
pub fn answer(question: &Question, console: &Console) -> Result<(), Error> {
    let (prior, recall, false_alarm) = (question.prior, question.recall, question.false_alarm_rate());
    console.say(format!("prior             P(T) = {}", shown(prior)));
    console.say(format!("recall            P(positive given T) = {}", shown(recall)));
    console.say(format!("false alarm rate  P(positive given not T) = {}", rounded(false_alarm)));
    let mut belief = Belief::new(prior);
    for (number, &result) in (1..).zip(&question.results) {
        belief = update(belief, number, result, question, console)?;
    }
    let [posterior, _] = belief.shares();
    console.data(format!("posterior {}", shown(posterior)));
    Ok(())
}

/// One step: the belief after a result.
fn update(
    before: Belief,
    number: usize,
    result: TestResult,
    question: &Question,
    console: &Console,
) -> Result<Belief, Error> {
    let (word, with, without) = match result {
        TestResult::Positive => ("positive", question.recall, question.false_alarm_rate()),
        TestResult::Negative => ("negative", 1.0 - question.recall, 1.0 - question.false_alarm_rate()),
    };
    let [prior, others] = before.shares();
    let after = before.after(with, without).ok_or(Error::ImpossibleResult { number, word, belief: prior })?;
    let [posterior, _] = after.shares();
    let [of_those, of_others] = [with * prior, without * others];
    let all = rounded(of_those + of_others);
    let [with_shown, without_shown, of_those, of_others] = [with, without, of_those, of_others].map(rounded);
    for line in [
        String::new(),
        format!("test {number} is {word}"),
        format!("  has it and is {word}      {with_shown} x {} = {of_those}", rounded(prior)),
        format!("  lacks it and is {word}    {without_shown} x {} = {of_others}", rounded(others)),
        format!("  is {word} at all          {of_those} + {of_others} = {all}"),
        format!("  P(T given {word})         {of_those} / {all} = {}", rounded(posterior)),
        odds(before, with, without, after),
    ] {
        console.say(line);
    }
    Ok(after)
}

/// The same in odds: those before, times the likelihood ratio, are those after.
fn odds(before: Belief, with: f64, without: f64, after: Belief) -> String {
    match (before.odds(), after.odds()) {
        (Some(before), Some(after)) if without > 0.0 => {
            let [before, ratio, after] = [before, with / without, after].map(rounded);
            format!("  in odds                   {before} x {ratio} (likelihood ratio) = {after}")
        }
        _ => "  in odds                   certain".to_owned(),
    }
}

/// To six significant digits, for the eye.
fn rounded(value: f64) -> String {
    shown(format!("{value:.5e}").parse().unwrap_or(value))
}

/// With an exponent where there would be many zeros.
fn shown(value: f64) -> String {
    if value == 0.0 || (1e-6..1e9).contains(&value) { value.to_string() } else { format!("{value:e}") }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 1 was expected".to_owned()),
    }
}
