//! Half precision (binary16) in software: the reference for the families that have instructions for it.

use half::slice::HalfFloatSliceExt as _;

use super::{Along, HALF_RUN, Rows, has_terms};
use crate::cpu::panels::{Block, HalfLine, LANES, Line};

/// The lines' values rounded to half precision, ties to even.
#[inline(always)]
pub fn narrowed<const N: usize>(lines: &[Line; N]) -> [HalfLine; N] {
    let mut halves = [HalfLine::ZERO; N];
    for (halves, line) in halves.iter_mut().zip(lines) {
        halves.0.convert_from_f32_slice(&line.0);
    }
    halves
}

/// The values of a block.
#[inline(always)]
fn widened(halves: &[HalfLine; LANES]) -> Block {
    let mut block = [Line::ZERO; LANES];
    for (line, halves) in block.iter_mut().zip(halves) {
        halves.0.convert_to_f32_slice(&mut line.0);
    }
    block
}

/// [`Family::multiply_halves`](super::Family::multiply_halves) for one panel.
#[inline(always)]
pub fn multiply(lines: &[HalfLine], rows: Rows<'_, HalfLine>, block: &mut Block, adds: bool) {
    debug_assert!(has_terms(rows, lines.len()), "as many terms as lines");
    if !adds {
        *block = [Line::ZERO; LANES];
    }
    const CHUNKS: usize = HALF_RUN / LANES;
    for (run, lines) in lines.as_chunks::<LANES>().0.chunks(CHUNKS).enumerate() {
        let mut operands = [([Line::ZERO; LANES], [Line::ZERO; LANES]); CHUNKS];
        for (chunk, (operands, lines)) in operands.iter_mut().zip(lines).enumerate() {
            let from = &rows.lines[(run * CHUNKS + chunk) * rows.stride..];
            *operands = (widened(lines), widened(from.first_chunk().expect("rows have these terms")));
        }
        for (row, total) in block.iter_mut().enumerate() {
            let mut sum = Line::ZERO;
            for (lines, elements) in &operands[..lines.len()] {
                for (term, line) in lines.iter().enumerate() {
                    let element = match rows.along {
                        Along::Depth => elements[term].0[row],
                        Along::Lanes => elements[row].0[term],
                    };
                    for (sum, &value) in sum.0.iter_mut().zip(&line.0) {
                        *sum = multiply_add(element, value, *sum);
                    }
                }
            }
            total.0.iter_mut().zip(sum.0).for_each(|(total, sum)| *total += sum);
        }
    }
}

