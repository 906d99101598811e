//! The products of a training step alone, without what the engine does with their blocks. They are divided as the engine
//! divides them, and the operands lie as it keeps them: what it writes them for is not part of the time.

use std::num::NonZeroUsize;

use serde_json::{Value, json};
use train::cpu::grid::{Extent, Grid, MOST_A_PART, even_parts};
use train::cpu::kernel::Along;
use train::cpu::multiply::Multiply;
use train::cpu::panels::{Buffer, LANES, Layout, Matrix};
use train::cpu::product::{Operand, Product};

use crate::Bench;

const BY_WEIGHT: &str = "gradient by the weight";

fn lines<L>(layout: Layout, of: impl Fn([f32; LANES]) -> L) -> Vec<L> {
    (0..layout.lines()).map(|line| of(std::array::from_fn(|lane| ((line + lane) % 7) as f32 - 3.0))).collect()
}

/// GFLOP/s of each product of each layer, and of all together, with operands of such lines.
pub fn measure<L: Operand>(
    bench: &mut Bench,
    batch: NonZeroUsize,
    sizes: &[NonZeroUsize],
    line: impl Fn([f32; LANES]) -> L,
) -> Value {
    let (batch, threads) = (batch.get(), bench.pool.threads());
    let mut found = Vec::new();
    let (mut all_operations, mut all_seconds) = (0.0, 0.0);
    for (layer, ends) in sizes.windows(2).enumerate() {
        let (inputs, outputs) = (ends[0].get(), ends[1].get());
        let x = Layout { lanes: batch, depth: inputs };
        let y = Layout { lanes: batch, depth: outputs };
        let w = Layout { lanes: outputs, depth: inputs };
        let y_transposed = Layout { lanes: outputs, depth: batch };
        let products = [
            ("forward", x, w, Along::Depth, y),
            (BY_WEIGHT, y_transposed, x, Along::Lanes, w),
            ("gradient by the input", y, w, Along::Lanes, x),
        ];
        // Nobody needs the gradient by the images.
        for &(name, a, b, along, out) in &products[..if layer == 0 { 2 } else { 3 }] {
            let (a_lines, b_lines) = (lines(a, &line), lines(b, &line));
            let mut out = Buffer::new(out.lanes, out.depth);
            let product = Product {
                a: Matrix { lines: &a_lines, layout: a },
                b: Matrix { lines: &b_lines, layout: b },
                along,
                terms: a.depth.next_multiple_of(LANES),
            };
            let seconds = bench.median_seconds(|processor, pool| {
                if name == BY_WEIGHT {
                    let grid = Grid::of_gradient(out.layout.extent(), processor.together(), threads);
                    processor.run(pool, &mut Multiply::new(product, out.shared(), grid));
                } else {
                    for panels in even_parts(out.layout.panels(), MOST_A_PART) {
                        let part = Extent { panels: panels.len(), ..out.layout.extent() };
                        let grid = Grid::new(part, threads).starting_at(panels.start);
                        processor.run(pool, &mut Multiply::new(product, out.shared(), grid));
                    }
                }
            });
            let operations = (2 * batch * inputs * outputs) as f64;
            all_operations += operations;
            all_seconds += seconds;
            found.push(json!({ "layer": layer, "product": name, "gflops": operations / seconds / 1e9 }));
        }
    }
    json!({ "gflops": all_operations / all_seconds / 1e9, "products": found })
}
