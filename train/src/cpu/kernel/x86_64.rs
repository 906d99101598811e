//! x86-64: families that have AVX2 and differ in their registers.

/// A module with a family: its instructions, its register with the functions that use it, and how many of these a line takes.
macro_rules! family {
    (
        $(#[$about:meta])*
        mod $module:ident, $family:ident, together $together:literal;
        $features:literal, $processor:literal;
        $register:ident of $lanes:literal, $registers:literal a line:
            $splat:ident, $load:ident, $store:ident, $multiply_add:ident
    ) => {
        $(#[$about])*
        pub mod $module {
            use std::arch::x86_64::{$register, $splat, $load, $store, $multiply_add};

            use crate::cpu::kernel::{Family, Phase, Rows, listing, tile, transpose};
            use crate::cpu::kernel::list::List;
            use crate::cpu::panels::{Block, Line};

            /// A processor of this family.
            #[derive(Debug, Clone, Copy)]
            pub struct $family;

            /// Does a task of a phase with this family's instructions.
            ///
            /// # Safety
            #[doc = concat!("The processor has ", $processor, ", and nobody else does the same task meanwhile.")]
            #[target_feature(enable = $features)]
            pub unsafe fn run(phase: &impl Phase, task: usize) {
                // SAFETY: the caller's.
                unsafe { phase.run::<$family>(task) }
            }

            impl Family for $family {
                const TOGETHER: usize = $together;

                #[inline(always)]
                unsafe fn multiply(lines: &[Line], rows: Rows<'_>, block: &mut Block, adds: bool) {
                    // SAFETY: the caller's.
                    unsafe { multiply(lines, rows, block, adds) }
                }

                #[inline(always)]
                unsafe fn list_nonzeros(line: &Line, first: usize, list: &mut List, found: usize) -> usize {
                    // SAFETY: every processor of the family has AVX2.
                    unsafe { listing::list_nonzeros(line, first, list, found) }
                }

                #[inline(always)]
                unsafe fn multiply_nonzeros(lines: &[Line], stride: usize, list: &List, sums: &mut [Block], adds: bool) {
                    // SAFETY: the caller's.
                    unsafe { multiply_nonzeros(lines, stride, list, sums, adds) }
                }

                #[inline(always)]
                unsafe fn transpose(block: &Block, to: &mut Block) {
                    // SAFETY: every processor of the family has AVX2.
                    unsafe { transpose::block(block, to) }
                }
            }

            /// [`Family::multiply`], once for all phases.
            ///
            /// # Safety
            /// As there.
            #[target_feature(enable = $features)]
            unsafe fn multiply(lines: &[Line], rows: Rows<'_>, block: &mut Block, adds: bool) {
                // SAFETY: the caller's.
                unsafe { tile::multiply::<$register, $registers>(lines, rows, block, adds) }
            }

            /// [`Family::multiply_nonzeros`], once for all phases.
            ///
            /// # Safety
            /// As there.
            #[target_feature(enable = $features)]
            unsafe fn multiply_nonzeros(lines: &[Line], stride: usize, list: &List, sums: &mut [Block], adds: bool) {
                // SAFETY: the caller's.
                unsafe { tile::multiply_nonzeros::<$register, $registers>(lines, stride, list, sums, adds) }
            }

            tile::register!($register, $lanes, $splat, $load, $store, |sum, factor, line| $multiply_add(factor, line, sum));
        }
    };
}

family! {
    /// AVX2 and FMA: 16 registers of 8 lanes.
    mod avx2, Avx2, together 6;
    "avx2,fma", "AVX2 and FMA";
    __m256 of 8, 2 a line: _mm256_set1_ps, _mm256_load_ps, _mm256_store_ps, _mm256_fmadd_ps
}

family! {
    /// AVX-512: 32 registers of 16 lanes.
    mod avx512, Avx512, together 8;
    "avx512f,avx2,fma", "AVX-512F, AVX2 and FMA";
    __m512 of 16, 1 a line: _mm512_set1_ps, _mm512_load_ps, _mm512_store_ps, _mm512_fmadd_ps
}
