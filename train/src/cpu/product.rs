//! Matrix products over all threads.

use ndarray::linalg::general_mat_mul;
use ndarray::parallel::prelude::*;
use ndarray::{ArrayView2, ArrayViewMut2, Axis, s};

/// The fewest rows or columns of a block that is not half of the product: with fewer, packing the operand that all blocks
/// share costs too much.
const SMALLEST_BLOCK: usize = 256;
/// The most blocks of a product.
const MOST_BLOCKS: usize = 16;

/// `c = a · b`, then `finish(block, row, column)` on every block of `c`, given with the place of its first element, while
/// it is in the cache.
///
/// `c` is divided along its longer side into blocks that depend on its shape alone, and one thread computes a block: the
/// result does not depend on the number of threads.
pub fn multiply(
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    mut c: ArrayViewMut2<'_, f32>,
    finish: impl Fn(ArrayViewMut2<'_, f32>, usize, usize) + Sync,
) {
    let (rows, columns) = c.dim();
    if rows >= columns {
        let size = block_size(rows);
        c.axis_chunks_iter_mut(Axis(0), size).into_par_iter().enumerate().for_each(|(index, mut block)| {
            let start = index * size;
            general_mat_mul(1.0, &a.slice(s![start..start + block.nrows(), ..]), &b, 0.0, &mut block);
            finish(block, start, 0);
        });
    } else {
        let size = block_size(columns);
        c.axis_chunks_iter_mut(Axis(1), size).into_par_iter().enumerate().for_each(|(index, mut block)| {
            let start = index * size;
            general_mat_mul(1.0, &a, &b.slice(s![.., start..start + block.ncols()]), 0.0, &mut block);
            finish(block, 0, start);
        });
    }
}

fn block_size(length: usize) -> usize {
    length.div_ceil(MOST_BLOCKS).max(SMALLEST_BLOCK.min(length.div_ceil(2))).next_multiple_of(32)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn blocks_make_up_the_product_and_each_is_finished_once_with_its_place() {
        for (rows, inner, columns) in [(1, 1, 1), (3, 5, 2), (300, 7, 20), (20, 64, 1000), (257, 33, 129), (0, 4, 9)] {
            let a = Array2::from_shape_fn((rows, inner), |(i, j)| (i % 7) as f32 - (j % 5) as f32);
            let b = Array2::from_shape_fn((inner, columns), |(i, j)| (i % 3) as f32 + (j % 4) as f32);
            let mut c = Array2::from_elem((rows, columns), f32::NAN);
            multiply(a.view(), b.view(), c.view_mut(), |mut block, row, column| {
                block
                    .indexed_iter_mut()
                    .for_each(|((i, j), value)| *value += 1000.0 * (row + i) as f32 + (column + j) as f32);
            });
            for ((i, j), &value) in c.indexed_iter() {
                let product: f32 = (0..inner).map(|k| a[(i, k)] * b[(k, j)]).sum();
                assert_eq!(value, product + 1000.0 * i as f32 + j as f32, "at {i}, {j} of {rows}x{inner}x{columns}");
            }
        }
    }
}
