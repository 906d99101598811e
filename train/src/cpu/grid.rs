//! How the blocks of a product are divided into tasks. The result does not depend on it.

use std::ops::Range;

/// The most panels of a batch that go through the network together: what one phase has written of them is in the caches when
/// the next one reads it. Only gradients by weights are of the whole batch at once.
pub const MOST_A_PART: usize = 32;
/// The most of a task of a product: the elements for so many blocks stay in the second cache while all panels pass by.
const MOST_A_TASK: Extent = Extent { panels: MOST_A_PART, blocks: 4 };
/// The most panels in a task of a product without zeros, or of one that may be; of blocks it has those that are computed
/// together.
const MOST_PANELS_WITHOUT_ZEROS: usize = 16;

/// Of a product or a task: so many panels, and blocks in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Panels.
    pub panels: usize,
    /// Blocks in each.
    pub blocks: usize,
}

/// A task: these blocks of these panels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The panels.
    pub panels: Range<usize>,
    /// The blocks of each.
    pub blocks: Range<usize>,
}

/// What the task after a task has others of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Advance {
    /// Panels first.
    Panels,
    /// Blocks first.
    Blocks,
}

/// The division of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    whole: Extent,
    first_panel: usize,
    /// The most of a task.
    most: Extent,
    advance: Advance,
}

impl Grid {
    /// Of a product of activations, with every term: tasks are smaller where there would be less than sixteen for a thread,
    /// so that the last ones do not keep the others waiting.
    pub fn new(whole: Extent, threads: usize) -> Self {
        Self::with_most(whole, MOST_A_TASK, threads)
    }

    /// Likewise, with tasks of so much at most.
    pub(super) fn with_most(whole: Extent, most: Extent, threads: usize) -> Self {
        let mut grid = Self::of(whole, most, Advance::Panels);
        while grid.tasks() < 16 * threads && grid.can_be_divided() {
            let longer =
                if grid.most.panels >= grid.most.blocks { &mut grid.most.panels } else { &mut grid.most.blocks };
            *longer = longer.div_ceil(2);
        }
        grid
    }

    /// Of a product of activations without zeros, of which so many blocks are computed together.
    pub fn without_zeros(whole: Extent, together: usize, threads: usize) -> Self {
        Self::few_ways(whole, together, Advance::Panels, threads)
    }

    /// Of a gradient by the weights, which may be one without zeros.
    pub fn of_gradient(whole: Extent, together: usize, threads: usize) -> Self {
        Self::few_ways(whole, together, Advance::Blocks, threads)
    }

    /// Each task has its own way through the lines for a chunk of terms: panels are divided before blocks that are computed
    /// together, and only until there are eight tasks for a thread.
    fn few_ways(whole: Extent, together: usize, advance: Advance, threads: usize) -> Self {
        let mut grid = Self::of(whole, Extent { panels: MOST_PANELS_WITHOUT_ZEROS, blocks: together }, advance);
        while grid.tasks() < 8 * threads && grid.can_be_divided() {
            let divided = if grid.most.panels > 1 { &mut grid.most.panels } else { &mut grid.most.blocks };
            *divided = divided.div_ceil(2);
        }
        grid
    }

    fn of(whole: Extent, most: Extent, advance: Advance) -> Self {
        let within = |most: usize, whole: usize| most.min(whole).max(1);
        let most = Extent { panels: within(most.panels, whole.panels), blocks: within(most.blocks, whole.blocks) };
        Self { whole, first_panel: 0, most, advance }
    }

    fn can_be_divided(&self) -> bool {
        self.most != Extent { panels: 1, blocks: 1 }
    }

    /// The same from a panel on.
    pub fn starting_at(self, panel: usize) -> Self {
        Self { first_panel: panel, ..self }
    }

    /// The parts of the panels, and those of the blocks.
    fn parts(self) -> Extent {
        let Self { whole, most, .. } = self;
        Extent { panels: whole.panels.div_ceil(most.panels), blocks: whole.blocks.div_ceil(most.blocks) }
    }

    /// How many tasks there are.
    pub fn tasks(self) -> usize {
        let parts = self.parts();
        parts.panels * parts.blocks
    }

    /// A task, counted from 0.
    #[inline(always)]
    pub fn task(self, task: usize) -> Task {
        let parts = self.parts();
        let (panels, blocks) = match self.advance {
            Advance::Panels => (task % parts.panels, task / parts.panels),
            Advance::Blocks => (task / parts.blocks, task % parts.blocks),
        };
        let panels = even_part(self.whole.panels, parts.panels, panels);
        Task {
            panels: self.first_panel + panels.start..self.first_panel + panels.end,
            blocks: even_part(self.whole.blocks, parts.blocks, blocks),
        }
    }
}

/// The parts of so many, as few of at most so many as there can be, of which none is longer by more than one than another.
pub fn even_parts(length: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = length.div_ceil(most);
    (0..parts).map(move |part| even_part(length, parts, part))
}

#[inline(always)]
fn even_part(length: usize, parts: usize, part: usize) -> Range<usize> {
    part * length / parts..(part + 1) * length / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_s_tasks_are_all_blocks_each_once() {
        for (panels, blocks) in [(1, 1), (64, 8), (7, 5), (1, 64)] {
            let whole = Extent { panels, blocks };
            for threads in [1, 2, 16] {
                let with_few = Grid::with_most(whole, Extent { panels: 4, blocks: 32 }, threads);
                let without_zeros = [Grid::without_zeros(whole, 6, threads), Grid::of_gradient(whole, 6, threads)];
                for grid in [Grid::new(whole, threads), with_few].into_iter().chain(without_zeros) {
                    let mut counts = vec![0; panels * blocks];
                    for task in 0..grid.tasks() {
                        let Task { panels: some, blocks: in_each } = grid.starting_at(3).task(task);
                        for panel in some {
                            in_each.clone().for_each(|block| counts[(panel - 3) * blocks + block] += 1);
                        }
                    }
                    assert!(counts.iter().all(|&count| count == 1));
                }
            }
        }
    }
}
