//! Mistakes that do not compile, and what the compiler says about them: compile errors are part of
//! the API.
//!
//! Each file of `tests/ui` is compiled against the engine as it was just built, so that nothing is
//! built twice; beside it stands what the compiler must say. To accept another text, run the test
//! with `UPDATE_EXPECT=1`.

use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::expect_file;
use serde_json::Value;

/// The newest build of the engine beside this test; what only a check leaves behind is none.
fn engine() -> (PathBuf, PathBuf) {
    let test = std::env::current_exe().expect("this test is a file");
    let deps = test.parent().expect("in a folder").to_owned();
    let files = std::fs::read_dir(&deps).expect("the folder can be read");
    let is_engine = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_metadata = name.starts_with("libmillrace_streams-") && name.ends_with(".rmeta");
        is_metadata && path.with_extension("rlib").exists()
    };
    let builds = files.filter_map(|file| Some(file.ok()?.path()));
    let built = |path: &PathBuf| path.metadata().and_then(|file| file.modified()).ok();
    let newest = builds.filter(is_engine).max_by_key(built);
    (newest.expect("the engine is built"), deps)
}

/// What the compiler says about a file: one JSON object per message.
fn compile(file: &Path) -> Vec<Value> {
    let (engine, deps) = engine();
    let out = tempfile::tempdir().expect("a folder");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let done = Command::new(rustc)
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata"])
        .args(["--error-format=json", "--out-dir"])
        .arg(out.path())
        .arg(format!("--extern=millrace_streams={}", engine.display()))
        .arg(format!("-Ldependency={}", deps.display()))
        .arg(file)
        .output()
        .expect("the compiler runs");
    let text = String::from_utf8(done.stderr).expect("text");
    let messages = text.lines().map(serde_json::from_str);
    messages.map(|m| m.expect("a message")).collect()
}

/// An error in short: what the compiler says, and where in the file. Places in the engine are left
/// out: they move with every change of it.
fn shorten(error: &Value) -> String {
    let code = error["code"]["code"].as_str().unwrap_or_default();
    let mut short = format!("error[{code}]: {}\n", text(&error["message"]));
    for span in spans(error) {
        let (line, label) = (&span["line_start"], text(&span["label"]));
        short += &format!("  line {line}: {label}\n");
    }
    for child in error["children"].as_array().into_iter().flatten() {
        let in_file = spans(child).next().is_some();
        if in_file || child["spans"].as_array().is_some_and(Vec::is_empty) {
            let (level, message) = (text(&child["level"]), text(&child["message"]));
            short += &format!("  {level}: {message}\n");
        }
    }
    short
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The places in the file itself that have something to say.
fn spans(message: &Value) -> impl Iterator<Item = &Value> {
    let spans = message["spans"].as_array().into_iter().flatten();
    spans.filter(|span| text(&span["file_name"]).contains("tests/ui/") && span["label"].is_string())
}

fn must_fail(name: &str) {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let messages = compile(&ui.join(name).with_extension("rs"));
    let errors = messages.iter().filter(|m| m["code"].is_object());
    let said: String = errors.map(shorten).collect();
    assert!(!said.is_empty(), "`{name}` compiles");
    expect_file![ui.join(name).with_extension("stderr")].assert_eq(&said);
}

macro_rules! mistakes {
    ($($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                must_fail(stringify!($name));
            }
        )+
    };
}

mistakes! {
    aggregate_before_its_repartition
    count_before_its_repartition
    handle_that_leaves_its_scope
    join_of_streams_not_keyed_alike
    sink_of_another_key
    sink_of_another_value
    store_whose_name_is_not_strict
    topic_of_a_type_without_bytes
    topic_whose_name_kafka_refuses
}

#[test]
fn every_file_of_the_folder_is_tested() {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let this = include_str!("compile_fail.rs");
    for file in std::fs::read_dir(ui).expect("the folder can be read") {
        let path = file.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy();
        assert!(this.contains(&*name), "`{name}` is not tested");
    }
}
