//! Why a datum could not be written or read, and at which place in its record.

use std::fmt;

/// A reason, and the path of the fields that lead to it.
#[derive(Debug)]
pub(super) struct Error(Box<Located>);

#[derive(Debug)]
struct Located {
    /// The innermost field first.
    fields: Vec<String>,
    reason: String,
}

impl Error {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        let (fields, reason) = (Vec::new(), reason.into());
        Self(Box::new(Located { fields, reason }))
    }

    /// The same error, seen from the record that has it in `field`.
    pub(super) fn inside(mut self, field: &str) -> Self {
        self.0.fields.push(field.to_owned());
        self
    }
}

/// Prints `/lines/quantity: the bytes end too early`.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Located { fields, reason } = &*self.0;
        for field in fields.iter().rev() {
            write!(f, "/{field}")?;
        }
        let colon = if fields.is_empty() { "" } else { ": " };
        write!(f, "{colon}{reason}")
    }
}

impl std::error::Error for Error {}

impl serde::ser::Error for Error {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self::new(reason.to_string())
    }
}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self::new(reason.to_string())
    }
}
