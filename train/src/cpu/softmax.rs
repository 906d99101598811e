//! Softmax, cross entropy and their gradient.

/// The targets of a batch's mean cross entropy: each label with `smoothing` of it spread over all classes.
///
/// Szegedy et al., "Rethinking the Inception architecture", 2016, section 7; as PyTorch's `label_smoothing`.
#[derive(Debug, Clone, Copy)]
pub struct Targets {
    /// Of the image's class.
    right: f32,
    /// Of every other class.
    wrong: f32,
    /// 1 / images in the batch.
    share: f32,
}

impl Targets {
    /// For a batch of `images`.
    pub fn new(smoothing: f64, classes: usize, images: usize) -> Self {
        let wrong = smoothing / classes as f64;
        Self { right: (1.0 - smoothing + wrong) as f32, wrong: wrong as f32, share: (1.0 / images as f64) as f32 }
    }

    /// The loss of an image; its gradient by the logits, times the image's share in the batch, goes to `gradient`.
    ///
    /// With probabilities `p = softmax(z)` and targets `t`, the loss is `-Σ t ln p` and its gradient `p - t`.
    pub fn loss_and_gradient(self, logits: &[f32], label: u8, gradient: &mut [f32]) -> f32 {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for (power, logit) in gradient.iter_mut().zip(logits) {
            *power = (logit - highest).exp();
            sum += *power;
        }
        let log_sum = sum.ln();
        let mut loss = 0.0;
        for (class, (gradient, logit)) in gradient.iter_mut().zip(logits).enumerate() {
            let target = if class == usize::from(label) { self.right } else { self.wrong };
            loss -= target * (logit - highest - log_sum);
            *gradient = (*gradient / sum - target) * self.share;
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
            let loss = Targets::new(smoothing, 3, 1).loss_and_gradient(&[1.0, 2.0, 3.0], label, &mut gradient);
            assert!((loss - expected).abs() < 1e-6, "{loss} for {expected}");
            assert!(gradient.iter().sum::<f32>().abs() < 1e-6);
        }
        assert!((cross_entropy(&[1.0, 2.0, 3.0], 2) - 0.407_605_964_444_379_9).abs() < 1e-12);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let mut gradient = [0.0; 2];
        let loss = Targets::new(0.0, 2, 1).loss_and_gradient(&[1000.0, -1000.0], 1, &mut gradient);
        assert_eq!((loss, gradient), (2000.0, [1.0, -1.0]));
        assert_eq!(cross_entropy(&[1000.0, -1000.0], 0), 0.0);
    }

    #[test]
    fn of_equal_logits_the_first_class_is_the_answer_and_no_number_is_none() {
        assert!(is_right(&[1.0, 1.0, 0.0], 0) && !is_right(&[1.0, 1.0, 0.0], 1));
        assert!(!is_right(&[f32::NAN, 1.0], 0));
    }
}
