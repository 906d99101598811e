//! What depends on the family of processors: the innermost loop of the products, and with which instructions everything
//! around it is compiled.
//!
//! All families compute the same bytes: every element of a product is one chain of fused multiply-adds in the order of its
//! terms (of half-precision operands, a sum of such chains), and nothing else depends on the order of anything.

#[cfg(target_arch = "x86_64")]
mod avx512_fp16;
mod half;
pub mod list;
#[cfg(target_arch = "x86_64")]
mod listing;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tile;
#[cfg(target_arch = "x86_64")]
mod transpose;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use super::panels::{Block, HalfLine, LANES, Line};
use super::pool::Pool;
use list::{CHUNK, List, MOST_TOGETHER};
#[cfg(target_arch = "x86_64")]
use x86_64::{avx2, avx512};

/// The most terms that are summed up in half precision: with more of them, what the sum has lost by rounding nears what a
/// batch's choice of images changes; with fewer, moving sums to `f32` takes a noticeable part of the time.
pub const HALF_RUN: usize = 64;

/// Which of an operand's directions the sum runs along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// Its depth; the rows of the product are its lanes.
    Depth,
    /// Its lanes; the rows of the product are its depths.
    Lanes,
}

/// The operand whose elements are multiplied with whole lines, seen from the first element of a block of [`LANES`] rows.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a, L = Line> {
    /// From the block's first line on.
    pub lines: &'a [L],
    /// Lines from [`LANES`] terms of the sum to the next.
    pub stride: usize,
    /// Where the terms lie.
    pub along: Along,
}

/// A family of processors.
pub trait Family {
    /// How many panels [`multiply_nonzeros`](Self::multiply_nonzeros) is fastest with: as many as give two multiply-adds a
    /// cycle something to do while others wait for each other.
    const TOGETHER: usize;

    /// Adds to `block`, or overwrites it with, the products of rows and lines: with `t` over the lines,
    /// `block[r].0[l] = fma(rows[r, t], lines[t].0[l], block[r].0[l])`.
    ///
    /// # Safety
    /// The processor is of the family; `lines` are a multiple of [`LANES`]; `rows` has as many terms.
    unsafe fn multiply(lines: &[Line], rows: Rows<'_>, block: &mut Block, adds: bool);

    /// The same of half-precision operands, for two panels: every [`HALF_RUN`] terms are summed up in half precision, each
    /// multiply-add rounded once, and their sum is added to the block.
    ///
    /// # Safety
    /// As [`multiply`](Self::multiply); both panels have as many lines.
    #[inline(always)]
    unsafe fn multiply_halves(lines: [&[HalfLine]; 2], rows: Rows<'_, HalfLine>, blocks: [&mut Block; 2], adds: bool) {
        for (lines, block) in lines.into_iter().zip(blocks) {
            half::multiply(lines, rows, block, adds);
        }
    }

    /// Appends to a list, in which so many elements were found, those of a line other than zero, of which the first value is
    /// that of this term, and returns how many it has then. Whatever follows them in the list is overwritten.
    ///
    /// # Safety
    /// The processor is of the family.
    ///
    /// # Panics
    /// Where the terms are not of a chunk, or there is no room for them.
    #[inline(always)]
    unsafe fn list_nonzeros(line: &Line, first: usize, list: &mut List, mut found: usize) -> usize {
        assert!(first + LANES <= CHUNK && found + LANES <= list.values.len(), "terms of a chunk, and room for them");
        for (term, &value) in (first as u8..).zip(&line.0) {
            (list.values[found], list.terms[found]) = (value, term);
            found += usize::from(value != 0.0);
        }
        found
    }

    /// Adds to a block for each of some panels, or overwrites it with, the products of the listed elements and of the lines
    /// that these are for: `sums[p][r].0[l] = fma(element, lines[p * stride + term].0[l], sums[p][r].0[l])`.
    ///
    /// # Safety
    /// The processor is of the family.
    ///
    /// # Panics
    /// Where there are more than [`MOST_TOGETHER`] panels, or they do not have the lines of a chunk.
    unsafe fn multiply_nonzeros(lines: &[Line], stride: usize, list: &List, sums: &mut [Block], adds: bool);

    /// The lines' values rounded to half precision, ties to even.
    ///
    /// # Safety
    /// The processor is of the family.
    #[inline(always)]
    unsafe fn narrowed<const N: usize>(lines: &[Line; N]) -> [HalfLine; N] {
        half::narrowed(lines)
    }

    /// Writes the block with lines and lanes exchanged.
    ///
    /// # Safety
    /// The processor is of the family.
    unsafe fn transpose(block: &Block, to: &mut Block);
}

/// A phase of a step: tasks that any thread may do in any order.
pub trait Phase: Sync {
    /// How many there are.
    fn tasks(&self) -> usize;

