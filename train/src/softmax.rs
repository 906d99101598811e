//! Softmax, the losses and their gradients.

use crate::options::LossName;

/// The exponent of generalized cross entropy: Zhang and Sabuncu, "Generalized cross entropy loss for training deep neural
/// networks with noisy labels", 2018, section 4.
pub const GENERALIZED_Q: f32 = 0.7;
/// What reverse cross entropy takes for -ln 0: Wang et al., "Symmetric cross entropy for robust learning
/// with noisy labels", 2019, section 4.2.
pub const REVERSE_A: f32 = 4.0;

/// The loss of a batch: the mean over its images.
#[derive(Debug, Clone, Copy)]
pub struct Loss {
    pub name: LossName,
    /// The target of the image's class: each label with some of it spread over all classes (Szegedy et al., "Rethinking the
    /// Inception architecture", 2016, section 7; as PyTorch's `label_smoothing`).
    pub right: f32,
    /// The target of every other class.
    pub wrong: f32,
    /// 1 / images in the batch.
    pub share: f32,
}

impl Loss {
    /// For a batch of `images`.
    pub fn new(name: LossName, label_smoothing: f64, classes: usize, images: usize) -> Self {
        let wrong = label_smoothing / classes as f64;
        let right = (1.0 - label_smoothing + wrong) as f32;
        Self { name, right, wrong: wrong as f32, share: (1.0 / images as f64) as f32 }
    }

    /// The same with gradients so many times as large.
    pub fn scaled(self, scale: f32) -> Self {
        Self { share: self.share * scale, ..self }
    }

    /// The loss of an image; its gradient by the logits, times the image's share in the batch, goes to `gradient`.
    ///
    /// With probabilities `p = softmax(z)`, label `y` and its one-hot form `h`, smoothed to the targets `t`:
    /// - cross entropy `-Σ t ln p` has the gradient `p - t`;
    /// - generalized cross entropy `(1 - p_y^q) / q` has `p_y^q (p - h)`;
    /// - reverse cross entropy `A (1 - p_y)` has `A p_y (p - h)`; the symmetric one adds it to cross entropy.
    pub fn loss_and_gradient(self, logits: &[f32], label: u8, gradient: &mut [f32]) -> f32 {
        let loss = self.unflushed(logits, usize::from(label), gradient);
        // Processors are slow with subnormal numbers, which would go on through every layer before this one.
        gradient.iter_mut().filter(|value| value.abs() < f32::MIN_POSITIVE).for_each(|value| *value = 0.0);
        loss
    }

    fn unflushed(self, logits: &[f32], label: usize, gradient: &mut [f32]) -> f32 {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for (power, logit) in gradient.iter_mut().zip(logits) {
            *power = (logit - highest).exp();
            sum += *power;
        }
        gradient.iter_mut().for_each(|probability| *probability /= sum);
        let own = gradient[label];
        match self.name {
            LossName::CrossEntropy => self.cross_entropy(logits, label, highest + sum.ln(), gradient, 0.0),
            LossName::SymmetricCrossEntropy => {
                let reverse = REVERSE_A * own;
                self.cross_entropy(logits, label, highest + sum.ln(), gradient, reverse) + REVERSE_A * (1.0 - own)
            }
            LossName::GeneralizedCrossEntropy => {
                let heed = own.powf(GENERALIZED_Q);
                gradient[label] -= 1.0;
                gradient.iter_mut().for_each(|gradient| *gradient *= heed * self.share);
                (1.0 - heed) / GENERALIZED_Q
            }
        }
    }

    /// Cross entropy with `reverse · (p - h)` added to its gradient.
    fn cross_entropy(self, logits: &[f32], label: usize, log_sum: f32, gradient: &mut [f32], reverse: f32) -> f32 {
        let mut loss = 0.0;
        for (class, (gradient, logit)) in gradient.iter_mut().zip(logits).enumerate() {
            let (target, hard) = if class == label { (self.right, 1.0) } else { (self.wrong, 0.0) };
            loss -= target * (logit - log_sum);
            *gradient = (*gradient - target + reverse * (*gradient - hard)) * self.share;
        }
        loss
    }
}

/// `-ln softmax(logits)[label]`.
pub fn cross_entropy(logits: &[f32], label: u8) -> f64 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - highest).exp()).sum();
    sum.ln() - f64::from(logits[usize::from(label)] - highest)
}

/// Whether the first of the highest logits is the label's.
pub fn is_right(logits: &[f32], label: u8) -> bool {
    let own = logits[usize::from(label)];
    let mut others = logits.iter().enumerate();
    others.all(|(class, &logit)| logit < own || (logit == own && class >= usize::from(label)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.nn.functional.cross_entropy(torch.tensor([[1., 2., 3.]]), torch.tensor([1]), label_smoothing=s)` gives
    /// 1.4076059 for s = 0 and 1.4076059 for s = 0.3; with label 2, 0.4076059 and 0.7076059.
    #[test]
    fn the_loss_is_pytorch_s() {
        for (label, smoothing, expected) in
            [(1, 0.0, 1.407_605_9), (1, 0.3, 1.407_605_9), (2, 0.0, 0.407_605_9), (2, 0.3, 0.707_605_9)]
        {
            let mut gradient = [0.0; 3];
            let loss = Loss::new(LossName::CrossEntropy, smoothing, 3, 1).loss_and_gradient(
                &[1.0, 2.0, 3.0],
                label,
                &mut gradient,
            );
            assert!((loss - expected).abs() < 1e-6, "{loss} for {expected}");
            assert!(gradient.iter().sum::<f32>().abs() < 1e-6);
        }
        assert!((cross_entropy(&[1.0, 2.0, 3.0], 2) - 0.407_605_964_444_379_9).abs() < 1e-12);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let mut gradient = [0.0; 2];
        let loss = Loss::new(LossName::CrossEntropy, 0.0, 2, 1).loss_and_gradient(&[1000.0, -1000.0], 1, &mut gradient);
        assert_eq!((loss, gradient), (2000.0, [1.0, -1.0]));
        assert_eq!(cross_entropy(&[1000.0, -1000.0], 0), 0.0);
    }

    #[test]
    fn of_equal_logits_the_first_class_is_the_answer_and_no_number_is_none() {
        assert!(is_right(&[1.0, 1.0, 0.0], 0) && !is_right(&[1.0, 1.0, 0.0], 1));
        assert!(!is_right(&[f32::NAN, 1.0], 0));
    }
}
