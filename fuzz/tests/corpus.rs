//! The corpus, and what a little change makes of it.

use std::path::Path;

use fuzz::{Mutator, TARGETS, corpus};

/// Enough to find what is easy to find; `make fuzz` looks longer.
const CHANGED_FILES: usize = 10_000;

#[test]
fn every_parser_has_a_corpus_and_takes_what_it_begins_with() {
    for target in TARGETS {
        let files = corpus(&target).unwrap();
        let is_seed = |path: &Path| !path.file_name().unwrap().to_str().unwrap().starts_with("panic-");
        let seeds: Vec<_> = files.iter().filter(|(path, _)| is_seed(path)).collect();
        assert!(!seeds.is_empty(), "{}", target.name);
        for (path, bytes) in seeds {
            assert!((target.check)(bytes), "{}", path.display());
        }
    }
}

#[test]
fn what_once_made_a_parser_panic_does_so_no_more() {
    for target in TARGETS {
        for (_, bytes) in corpus(&target).unwrap() {
            let _either = (target.check)(&bytes);
        }
    }
}

#[test]
fn changed_files_give_errors_or_what_they_say_and_never_a_panic() {
    for target in TARGETS {
        let files: Vec<_> = corpus(&target).unwrap().into_iter().map(|(_, bytes)| bytes).collect();
        let mut mutator = Mutator::new(1);
        let taken = (0..CHANGED_FILES).filter(|_| (target.check)(&mutator.next_input(&files))).count();
        // A mutator that only makes rubbish, or changes nothing, would find nothing.
        assert!((1..CHANGED_FILES).contains(&taken), "{} takes {taken}", target.name);
    }
}
