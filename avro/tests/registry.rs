//! The embedded registry's HTTP API, request by request.

#![allow(clippy::needless_pass_by_value, reason = "JSON is handed over whole")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use expect_test::{Expect, expect};
use millrace_avro::registry::{Entry, FileStore, Registry, RegistryStore};
use serde_json::{Value, json};

fn schema(fields: Value) -> Value {
    let schema = json!({ "type": "record", "name": "R", "fields": fields });
    json!({ "schema": schema.to_string() })
}

fn one() -> Value {
    schema(json!([{"name": "a", "type": "int"}]))
}

fn two() -> Value {
    schema(json!([{"name": "a", "type": "long"}, {"name": "b", "type": "string", "default": ""}]))
}

fn incompatible() -> Value {
    schema(json!([{"name": "a", "type": "string"}]))
}

/// A registry where `s` has two versions, and `t` the first of them.
fn registry() -> Registry {
    let registry = Registry::in_memory();
    for (subject, body) in [("s", one()), ("s", two()), ("t", one())] {
        let path = format!("/subjects/{subject}/versions");
        let (status, answer) = registry.handle("POST", &path, body.to_string().as_bytes());
        assert_eq!(status, 200, "{answer}");
    }
    registry
}

fn ask(registry: &Registry, request: &str, body: &Value) -> String {
    let (method, path) = request.split_once(' ').unwrap();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let (status, answer) = registry.handle(method, path, body.as_bytes());
    format!("{status} {answer}")
}

/// Asks for something that needs no body.
fn check(registry: &Registry, request: &str, expect: Expect) {
    expect.assert_eq(&ask(registry, request, &Value::Null));
}

fn check_with(registry: &Registry, request: &str, body: &Value, expect: Expect) {
    expect.assert_eq(&ask(registry, request, body));
}

