//! Section 7: how the model was made, gathered from the artifacts of every stage.

use artifacts::{
    Dataset, EpochTiming, LayerShape, ModelDescription, Provenance, RunDirectory, Source, SplitName, sequential_place,
};
use files::Digest;

use crate::inputs::Inputs;
use crate::report::{ArtifactDigest, DatasetSummary, LayerSummary, Making, TrainingTimings};

/// Section 7.
pub(crate) fn making(inputs: &Inputs<'_>) -> Making {
    let layers = layers(&inputs.checkpoint.model);
    let export = inputs.model.metadata.export.clone();
    Making {
        learning_curves: inputs.metrics.clone(),
        kept_epoch: inputs.training.kept_epoch,
        kept_weights: inputs.training.kept_weights,
        parameters: layers.iter().map(|layer| layer.parameters).sum(),
        layers,
        dataset: dataset(&inputs.dataset),
        stages: vec![
            inputs.dataset.provenance.clone(),
            inputs.training.provenance.clone(),
            export,
            inputs.provenance(),
        ],
        artifacts: artifacts(inputs),
    }
}

fn layers(model: &ModelDescription) -> Vec<LayerSummary> {
    let shapes = model.layers();
    let last = shapes.len() - 1;
    let summary = |(index, shape): (usize, LayerShape)| LayerSummary {
        name: sequential_place(index).to_string(),
        inputs: shape.inputs as u64,
        outputs: shape.outputs as u64,
        groups: shape.groups.get() as u64,
        relu: index < last,
        parameters: shape.parameters() as u64,
    };
    shapes.into_iter().enumerate().map(summary).collect()
}

fn dataset(dataset: &Dataset) -> DatasetSummary {
    let by_class = |split| dataset.split(split).images_by_class.iter().map(|&images| images as u64).collect();
    DatasetSummary {
        name: dataset.name.clone(),
        mean: dataset.mean,
        standard_deviation: dataset.standard_deviation,
        train: by_class(SplitName::Train),
        valid: by_class(SplitName::Valid),
        test: by_class(SplitName::Test),
        removed: dataset.removed,
        fonts: dataset.fonts,
        converted: dataset.converted.clone(),
        rejected: dataset.rejected.len() as u64,
        rejected_files: dataset.rejected.iter().take(DatasetSummary::MOST_REJECTED).cloned().collect(),
    }
}

/// The chain of digests: what `preprocess` read, its shards, what `train` wrote, the model.
fn artifacts(inputs: &Inputs<'_>) -> Vec<ArtifactDigest> {
    let mut list = inputs_of_preprocess(&inputs.dataset.provenance);
    let mut add = |stage: &str, file: &str, sha256: Digest| {
        list.push(ArtifactDigest { file: file.to_owned(), written_by: Some(stage.to_owned()), sha256 });
    };
    for split in SplitName::ALL {
        for shard in &inputs.dataset.split(split).shards {
            for file in [&shard.images, &shard.labels, &shard.names] {
                add("preprocess", &file.path, file.sha256);
            }
        }
    }
    add("preprocess", Dataset::REMOVED_LIST, inputs.dataset.removed_list);
    add("preprocess", Dataset::FILE_NAME, inputs.dataset_digest);
    add("train", RunDirectory::METRICS, inputs.training.metrics);
    add("train", RunDirectory::CHECKPOINT, inputs.training.checkpoint);
    add("train", RunDirectory::REFERENCE_LOGITS, inputs.training.reference_logits);
    add("train", RunDirectory::TRAINING_RECORD, inputs.training_digest);
    add("export", RunDirectory::MODEL, inputs.model.digest);
    list
}

/// The archives, `source.json` and, as "files", the list that `sha256sum` prints of all images. `fetch` wrote the last two
/// where it ran, which `source.json` says: plain folders are a person's own.
fn inputs_of_preprocess(provenance: &Provenance) -> Vec<ArtifactDigest> {
    let place = |file: &str| match file {
        Source::FILE_NAME => 1,
        "files" => 2,
        _ => 0,
    };
    let is_fetched = provenance.inputs.contains_key(Source::FILE_NAME);
    let mut list: Vec<_> = provenance
        .inputs
        .iter()
        .map(|(file, &sha256)| {
            let written_by = (is_fetched && place(file) > 0).then(|| "fetch".to_owned());
            ArtifactDigest { file: file.clone(), written_by, sha256 }
        })
        .collect();
    list.sort_by_key(|artifact| place(&artifact.file));
    list
}

/// What the clock said of the training, where it said anything.
pub(crate) fn training_timings(epochs: &[EpochTiming]) -> Option<TrainingTimings> {
    let mut rates: Vec<f64> = epochs.iter().map(|epoch| epoch.images_per_second).collect();
    rates.sort_unstable_by(f64::total_cmp);
    let middle = [rates.get(rates.len().checked_sub(1)? / 2)?, rates.get(rates.len() / 2)?];
    let images_per_second = middle.into_iter().sum::<f64>() / 2.0;
    Some(TrainingTimings {
        epochs: epochs.len(),
        train_seconds: epochs.iter().map(|epoch| epoch.train_seconds).sum(),
        valid_seconds: epochs.iter().map(|epoch| epoch.valid_seconds).sum(),
        images_per_second,
    })
}
