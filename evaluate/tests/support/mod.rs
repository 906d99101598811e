//! A run and a data set as small as they can be, whose every prediction the test decides.
//!
//! The network has one layer and logit `c` is the value of pixel `c`, so an image whose pixel `c` is the brightest is
//! taken for class `c`.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file is a crate of its own and uses a part of this")]

use std::env;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use artifacts::{
    Checkpoint, Dataset, EpochMetrics, ExportRecord, Fonts, LinearLayer, ModelDescription, ModelMetadata, Provenance,
    RemovedCounts, RemovedImage, RunDirectory, Shard, ShardFile, Split, SplitName, Splits, TrainingRecord, logits, npy,
};
use assert_cmd::Command;
use assert_cmd::assert::Assert;
use files::Digest;
use ndarray::{Array1, Array2, Array3};
use onnx_rs::ast::{
    Attribute, AttributeType, DataType, Dimension, Graph, Model, Node, OpType, OperatorSetId, StringStringEntry,
    TensorProto, TensorShape, TensorShapeDimension, TensorTypeProto, TypeProto, TypeValue, ValueInfo,
};
use tempfile::TempDir;

/// Height and width of every image.
pub const SIDE: usize = 8;
const PIXELS: usize = SIDE * SIDE;

/// The class of an image and the class that the model takes it for.
pub type Pair = (u8, u8);

/// `run/` and `shards/` in a folder of their own.
pub struct Example {
    pub folder: TempDir,
    pub classes: Vec<String>,
    pub valid: Vec<Pair>,
    pub test: Vec<Pair>,
    /// What `preprocess` is made to have removed.
    pub removed: Vec<RemovedImage>,
    /// What the trainer is made to have computed, beside what the model computes.
    pub error_in_reference: f32,
}

impl Example {
    /// With these classes and test images, not written yet.
    pub fn new(classes: &[&str], test: &[Pair]) -> Self {
        let valid = (0..40).map(|row| ((row % 2) as u8, (row % 3 % 2) as u8)).collect();
        let classes = classes.iter().map(|&class| class.to_owned()).collect();
        Self {
            folder: tempfile::tempdir().unwrap(),
            classes,
            valid,
            test: test.to_vec(),
            removed: vec![],
            error_in_reference: 0.0,
        }
    }

    pub fn run(&self) -> RunDirectory {
        RunDirectory::new(self.folder.path().join("run"))
    }

    pub fn shards(&self) -> PathBuf {
        self.folder.path().join("shards")
    }

    pub fn report(&self) -> PathBuf {
        self.run().report().join("report.json")
    }

    pub fn description(&self) -> ModelDescription {
        ModelDescription {
            classes: self.classes.clone(),
            height: SIDE,
            width: SIDE,
            mean: 0.0,
            standard_deviation: 1.0 / 255.0,
            hidden: vec![],
            groups: NonZeroUsize::MIN,
        }
    }

    /// Writes all files.
    pub fn write(self) -> Self {
        let dataset = self.write_dataset("example");
        let training = Provenance::new("train", "0.1.0").with_input(Dataset::FILE_NAME, dataset);
        self.write_training(&training);
        self.write_model(&self.metadata(&training), &ModelForm::default());
        self
    }

    pub fn metadata(&self, training: &Provenance) -> ModelMetadata {
        ModelMetadata {
            schema_version: ModelMetadata::SCHEMA_VERSION,
            model: self.description(),
            checkpoint: self.write_checkpoint(),
            training: training.clone(),
            export: Provenance::new("export", "0.1.0"),
        }
    }

    pub fn write_training(&self, provenance: &Provenance) {
        let pixels: Vec<_> =
            self.valid.iter().take(logits::REFERENCE_ROWS).flat_map(|&(_, seen)| image(seen)).collect();
        let pixels = Array2::from_shape_vec((pixels.len() / PIXELS, PIXELS), pixels).unwrap();
        let mut logits =
            Array2::from_shape_fn((pixels.nrows(), self.classes.len()), |(row, class)| f32::from(pixels[[row, class]]));
        logits[[0, 0]] += self.error_in_reference;
        let record = TrainingRecord {
            provenance: provenance.clone(),
            model: self.description(),
            epochs: 1,
            kept_epoch: 1,
            kept_weights: artifacts::Weights::Trained,
            valid_loss: 0.5,
            valid_accuracy: 0.5,
            checkpoint: self.write_checkpoint(),
            metrics: self.write_metrics(),
            reference_logits: logits::write(&self.run().reference_logits(), &logits).unwrap(),
        };
        artifacts::write_json(&self.run().training_record(), &record).unwrap();
    }

