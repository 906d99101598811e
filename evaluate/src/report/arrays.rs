//! The names of the arrays beside the report.

/// The class of each image, `u8 [N]`, in the order of the split's rows.
pub const PREDICTIONS: &str = "predictions.npy";
/// The probability of each class for each image, `f32 [N, C]`, as the model gives it.
pub const PROBABILITIES: &str = "probabilities.npy";
/// The logits that it gives, `f32 [N, C]`.
pub const LOGITS: &str = "logits.npy";
/// The saliency map of each class, `f32 [C, H, W]` ([`super::ClassSaliency`]).
pub const SALIENCY: &str = "saliency.npy";
/// The logits of the validation split, `f32 [N, C]`: what the temperature is fitted on.
pub const VALIDATION_LOGITS: &str = "validation-logits.npy";
