//! Confluent's HTTP API: a request in, a status and a JSON body out.

use serde::Deserialize;
use serde_json::{Value, json};

use super::state::Definition;
use super::{Registry, RegistryError};

type Answer = Result<Value, RegistryError>;

/// A request's path, taken apart.
struct Request<'a> {
    method: &'a str,
    segments: Vec<String>,
    query: &'a str,
    body: &'a [u8],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaBody {
    schema: String,
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Value>,
}

#[derive(Deserialize)]
struct LevelBody {
    compatibility: String,
}

/// Whether a request may change what a registry holds: it registers, deletes, or sets a level.
/// Whatever is not known to read only counts as a change.
pub fn is_change(method: &str, path: &str) -> bool {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let segments: Vec<_> = path.split('/').filter(|it| !it.is_empty()).collect();
    let reads = match method {
        "GET" | "HEAD" => true,
        "POST" => matches!(segments[..], ["subjects", _] | ["compatibility", ..]),
        _ => false,
    };
    !reads
}

impl Registry {
    /// Answers a request of Confluent's HTTP API: its status and its body.
    ///
    /// `path` may end in a query. What the API has and this registry has not (references, other
    /// schema languages, permanent deletion) is refused, never ignored.
    pub fn handle(&self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let request = Request {
            method,
            segments: segments.map(percent_decoded).collect(),
            query,
            body,
        };
        match self.route(&request) {
            Ok(body) => (200, body),
            Err(error) => refusal(&error),
        }
    }

    fn route(&self, request: &Request<'_>) -> Answer {
        let segments: Vec<_> = request.segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            [] => request.get(|| Ok(json!({}))),
            ["subjects", rest @ ..] => self.subjects(request, rest),
            ["schemas", rest @ ..] => self.schemas(request, rest),
            ["config", rest @ ..] => self.config(request, rest),
            ["compatibility", "subjects", subject, "versions", rest @ ..] => {
                self.compatibility(request, subject, rest)
            }
            ["mode"] => request.get(|| Ok(json!({ "mode": "READWRITE" }))),
            _ => Err(RegistryError::NoResource),
        }
    }

    fn subjects(&self, request: &Request<'_>, rest: &[&str]) -> Answer {
        let deleted = request.flag("deleted");
        match (request.method, rest) {
            ("GET", []) => Ok(json!(self.inner.lock().state.subjects(deleted))),
            ("POST", [subject]) => self.lookup(subject, &request.schema()?),
            ("DELETE", [subject]) => {
                request.refuse_permanent()?;
                Ok(json!(self.delete(subject, None)?))
            }
            ("GET", [subject, "versions"]) => {
                Ok(json!(self.inner.lock().state.versions(subject, deleted)?))
            }
            ("POST", [subject, "versions"]) => {
                let id = self.register(subject, &request.schema()?.text)?;
                Ok(json!({ "id": id }))
            }
            ("GET", [subject, "versions", version]) => self.version(subject, version, deleted),
            ("DELETE", [subject, "versions", version]) => {
                request.refuse_permanent()?;
                self.delete_version(subject, version)
            }
            ("GET", [subject, "versions", version, "schema"]) => {
                let text = &self.version(subject, version, deleted)?["schema"];
                Ok(as_json(text.as_str().unwrap_or_default()))
            }
            (_, [] | [_] | [_, "versions"] | [_, "versions", _] | [_, "versions", _, "schema"]) => {
                Err(RegistryError::NoMethod)
            }
            _ => Err(RegistryError::NoResource),
        }
    }

    fn version(&self, subject: &str, version: &str, deleted: bool) -> Answer {
        let inner = self.inner.lock();
        let number = version_number(version)?;
        let (version, definition) = inner.state.version(subject, number, deleted)?;
        Ok(json!({
            "subject": subject,
            "version": version.number,
            "id": version.id,
            "schema": definition.text,
        }))
    }

    fn delete_version(&self, subject: &str, version: &str) -> Answer {
        let number = version_number(version)?;
        let number = {
            let inner = self.inner.lock();
            inner.state.version(subject, number, false)?.0.number
        };
        self.delete(subject, Some(number))?;
        Ok(json!(number))
    }

    fn lookup(&self, subject: &str, schema: &Definition) -> Answer {
        let inner = self.inner.lock();
        let (version, id) = inner.state.lookup(subject, schema)?;
        let text = inner.state.definition(id).map(|found| &found.text);
        Ok(json!({ "subject": subject, "version": version, "id": id, "schema": text }))
    }

    fn schemas(&self, request: &Request<'_>, rest: &[&str]) -> Answer {
        if let ["types"] = rest {
            return request.get(|| Ok(json!(["AVRO"])));
        }
        let ["ids", id, rest @ ..] = rest else {
            return Err(RegistryError::NoResource);
        };
        let inner = self.inner.lock();
        let id: u32 = id.parse().map_err(|_| RegistryError::NoResource)?;
        let found = inner.state.definition(id);
        let definition = found.ok_or(RegistryError::SchemaNotFound)?;
        let uses = inner.state.uses(id);
        request.get(|| match rest {
            [] => Ok(json!({ "schema": definition.text })),
            ["schema"] => Ok(as_json(&definition.text)),
            ["subjects"] => Ok(uses.iter().map(|(subject, _)| json!(subject)).collect()),
            ["versions"] => {
                let entry = |(s, v): &(&str, u32)| json!({ "subject": s, "version": v });
                Ok(uses.iter().map(entry).collect())
            }
            _ => Err(RegistryError::NoResource),
        })
    }

    fn config(&self, request: &Request<'_>, rest: &[&str]) -> Answer {
        let subject = match rest {
            [] => None,
            [subject] => Some(*subject),
            _ => return Err(RegistryError::NoResource),
        };
        match request.method {
            "GET" => {
                let to_global = request.flag("defaultToGlobal");
                let state = &self.inner.lock().state;
                let own = state.level(subject);
                let level = own.or_else(|| state.level(None).filter(|_| to_global));
                let missing = || RegistryError::NoLevel(subject.unwrap_or_default().to_owned());
                Ok(json!({ "compatibilityLevel": level.ok_or_else(missing)? }))
            }
            "PUT" => {
                let body: LevelBody = request.parsed()?;
                let level = body.compatibility.parse();
                let level = level.map_err(|()| RegistryError::InvalidLevel)?;
                self.set_level(subject, Some(level))?;
                Ok(json!({ "compatibility": level }))
            }
            "DELETE" => {
                let before = self.inner.lock().state.level(subject);
                self.set_level(subject, None)?;
                Ok(json!({ "compatibility": before.unwrap_or_default() }))
            }
            _ => Err(RegistryError::NoMethod),
        }
    }

    fn compatibility(&self, request: &Request<'_>, subject: &str, rest: &[&str]) -> Answer {
        if request.method != "POST" {
            return Err(RegistryError::NoMethod);
        }
        let schema = request.schema()?;
        let inner = self.inner.lock();
        let breaks = match rest {
            [] => inner.state.breaks(subject, &schema),
            [version] => {
                let number = version_number(version)?;
                let (version, _) = inner.state.version(subject, number, false)?;
                inner.state.breaks_with(subject, &schema, &[version])
            }
            _ => return Err(RegistryError::NoResource),
        };
        let mut answer = json!({ "is_compatible": breaks.is_empty() });
        if request.flag("verbose") {
            answer["messages"] = json!(breaks);
        }
        Ok(answer)
    }
}

