//! Where the servers that come from Maven artifacts live on disk, and how they get there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{find_program, run_ok};

/// A server that consists of jars.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Artifact {
    /// The name of its pom file and of its folder.
    name: &'static str,
    /// The environment variable that names a folder to use instead.
    variable: &'static str,
    /// The jar whose presence shows that the folder is complete starts and ends so.
    marker: (&'static str, &'static str),
    /// The goal of Maven's dependency plugin that fills the folder.
    goal: &'static str,
}

/// The broker and its tools.
pub(crate) const KAFKA: Artifact = Artifact {
    name: "kafka",
    variable: "MILLRACE_KAFKA_LIB",
    marker: ("kafka_2.13-", ".jar"),
    goal: "copy-dependencies",
};

/// The schema registry.
pub(crate) const REGISTRY: Artifact = Artifact {
    name: "registry",
    variable: "MILLRACE_REGISTRY_LIB",
    marker: ("apicurio-registry-app-", "-runner.jar"),
    goal: "unpack-dependencies",
};

/// Long enough for a slow network.
const FETCH_LIMIT: Duration = Duration::from_secs(900);

impl Artifact {
    /// The folder of the jars, whether it exists or not.
    pub(crate) fn dir(&self) -> PathBuf {
        let default = || local().join("lib").join(self.name);
        env::var_os(self.variable).map_or_else(default, PathBuf::from)
    }

    /// The jar that shows that the folder is complete.
    pub(crate) fn main_jar(&self) -> Option<PathBuf> {
        let (start, end) = self.marker;
        let is_main = |name: &str| name.starts_with(start) && name.ends_with(end);
        let entries = fs::read_dir(self.dir()).ok()?;
        let mut files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        files.find(|file| {
            file.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(is_main)
        })
    }

    /// Whether the jars are there, and a Java to run them.
    pub(crate) fn available(&self) -> bool {
        self.main_jar().is_some() && java().is_some()
    }

    /// Gets the jars with Maven, unless they are there.
    fn fetch(&self) -> Result<()> {
        if self.main_jar().is_some() {
            return Ok(());
        }
        let dir = self.dir();
        let partial = dir.with_extension("partial");
        fs::create_dir_all(&partial)?;
        let mut mvn = Command::new("mvn");
        mvn.args(["--quiet", "--batch-mode", "--file"]);
        mvn.arg(local().join(format!("{}.pom.xml", self.name)));
        mvn.arg(format!("dependency:{}", self.goal))
            .arg("-DincludeScope=runtime");
        mvn.arg(format!("-DoutputDirectory={}", partial.display()));
        mvn.arg(format!(
            "-DmarkersDirectory={}",
            partial.join("markers").display()
        ));
        run_ok(mvn, FETCH_LIMIT).with_context(|| format!("cannot fetch '{}'", self.name))?;
        // what stands under the final name is complete, even if a fetch was interrupted
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::rename(partial, dir).context("cannot move the fetched jars into place")
    }
}

/// Gets the jars of Kafka and of the registry with Maven (`mvn`), unless they are there.
pub fn fetch() -> Result<()> {
    KAFKA.fetch()?;
    REGISTRY.fetch()
}

/// The folder of the pom files and of the broker's settings.
pub(crate) fn local() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("local")
}

/// The Java of `JAVA_HOME`, else of `PATH`.
pub(crate) fn java() -> Option<PathBuf> {
    let home = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    home.filter(|java| java.is_file())
        .or_else(|| find_program("java"))
}