    /// Does one. Always inlined, so that it is compiled with the family's instructions. So must be all that is
    /// called often; arrays' `map` is not inlined reliably, so that loops stand in its place.
    ///
    /// # Safety
    /// The processor is of the family, and nobody else does the same task meanwhile.
    unsafe fn run<F: Family>(&self, task: usize);
}

/// The families that this program has code for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// x86-64 with AVX-512F and AVX512-FP16
    #[cfg(target_arch = "x86_64")]
    Avx512Fp16,
    /// x86-64 with AVX-512F
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// x86-64 with AVX2 and FMA
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Any of 64-bit ARM
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// Any; the compiler makes of it what the processor that it compiles for has. Where that is not known to fuse
    /// multiply-adds (x86-64), they are calls, and slow: there it is the reference for the others.
    Portable,
}

impl Processor {
    /// All, fastest first.
    const ALL: &[Self] = &[
        #[cfg(target_arch = "x86_64")]
        Self::Avx512Fp16,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
        Self::Portable,
    ];

    /// All that run on this machine, fastest first.
    pub fn available() -> Vec<Self> {
        Self::ALL.iter().copied().filter(|processor| processor.is_available()).collect()
    }

    /// Whether this machine's processor is of the family.
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Fp16 => Self::Avx512.is_available() && is_x86_feature_detected!("avx512fp16"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => has_avx2 && is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => has_avx2,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            Self::Portable => true,
        }
    }

    /// Whether it has instructions for half precision, which any other computes in software.
    pub fn has_halves(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Fp16 => true,
            _ => false,
        }
    }

    /// How many panels [`Family::multiply_nonzeros`] is fastest with.
    pub fn together(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Fp16 => avx512_fp16::Avx512Fp16::TOGETHER,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::Avx512::TOGETHER,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::Avx2::TOGETHER,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => neon::Neon::TOGETHER,
            Self::Portable => portable::Portable::TOGETHER,
        }
    }

    /// For the person.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Fp16 => "AVX-512 FP16",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "NEON",
            Self::Portable => "portable",
        }
    }

    /// Does all tasks of a phase on the pool's threads.
    ///
    /// # Panics
    /// Where the family is not [available](Self::is_available).
    pub fn run(self, pool: &mut Pool, phase: &mut impl Phase) {
        assert!(self.is_available(), "this machine's processor is of the family");
        let phase = &*phase;
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor is of the family, as was just asserted; the phase is borrowed for this alone, of which
            // the pool does each task once.
            Self::Avx512Fp16 => pool.run(phase.tasks(), &|task| unsafe { avx512_fp16::run(phase, task) }),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx512 => pool.run(phase.tasks(), &|task| unsafe { avx512::run(phase, task) }),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2 => pool.run(phase.tasks(), &|task| unsafe { avx2::run(phase, task) }),
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Self::Neon => pool.run(phase.tasks(), &|task| unsafe { phase.run::<neon::Neon>(task) }),
            // SAFETY: as above.
            Self::Portable => pool.run(phase.tasks(), &|task| unsafe { phase.run::<portable::Portable>(task) }),
        }
    }
}

/// Asks for a line that will be used soon, where the compiler offers that.
#[inline(always)]
pub fn prefetch<L>(line: *const L) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing; SSE, which has it, is part of x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a prefetch reads nothing, wherever it points to.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) line, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = line;
}

/// Whether `rows` has the terms that `count` lines ask for.
#[inline(always)]
fn has_terms<L>(rows: Rows<'_, L>, count: usize) -> bool {
    count.is_multiple_of(LANES) && (count == 0 || (count / LANES - 1) * rows.stride + LANES <= rows.lines.len())
}

/// Whether there are as many panels as blocks for them, and each has the lines of a chunk.
#[inline(always)]
fn has_chunk(lines: &[Line], stride: usize, sums: &[Block]) -> bool {
    (1..=MOST_TOGETHER).contains(&sums.len()) && (sums.len() - 1) * stride + CHUNK <= lines.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::panels::Shared;

    struct Transpose<'a> {
        block: Block,
        found: Shared<'a, Block>,
    }

    impl Phase for Transpose<'_> {
        fn tasks(&self) -> usize {
            1
        }

        #[inline(always)]
        unsafe fn run<F: Family>(&self, task: usize) {
            // SAFETY: the phase runs with the family of this processor; there is one task.
            unsafe {
                let [found] = self.found.part(task);
                F::transpose(&self.block, found);
            }
        }
    }

    #[test]
    fn every_processor_exchanges_lines_and_lanes() {
        for processor in Processor::available() {
            let block = std::array::from_fn(|line| Line(std::array::from_fn(|lane| (100 * line + lane) as f32)));
            let mut found = [[Line::ZERO; LANES]];
            let mut phase = Transpose { block, found: Shared::new(&mut found) };
            processor.run(&mut Pool::new(1).unwrap(), &mut phase);
            let [other] = found;
            for (i, j) in (0..LANES).flat_map(|i| (0..LANES).map(move |j| (i, j))) {
                assert_eq!(other[i].0[j], block[j].0[i], "{}", processor.name());
            }
        }
    }
}
