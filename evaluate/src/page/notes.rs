//! The footnotes: each measure's formula and where it comes from.

use maud::{Markup, html};

/// A note's name, its formula and its source.
#[derive(Debug, Clone, Copy)]
struct Text {
    name: &'static str,
    formula: &'static str,
    source: &'static str,
}

/// Makes the notes, in the order of their numbers, of their names, formulas and sources.
macro_rules! notes {
    ($($note:ident => { $name:literal, $formula:literal, $source:literal, })*) => {
        /// A measure that is explained at the page's end.
        #[derive(Debug, Clone, Copy)]
        pub(crate) enum Note {
            $($note,)*
        }

        const TEXTS: &[Text] = &[$(Text { name: $name, formula: $formula, source: $source },)*];
    };
}

notes! {
    Accuracy => {
        "Accuracy",
        "images classified rightly / images",
        "scikit-learn: accuracy_score.",
    }
    MajorityBaseline => {
        "Always the most frequent class",
        "images of the most frequent class / images: what is right without looking",
        "scikit-learn: DummyClassifier with strategy=\"most_frequent\".",
    }
    BalancedAccuracy => {
        "Balanced accuracy",
        "the mean of recall over the classes that have images",
        "scikit-learn: balanced_accuracy_score.",
    }
    F1 => {
        "F1",
        "2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall; macro F1 is its mean over the classes \
         for which it exists. Its interval is Wilson's of J = TP / (TP + FP + FN), carried over by F1 = 2 J / (1 + J)",
        "scikit-learn: f1_score. Interval: K. F. Y. Lam, 2023, arXiv 2309.14621.",
    }
    NegativeLogLikelihood => {
        "Negative log likelihood",
        "the mean of −log p(label), in nats; 0 at best",
        "scikit-learn: log_loss.",
    }
    Brier => {
        "Brier score",
        "the mean over the images of Σ (p(c) − [c is the label])² over the classes c; 0 at best, 2 at worst",
        "G. W. Brier, Monthly Weather Review 78, 1950. scikit-learn: brier_score_loss with scale_by_half=False.",
    }
    TopTwo => {
        "Top-2 accuracy",
        "images whose label is among the two most probable classes / images",
        "scikit-learn: top_k_accuracy_score with k=2.",
    }
    Kappa => {
        "Cohen's kappa",
        "(accuracy − chance) / (1 − chance), chance being the agreement of independent labels and predictions with \
         these frequencies",
        "J. Cohen, Educational and Psychological Measurement 20, 1960. scikit-learn: cohen_kappa_score.",
    }
    Wilson => {
        "Wilson interval",
        "(p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n), with z = 1.96 for 95 %",
        "E. B. Wilson, Journal of the American Statistical Association 22, 1927. statsmodels: proportion_confint.",
    }
    Jeffreys => {
        "Beta posterior",
        "the middle 95 % of Beta(successes + ½, failures + ½), which is what Jeffreys' prior and the counts leave",
        "L. D. Brown, T. T. Cai, A. DasGupta, Statistical Science 16, 2001.",
    }
    ByFont => {
        "By font, or by image",
        "glyphs of one font are not independent, so that the intervals that count images are too narrow. Of a share: \
         Wilson's among as many images as have its spread over the fonts, fewer still with few fonts. Of the others, with \
         20 fonts or more: fonts are drawn with replacement, each with all of its images; the middle 95 % of the results. \
         Where no name tells a font, images stand for fonts",
        "E. L. Korn, B. I. Graubard, Survey Methodology 24, 1998; A. C. Davison, D. V. Hinkley, Bootstrap Methods and \
         their Application, 1997, section 3.8.",
    }
    Recall => {
        "Recall, sensitivity",
        "P(says c given is c) = TP / (TP + FN)",
        "scikit-learn: recall_score.",
    }
    Specificity => {
        "Specificity",
        "P(does not say c given is not c) = TN / (TN + FP)",
        "J. Yerushalmy, Public Health Reports 62, 1947.",
    }
    FalseAlarm => {
        "False alarm rate",
        "P(says c given is not c) = FP / (FP + TN) = 1 − specificity; not the share of alarms that are false, which is 1 − \
         precision",
        "D. M. Green, J. A. Swets, Signal Detection Theory and Psychophysics, 1966.",
    }
    Precision => {
        "Precision, posterior",
        "P(is c given says c) = TP / (TP + FP); in averages 0 for a class that has images and is never said",
        "scikit-learn: precision_score with zero_division=nan.",
    }
    LikelihoodRatios => {
        "Likelihood ratios",
        "LR+ = recall / false alarm rate and LR− = (1 − recall) / specificity: by what a positive or a negative \
         answer multiplies the odds. Without a false alarm there is no LR+, but where an image \
         was recognised, the lower end of its interval: the ratios that the score test does not refuse",
        "scikit-learn: class_likelihood_ratios. Interval: P. A. R. Koopman, Biometrics 40, 1984. statsmodels: \
         confint_proportions_2indep with compare=\"ratio\", method=\"score\", correction=False.",
    }
    Roc => {
        "Area under the ROC curve",
        "P(p(c) of an image of c > p(c) of another one) + ½ P(both are equal): ½ without any knowledge. Its interval is \
         logit⁻¹(logit A ± z s / (A(1 − A))), with Obuchowski's variance s², which counts what the glyphs of a font have in \
         common; for A = 1, from Wilson's lower end. It is approximate: where a few images make the whole fault, it is too \
         narrow",
        "scikit-learn: roc_auc_score, roc_curve. Interval: N. A. Obuchowski, Biometrics 53, 1997; without fonts, E. R. \
         DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44, 1988; M. S. Pepe, The Statistical Evaluation of \
         Medical Tests, 2003, section 5.2.",
    }
    AveragePrecision => {
        "Average precision",
        "Σ (R(n) − R(n − 1)) P(n) over the thresholds n, with recall R and precision P; a model that knows nothing has the \
         class's prior, with which it moves, unlike the area",
        "scikit-learn: average_precision_score.",
    }
    Bayes => {
        "Bayes' theorem",
        "posterior = recall · prior / (recall · prior + false alarm rate · (1 − prior))",
        "T. Bayes, Philosophical Transactions 53, 1763.",
    }
    OtherPriors => {
        "Other priors",
        "accuracy = Σ π(t) P(says t given is t); precision of c = π(c) P(says c given is c) / Σ π(t) P(says c given \
         is t). Adjusted: p'(c) ∝ p(c) · π(c) / training prior(c), and the most probable class is taken. The accuracy's \
         95 % interval is Wilson's among n images, n = m (1 − m) / Σ (π(t)² r(t) (1 − r(t)) / n(t)) for the accuracy m and \
         the recalls r, but at most 1 / Σ (π(t)² / n(t))",
        "M. Saerens, P. Latinne, C. Decaestecker, Neural Computation 14, 2002, equation 2.4. Interval: C. \
         Franco, R. J. A. Little, T. A. Louis, E. V. Slud, Journal of Survey Statistics and Methodology 7, 2019. English \
         letters: R. E. Lewand, Cryptological Mathematics, 2000.",
    }
    ExpectationMaximisation => {
        "Prior by expectation maximisation",
        "the prior is the mean of the probabilities, which are reweighed for that prior, until neither changes",
        "M. Saerens, P. Latinne, C. Decaestecker, Neural Computation 14, 2002, section 2.3.",
    }
    BlackBoxShift => {
        "Prior by black box shift estimation",
        "w solves Σ P(says p, is t) w(t) = P'(says p); the prior is w(c) P(c), negative ones set to 0, scaled to 1",
        "Z. Lipton, Y.-X. Wang, A. Smola, ICML 2018.",
    }
    Updating => {
        "After several images",
        "P(is c given that m images are taken for c) = π(c) P(c given c)ᵐ / Σ π(t) P(c given t)ᵐ, all images being of one \
         letter t; given it, errors are taken as independent, as those in different fonts nearly are",
        "T. Bayes, Philosophical Transactions 53, 1763, applied to its own result.",
    }
    Calibration => {
        "Expected calibration error",
        "Σ (images in bin / images) · |accuracy in bin − mean confidence in bin| over bins of equal width. As chance moves \
         accuracies, it is not 0 for a model whose confidence is true: what it then is, images that are right with the \
         probability of their confidence tell, drawn 1,000 times",
        "C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, ICML 2017, equation 3; J. Bröcker, L. A. Smith, Weather and \
         Forecasting 22, 2007.",
    }
    EqualSizeCalibration => {
        "Calibration error over bins of equal size",
        "the same over bins of equally many images",
        "The bins are those of K. Nguyen, B. O'Connor, EMNLP 2015, who take the root of the mean square.",
    }
    Temperature => {
        "Temperature scaling",
        "softmax(logits / T), T having the lowest negative log likelihood on the validation split alone",
        "C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, ICML 2017, section 4.2.",
    }
    Coverage => {
        "Accuracy against coverage",
        "the accuracy of the images that are at least as confident as a threshold, for falling thresholds",
        "Y. Geifman, R. El-Yaniv, NeurIPS 2017.",
    }
    ConfidentLearning => {
        "Confident learning",
        "an image labelled i is confidently of j where p(j) is at least the mean p(j) of the images labelled j; those \
         of another class than their label are likely wrong. The share of wrong labels is what lies off the diagonal of \
         the counts of (label, confident class), each row scaled to the number of images with that label",
        "C. G. Northcutt, L. Jiang, I. L. Chuang, Journal of Artificial Intelligence Research 70, 2021.",
    }
    Saliency => {
        "Saliency",
        "|∂ winning logit / ∂ pixel|, averaged over the images taken for a class",
        "K. Simonyan, A. Vedaldi, A. Zisserman, Deep Inside Convolutional Networks, 2014, section 3.",
    }
    Typical => {
        "Typical images",
        "the Euclidean distance of the last hidden layer's activations, or of the pixels where there is none, from \
         their mean over the class's images",
        "As defined here.",
    }
    DeadUnits => {
        "Dead units",
        "rectified linear units that no image makes positive",
        "As defined here.",
    }
    McNemar => {
        "McNemar's exact test",
        "the two-sided binomial test of a share of ½ among the images that only one of the two gets right",
        "Q. McNemar, Psychometrika 12, 1947. statsmodels: mcnemar with exact=True.",
    }
    Difference => {
        "Difference of accuracies",
        "Wald's interval for matched pairs, with half an image added to each of the four counts",
        "A. Agresti, Y. Min, Statistics in Medicine 24, 2005.",
    }
    DifferenceByFont => {
        "Difference by font",
        "the mean difference ± Student's t times the square root of its variance over the fonts; the probability is that \
         |Σ ±d| is at least |Σ d| with the signs of fair coins, all of them counted, d being a font's images that one \
         model alone gets right less those of the other. Where no font has more than one such image, it is McNemar's \
         exact test",
        "R. A. Fisher, The Design of Experiments, 1935, chapter III. With many fonts, much the same: V. L. Durkalski, \
         Y. Y. Palesch, S. R. Lipsitz, P. F. Rust, Statistics in Medicine 22, 2003.",
    }
}

impl Note {
    /// The reference in the text.
    pub fn mark(self) -> Markup {
        let number = self as usize + 1;
        html! { sup.mark { a href={ "#note-" (number) } aria-label={ "note " (number) } { (number) } } }
    }

    /// The list at the page's end.
    pub fn list() -> Markup {
        html! {
            ol.notes {
                @for (index, Text { name, formula, source }) in TEXTS.iter().enumerate() {
                    li id={ "note-" (index + 1) } {
                        strong { (name) } ". " span.formula { (formula) } " " span.source { (source) }
                    }
                }
            }
        }
    }
}
