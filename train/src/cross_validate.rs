//! Predictions for the training images by networks that have not seen them: what their labels are judged by.
//!
//! The fonts are dealt into folds. For each fold, a network is trained on all others as the run's own was, for as many
//! epochs as that was kept at, and then classifies the fold.

use std::sync::Arc;

use artifacts::{CrossValidation, Provenance, RunDirectory, font_of, logits};
use files::Digest;
use ndarray::{Array2, ArrayView1};
use terminal::Console;

use crate::data::{Data, Order};
use crate::ensemble::{Ensemble, Joined};
use crate::error::Error;
use crate::options::Options;
use crate::state::Progress;
use crate::{Verification, provenance_on, softmax};

/// Trains `folds` networks and writes their predictions to the run's folder.
///
/// # Errors
/// When the training images are all of one fold, an engine fails, a training diverges, or a file cannot be written.
pub(crate) fn run(
    folds: u32,
    run: &RunDirectory,
    options: &Options,
    trained: &Data,
    progress: &Progress,
    console: &Console,
) -> Result<(), Error> {
    let hyperparameters = &options.hyperparameters;
    let data = Data::open_training_twice(&options.dataset)?;
    if data.digest != trained.digest {
        return Err(files::Error::Changed { path: options.dataset.join(artifacts::Dataset::FILE_NAME) }.into());
    }
    let data = Arc::new(data.with_label_noise(hyperparameters.plant_label_noise, hyperparameters.seed));
    let mut verification = Verification::begin(&data, !options.no_verify)?;
    let fold_of = deal(&data.train.names()?, folds, hyperparameters.seed);
    let epochs = progress.kept_metrics().epoch;

    let (mut ensemble, _) = Ensemble::new(&options.engine, Arc::clone(&data), hyperparameters)?;
    let mut logits = Array2::zeros((data.train.len(), data.dataset.classes.len()));
    for fold in 0..folds {
        let others: Vec<u32> = (0..).zip(&fold_of).filter(|&(_, of)| *of != fold).map(|(row, _)| row).collect();
        if others.is_empty() {
            return Err(Error::OneFold { folds });
        }
        if others.len() == fold_of.len() {
            console.say(format!("train: fold {} of {folds} has no image to predict", fold + 1));
            continue;
        }
        console.say(format!("train: fold {} of {folds}: {} images to train on", fold + 1, others.len()));
        ensemble.begin_anew()?;
        let mut orders = ensemble.orders(others.iter().copied(), run.path())?;
        let predicted = train(&mut orders, epochs, progress, ensemble, console).and_then(|mut network| {
            let predicted = network.validation_logits(0..data.train.len())?;
            Ok((predicted, network.into_ensemble()))
        });
        verification.finish()?;
        let (predicted, trained) = predicted?;
        data.check_unchanged()?;
        ensemble = trained;
        for (row, _) in fold_of.iter().enumerate().filter(|&(_, of)| *of == fold) {
            logits.row_mut(row).assign(&predicted.row(row));
        }
    }
    let provenance = provenance_on(ensemble.engine(), hyperparameters, data.digest);
    let provenance = provenance.with_argument("cross_validate", folds);
    write(run, folds, epochs, &logits, &data, provenance, console)
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
            return Err(Error::Diverged { epoch, loss });
        }
    }
    let (kept_weights, ..) = progress.kept_metrics().best();
    let parameters: Vec<_> = ensemble.states()?.iter().map(|state| state.weights(kept_weights).to_vec()).collect();
    Ok(ensemble.join(&parameters))
}

fn write(
    run: &RunDirectory,
    folds: u32,
    epochs: usize,
    logits: &Array2<f32>,
    data: &Data,
    provenance: Provenance,
    console: &Console,
) -> Result<(), Error> {
    let is_right = |(row, logits): &(usize, ArrayView1<'_, f32>)| {
        softmax::is_right(logits.to_slice().expect("logits are row-major"), data.train_label(*row))
    };
    let right = logits.rows().into_iter().enumerate().filter(is_right).count();
    let accuracy = right as f64 / logits.nrows() as f64;
    // The record goes first: a process that is killed here leaves none of other logits.
    files::remove_file(&run.cross_validation())?;
    let digest = logits::write(&run.out_of_sample_logits(), logits)?;
    let record = CrossValidation { provenance, folds, epochs, accuracy, logits: digest };
    artifacts::write_json(&run.cross_validation(), &record)?;
    console.say(format!("train: out of sample, {accuracy:.4} of the training images are taken for their label"));
    Ok(())
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
