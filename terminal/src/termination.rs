use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

use crate::{Console, ERROR, HINT, write_stderr};

impl Console {
    /// From now on SIGTERM and SIGINT (Ctrl-C) end the process with 143 and 130, whatever it is at, after `clean_up`, whose
    /// result is held to the end; `hint` is what the person can do about it.
    pub fn end_on_signals<G: 'static>(&self, clean_up: fn() -> G, hint: Option<&'static str>) {
        let mut signals = match Signals::new([SIGTERM, SIGINT]) {
            Ok(signals) => signals,
            Err(error) => return self.warn(format!("signals leave temporary files behind: {error}")),
        };
        let bars = self.bars.clone();
        let listen = move || {
            if let Some(signal) = signals.forever().next() {
                let _held_to_the_end = clean_up();
                let name = low_level::signal_name(signal).unwrap_or("a signal");
                write_stderr(&bars, &format!("{ERROR}error:{ERROR:#} stopped by {name}"));
                if let Some(hint) = hint {
                    write_stderr(&bars, &format!("{HINT}hint:{HINT:#} {hint}"));
                }
                // Without the exit handlers of libraries whose threads are still at work.
                low_level::exit(128 + signal);
            }
        };
        if let Err(error) = thread::Builder::new().name("signals".to_owned()).spawn(listen) {
            self.warn(format!("signals are not listened to: {error}"));
        }
    }
}
