//! The perceptron in `f64`, plain and slow: every sum is written out as its formula.

use train::LossName;
use train::model::{Layer, Mlp};
use train::random::philox;

/// A batch and how it is trained.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The standardised images.
    pub inputs: Vec<Vec<f64>>,
    pub labels: Vec<u8>,
    pub loss: LossName,
    pub label_smoothing: f64,
    pub dropout: f64,
    pub input_dropout: f64,
    pub seed: u64,
    pub step: u64,
}

/// `logits[image][class]`.
pub fn logits(model: &Mlp, parameters: &[f64], batch: &Batch) -> Vec<Vec<f64>> {
    activations(model, parameters, batch).into_iter().map(|mut layers| layers.pop().unwrap()).collect()
}

/// Mean loss of the batch.
pub fn loss(model: &Mlp, parameters: &[f64], batch: &Batch) -> f64 {
    let logits = logits(model, parameters, batch);
    let losses = logits.iter().zip(&batch.labels).map(|(logits, &label)| {
        let targets = targets(logits.len(), label, batch.label_smoothing);
        let probabilities = softmax(logits);
        let cross_entropy = -probabilities.iter().zip(targets).map(|(p, t)| t * p.ln()).sum::<f64>();
        let own = probabilities[usize::from(label)];
        match batch.loss {
            LossName::CrossEntropy => cross_entropy,
            LossName::GeneralizedCrossEntropy => (1.0 - own.powf(0.7)) / 0.7,
            LossName::SymmetricCrossEntropy => cross_entropy + 4.0 * (1.0 - own),
        }
    });
    losses.sum::<f64>() / logits.len() as f64
}

/// The gradient of [`loss`] by every parameter, by the chain rule.
pub fn gradient(model: &Mlp, parameters: &[f64], batch: &Batch) -> Vec<f64> {
    let mut gradient = vec![0.0; parameters.len()];
    let images = batch.inputs.len() as f64;
    for (image, layers) in activations(model, parameters, batch).into_iter().enumerate() {
        let logits = layers.last().unwrap();
        let label = batch.labels[image];
        let targets = targets(logits.len(), label, batch.label_smoothing).zip(targets(logits.len(), label, 0.0));
        let probabilities = softmax(logits);
        let own = probabilities[usize::from(label)];
        let slope = |p: f64, target: f64, hard: f64| match batch.loss {
            LossName::CrossEntropy => p - target,
            LossName::GeneralizedCrossEntropy => own.powf(0.7) * (p - hard),
            LossName::SymmetricCrossEntropy => p - target + 4.0 * own * (p - hard),
        };
        let slopes = probabilities.iter().zip(targets).map(|(&p, (target, hard))| slope(p, target, hard) / images);
        let mut delta: Vec<f64> = slopes.collect();
        for (index, layer) in model.layers().iter().enumerate().rev() {
            let input = &layers[index];
            for o in 0..layer.outputs {
                gradient[layer.bias.start + o] += delta[o];
                for i in 0..layer.inputs {
                    gradient[weight_at(layer, o, i)] += delta[o] * input[i];
                }
            }
            if index > 0 {
                delta = (0..layer.inputs)
                    .map(|i| {
                        let sum: f64 = (0..layer.outputs).map(|o| delta[o] * parameters[weight_at(layer, o, i)]).sum();
                        let kept = keep(batch, image, index, i);
                        if input[i] > 0.0 { sum * kept } else { 0.0 }
                    })
                    .collect();
            }
        }
    }
    gradient
}

/// The input and every layer's output, of every image.
fn activations(model: &Mlp, parameters: &[f64], batch: &Batch) -> Vec<Vec<Vec<f64>>> {
    let last = model.layers().len() - 1;
    let of_image = |(image, input): (usize, &Vec<f64>)| {
        let input = input.iter().enumerate().map(|(pixel, value)| value * keep(batch, image, 0, pixel));
        let mut layers = vec![input.collect::<Vec<f64>>()];
        for (index, layer) in model.layers().iter().enumerate() {
            let input = layers.last().unwrap();
            let output = (0..layer.outputs).map(|o| {
                let sum: f64 = (0..layer.inputs).map(|i| parameters[weight_at(layer, o, i)] * input[i]).sum();
                let output = sum + parameters[layer.bias.start + o];
                if index < last { output.max(0.0) * keep(batch, image, index + 1, o) } else { output }
            });
            let output = output.collect();
            layers.push(output);
        }
        layers
    };
    batch.inputs.iter().enumerate().map(of_image).collect()
}

fn weight_at(layer: &Layer, output: usize, input: usize) -> usize {
    layer.weight.start + output * layer.inputs + input
}

/// 0 where the step drops the output of the layer (0 is the input), else what it is scaled by.
fn keep(batch: &Batch, image: usize, layer: usize, column: usize) -> f64 {
    let share = if layer == 0 { batch.input_dropout } else { batch.dropout };
    if share == 0.0 {
        return 1.0;
    }
    // A counter for eight columns of an image; sixteen bits for each.
    let counter = [image as u32, column as u32 / 8, batch.step as u32, (batch.step >> 32 << 16) as u32 | layer as u32];
    let word = philox(counter, batch.seed)[column % 8 / 2];
    let bits = if column.is_multiple_of(2) { word & 0xffff } else { word >> 16 };
    let dropped = (share * 65_536.0).round();
    if f64::from(bits) < dropped { 0.0 } else { 65_536.0 / (65_536.0 - dropped) }
}

fn targets(classes: usize, label: u8, smoothing: f64) -> impl Iterator<Item = f64> {
    (0..classes).map(move |class| {
        let own = if class == usize::from(label) { 1.0 - smoothing } else { 0.0 };
        own + smoothing / classes as f64
    })
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|z| z.exp()).sum();
    logits.iter().map(|z| z.exp() / sum).collect()
}
