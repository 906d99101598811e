//! Which algorithms of cublasLt the CUDA engine takes. In a process of its own: the stand-in counts for all of one.

mod support;

use support::case::Case;
use support::{Images, data, standin};
use train::Precision;

/// The stand-in's fastest algorithm sums in another order than its first, and its first is slower than its second.
#[test]
fn of_several_algorithms_the_fastest_that_gives_the_first_one_s_bytes_is_recorded() {
    let images = Images::patterns(256, 16, 16, 4, 8);
    let data = data(&images, &images, 0.45, 0.25);
    let case = Case { flags: "--hidden 128", images: 256, batch_size: 256 };
    standin::engine(&data, &case.model(&data), &case.hyperparameters(), Precision::F32);
    let [_, second, split] = standin::recorded();
    assert!(second > 0 && split == 0, "{second} and {split}");
}