/// `factor · value + sum` of three numbers of half precision, rounded once to half precision.
///
/// The product of two such numbers is an `f32`; its sum with a third one is rounded to odd (Boldo and Melquiond, "Emulation
/// of a FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008), from which rounding to a half as
/// many bits is as if from the exact sum.
#[inline(always)]
fn multiply_add(factor: f32, value: f32, sum: f32) -> f32 {
    let product = factor * value;
    let near = product + sum;
    // Knuth's TwoSum: near + error = product + sum. Where `near` is no finite number, neither comparison holds.
    let part = near - product;
    let error = (product - (near - part)) + (sum - part);
    let bits = near.to_bits();
    let is_inexact = (error > 0.0) | (error < 0.0);
    let is_away_from_zero = (error > 0.0) == (near > 0.0);
    let odd = if is_away_from_zero { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    rounded(f32::from_bits(if is_inexact & (bits & 1 == 0) { odd } else { bits }))
}

/// The number of half precision that is nearest, ties to even.
#[inline(always)]
fn rounded(value: f32) -> f32 {
    const SIGN: u32 = 1 << 31;
    /// Bits of an `f32`'s fraction that half precision has not.
    const SPARE: u32 = 13;
    const SMALLEST_NORMAL: f32 = 1.0 / 16384.0;
    const BEYOND: f32 = 65536.0;
    let bits = value.to_bits();
    let sign = bits & SIGN;
    let half_a_unit = (1 << (SPARE - 1)) - 1 + (bits >> SPARE & 1);
    let normal = f32::from_bits(bits.wrapping_add(half_a_unit) & !((1 << SPARE) - 1));
    // Beside a half, an `f32` has the unit of the subnormal numbers of half precision.
    let subnormal = f32::from_bits((value.abs() + 0.5 - 0.5).to_bits() | sign);
    let nearest = if value.abs() < SMALLEST_NORMAL { subnormal } else { normal };
    if nearest.abs() >= BEYOND { f32::from_bits(f32::INFINITY.to_bits() | sign) } else { nearest }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    /// The same with whole numbers: halves are multiples of 2⁻²⁴, their products of 2⁻⁴⁸.
    fn exactly(factor: f16, value: f16, sum: f16) -> f16 {
        let whole = |half: f16| (f64::from(half) * f64::from(1 << 24)) as i128;
        let exact = whole(factor) * whole(value) + (whole(sum) << 24);
        let magnitude = exact.unsigned_abs();
        // Eleven bits are kept, and nothing below 2⁻²⁴.
        let unit = (128 - magnitude.leading_zeros()).saturating_sub(11).max(24);
        let (kept, rest) = (magnitude >> unit, magnitude & ((1 << unit) - 1));
        let half = 1_u128 << (unit - 1);
        let up = rest > half || (rest == half && kept & 1 == 1);
        let nearest = (kept + u128::from(up)) as f64 * f64::from(unit as i32 - 48).exp2();
        f16::from_f64(if exact < 0 { -nearest } else { nearest })
    }

    fn numbers(seed: u64) -> impl Iterator<Item = f16> {
        (0..)
            .flat_map(move |index| crate::random::philox([index, 0, 0, 0], seed))
            .map(|word| f16::from_bits(word as u16))
    }

    #[test]
    fn a_multiply_add_is_rounded_once_to_the_nearest_half_ties_to_even() {
        let special = [0x0000, 0x0001, 0x03ff, 0x0400, 0x3c00, 0x3c01, 0x7bff, 0x8001, 0xbc00, 0xbfff, 0xfbff];
        let special: Vec<f16> = special.map(f16::from_bits).into();
        let of_special = special.iter().flat_map(|&a| {
            special.iter().flat_map({
                let special = &special;
                move |&b| special.iter().map(move |&c| (a, b, c))
            })
        });
        // Sums that are near the product in magnitude cancel; all others only touch its last bits.
        let random = numbers(1).zip(numbers(2)).zip(numbers(3)).map(|((a, b), c)| (a, b, c)).take(1 << 20);
        let near = numbers(4).zip(numbers(5)).zip(numbers(6)).take(1 << 20).map(|((a, b), c)| {
            let product = f16::from_f32(f32::from(a) * f32::from(b)).to_bits();
            (a, b, f16::from_bits((product ^ 0x8000).wrapping_add(c.to_bits() & 7)))
        });
        let mut compared = 0;
        for (a, b, c) in of_special.chain(random).chain(near) {
            if [a, b, c].iter().all(|half| half.is_finite()) {
                let found = multiply_add(a.into(), b.into(), c.into());
                assert_eq!(found, f32::from(exactly(a, b, c)), "{a} · {b} + {c}");
                compared += 1;
            }
        }
        assert!(compared > 1 << 20);
    }

    #[test]
    fn what_is_no_finite_number_stays_so() {
        for (a, b, c) in [(f32::INFINITY, 1.0, 1.0), (65504.0, 65504.0, f32::INFINITY), (1.0, -1.0, f32::INFINITY)] {
            assert_eq!(multiply_add(a, b, c), f32::INFINITY);
        }
        assert!(
            multiply_add(f32::INFINITY, 1.0, f32::NEG_INFINITY).is_nan() && multiply_add(f32::NAN, 1.0, 1.0).is_nan()
        );
        assert_eq!(multiply_add(-65504.0, 2.0, 1.0), f32::NEG_INFINITY);
    }
}
