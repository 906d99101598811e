use serde::{Deserialize, Serialize};

use super::figures::Estimate;

/// Section 3: by Bayes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bayes {
    /// In the order of the model's classes.
    pub classes: Vec<ClassBayes>,
    /// The prevalences, 0 < P(T) < 1, rising, at which [`ClassBayes::precision_by_prevalence`] is given.
    pub prevalences: Vec<f64>,
    /// What to expect where the classes are as frequent as asked for by `--prior`.
    pub priors: Vec<OtherPrior>,
    /// How frequent the classes are among the unlabelled images of `--estimate-prior`.
    pub estimated_prior: Option<EstimatedPrior>,
}

/// Bayes' theorem for a class, `posterior = recall · prior / (recall · prior + false alarm rate · (1 − prior))`, with the
/// numbers of the split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassBayes {
    /// Its name.
    pub class: String,
    /// P(T).
    pub prior: f64,
    /// P(P given T).
    pub recall: Option<f64>,
    /// P(P given not T).
    pub false_alarm_rate: Option<f64>,
    /// `recall · prior`: the share of all images that are of it and taken for it.
    pub says_and_is: Option<f64>,
    /// `false alarm rate · (1 − prior)`: the share of all images that are taken for it and are not of it.
    pub says_and_is_not: Option<f64>,
    /// P(T given P), by the theorem.
    pub posterior: Option<f64>,
    /// The precision that was counted, TP / (TP + FP), which is the same.
    pub counted_precision: Option<f64>,
    /// P(T given P) after one, two and three images of one letter, all of them taken for this class:
    /// `π(T) r(T)ᵐ / Σ π(t) r(t)ᵐ` over the classes t, where `r(t)` is the share of the images of t that are taken for T. Given
    /// the letter, errors are taken as independent, as those in different fonts nearly are; that all images are of one
    /// letter is not "T or not T", of which others would differ from image to image.
    pub posterior_after_images: Vec<Option<f64>>,
    /// The posterior at each of [`Bayes::prevalences`], the other classes being as frequent among themselves as in the split.
    pub precision_by_prevalence: Vec<Option<f64>>,
}

/// What to expect where the classes are as frequent as given here, and images of a class look as in the split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OtherPrior {
    /// "uniform", "english", the name of the split that is judged ("test") where the classes are as frequent as in it, or a
    /// file's name.
    pub name: String,
    /// How frequent each class is; they sum to 1.
    pub priors: Vec<f64>,
    /// With the model's predictions as they are.
    pub unadjusted: Expectation,
    /// With the probabilities reweighed for this prior, `p'(c) ∝ p(c) · prior(c) / training prior(c)`, and the most
    /// probable class then taken (M. Saerens, P. Latinne, C. Decaestecker, Neural Computation 14, 2002, eq. 2.4). The
    /// probabilities are those after temperature scaling, where there is a temperature.
    pub adjusted: Option<Expectation>,
}

/// Accuracy and precision to expect under a prior π, from the split's `P(predicted p given true t)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// `Σ π(t) · P(t given t)`, with Wilson's interval of such a mean of recalls. Nothing where a class with a positive
    /// prior has no image in the split.
    pub accuracy: Estimate,
    /// Of each class c, `π(c) P(c given c) / Σ π(t) P(c given t)`.
    pub precision: Vec<Option<f64>>,
}

/// How frequent the classes are among unlabelled images, by two methods that share no assumption about the model's
/// probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EstimatedPrior {
    /// How many images.
    pub images: u64,
    /// The training split's prior, from which the first method begins; nothing where the run was trained on another data
    /// set than the one at hand.
    pub training_prior: Option<Vec<f64>>,
    /// How the model's answers are spread over the classes, without any correction: how a naive count would estimate it.
    pub predicted_share: Vec<f64>,
    /// By expectation maximisation on the probabilities, temperature scaled where there is a temperature (Saerens 2002,
    /// section 2.3). Nothing where a class has no training image.
    pub expectation_maximisation: Option<ExpectationMaximisation>,
    /// By black box shift estimation on the answers alone and the confusion matrix of the validation split (Z. Lipton,
    /// Y.-X. Wang, A. Smola, ICML 2018). Nothing where that matrix is singular.
    pub black_box_shift_estimation: Option<BlackBoxShiftEstimation>,
}

/// See [`EstimatedPrior::expectation_maximisation`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectationMaximisation {
    /// The estimate; it sums to 1.
    pub priors: Vec<f64>,
    /// After how many rounds.
    pub rounds: u32,
    /// Whether the last round changed no prior by more than 1e-10.
    pub converged: bool,
}

/// See [`EstimatedPrior::black_box_shift_estimation`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlackBoxShiftEstimation {
    /// `w(c)`, by how much more frequent each class is than in the validation split: the solution of
    /// `Σ P(predicted p, true t) w(t) = P'(predicted p)`. With few images it may be negative.
    pub weights: Vec<f64>,
    /// `w(c) · P(c)`, negative ones set to 0, scaled to sum to 1.
    pub priors: Vec<f64>,
}
