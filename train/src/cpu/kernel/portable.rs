//! The families' reference.

use super::list::List;
use super::{Along, Family, Rows, has_chunk, has_terms};
use crate::cpu::panels::{Block, LANES, Line};

/// Any processor.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

/// Rows that are computed at a time: what fits the registers of processors with 32 of them.
const ROWS: usize = 4;

impl Family for Portable {
    const TOGETHER: usize = 6;

    #[inline(always)]
    unsafe fn multiply(lines: &[Line], rows: Rows<'_>, block: &mut Block, adds: bool) {
        debug_assert!(has_terms(rows, lines.len()), "as many terms as lines");
        for (part, sums) in block.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
            let mut found = if adds { *sums } else { [Line::ZERO; ROWS] };
            for (chunk, lines) in lines.chunks_exact(LANES).enumerate() {
                let from = &rows.lines[chunk * rows.stride..][..LANES];
                for (term, line) in lines.iter().enumerate() {
                    for (row, sum) in found.iter_mut().enumerate() {
                        let row = part * ROWS + row;
                        let factor = match rows.along {
                            Along::Depth => from[term].0[row],
                            Along::Lanes => from[row].0[term],
                        };
                        sum.0.iter_mut().zip(line.0).for_each(|(sum, value)| *sum = factor.mul_add(value, *sum));
                    }
                }
            }
            *sums = found;
        }
    }

    #[inline(always)]
    unsafe fn multiply_nonzeros(lines: &[Line], stride: usize, list: &List, sums: &mut [Block], adds: bool) {
        assert!(has_chunk(lines, stride, sums), "as many panels as blocks");
        for (sums, lines) in sums.iter_mut().zip(lines.chunks(stride)) {
            for (sum, (values, terms)) in sums.iter_mut().zip(list.rows()) {
                let mut found = if adds { *sum } else { Line::ZERO };
                for (factor, &term) in values.iter().zip(terms) {
                    let line = lines[usize::from(term)].0;
                    found.0.iter_mut().zip(line).for_each(|(sum, value)| *sum = factor.mul_add(value, *sum));
                }
                *sum = found;
            }
        }
    }

    #[inline(always)]
    unsafe fn transpose(block: &Block, to: &mut Block) {
        *to = std::array::from_fn(|lane| Line(std::array::from_fn(|line| block[line].0[lane])));
    }
}
