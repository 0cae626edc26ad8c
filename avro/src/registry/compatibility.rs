//! Which changes of a schema its subject accepts.

use std::fmt;
use std::str::FromStr;

use apache_avro::Schema;
use serde::{Deserialize, Serialize};

use crate::codec::Evolution;

/// Which versions a new schema must be able to read, or be read by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Every change is accepted.
    None,
    /// The new schema reads what the last version wrote.
    Backward,
    /// The new schema reads what any version wrote: the default.
    #[default]
    BackwardTransitive,
    /// The last version reads what the new schema writes.
    Forward,
    /// Every version reads what the new schema writes.
    ForwardTransitive,
    /// Backward and forward.
    Full,
    /// Backward and forward, for every version.
    FullTransitive,
}

const NAMES: [(Level, &str); 7] = [
    (Level::None, "NONE"),
    (Level::Backward, "BACKWARD"),
    (Level::BackwardTransitive, "BACKWARD_TRANSITIVE"),
    (Level::Forward, "FORWARD"),
    (Level::ForwardTransitive, "FORWARD_TRANSITIVE"),
    (Level::Full, "FULL"),
    (Level::FullTransitive, "FULL_TRANSITIVE"),
];

impl Level {
    /// Why `new` does not go with the versions `old` (number and schema, oldest first): one line
    /// per break. Empty if it does.
    pub fn check(self, new: &Schema, old: &[(u32, &Schema)]) -> Vec<String> {
        let last = old.len().saturating_sub(1);
        let concerned = if self.is_transitive() { 0 } else { last };
        old.iter()
            .skip(concerned)
            .flat_map(|(version, old)| self.breaks(new, *version, old))
            .collect()
    }

    fn breaks(self, new: &Schema, version: u32, old: &Schema) -> Vec<String> {
        let mut breaks = Vec::new();
        if self.is_backward() {
            let found = Evolution::between(old, new).breaks.into_iter();
            breaks.extend(found.map(|why| format!("reading version {version}: {why}")));
        }
        if self.is_forward() {
            let found = Evolution::between(new, old).breaks.into_iter();
            breaks.extend(found.map(|why| format!("read by version {version}: {why}")));
        }
        breaks
    }

    fn is_backward(self) -> bool {
        use Level::{Backward, BackwardTransitive, Full, FullTransitive};
        matches!(self, Backward | BackwardTransitive | Full | FullTransitive)
    }

    fn is_forward(self) -> bool {
        use Level::{Forward, ForwardTransitive, Full, FullTransitive};
        matches!(self, Forward | ForwardTransitive | Full | FullTransitive)
    }

    fn is_transitive(self) -> bool {
        use Level::{BackwardTransitive, ForwardTransitive, FullTransitive};
        matches!(
            self,
            BackwardTransitive | ForwardTransitive | FullTransitive
        )
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(level, _)| level == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let found = NAMES
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text));
        found.map(|(level, _)| *level).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: &str) -> Schema {
        let text = format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#);
        Schema::parse_str(&text).unwrap()
    }

    #[test]
    fn only_a_transitive_level_looks_beyond_the_last_version() {
        let one = schema(r#"{"name": "a", "type": "string"}"#);
        let two = schema("");
        let new = schema(r#"{"name": "a", "type": "int", "default": 0}"#);
        let old = [(1, &one), (2, &two)];
        assert!(Level::Backward.check(&new, &old).is_empty());
        assert_eq!(
            Level::BackwardTransitive.check(&new, &old),
            ["reading version 1: /a: string cannot be read as int"]
        );
    }

    #[test]
    fn forward_asks_whether_old_readers_read_the_new_schema() {
        let old = schema(r#"{"name": "a", "type": "int"}"#);
        let new = schema("");
        assert!(Level::Backward.check(&new, &[(1, &old)]).is_empty());
        let breaks = Level::Forward.check(&new, &[(1, &old)]);
        assert_eq!(breaks.len(), 1, "{breaks:?}");
        assert_eq!(Level::Full.check(&new, &[(1, &old)]), breaks);
        assert!(Level::None.check(&new, &[(1, &old)]).is_empty());
    }

    #[test]
    fn a_level_is_written_and_read_by_its_name() {
        for (level, name) in NAMES {
            assert_eq!(level.to_string(), name);
            assert_eq!(name.parse(), Ok(level));
            assert_eq!(serde_json::to_value(level).unwrap(), name);
        }
        assert_eq!("backwards".parse::<Level>(), Err(()));
    }
}
