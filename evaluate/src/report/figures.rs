use serde::{Deserialize, Serialize};

/// A share of things that were counted, with what the count leaves open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proportion {
    /// How many have the property.
    pub count: u64,
    /// How many there are.
    pub total: u64,
    /// The first by the second; nothing where `total` is 0.
    pub value: Option<f64>,
    /// The 95 % Wilson score interval, lower end first ([`crate::measures::intervals::wilson`]).
    pub wilson_95: Option<[f64; 2]>,
    /// The middle 95 % of the Beta posterior after Jeffreys' prior ([`crate::measures::intervals::jeffreys`]).
    pub jeffreys_95: Option<[f64; 2]>,
}

/// A figure that is no share, with its 95 % interval where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure.
    pub value: Option<f64>,
    /// Lower end first.
    pub interval_95: Option<[f64; 2]>,
}

/// A ratio of shares, which has no upper bound, with its 95 % interval where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The first share by the second; nothing where the second is 0.
    pub value: Option<f64>,
    /// Lower end first ([`crate::measures::intervals::ratio_of_shares`]); no upper end where the second share is 0.
    pub interval_95: Option<(f64, Option<f64>)>,
}

/// Why a figure is `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undefined {
    /// Which one, as a path in the report: `by_class.classes.C.recall`. A class stands by its name.
    pub figure: String,
    /// Why there is none, as half a sentence: "the split has no image of class C".
    pub reason: String,
}
