//! `report.json`: everything that one should know before trusting a model, as numbers.
//!
//! | section | field | type | defined in |
//! |---|---|---|---|
//! | 1 how good | [`Report::overall`] | [`Overall`] | `overall.rs` |
//! | 2 by class | [`Report::by_class`] | [`ByClass`], with [`Roc`] | `by_class.rs`, `roc.rs` |
//! | 3 by Bayes | [`Report::bayes`] | [`Bayes`] | `bayes.rs` |
//! | 4 how sure | [`Report::calibration`] | [`Calibration`] | `calibration.rs` |
//! | 5 where it fails | [`Report::failures`] | [`Failures`] | `failures.rs` |
//! | 6 what it learned | [`Report::learned`] | [`Learned`] | `learned.rs` |
//! | 7 how it was made | [`Report::making`], and [`Timings`] beside it | [`Making`] | `making.rs` |
//! | 8 against another | [`Report::comparison`] | [`Comparison`] | `comparison.rs` |
//!
//! These types hold the numbers and say what each is; [`crate::measures`] computes them. Three rules hold for all:
//!
//! - No number is NaN or infinite. A figure that does not exist is `None`, `null` in JSON, and [`Report::undefined`] says
//!   why, but for the bins of a reliability curve that are empty and for what was not asked.
//! - Shares are from 0 to 1, times are seconds, information is in nats, intervals are of 95 %, lower end first.
//! - Nothing depends on the clock, the threads or the place. [`Timings`] is a file of its own.
//!
//! An image is named by its row in its split, so that whoever draws it finds its pixels ([`artifacts::SplitData::image`]),
//! and by the file that it was read from.

pub(crate) mod arrays;
mod bayes;
mod by_class;
mod calibration;
mod comparison;
mod failures;
mod figures;
mod learned;
mod making;
mod overall;
mod roc;
mod timings;

use std::collections::BTreeMap;

use artifacts::{Document, ModelDescription, Provenance, SplitName};
pub use bayes::{
    Bayes, BlackBoxShiftEstimation, ClassBayes, EstimatedPrior, Expectation, ExpectationMaximisation, OtherPrior,
};
pub use by_class::{Averages, ByClass, ClassFigures};
pub use calibration::{Binning, Calibration, Coverage, FittedTemperature, IfCalibrated, Reliability, ReliabilityBin};
pub use comparison::{Comparison, DifferenceByFont, Disagreement};
pub use failures::{Failures, ImageRecord, LabelIssue, LabelIssues};
pub use figures::{Estimate, Proportion, Ratio, Undefined};
use files::Digest;
pub use learned::{ClassSaliency, ClassTypical, FirstLayerUnit, HiddenLayer, Learned, TypicalImage};
pub(crate) use making::test_time_shift;
pub use making::{ArtifactDigest, DatasetSummary, LayerSummary, Making};
pub use overall::{Intervals, Overall, Quality, Unit};
pub use roc::{ClassRoc, MacroRoc, OperatingPoint, Roc, RocCurve};
use serde::{Deserialize, Serialize};
pub use timings::{Timings, TrainingTimings};

use crate::parity::Parity;

/// `report.json`. The same model, data, arguments and runtime give the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How it was judged.
    pub provenance: Provenance,
    /// What was judged.
    pub model: ModelDescription,
    /// The data set's name.
    pub dataset: String,
    /// Which part of it.
    pub split: SplitName,
    /// How many images that has.
    pub images: u64,
    /// What computed: "cpu" or "cuda".
    pub provider: String,
    /// How far the model's logits are from the trainer's; nothing where that could not be checked.
    pub parity: Option<Parity>,
    /// Section 1.
    pub overall: Overall,
    /// Section 2.
    pub by_class: ByClass,
    /// Section 3.
    pub bayes: Bayes,
    /// Section 4.
    pub calibration: Calibration,
    /// Section 5.
    pub failures: Failures,
    /// Section 6.
    pub learned: Learned,
    /// Section 7.
    pub making: Making,
    /// Section 8; nothing where no other report was named.
    pub comparison: Option<Comparison>,
    /// Why a figure is `null`, unless its bin is empty or nobody asked for it.
    pub undefined: Vec<Undefined>,
    /// SHA-256 of the files beside it, by file name ([`arrays`]).
    pub files: BTreeMap<String, Digest>,
}

impl Document for Report {
    const KIND: &'static str = "report.json";
    const SCHEMA_VERSION: u32 = 7;

    fn check(&self) -> Result<(), String> {
        self.model.check()
    }
}
