//! One parser, led by libFuzzer to what none of the corpus reached: `fuzz/run` builds it and names the parser in `PARSER`.

#![no_main]

use std::env;
use std::sync::OnceLock;

use fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn named() -> Target {
    let name = env::var("PARSER").expect("PARSER names a parser");
    TARGETS.into_iter().find(|target| target.name == name).expect("PARSER is the name of a folder in fuzz/corpus")
}

fuzz_target!(|bytes: &[u8]| {
    let _either = (TARGET.get_or_init(named).check)(bytes);
});
