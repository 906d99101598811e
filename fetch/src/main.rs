//! `fetch`: an archive of letters to class folders, or fonts to an archive. See the library for what it does.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use fetch::{FetchOptions, RenderOptions};
use terminal::{Console, Verbosity};

/// Download and unpack an archive of letters, or render one from fonts
///
/// Data sets by name (`fetch --dataset sample`, `fetch list`) or any archive with class folders by path or URL. Downloads go
/// on where they were cut, mirrors that are dead or wrong are passed over, the digest is checked before anything is
/// unpacked. The proxies of https_proxy, http_proxy, all_proxy and no_proxy are used.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    args_override_self = true,
    allow_negative_numbers = true,
    subcommand_negates_reqs = true
)]
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
    },
    /// List the known data sets: name, role, archive, bytes, SHA-256, mirrors
    List,
}

fn main() -> ExitCode {
    let arguments = parse();
    let console = Console::new(arguments.verbosity);
    console.end_on_signals(
        files::remove_unfinished,
        Some("run it again: a download that was cut goes on where it was cut"),
    );
    match &arguments.action {
        None => console.finish(fetch::run(&arguments.options, &console)),
        Some(Action::Render { options }) => console.finish(fetch::render(options, &console)),
        Some(Action::List) => {
            fetch::list(&console);
            console.finish::<fetch::Error>(Ok(()))
        }
    }
}

/// The arguments; the verbosity may stand before a command or behind it, the others may not.
fn parse() -> Arguments {
    const GLOBAL: [&str; 2] = ["quiet", "verbose"];
    let mut command = Arguments::command();
    for name in GLOBAL {
        command = command.mut_arg(name, |argument| argument.global(true));
    }
    let matches = command.get_matches_mut();
    // Clap looks for conflicts before a command and behind it, not across.
    if matches.get_flag("quiet") && matches.get_flag("verbose") {
        let message = "the argument '--quiet' cannot be used with '--verbose'";
        command.error(ErrorKind::ArgumentConflict, message).exit();
    }
    if let Some(action) = matches.subcommand_name() {
        let is_foreign = |argument: &&Arg| {
            let id = argument.get_id().as_str();
            !GLOBAL.contains(&id) && matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        let foreign = command.get_arguments().find(is_foreign).map(ToString::to_string);
        if let Some(argument) = foreign {
            let message = format!("the argument '{argument}' cannot be used with the subcommand '{action}'");
            command.error(ErrorKind::ArgumentConflict, message).exit();
        }
    }
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}
