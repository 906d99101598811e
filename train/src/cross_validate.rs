//! Predictions for the training images by networks that have not seen them: what their labels are judged by.
//!
//! The fonts are dealt into folds. For each fold, a network is trained on all others as the run's own was, for as many
//! epochs as that was kept at, and then classifies the fold.

use std::sync::Arc;

use artifacts::{CrossValidation, Fold, Provenance, RunDirectory, font_of, logits};
use files::Digest;
use ndarray::Array2;
use statrs::statistics::Statistics as _;
use terminal::{Console, counted};

use crate::data::{Data, Order};
use crate::ensemble::{Ensemble, Joined};
use crate::error::Error;
use crate::options::{EngineOptions, Options};
use crate::state::Progress;
use crate::{provenance, softmax};

/// The folds that the training images were dealt into.
#[derive(Debug)]
pub(crate) struct Folds {
    count: u32,
    /// Each image's, counted from 0.
    of: Vec<u32>,
}

impl Folds {
    /// Deals the training images by their fonts.
    ///
    /// # Errors
    /// When their names cannot be read, or they are all of one fold.
    pub fn deal(data: &Data, count: u32, seed: u64) -> Result<Self, Error> {
        let of = deal(&data.train.names()?, count, seed);
        if of.iter().all(|fold| *fold == of[0]) {
            return Err(Error::OneFold { folds: count });
        }
        Ok(Self { count, of })
    }

    fn rows(&self, is_wanted: impl Fn(u32) -> bool) -> Vec<u32> {
        (0..).zip(&self.of).filter(|&(_, fold)| is_wanted(*fold)).map(|(row, _)| row).collect()
    }
}

/// Trains a network for each of the folds and writes their predictions to the run's folder, unless these are there.
///
/// # Errors
/// When an engine fails, a training diverges, or a file cannot be written.
pub(crate) fn run(
    folds: &Folds,
    run: &RunDirectory,
    options: &Options,
    data: &Data,
    progress: &Progress,
    console: &Console,
) -> Result<(), Error> {
    let (hyperparameters, epochs) = (&options.hyperparameters, progress.kept_metrics().epoch);
    let expected = provenance::of_any_engine(hyperparameters, data.digest);
    if let Some(record) = finished(run, folds.count, epochs, &expected, &options.engine) {
        show(&record, console);
        return Ok(());
    }
    let data = Arc::new(data.of_training_alone());
    let (mut ensemble, _) = Ensemble::new(&options.engine, Arc::clone(&data), hyperparameters)?;
    let mut logits = Array2::zeros((data.train.len(), data.dataset.classes.len()));
    let mut judged = Vec::new();
    for fold in 0..folds.count {
        let (own, others) = (folds.rows(|of| of == fold), folds.rows(|of| of != fold));
        let which = format!("train: fold {} of {}", fold + 1, folds.count);
        if own.is_empty() {
            console.say(format!("{which} has no image to predict"));
            judged.push(Fold { images: 0, correct: 0 });
            continue;
        }
        console.say(format!("{which}: {} to train on", counted(others.len() as u64, "image")));
        ensemble.begin_anew()?;
        let mut orders = ensemble.orders(others.iter().copied(), run.path())?;
        let mut network = train(&mut orders, epochs, progress, ensemble, console)?;
        let predicted = network.validation_logits(0..data.train.len())?;
        data.check_unchanged()?;
        ensemble = network.into_ensemble();
        let mut fold = Fold { images: own.len() as u64, correct: 0 };
        for row in own.iter().map(|&row| row as usize) {
            let predicted = predicted.row(row);
            let is_right =
                softmax::is_right(predicted.to_slice().expect("logits are row-major"), data.train_label(row));
            fold.correct += u64::from(is_right);
            logits.row_mut(row).assign(&predicted);
        }
        let percent = fold.accuracy() * 100.0;
        console.say(format!("{which}: accuracy {percent:.2} % on its {}", counted(fold.images, "image")));
        judged.push(fold);
    }
    // The record goes first: a process that is killed here leaves none of other logits.
    files::remove_file(&run.cross_validation())?;
    let record = CrossValidation {
        provenance: of_folds(provenance::of_engine(ensemble.engine(), hyperparameters, data.digest), folds.count),
        epochs,
        accuracy: judged.iter().map(|fold| fold.correct).sum::<u64>() as f64 / logits.nrows() as f64,
        folds: judged,
        logits: logits::write(&run.out_of_sample_logits(), &logits)?,
    };
    artifacts::write_json(&run.cross_validation(), &record)?;
    show(&record, console);
    Ok(())
}

