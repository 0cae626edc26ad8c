//! `serve --only NAMES` runs these topologies and no others.

use millrace_api::serve::entries;

use crate::support::{refusal, run, settings};

#[test]
fn the_named_topologies_are_run_and_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = settings(folder.path());
    settings.only = vec!["inventory".into(), "audit".into()];
    let entries = entries(&settings).expect("known names");
    let names: Vec<_> = entries.iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["inventory", "audit"]);
}

#[test]
fn an_unknown_name_is_refused_with_those_that_there_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = refusal(&run(
        folder.path(),
        &["serve", "--only", "inventory,shipping"],
    ));
    assert!(
        refused.contains("no topology is named `shipping`; there are products,"),
        "{refused}"
    );
    assert!(
        !folder.path().join("log").exists(),
        "nothing is made before the settings hold"
    );
}
