use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use files::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::augment::{Augmentation, Strength};
use crate::recipe::Recipe;
use crate::schedule::Schedule;

/// What `train` is asked for.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Folder of the dataset.json and the shards
    #[arg(long, value_name = "DIR")]
    pub dataset: PathBuf,

    /// Folder to write the checkpoint and the metrics to
    #[arg(long, value_name = "DIR", required_unless_present = "preview_augmentation")]
    pub run: Option<PathBuf>,

    /// Begin with the flags of a recipe; flags beside it win
    #[arg(long, value_enum)]
    pub recipe: Option<Recipe>,

    /// What is trained, and how.
    #[command(flatten)]
    pub hyperparameters: Hyperparameters,

    /// Continue from the state that an earlier run left in RUN
    #[arg(long, help_heading = "Run")]
    pub resume: bool,

    /// Predict each training image by a network trained on the other folds, so that its label can be judged by `evaluate`:
    /// FOLDS more trainings, each on all folds but one
    #[arg(long, help_heading = "Run", value_name = "FOLDS", value_parser = clap::value_parser!(u32).range(2..=100))]
    pub cross_validate: Option<u32>,

    /// What computes.
    #[command(flatten)]
    pub engine: EngineOptions,

    /// Write the figures of each epoch for TensorBoard too: see `tensorboard --logdir RUN`
    #[arg(long, help_heading = "Run")]
    pub tensorboard: bool,

    /// Train nothing: write a sheet of training images beside what the first epochs would see of them
    #[arg(long, help_heading = "Run", value_name = "FILE.png")]
    pub preview_augmentation: Option<PathBuf>,

    /// Do not compare the shards with the digests in dataset.json
    #[arg(long, help_heading = "Run")]
    pub no_verify: bool,
}

/// What computes, and how.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Run")]
pub struct EngineOptions {
    /// What computes; `train --engines` lists what this machine offers
    #[arg(long, value_enum, default_value_t = EngineName::Auto)]
    pub engine: EngineName,

    /// Threads of the CPU engine; the result does not depend on it [default: one a processor]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// GPU to compute on, counted from 0; where it is given, no other engine is taken than CUDA [default: 0]
    #[arg(long, value_name = "NUMBER")]
    pub device: Option<u32>,

    /// Precision of matrix products in training: f32, tf32 or bf16 on CUDA, f32 or f16 on the CPU; validation is always in f32
    /// [default: tf32 on CUDA, f32 on the CPU]
    #[arg(long, value_enum)]
    pub precision: Option<Precision>,

    /// Folder of CUDA's libraries, searched after CUDA_HOME and before the system's
    #[arg(long, value_name = "DIR", env = "CUDA_LIBRARIES", hide_env_values = true)]
    pub cuda_libraries: Option<PathBuf>,
}

impl EngineOptions {
    /// The engine that is asked for: whoever names a GPU wants no processor.
    #[must_use]
    pub fn engine(&self) -> EngineName {
        match (self.engine, self.device) {
            (EngineName::Auto, Some(_)) => EngineName::Cuda,
            (engine, _) => engine,
        }
    }
}

/// What decides a trained network, beside the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[command(next_help_heading = "Hyperparameters")]
pub struct Hyperparameters {
    /// Sizes of the hidden layers of each network, as `1024,256`; `none` is softmax regression
    #[arg(long, value_name = "SIZES", default_value = "256")]
    pub hidden: HiddenSizes,

    /// Networks to train, each from a seed of its own; they are joined to one that gives the mean of their logits, and is as
    /// many times as large
    #[arg(long, value_name = "NETWORKS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub ensemble: u32,

    /// Once it is trained, let the network give the mean of its logits for the image and for the image shifted by so many
    /// pixels to each side, as a network five times as large; 0 is no shift
    #[arg(long, value_name = "PIXELS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=8))]
    pub test_time_shift: u32,

    /// Passes over the training split
    #[arg(long, default_value_t = 10, value_parser = positive)]
    pub epochs: usize,

    /// Images in a step; the last step of an epoch takes what is left
    #[arg(long, default_value_t = 256, value_parser = positive)]
    pub batch_size: usize,

