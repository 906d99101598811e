//! Why figures do not exist.

use crate::report::Undefined;

/// The reasons so far, in the order of the report.
#[derive(Debug, Default)]
pub struct Reasons(Vec<Undefined>);

impl Reasons {
    /// Gives the reason for `figure`, a path in the report, where `value` is absent.
    pub fn explain<T>(&mut self, value: Option<&T>, figure: impl Into<String>, reason: impl Into<String>) {
        if value.is_none() {
            self.0.push(Undefined { figure: figure.into(), reason: reason.into() });
        }
    }

    /// All of them.
    #[must_use]
    pub fn into_list(self) -> Vec<Undefined> {
        self.0
    }
}