impl Request<'_> {
    fn get(&self, answer: impl FnOnce() -> Answer) -> Answer {
        match self.method {
            "GET" => answer(),
            _ => Err(RegistryError::NoMethod),
        }
    }

    fn flag(&self, name: &str) -> bool {
        let pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs
            .into_iter()
            .any(|(n, value)| n == name && value == "true")
    }

    fn refuse_permanent(&self) -> Result<(), RegistryError> {
        match self.flag("permanent") {
            true => Err(RegistryError::Permanent),
            false => Ok(()),
        }
    }

    fn parsed<'b, T: Deserialize<'b>>(&'b self) -> Result<T, RegistryError> {
        serde_json::from_slice(self.body)
            .map_err(|error| RegistryError::BadRequest(error.to_string()))
    }

    fn schema(&self) -> Result<Definition, RegistryError> {
        let body: SchemaBody = self.parsed()?;
        if !matches!(body.schema_type.as_deref(), None | Some("AVRO")) {
            let why = "only schemas of type AVRO are supported";
            return Err(RegistryError::InvalidSchema(why.into()));
        }
        if !body.references.is_empty() {
            let why = "references are not supported; write the types out";
            return Err(RegistryError::InvalidSchema(why.into()));
        }
        Definition::parse(&body.schema)
    }
}

/// A version's number; `None` is the last.
fn version_number(text: &str) -> Result<Option<u32>, RegistryError> {
    match text.parse::<i32>() {
        Ok(-1) => Ok(None),
        Ok(number) if number > 0 => Ok(Some(number.unsigned_abs())),
        Err(_) if text == "latest" => Ok(None),
        _ => Err(RegistryError::InvalidVersion(text.to_owned())),
    }
}

/// A schema's text as JSON; a primitive may be a bare name.
fn as_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text.trim()))
}

/// The one place that maps an error to its status and its code.
fn refusal(error: &RegistryError) -> (u16, Value) {
    let code: u32 = match error {
        RegistryError::SubjectNotFound(_) => 40_401,
        RegistryError::VersionNotFound(_) => 40_402,
        RegistryError::SchemaNotFound => 40_403,
        RegistryError::NoLevel(_) => 40_408,
        RegistryError::InvalidSchema(_) => 42_201,
        RegistryError::InvalidVersion(_) => 42_202,
        RegistryError::InvalidLevel => 42_203,
        RegistryError::BadRequest(_) | RegistryError::Full(_) => 422,
        RegistryError::Incompatible { .. } => 409,
        RegistryError::NoResource => 404,
        RegistryError::NoMethod | RegistryError::Permanent => 405,
        RegistryError::Store(_) => 50_001,
    };
    let status = if code < 1000 { code } else { code / 100 };
    let status = u16::try_from(status).unwrap_or(500);
    let message = error.to_string();
    (status, json!({ "error_code": code, "message": message }))
}

/// `text` with its percent escapes decoded; a broken escape stands for itself.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| *first == b'%');
        let digits = escaped.and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = digits.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
