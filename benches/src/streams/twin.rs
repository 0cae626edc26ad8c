//! The JVM peer: Kafka Streams with the same topologies, built from its source here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::client::Job;

/// The built twin.
#[derive(Debug)]
pub(super) struct Twin {
    class_path: String,
    heap: Option<String>,
}

impl Twin {
    /// Gets the jars with Maven unless they are there, and compiles the twin into `classes`. It
    /// runs with a heap of at most `heap`.
    pub(super) fn build(classes: &Path, heap: Option<String>) -> Result<Self> {
        let lib = java().join("lib");
        if !has_streams(&lib) {
            fetch(&lib)?;
        }
        let jars = format!("{}/*", lib.display());
        let mut javac = Command::new("javac");
        javac.arg("-cp").arg(&jars).arg("-d").arg(classes);
        run(javac.arg(java().join("StreamsTwin.java")))?;
        Ok(Self {
            class_path: format!("{}:{jars}", classes.display()),
            heap,
        })
    }

    /// The command that runs `job`, on a virtual machine that but for its heap has its defaults.
    pub(super) fn command(&self, job: &Job) -> Command {
        let mut command = Command::new("java");
        command.args(self.heap.iter().map(|heap| format!("-Xmx{heap}")));
        command.args(["-cp", &self.class_path, "StreamsTwin"]);
        command.args(
            job.settings()
                .map(|(name, value)| format!("{name}={value}")),
        );
        command
    }
}

fn java() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("java")
}

fn has_streams(lib: &Path) -> bool {
    let names = fs::read_dir(lib).into_iter().flatten().flatten();
    let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.any(|name| name.starts_with("kafka-streams-"))
}

fn fetch(lib: &Path) -> Result<()> {
    let partial = lib.with_extension("partial");
    let mut mvn = Command::new("mvn");
    mvn.args(["--quiet", "--batch-mode", "-Dstyle.color=never", "--file"])
        .arg(java().join("pom.xml"));
    mvn.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    run(mvn.arg(format!("-DoutputDirectory={}", partial.display())))?;
    // What stands under the final name is complete, even if a fetch was interrupted.
    fs::rename(&partial, lib).context("cannot move the fetched jars into place")
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| {
        format!(
            "cannot start {:?}; install a JDK and Maven",
            command.get_program()
        )
    })?;
    ensure!(status.success(), "{:?} failed", command.get_program());
    Ok(())
}
