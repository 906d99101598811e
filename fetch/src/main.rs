//! `fetch`: an archive of letters to class folders, or fonts to an archive. See the library for what it does.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fetch::{FetchOptions, RenderOptions};
use terminal::{Console, Verbosity};

/// Download and unpack an archive of letters, or render one from fonts
///
/// Data sets by name (`fetch --dataset sample`, `fetch list`) or any archive with class folders by path or URL. Downloads go
/// on where they were cut, mirrors that are dead or wrong are passed over, the digest is checked before anything is
/// unpacked. The proxies of https_proxy, http_proxy, all_proxy and no_proxy are used.
#[derive(Parser)]
#[command(version, max_term_width = 100, subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    options: FetchOptions,
    #[command(flatten)]
    verbosity: Verbosity,
}

#[derive(Subcommand)]
enum Action {
    /// Render an archive in notMNIST's layout from folders of TrueType and OpenType fonts
    ///
    /// The same fonts give the same bytes. Fonts that lack a letter, have symbols in its place or repeat another font are
    /// left out; the list beside the archive says which and why.
    Render {
        #[command(flatten)]
        options: RenderOptions,
        #[command(flatten)]
        verbosity: Verbosity,
    },
    /// List the known data sets: name, role, archive, bytes, SHA-256, mirrors
    List {
        #[command(flatten)]
        verbosity: Verbosity,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.action {
        None => {
            let console = Console::new(arguments.verbosity);
            console.finish(fetch::run(&arguments.options, &console))
        }
        Some(Action::Render { options, verbosity }) => {
            let console = Console::new(*verbosity);
            console.finish(fetch::render(options, &console))
        }
        Some(Action::List { verbosity }) => {
            fetch::list(&Console::new(*verbosity));
            ExitCode::SUCCESS
        }
    }
}
