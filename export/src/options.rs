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

impl Options {
    /// The checkpoint and the model.
    pub(crate) fn paths(&self) -> (PathBuf, PathBuf) {
        let run = RunDirectory::new(self.run.clone().unwrap_or_default());
        (
            self.checkpoint.clone().unwrap_or_else(|| run.checkpoint()),
            self.output.clone().unwrap_or_else(|| run.model()),
        )
    }
}

fn positive_number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        // The graph holds 1/T in single precision.
        Ok(value) if value > 0.0 && (1.0 / value) as f32 > 0.0 && ((1.0 / value) as f32).is_finite() => Ok(value),
        _ => Err("a number above 0 was expected".to_owned()),
    }
}