    /// Writes the network whose logit `c` is the value of pixel `c`; returns the digest.
    fn write_checkpoint(&self) -> Digest {
        let weight = Array2::from_shape_fn((self.classes.len(), PIXELS), |(class, pixel)| f32::from(class == pixel));
        let layers = vec![LinearLayer::full(weight, Array1::zeros(self.classes.len()))];
        let checkpoint =
            Checkpoint { model: self.description(), provenance: Provenance::new("train", "0.1.0"), layers };
        checkpoint.write(&self.run().checkpoint()).unwrap()
    }

    /// Writes the metrics of one epoch; returns the digest.
    fn write_metrics(&self) -> Digest {
        let epoch = EpochMetrics {
            epoch: 1,
            learning_rate: 0.001,
            train_loss: 1.0,
            valid_loss: 0.5,
            valid_accuracy: 0.5,
            averaged_valid_loss: None,
            averaged_valid_accuracy: None,
        };
        files::write_file(&self.run().metrics(), |writer| {
            serde_json::to_writer(&mut *writer, &epoch).unwrap();
            writer.write_all(b"\n")
        })
        .unwrap()
    }

    fn write_removed_list(&self) -> Digest {
        files::write_file(&self.shards().join(Dataset::REMOVED_LIST), |writer| {
            self.removed.iter().try_for_each(|removed| {
                serde_json::to_writer(&mut *writer, removed).unwrap();
                writer.write_all(b"\n")
            })
        })
        .unwrap()
    }

    /// Writes `dataset.json` and the shards; returns the digest of the former.
    pub fn write_dataset(&self, name: &str) -> Digest {
        let split = |split: SplitName, pairs: &[Pair]| {
            // Two shards, so that a batch can reach over an end.
            let (first, second) = pairs.split_at(pairs.len() / 3);
            let shards = [first, second].into_iter().enumerate();
            let shards = shards.filter(|(_, pairs)| !pairs.is_empty());
            Split {
                images: pairs.len(),
                images_by_class: (0..self.classes.len())
                    .map(|class| pairs.iter().filter(|&&(label, _)| usize::from(label) == class).count())
                    .collect(),
                shards: shards.map(|(number, pairs)| self.write_shard(split, number, pairs)).collect(),
            }
        };
        let train: Vec<Pair> = (0..self.classes.len()).map(|class| (class as u8, class as u8)).collect();
        let dataset = Dataset {
            provenance: Provenance::new("preprocess", "0.1.0"),
            name: name.to_owned(),
            classes: self.classes.clone(),
            height: SIDE,
            width: SIDE,
            mean: 0.0,
            standard_deviation: 1.0 / 255.0,
            splits: Splits {
                train: split(SplitName::Train, &train),
                valid: split(SplitName::Valid, &self.valid),
                test: split(SplitName::Test, &self.test),
            },
            fonts: Fonts::default(),
            removed: RemovedCounts::default(),
            removed_list: self.write_removed_list(),
            converted: [].into(),
            rejected: vec![],
        };
        artifacts::write_json(&self.shards().join(Dataset::FILE_NAME), &dataset).unwrap()
    }

    fn write_shard(&self, split: SplitName, number: usize, pairs: &[Pair]) -> Shard {
        let pixels = pairs.iter().flat_map(|&(_, seen)| image(seen)).collect();
        let images = Array3::from_shape_vec((pairs.len(), SIDE, SIDE), pixels).unwrap();
        let labels: Array1<u8> = pairs.iter().map(|&(label, _)| label).collect();
        let names: String = (0..pairs.len()).map(|row| format!("{number}/{row}.png\n")).collect();
        let write = |what: &str, write: &dyn Fn(&Path) -> files::Result<Digest>| {
            let path = format!("{split}/{what}-{number}");
            ShardFile { sha256: write(&self.shards().join(&path)).unwrap(), path }
        };
        Shard {
            rows: pairs.len(),
            images: write("images.npy", &|path| npy::write(path, &images)),
            labels: write("labels.npy", &|path| npy::write(path, &labels)),
            names: write("names.txt", &|path| files::write_file(path, |file| file.write_all(names.as_bytes()))),
        }
    }