/// The record of a cross-validation in the run's folder, where it is whole and of the training that has this provenance and
/// was kept at that epoch, computed as the flags ask where they do.
pub(crate) fn finished(
    run: &RunDirectory,
    folds: u32,
    epochs: usize,
    training: &Provenance,
    asked: &EngineOptions,
) -> Option<CrossValidation> {
    let (record, _) = artifacts::read_json::<CrossValidation>(&run.cross_validation()).ok()?;
    let expected = of_folds(training.clone(), folds);
    let is_of_it = (record.folds.len(), record.epochs) == (folds as usize, epochs)
        && provenance::is_of_as_asked(&record.provenance, &expected, asked);
    let is_whole = || files::sha256_file(&run.out_of_sample_logits()).is_ok_and(|found| found == record.logits);
    (is_of_it && is_whole()).then_some(record)
}

fn of_folds(training: Provenance, folds: u32) -> Provenance {
    training.with_argument("cross_validate", folds)
}

/// Trains on the images of `orders`. Returns the network that came of it, with the kind of weights that the run kept.
fn train(
    orders: &mut [Order<impl Iterator<Item = u32> + Clone>],
    epochs: usize,
    progress: &Progress,
    mut ensemble: Ensemble,
    console: &Console,
) -> Result<Joined, Error> {
    for epoch in 1..=epochs {
        let (loss, _) = ensemble.train_epoch(epoch, orders, console)?;
        if !loss.is_finite() {
            return Err(ensemble.diverged(epoch, loss));
        }
    }
    let (kept_weights, ..) = progress.kept_metrics().best();
    let parameters: Vec<_> = ensemble.states()?.iter().map(|state| state.weights(kept_weights).to_vec()).collect();
    Ok(ensemble.join(&parameters))
}

fn show(record: &CrossValidation, console: &Console) {
    let percent = record.accuracy * 100.0;
    let by_fold: Vec<f64> = record.folds.iter().map(|fold| fold.accuracy()).filter(|share| !share.is_nan()).collect();
    let (mean, deviation) = ((&by_fold).mean() * 100.0, (&by_fold).std_dev() * 100.0);
    console.say(format!(
        "train: out of sample, {percent:.2} % of the training images are taken for their label; by fold {mean:.2} % \
         (standard deviation {deviation:.2} %)"
    ));
}

/// The fold of each file's image: that of its font, or of the image itself where its name tells none, by the digest of the
/// seed and the name.
fn deal(files: &[String], folds: u32, seed: u64) -> Vec<u32> {
    let fold = |file: &String| {
        let group = font_of(file).unwrap_or_else(|| file.clone());
        let digest = Digest::of(format!("{seed} fold {group}").as_bytes());
        let [a, b, c, d, ..] = *digest.as_bytes();
        u32::from_be_bytes([a, b, c, d]) % folds
    };
    files.iter().map(fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_font_is_in_one_fold_and_the_folds_are_of_like_size() {
        // `Um9tYW5hIEJvbGQucGZi` is a font, the numbers are none.
        let mut files: Vec<_> = (0..4000).map(|number| format!("train/A/{number}.png")).collect();
        files.extend(["A", "B", "C"].map(|class| format!("train/{class}/Um9tYW5hIEJvbGQucGZi.png")));
        let folds = deal(&files, 4, 0);
        assert!(folds[4000..].iter().all(|&fold| fold == folds[4000]));
        for fold in 0..4 {
            let size = folds.iter().filter(|&&of| of == fold).count();
            assert!((900..1100).contains(&size), "{size}");
        }
        assert_ne!(folds, deal(&files, 4, 1));
    }
}