#[test]
fn subjects_versions_and_schemas_are_read() {
    let registry = registry();
    check(&registry, "GET /", expect!["200 {}"]);
    check(&registry, "GET /subjects", expect![[r#"200 ["s","t"]"#]]);
    check(&registry, "GET /subjects/s/versions", expect!["200 [1,2]"]);
    check(
        &registry,
        "GET /subjects/s/versions/1",
        expect![[
            r#"200 {"id":1,"schema":"{\"fields\":[{\"name\":\"a\",\"type\":\"int\"}],\"name\":\"R\",\"type\":\"record\"}","subject":"s","version":1}"#
        ]],
    );
    check(
        &registry,
        "GET /subjects/s/versions/latest",
        expect![[
            r#"200 {"id":2,"schema":"{\"fields\":[{\"name\":\"a\",\"type\":\"long\"},{\"default\":\"\",\"name\":\"b\",\"type\":\"string\"}],\"name\":\"R\",\"type\":\"record\"}","subject":"s","version":2}"#
        ]],
    );
    check(
        &registry,
        "GET /subjects/t/versions/-1/schema",
        expect![[r#"200 {"fields":[{"name":"a","type":"int"}],"name":"R","type":"record"}"#]],
    );
    check(
        &registry,
        "GET /schemas/ids/1",
        expect![[
            r#"200 {"schema":"{\"fields\":[{\"name\":\"a\",\"type\":\"int\"}],\"name\":\"R\",\"type\":\"record\"}"}"#
        ]],
    );
    check(
        &registry,
        "GET /schemas/ids/1?deleted=true",
        expect![[
            r#"200 {"schema":"{\"fields\":[{\"name\":\"a\",\"type\":\"int\"}],\"name\":\"R\",\"type\":\"record\"}"}"#
        ]],
    );
    check(
        &registry,
        "GET /schemas/ids/1/schema",
        expect![[r#"200 {"fields":[{"name":"a","type":"int"}],"name":"R","type":"record"}"#]],
    );
    check(
        &registry,
        "GET /schemas/ids/1/subjects",
        expect![[r#"200 ["s","t"]"#]],
    );
    check(
        &registry,
        "GET /schemas/ids/1/versions",
        expect![[r#"200 [{"subject":"s","version":1},{"subject":"t","version":1}]"#]],
    );
    check(
        &registry,
        "GET /schemas/types",
        expect![[r#"200 ["AVRO"]"#]],
    );
    check(
        &registry,
        "GET /mode",
        expect![[r#"200 {"mode":"READWRITE"}"#]],
    );
}

#[test]
fn what_is_not_there_has_confluents_error_codes() {
    let registry = registry();
    check(
        &registry,
        "GET /subjects/u/versions",
        expect![[r#"404 {"error_code":40401,"message":"Subject 'u' not found."}"#]],
    );
    check(
        &registry,
        "GET /subjects/u/versions/1",
        expect![[r#"404 {"error_code":40401,"message":"Subject 'u' not found."}"#]],
    );
    check(
        &registry,
        "GET /subjects/s/versions/9",
        expect![[r#"404 {"error_code":40402,"message":"Version 9 not found."}"#]],
    );
    check(
        &registry,
        "GET /subjects/s/versions/0",
        expect![[
            r#"422 {"error_code":42202,"message":"The specified version '0' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""}"#
        ]],
    );
    check(
        &registry,
        "GET /schemas/ids/99",
        expect![[r#"404 {"error_code":40403,"message":"Schema not found"}"#]],
    );
    check(
        &registry,
        "GET /nothing",
        expect![[r#"404 {"error_code":404,"message":"HTTP 404 Not Found"}"#]],
    );
    check(
        &registry,
        "PATCH /subjects",
        expect![[r#"405 {"error_code":405,"message":"HTTP 405 Method Not Allowed"}"#]],
    );
    check_with(
        &registry,
        "POST /subjects/u",
        &one(),
        expect![[r#"404 {"error_code":40401,"message":"Subject 'u' not found."}"#]],
    );
    check_with(
        &registry,
        "POST /subjects/t",
        &two(),
        expect![[r#"404 {"error_code":40403,"message":"Schema not found"}"#]],
    );
}

#[test]
fn registering_the_same_schema_again_returns_its_id() {
    let registry = registry();
    check_with(
        &registry,
        "POST /subjects/s/versions",
        &one(),
        expect![[r#"200 {"id":1}"#]],
    );
    let spaced = json!({ "schema": r#"{ "name": "R", "type": "record",
        "fields": [ {"type": "int", "name": "a"} ] }"# });
    check_with(
        &registry,
        "POST /subjects/s/versions",
        &spaced,
        expect![[r#"200 {"id":1}"#]],
    );
    check_with(
        &registry,
        "POST /subjects/s",
        &spaced,
        expect![[
            r#"200 {"id":1,"schema":"{\"fields\":[{\"name\":\"a\",\"type\":\"int\"}],\"name\":\"R\",\"type\":\"record\"}","subject":"s","version":1}"#
        ]],
    );
    check(&registry, "GET /subjects/s/versions", expect!["200 [1,2]"]);
}

#[test]
fn an_incompatible_schema_is_refused_with_its_reasons() {
    let registry = registry();
    check_with(
        &registry,
        "POST /subjects/s/versions",
        &incompatible(),
        expect![[
            r#"409 {"error_code":409,"message":"Schema being registered is incompatible with an earlier schema for subject \"s\", details: [\"reading version 1: /a: int cannot be read as string\", \"reading version 2: /a: long cannot be read as string\"]"}"#
        ]],
    );
    let test = "POST /compatibility/subjects/s/versions";
    check_with(
        &registry,
        &format!("{test}/latest"),
        &incompatible(),
        expect![[r#"200 {"is_compatible":false}"#]],
    );
    check_with(
        &registry,
        &format!("{test}/1?verbose=true"),
        &incompatible(),
        expect![[
            r#"200 {"is_compatible":false,"messages":["reading version 1: /a: int cannot be read as string"]}"#
        ]],
    );
    check_with(
        &registry,
        test,
        &two(),
        expect![[r#"200 {"is_compatible":true}"#]],
    );
    check_with(
        &registry,
        &format!("{test}/7"),
        &two(),
        expect![[r#"404 {"error_code":40402,"message":"Version 7 not found."}"#]],
    );
}

#[test]
fn what_is_no_schema_is_unprocessable() {
    let registry = registry();
    let post = "POST /subjects/s/versions";
    check_with(
        &registry,
        post,
        &json!({ "schema": "{\"type\": \"recor\"}" }),
        expect![[
            r#"422 {"error_code":42201,"message":"Invalid schema: Unknown primitive type: recor"}"#
        ]],
    );
    check_with(
        &registry,
        post,
        &json!({ "schemas": "" }),
        expect![[
            r#"422 {"error_code":422,"message":"Unprocessable request: missing field `schema` at line 1 column 14"}"#
        ]],
    );
    check_with(
        &registry,
        post,
        &json!({ "schema": "{}", "schemaType": "JSON" }),
        expect![[
            r#"422 {"error_code":42201,"message":"Invalid schema: only schemas of type AVRO are supported"}"#
        ]],
    );
    let reference = json!({ "name": "X", "subject": "x", "version": 1 });
    let referring = json!({ "schema": "\"X\"", "references": [reference] });
    check_with(
        &registry,
        post,
        &referring,
        expect![[
            r#"422 {"error_code":42201,"message":"Invalid schema: references are not supported; write the types out"}"#
        ]],
    );
}

#[test]
fn a_subject_s_level_decides_what_it_accepts() {
    let registry = registry();
    check(
        &registry,
        "GET /config",
        expect![[r#"200 {"compatibilityLevel":"BACKWARD_TRANSITIVE"}"#]],
    );
    check(
        &registry,
        "GET /config/s",
        expect![[
            r#"404 {"error_code":40408,"message":"Subject 's' does not have subject-level compatibility configured"}"#
        ]],
    );
    check(
        &registry,
        "GET /config/s?defaultToGlobal=true",
        expect![[r#"200 {"compatibilityLevel":"BACKWARD_TRANSITIVE"}"#]],
    );
    let none = json!({ "compatibility": "NONE" });
    check_with(
        &registry,
        "PUT /config/s",
        &none,
        expect![[r#"200 {"compatibility":"NONE"}"#]],
    );
    check(
        &registry,
        "GET /config/s",
        expect![[r#"200 {"compatibilityLevel":"NONE"}"#]],
    );
    check_with(
        &registry,
        "POST /subjects/s/versions",
        &incompatible(),
        expect![[r#"200 {"id":3}"#]],
    );
    check_with(
        &registry,
        "POST /subjects/t/versions",
        &incompatible(),
        expect![[
            r#"409 {"error_code":409,"message":"Schema being registered is incompatible with an earlier schema for subject \"t\", details: [\"reading version 1: /a: int cannot be read as string\"]"}"#
        ]],
    );
    check(
        &registry,
        "DELETE /config/s",
        expect![[r#"200 {"compatibility":"NONE"}"#]],
    );
    check(
        &registry,
        "GET /config/s",
        expect![[
            r#"404 {"error_code":40408,"message":"Subject 's' does not have subject-level compatibility configured"}"#
        ]],
    );
    let wrong = json!({ "compatibility": "LOOSE" });
    check_with(
        &registry,
        "PUT /config",
        &wrong,
        expect![[
            r#"422 {"error_code":42203,"message":"Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive"}"#
        ]],
    );
}

#[test]
fn a_deleted_version_is_hidden_but_its_schema_is_still_found_by_id() {
    let registry = registry();
    check(&registry, "DELETE /subjects/s/versions/2", expect!["200 2"]);
    check(&registry, "GET /subjects/s/versions", expect!["200 [1]"]);
    check(
        &registry,
        "GET /subjects/s/versions?deleted=true",
        expect!["200 [1,2]"],
    );
    check(
        &registry,
        "GET /subjects/s/versions/latest",
        expect![[
            r#"200 {"id":1,"schema":"{\"fields\":[{\"name\":\"a\",\"type\":\"int\"}],\"name\":\"R\",\"type\":\"record\"}","subject":"s","version":1}"#
        ]],
    );
    check(&registry, "DELETE /subjects/s", expect!["200 [1]"]);
    check(
        &registry,
        "GET /subjects/s/versions",
        expect![[r#"404 {"error_code":40401,"message":"Subject 's' not found."}"#]],
    );
    check(&registry, "GET /subjects", expect![[r#"200 ["t"]"#]]);
    check(
        &registry,
        "GET /subjects?deleted=true",
        expect![[r#"200 ["s","t"]"#]],
    );
    check(
        &registry,
        "GET /schemas/ids/2",
        expect![[
            r#"200 {"schema":"{\"fields\":[{\"name\":\"a\",\"type\":\"long\"},{\"default\":\"\",\"name\":\"b\",\"type\":\"string\"}],\"name\":\"R\",\"type\":\"record\"}"}"#
        ]],
    );
    check(
        &registry,
        "DELETE /subjects/t?permanent=true",
        expect![[
            r#"405 {"error_code":405,"message":"Permanent deletion is not supported; records of the schema would become unreadable"}"#
        ]],
    );
    // Numbers are never used twice, ids stay with their schema.
    check_with(
        &registry,
        "POST /subjects/s/versions",
        &two(),
        expect![[r#"200 {"id":2}"#]],
    );
    check(&registry, "GET /subjects/s/versions", expect!["200 [3]"]);
}

#[test]
fn a_subject_may_need_escapes() {
    let registry = Registry::in_memory();
    check_with(
        &registry,
        "POST /subjects/a%2Fb%20c/versions",
        &one(),
        expect![[r#"200 {"id":1}"#]],
    );
    check(&registry, "GET /subjects", expect![[r#"200 ["a/b c"]"#]]);
    check(
        &registry,
        "GET /subjects/%zz/versions",
        expect![[r#"404 {"error_code":40401,"message":"Subject '%zz' not found."}"#]],
    );
}

#[test]
fn a_registry_remembers_everything_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry");
    let open = || Registry::open(FileStore::open(&path).unwrap()).unwrap();
    let registry = open();
    for (subject, body) in [("s", one()), ("s", two()), ("t", one())] {
        ask(
            &registry,
            &format!("POST /subjects/{subject}/versions"),
            &body,
        );
    }
    ask(
        &registry,
        "PUT /config/t",
        &json!({ "compatibility": "FULL" }),
    );
    ask(&registry, "DELETE /subjects/s/versions/1", &Value::Null);
    let again = open();
    for request in [
        "GET /subjects",
        "GET /subjects/s/versions",
        "GET /subjects/s/versions?deleted=true",
        "GET /subjects/t/versions/1",
        "GET /schemas/ids/2",
        "GET /config/t",
    ] {
        let (before, after) = (&registry, &again);
        assert_eq!(
            ask(before, request, &Value::Null),
            ask(after, request, &Value::Null)
        );
    }
    let next = schema(json!([]));
    assert_eq!(
        ask(&again, "POST /subjects/s/versions", &next),
        r#"200 {"id":3}"#
    );
}

/// A store whose disk fills up.
#[derive(Debug)]
struct Full(Arc<AtomicBool>);

impl RegistryStore for Full {
    fn load(&mut self) -> io::Result<Vec<Entry>> {
        Ok(Vec::new())
    }

    fn append(&mut self, _: &Entry) -> io::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(io::Error::from(io::ErrorKind::StorageFull)),
            false => Ok(()),
        }
    }
}

#[test]
fn what_was_not_stored_was_not_registered() {
    let full = Arc::new(AtomicBool::new(true));
    let registry = Registry::open(Full(full.clone())).unwrap();
    check_with(
        &registry,
        "POST /subjects/s/versions",
        &one(),
        expect![[
            r#"500 {"error_code":50001,"message":"Error in the backend data store: no storage space"}"#
        ]],
    );
    check(&registry, "GET /subjects", expect!["200 []"]);
    full.store(false, Ordering::Relaxed);
    check_with(
        &registry,
        "POST /subjects/s/versions",
        &one(),
        expect![[r#"200 {"id":1}"#]],
    );
}