    pub fn write_model(&self, metadata: &ModelMetadata, form: &ModelForm) {
        write_model(&self.run().model(), metadata, form);
        let model = files::sha256_file(&self.run().model()).unwrap();
        let record = ExportRecord { provenance: metadata.export.clone(), model };
        artifacts::write_json(&self.run().export_record(), &record).unwrap();
    }

    pub fn evaluate(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evaluate"));
        command.env("ORT_DYLIB_PATH", library()).env("NO_COLOR", "1");
        command.arg("--run").arg(self.run().path()).arg("--dataset").arg(self.shards());
        command
    }
}

/// The library that the tests run with. A relative path is meant from the workspace, where `cargo test` is called.
pub fn library() -> PathBuf {
    let path = env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).expect(
        "ORT_DYLIB_PATH is not set: these tests need ONNX Runtime. Run them with `make test`, which unpacks it, or set \
         the variable to a libonnxruntime",
    );
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

pub fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

pub fn read_report(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// An image that the model takes for `class`, by one grey level.
fn image(class: u8) -> [u8; PIXELS] {
    let mut pixels = [3; PIXELS];
    pixels[usize::from(class)] = 4;
    pixels
}

/// How a model departs from what `export` writes.
pub struct ModelForm {
    pub input: &'static str,
    pub input_type: DataType,
    pub logits: &'static str,
    pub factor: f32,
    pub height: usize,
    pub width: usize,
    /// A tensor that no node takes: ONNX Runtime warns of it.
    pub unused_tensor: bool,
}

impl Default for ModelForm {
    fn default() -> Self {
        Self {
            input: "images",
            input_type: DataType::Uint8,
            logits: "logits",
            factor: 1.0,
            height: SIDE,
            width: SIDE,
            unused_tensor: false,
        }
    }
}

fn write_model(path: &Path, metadata: &ModelMetadata, form: &ModelForm) {
    let classes = metadata.model.classes.len();
    let weight = (0..classes).flat_map(|class| (0..PIXELS).map(move |pixel| if pixel == class { 1.0 } else { 0.0 }));
    let weight = weight.map(|value: f32| value * form.factor).collect();
    let integer = |name, i| vec![Attribute { name, r#type: AttributeType::Int, i, ..Attribute::default() }];
    let node = |op_type, input: &[&'static str], output, attribute| Node {
        name: output,
        op_type,
        input: input.to_vec(),
        output: vec![output],
        attribute,
        ..Node::default()
    };
    let entries = metadata.to_entries();
    let model = Model {
        ir_version: 8,
        opset_import: vec![OperatorSetId { domain: "", version: 17 }],
        metadata_props: entries.iter().map(|(key, value)| StringStringEntry { key, value }).collect(),
        graph: Some(Graph {
            name: "pixels",
            node: vec![
                node(OpType::Flatten, &[form.input], "flat", integer("axis", 1)),
                node(OpType::Cast, &["flat"], "cast", integer("to", 1)),
                node(OpType::Gemm, &["cast", "weight"], form.logits, integer("transB", 1)),
                node(OpType::Softmax, &[form.logits], "probabilities", integer("axis", -1)),
            ],
            initializer: [TensorProto::from_f32("weight", vec![classes as i64, PIXELS as i64], weight)]
                .into_iter()
                .chain(form.unused_tensor.then(|| TensorProto::from_f32("unused", vec![1], vec![1.0])))
                .collect(),
            input: vec![value(form.input, form.input_type, &[form.height, form.width])],
            output: [form.logits, "probabilities"].map(|name| value(name, DataType::Float, &[classes])).into(),
            ..Graph::default()
        }),
        ..Model::default()
    };
    std::fs::write(path, onnx_rs::encode(&model)).unwrap();
}

fn value(name: &'static str, elem_type: DataType, shape: &[usize]) -> ValueInfo<'static> {
    let axes = [Dimension::Param("N")].into_iter().chain(shape.iter().map(|&size| Dimension::Value(size as i64)));
    let dim = axes.map(|value| TensorShapeDimension { value, denotation: "" }).collect();
    let tensor = TensorTypeProto { elem_type, shape: Some(TensorShape { dim }) };
    let r#type = Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), denotation: "" });
    ValueInfo { name, r#type, ..ValueInfo::default() }
}
