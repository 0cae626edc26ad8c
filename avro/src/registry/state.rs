//! What a registry knows: a fold of its entries.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Entry, Level, RegistryError};

/// A schema: its text, and what it means.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) text: String,
    /// Two texts are one schema if their JSON is the same; white space and order do not count.
    json: Value,
    pub(super) parsed: apache_avro::Schema,
}

impl Definition {
    pub(super) fn parse(text: &str) -> Result<Self, RegistryError> {
        let invalid = |why: String| RegistryError::InvalidSchema(why);
        let json: Value = match serde_json::from_str(text) {
            Ok(json) => json,
            // A primitive's bare name is a schema too.
            Err(_) => Value::String(text.trim().to_owned()),
        };
        let parsed =
            apache_avro::Schema::parse(&json).map_err(|error| invalid(error.to_string()))?;
        Ok(Self {
            text: text.to_owned(),
            json,
            parsed,
        })
    }
}

#[derive(Debug, Default)]
struct Subject {
    versions: Vec<Version>,
    level: Option<Level>,
}

impl Subject {
    fn alive(&self) -> impl DoubleEndedIterator<Item = &Version> {
        self.versions.iter().filter(|version| !version.deleted)
    }
}

/// One version of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) number: u32,
    pub(super) id: u32,
    deleted: bool,
}

#[derive(Debug, Default)]
pub(super) struct State {
    definitions: BTreeMap<u32, Definition>,
    subjects: BTreeMap<String, Subject>,
    level: Level,
}

/// Reading.
impl State {
    pub(super) fn definition(&self, id: u32) -> Option<&Definition> {
        self.definitions.get(&id)
    }

    /// The subjects that have a version; the deleted ones too, if asked.
    pub(super) fn subjects(&self, deleted: bool) -> Vec<&str> {
        let listed = |subject: &Subject| {
            subject.alive().next().is_some() || (deleted && !subject.versions.is_empty())
        };
        let all = self.subjects.iter();
        all.filter(|(_, subject)| listed(subject))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// The numbers of a subject's versions; the deleted ones too, if asked.
    pub(super) fn versions(&self, subject: &str, deleted: bool) -> Result<Vec<u32>, RegistryError> {
        let all = self.subjects.get(subject).map_or(&[][..], |s| &s.versions);
        let listed = all.iter().filter(|version| deleted || !version.deleted);
        let numbers: Vec<_> = listed.map(|version| version.number).collect();
        if numbers.is_empty() {
            return Err(RegistryError::SubjectNotFound(subject.to_owned()));
        }
        Ok(numbers)
    }

    /// A subject's version of this number, or its last.
    pub(super) fn version(
        &self,
        subject: &str,
        number: Option<u32>,
        deleted: bool,
    ) -> Result<(Version, &Definition), RegistryError> {
        let numbers = self.versions(subject, deleted)?;
        let wanted = number.or(numbers.last().copied()).unwrap_or(0);
        self.subjects
            .get(subject)
            .filter(|_| numbers.contains(&wanted))
            .and_then(|found| found.versions.iter().find(|v| v.number == wanted))
            .and_then(|version| Some((*version, self.definition(version.id)?)))
            .ok_or(RegistryError::VersionNotFound(wanted))
    }

    /// The version and id that a schema has in a subject.
    pub(super) fn lookup(
        &self,
        subject: &str,
        schema: &Definition,
    ) -> Result<(u32, u32), RegistryError> {
        self.versions(subject, false)?;
        let id = self.id_of(schema).ok_or(RegistryError::SchemaNotFound)?;
        self.subjects
            .get(subject)
            .and_then(|found| found.alive().rfind(|version| version.id == id))
            .map(|version| (version.number, id))
            .ok_or(RegistryError::SchemaNotFound)
    }

    /// Where a schema is used: subjects and versions.
    pub(super) fn uses(&self, id: u32) -> Vec<(&str, u32)> {
        let all = self.subjects.iter();
        all.flat_map(|(name, subject)| subject.alive().map(move |version| (name.as_str(), version)))
            .filter(|(_, version)| version.id == id)
            .map(|(name, version)| (name, version.number))
            .collect()
    }

    pub(super) fn level(&self, subject: Option<&str>) -> Option<Level> {
        match subject {
            Some(subject) => self.subjects.get(subject)?.level,
            None => Some(self.level),
        }
    }

    fn level_in_force(&self, subject: &str) -> Level {
        self.level(Some(subject)).unwrap_or(self.level)
    }

    /// Why a schema may not become the next version of a subject.
    pub(super) fn breaks(&self, subject: &str, schema: &Definition) -> Vec<String> {
        let versions = self.subjects.get(subject).into_iter();
        let versions: Vec<_> = versions.flat_map(Subject::alive).copied().collect();
        self.breaks_with(subject, schema, &versions)
    }

    /// Why a schema does not go with these versions of a subject.
    pub(super) fn breaks_with(
        &self,
        subject: &str,
        schema: &Definition,
        versions: &[Version],
    ) -> Vec<String> {
        let parsed = |v: &Version| Some((v.number, &self.definition(v.id)?.parsed));
        let old: Vec<_> = versions.iter().filter_map(parsed).collect();
        self.level_in_force(subject).check(&schema.parsed, &old)
    }

    /// The number and id that a schema gets as the next version of a subject.
    pub(super) fn next(&self, subject: &str, schema: &Definition) -> (u32, u32) {
        let versions = self.subjects.get(subject).map(|found| &found.versions);
        let last = versions.and_then(|v| v.last()).map_or(0, |v| v.number);
        let fresh = || self.definitions.keys().last().map_or(1, |id| id + 1);
        (last + 1, self.id_of(schema).unwrap_or_else(fresh))
    }

    // A scan: a registry holds hundreds of schemas, and registration happens at start-up.
    fn id_of(&self, schema: &Definition) -> Option<u32> {
        let mut all = self.definitions.iter();
        all.find(|(_, known)| known.json == schema.json)
            .map(|(id, _)| *id)
    }
}

/// Writing: what an entry does.
impl State {
    pub(super) fn replay(&mut self, entry: Entry) -> Result<(), RegistryError> {
        match entry {
            Entry::Version {
                subject,
                version,
                id,
                schema,
            } => self.add(&subject, version, id, Definition::parse(&schema)?),
            Entry::Deleted { subject, version } => self.delete(&subject, version),
            Entry::Level { subject, level } => self.set_level(subject.as_deref(), level),
        }
        Ok(())
    }

    pub(super) fn add(&mut self, subject: &str, number: u32, id: u32, definition: Definition) {
        self.definitions.entry(id).or_insert(definition);
        let subject = self.subjects.entry(subject.to_owned()).or_default();
        subject.versions.push(Version {
            number,
            id,
            deleted: false,
        });
    }

    pub(super) fn delete(&mut self, subject: &str, number: u32) {
        let versions = self.subjects.get_mut(subject).map(|s| &mut s.versions);
        let mut versions = versions.into_iter().flatten();
        if let Some(version) = versions.find(|version| version.number == number) {
            version.deleted = true;
        }
    }

    pub(super) fn set_level(&mut self, subject: Option<&str>, level: Option<Level>) {
        match subject {
            Some(name) => self.subjects.entry(name.to_owned()).or_default().level = level,
            None => self.level = level.unwrap_or_default(),
        }
    }
}