    /// Step size of Adam: the highest one of the schedule
    #[arg(long, default_value_t = 1e-3, value_parser = positive_number)]
    pub learning_rate: f64,

    /// Decoupled weight decay of AdamW; 0 is Adam
    #[arg(long, default_value_t = 0.0, value_parser = non_negative_number)]
    pub weight_decay: f64,

    /// Share of the hidden activations that a training step drops
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share_below_one)]
    pub dropout: f64,

    /// Share of the input pixels that a training step drops
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share_below_one)]
    pub input_dropout: f64,

    /// What a training step lowers
    #[arg(long, value_enum, default_value_t = LossName::CrossEntropy)]
    pub loss: LossName,

    /// Share of a label that is spread over all classes; generalized cross entropy takes labels as they are
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share_below_one)]
    pub label_smoothing: f64,

    /// The learning rate over the steps
    #[arg(long, value_enum, default_value_t = Schedule::Constant)]
    pub schedule: Schedule,

    /// Share of all steps in which the learning rate rises [default: 0.3 for one-cycle, else 0]
    #[arg(long, value_name = "SHARE", value_parser = share_below_one)]
    pub warmup: Option<f64>,

    /// Scale a step's gradient down to this Euclidean norm where it is longer [default: never]
    #[arg(long, value_name = "NORM", value_parser = positive_number)]
    pub clip_norm: Option<f64>,

    /// Average the weights over the steps with this decay; kept where it is better on validation [default: no average]
    #[arg(long, value_name = "DECAY", value_parser = share_below_one)]
    pub ema_decay: Option<f64>,

    /// How strongly training images are varied; each strength has a flag of its own below
    #[arg(long, value_enum, default_value_t = Strength::None)]
    pub augment: Strength,

    /// Largest shift along each axis, in pixels [default: that of --augment]
    #[arg(long, value_name = "PIXELS", value_parser = up_to::<2048>)]
    pub augment_shift: Option<f64>,

    /// Largest rotation, in degrees [default: that of --augment]
    #[arg(long, value_name = "DEGREES", value_parser = up_to::<360>)]
    pub augment_rotation: Option<f64>,

    /// Largest shear, as a share of the distance from the middle [default: that of --augment]
    #[arg(long, value_name = "SHARE", value_parser = up_to::<10>)]
    pub augment_shear: Option<f64>,

    /// Largest change in size along each axis, as a share of it [default: that of --augment]
    #[arg(long, value_name = "SHARE", value_parser = share_below_one)]
    pub augment_scale: Option<f64>,

    /// Largest change of the strokes, 1 being a pixel on each side [default: that of --augment]
    #[arg(long, value_name = "SHARE", value_parser = up_to::<1>)]
    pub augment_stroke: Option<f64>,

    /// For experiments: give this share of the training images a random other label
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share_below_one)]
    pub plant_label_noise: f64,

    /// Stop after as many epochs without a lower validation loss, and keep the best weights; with as many as --epochs, those of
    /// the best of all epochs [default: never, the last]
    #[arg(long, value_name = "EPOCHS", value_parser = positive)]
    pub patience: Option<usize>,

    /// Decides everything random: first weights, order, dropout, augmentation, planted noise, folds; an ensemble's networks
    /// have seeds of their own, which follow from it
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

impl Hyperparameters {
    /// How training images are varied.
    #[must_use]
    pub fn augmentation(&self) -> Augmentation {
        let preset = Augmentation::from(self.augment);
        Augmentation {
            shift: self.augment_shift.unwrap_or(preset.shift),
            rotation: self.augment_rotation.unwrap_or(preset.rotation),
            shear: self.augment_shear.unwrap_or(preset.shear),
            scale: self.augment_scale.unwrap_or(preset.scale),
            stroke: self.augment_stroke.unwrap_or(preset.stroke),
        }
    }

    /// The seed of each network of the ensemble: the first has the seed itself.
    pub fn seeds(&self) -> impl Iterator<Item = u64> {
        let derived = |network| {
            let digest = Digest::of(format!("{} network {network}", self.seed).as_bytes());
            let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
            u64::from_be_bytes([a, b, c, d, e, f, g, h])
        };
        [self.seed].into_iter().chain((1..self.ensemble).map(derived))
    }

