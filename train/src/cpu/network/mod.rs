//! The networks with their buffers, and the course of a step through them.

mod copies;
mod step;

use std::sync::Arc;

use half::f16;

use super::grid::Grid;
use super::kernel::Processor;
use super::panels::{Buffer, HalfLine, LANES, Line};
use super::phases::SquareSums;
use super::places::{self, Place};
use super::pool::Pool;
use crate::data::Data;
use crate::engine::State;
use crate::model::Mlp;
use crate::options::{Hyperparameters, Precision};
use copies::Copies;

/// The networks of a training, of which one is computed with at a time. All buffers are allocated once.
#[derive(Debug)]
pub struct Networks {
    pool: Pool,
    processor: Processor,
    data: Arc<Data>,
    model: Mlp,
    hyperparameters: Hyperparameters,
    places: Vec<Place>,
    members: Vec<Member>,
    /// The place of the one that is computed with.
    selected: usize,
    /// The gradients of the last step, where clipping needs all of them before the first is used.
    gradients: Vec<Line>,
    square_sums: Vec<f64>,
    /// The division of the gradient by each layer's weight, and the order of all tasks: each thread's share has its part of
    /// every layer, the one whose outputs it computes.
    gradient_grids: Vec<Grid>,
    gradient_tasks: Vec<(usize, usize)>,
    /// The input and the output of every layer, in panels of images. The last one holds the logits.
    activations: Vec<Buffer>,
    /// The loss's gradient by the output of every layer before its activation, in panels of images.
    deltas: Vec<Buffer>,
    copies: Copies,
    /// The loss of each image of the batch.
    losses: Vec<f32>,
    labels: Vec<u8>,
}

/// What each network has of its own.
#[derive(Debug)]
struct Member {
    seed: u64,
    /// Each of these buffers is laid out as the places say.
    parameters: Vec<Line>,
    exp_avg: Vec<Line>,
    exp_avg_sq: Vec<Line>,
    averaged: Option<Vec<Line>>,
}

impl Networks {
    /// Networks with the first weights of their seeds, and this precision in the products of their training steps. The
    /// first is selected.
    pub fn new(
        data: Arc<Data>,
        hyperparameters: &Hyperparameters,
        processor: Processor,
        pool: Pool,
        precision: Precision,
    ) -> Self {
        let model = data.model(hyperparameters);
        let places = places::places(&model);
        let end = places.last().map_or(0, |place| place.end);
        let batch = hyperparameters.batch_size.min(data.train.len().max(data.valid.len()));
        let widths = || model.layers().iter().map(|layer| layer.outputs);
        let gradients = vec![Line::ZERO; if hyperparameters.clip_norm.is_some() { end } else { 0 }];
        let copies = Copies::new(precision, &model, batch, vec![end; hyperparameters.ensemble as usize]);
        let grid = |place: &Place| Grid::of_gradient(place.layout.extent(), processor.together(), pool.threads());
        let gradient_grids: Vec<Grid> = places.iter().map(grid).collect();
        let lines = || vec![Line::ZERO; end];
        let member = |seed| Member {
            seed,
            parameters: lines(),
            exp_avg: lines(),
            exp_avg_sq: lines(),
            averaged: hyperparameters.ema_decay.map(|_| lines()),
        };
        let mut networks = Self {
            members: hyperparameters.seeds().map(member).collect(),
            selected: 0,
            pool,
            processor,
            hyperparameters: hyperparameters.clone(),
            square_sums: vec![0.0; SquareSums::count(gradients.len())],
            gradients,
            activations: [model.inputs()].into_iter().chain(widths()).map(|width| Buffer::new(batch, width)).collect(),
            deltas: widths().map(|width| Buffer::new(batch, width)).collect(),
            copies,
            losses: vec![0.0; batch.next_multiple_of(LANES)],
            labels: vec![0; batch.next_multiple_of(LANES)],
            gradient_tasks: tasks_by_share(&gradient_grids),
            gradient_grids,
            places,
            data,
            model,
        };
        for network in (0..networks.members.len()).rev() {
            networks.select(network);
            let first = networks.model.kaiming_normal(networks.members[network].seed);
            networks.set_state(&State::first(first, hyperparameters.ema_decay.is_some()));
        }
        networks
    }

    /// Turns to one of the networks, counted from 0.
    ///
    /// # Panics
    /// Where there is none.
    pub fn select(&mut self, network: usize) {
        assert!(network < self.members.len(), "there are {} networks", self.members.len());
        self.selected = network;
    }

    /// The processor and the number of threads.
    pub fn machine(&self) -> (Processor, usize) {
        (self.processor, self.pool.threads())
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.model.outputs()
    }

    /// The most images that a batch may have.
    pub fn batch_size(&self) -> usize {
        self.activations[0].layout.lanes
    }

    /// A copy of what the network's training consists of.
    pub fn state(&self) -> State {
        let Member { parameters, exp_avg, exp_avg_sq, averaged, .. } = &self.members[self.selected];
        let extract = |lines: &Vec<Line>| places::extract(&self.places, &self.model, lines);
        State {
            parameters: extract(parameters),
            exp_avg: extract(exp_avg),
            exp_avg_sq: extract(exp_avg_sq),
            averaged: averaged.as_ref().map(extract),
            loss_scale: match &self.copies {
                Copies::Single(_) => None,
                Copies::Half(halves) => Some(halves.loss_scales[self.selected]),
            },
        }
    }

    /// Continues from there.
    pub fn set_state(&mut self, state: &State) {
        let Member { parameters, exp_avg, exp_avg_sq, averaged, .. } = &mut self.members[self.selected];
        let buffers = [(parameters, &state.parameters), (exp_avg, &state.exp_avg), (exp_avg_sq, &state.exp_avg_sq)];
        for (lines, values) in buffers.into_iter().chain(averaged.iter_mut().zip(&state.averaged)) {
            places::fill(&self.places, &self.model, values, lines);
        }
        if let Copies::Half(halves) = &mut self.copies {
            halves.loss_scales[self.selected] = state.loss_scale.unwrap_or_default();
            let parameters = &self.members[self.selected].parameters;
            for (halves, line) in halves.parameters[self.selected].iter_mut().zip(parameters) {
                *halves = HalfLine(line.0.map(f16::from_f32));
            }
        }
    }
}

/// The tasks of all grids, by how far each is in its own.
fn tasks_by_share(grids: &[Grid]) -> Vec<(usize, usize)> {
    let tasks = grids.iter().enumerate().flat_map(|(grid, tasks)| (0..tasks.tasks()).map(move |task| (grid, task)));
    let mut tasks: Vec<(usize, usize)> = tasks.collect();
    tasks.sort_by(|one, other| {
        // As fractions: (task + 1/2) / tasks.
        let share = |&(grid, task): &(usize, usize)| (2 * task + 1, grids[grid].tasks());
        let ((task, tasks), (other_task, other_tasks)) = (share(one), share(other));
        (task * other_tasks).cmp(&(other_task * tasks))
    });
    tasks
}
