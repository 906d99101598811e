use std::path::PathBuf;

use artifacts::RunDirectory;

/// What `export` is asked for.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Folder of a finished training run: its checkpoint.safetensors becomes its model.onnx
    #[arg(long, value_name = "DIR", required_unless_present = "checkpoint", conflicts_with_all = ["checkpoint", "output"])]
    pub run: Option<PathBuf>,

    /// Checkpoint to export on its own, wherever it lies
    #[arg(long, value_name = "FILE", requires = "output")]
    pub checkpoint: Option<PathBuf>,

    /// Divide the logits by this before the softmax, as `evaluate` fitted it on validation: the logits that the model gives
    /// stay as they are
    #[arg(long, value_name = "T", value_parser = positive_number)]
    pub temperature: Option<f64>,

    /// Model to write, with --checkpoint
    #[arg(long, value_name = "FILE", requires = "checkpoint")]
    pub output: Option<PathBuf>,
}

/// What is exported.
pub(crate) enum Task {
    /// A run's checkpoint, to its model.
    Run(RunDirectory),
    /// A checkpoint alone, wherever it lies.
    Alone { checkpoint: PathBuf, model: PathBuf },
}

impl Options {
    /// What is asked for.
    pub(crate) fn task(&self) -> Task {
        match (&self.run, &self.checkpoint, &self.output) {
            (Some(run), ..) => Task::Run(RunDirectory::new(run)),
            (None, Some(checkpoint), Some(model)) => {
                Task::Alone { checkpoint: checkpoint.clone(), model: model.clone() }
            }
            _ => unreachable!("the command line asks for one of the two"),
        }
    }
}

impl Task {
    /// Where the checkpoint lies.
    pub fn checkpoint(&self) -> PathBuf {
        match self {
            Self::Run(run) => run.checkpoint(),
            Self::Alone { checkpoint, .. } => checkpoint.clone(),
        }
    }

    /// Where the model goes.
    pub fn model(&self) -> PathBuf {
        match self {
            Self::Run(run) => run.model(),
            Self::Alone { model, .. } => model.clone(),
        }
    }
}

fn positive_number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        // The graph holds 1/T in single precision.
        Ok(value) if value > 0.0 && (1.0 / value) as f32 > 0.0 && ((1.0 / value) as f32).is_finite() => Ok(value),
        _ => Err("a temperature is a number above 0, neither so large nor so small that dividing by it leaves nothing"
            .to_owned()),
    }
}