    /// How images are shifted of which a network gives the mean: down and to the right, in pixels.
    pub fn shifts(&self) -> impl Iterator<Item = [i64; 2]> {
        let pixels = i64::from(self.test_time_shift);
        let all = [[0, 0], [0, pixels], [0, -pixels], [pixels, 0], [-pixels, 0]];
        all.into_iter().take(if pixels == 0 { 1 } else { all.len() })
    }

    /// How many networks the one that a training leaves is made of.
    ///
    /// # Panics
    /// Never: there is a network.
    #[must_use]
    pub fn copies(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.ensemble as usize * self.shifts().count()).expect("an ensemble has a network")
    }

    /// Their values by the names of their flags, with underscores.
    ///
    /// # Panics
    /// Never: they are plain data.
    #[must_use]
    pub fn by_name(&self) -> BTreeMap<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields.into_iter().collect(),
            other => unreachable!("a struct of plain data is an object, not {other:?}"),
        }
    }
}

/// What a training step lowers. All are means over the batch; with probabilities `p` and label `y`:
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LossName {
    /// `-ln p[y]`, which trusts every label
    CrossEntropy,
    /// `(1 - p[y]^0.7) / 0.7`, which heeds a label less the less probable it is (Zhang and Sabuncu 2018)
    GeneralizedCrossEntropy,
    /// Cross entropy with `4 (1 - p[y])`, bounded and thus robust, beside it (Wang et al. 2019)
    SymmetricCrossEntropy,
}

/// Which engine to train on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// The GPU where there is one with its libraries that has the precision, else the processor
    #[default]
    Auto,
    /// The processor
    Cpu,
    /// The GPU
    Cuda,
}

/// What the operands of a matrix product are rounded to. Weights and Adam's moments are `f32`, and so are sums, but for those
/// of [`Precision::F16`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// 23 bits of fraction: not rounded
    F32,
    /// 10 bits of fraction
    Tf32,
    /// 7 bits of fraction; activations take half of the memory
    Bf16,
    /// 10 bits of fraction and 5 of exponent, in which up to 64 terms are summed up too; with dynamic loss scaling
    F16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

/// The sizes of the hidden layers, first to last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HiddenSizes(pub Vec<usize>);

impl FromStr for HiddenSizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let sizes = text.split(',').map(|size| positive(size.trim()).ok().filter(|&size| size <= 65_536));
        sizes.collect::<Option<_>>().map(Self).ok_or_else(|| {
            "expected whole numbers from 1 to 65536 with commas between them, as `1024,256`, or `none`".to_owned()
        })
    }
}

impl fmt::Display for HiddenSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse::<u32>() {
        Ok(number) if number > 0 => Ok(number as usize),
        _ => Err(format!("expected a whole number from 1 to {}", u32::MAX)),
    }
}

fn number_in(text: &str, accepted: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && accepted(number) => Ok(number),
        _ => Err(format!("expected {expected}")),
    }
}

fn positive_number(text: &str) -> Result<f64, String> {
    number_in(text, |number| number > 0.0, "a number above 0")
}

fn non_negative_number(text: &str) -> Result<f64, String> {
    number_in(text, |number| number >= 0.0, "a number of at least 0")
}

fn up_to<const MOST: u16>(text: &str) -> Result<f64, String> {
    number_in(text, |number| (0.0..=f64::from(MOST)).contains(&number), &format!("a number from 0 to {MOST}"))
}

fn share_below_one(text: &str) -> Result<f64, String> {
    number_in(text, |number| (0.0..1.0).contains(&number), "a share of at least 0 and below 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_sizes_are_read_and_shown_in_the_same_form() {
        for (text, sizes) in [("none", vec![]), ("256", vec![256]), ("1024,32,8", vec![1024, 32, 8])] {
            let hidden: HiddenSizes = text.parse().unwrap();
            assert_eq!((hidden.0.clone(), hidden.to_string().as_str()), (sizes, text));
        }
        for text in ["", "0", "256,", "a", "-1", "256,0", "65537"] {
            assert!(text.parse::<HiddenSizes>().is_err(), "{text}");
        }
    }
}
