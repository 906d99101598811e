//! Where a network's parameters lie in lines, one layer after the other.

use super::panels::{Layout, Line, Matrix};
use crate::model::{Layer, Mlp};

/// Where a layer's parameters lie.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The weight's panels are of outputs.
    pub layout: Layout,
    pub weight: usize,
    /// The first line of the biases, one for each panel of the weight.
    pub bias: usize,
    pub end: usize,
}

impl Place {
    /// The weight among the parameters.
    pub fn weight<L>(self, parameters: &[L]) -> Matrix<'_, L> {
        Matrix { lines: &parameters[self.weight..self.bias], layout: self.layout }
    }

    /// The biases, a line for each panel of outputs.
    pub fn biases(self, parameters: &[Line]) -> &[Line] {
        &parameters[self.bias..self.end]
    }
}

/// The places of each layer's parameters.
pub fn places(model: &Mlp) -> Vec<Place> {
    let mut end = 0;
    let place = |layer: &Layer| {
        let layout = Layout { lanes: layer.outputs, depth: layer.inputs };
        let (weight, bias) = (end, end + layout.lines());
        end = bias + layout.panels();
        Place { layout, weight, bias, end }
    };
    model.layers().iter().map(place).collect()
}

/// Puts parameters, or what there is one of for each, into lines, the spare ones of which stay as they are.
pub fn fill(places: &[Place], model: &Mlp, parameters: &[f32], lines: &mut [Line]) {
    for (place, layer) in places.iter().zip(model.layers()) {
        place.layout.fill(&parameters[layer.weight.clone()], &mut lines[place.weight..place.bias]);
        let bias = lines[place.bias..place.end].iter_mut().flat_map(|line| &mut line.0);
        bias.zip(&parameters[layer.bias.clone()]).for_each(|(place, &value)| *place = value);
    }
}

/// Takes them out of the lines.
pub fn extract(places: &[Place], model: &Mlp, lines: &[Line]) -> Vec<f32> {
    let mut parameters = vec![0.0; model.parameters()];
    for (place, layer) in places.iter().zip(model.layers()) {
        place.layout.extract(&lines[place.weight..place.bias], &mut parameters[layer.weight.clone()]);
        let bias = lines[place.bias..place.end].iter().flat_map(|line| &line.0);
        parameters[layer.bias.clone()].iter_mut().zip(bias).for_each(|(value, &place)| *value = place);
    }
    parameters
}
