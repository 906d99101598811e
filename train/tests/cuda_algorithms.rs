//! Which algorithms of cublasLt the CUDA engine takes. In a process of its own: the stand-in counts for all of one.

mod support;

use support::case::{Case, EPOCH, STEP, mixed_rows};
use support::{Images, data, standin};
use train::Precision;
use train::engine::Engine as _;

/// The stand-in's fastest algorithm sums in another order than its first, and its first is slower than its second.
#[test]
fn of_several_algorithms_the_fastest_that_gives_the_first_one_s_bytes_is_taken() {
    let images = Images::patterns(256, 16, 16, 4, 8);
    let data = data(&images, &images, 0.45, 0.25);
    let case = Case { flags: "--hidden 128", images: 256, batch_size: 256 };
    let step = |precision| {
        let mut engine = standin::engine(&data, &case.hyperparameters(), precision);
        let rows = mixed_rows(256);
        engine.begin_epoch(EPOCH, &rows).unwrap();
        let before = standin::replayed();
        engine.train_step(&rows, STEP).unwrap();
        engine.end_epoch().unwrap();
        let after = standin::replayed();
        [0, 1, 2].map(|algorithm| after[algorithm] - before[algorithm])
    };
    let [first, second, split] = step(Precision::F32);
    assert!(first + second == 5 && second > 0 && split == 0, "{first}, {second} and {split}");
    // The hidden layer's output and its gradient are bf16, and tell too little of the order in which was summed.
    let [first, second, split] = step(Precision::Bf16);
    assert!(first + second == 5 && first >= 2 && second > 0 && split == 0, "{first}, {second} and {split}");
}
