//! `reset`: lets topologies begin anew, as Kafka Streams' application reset does.
//!
//! A topology forgets its state and reads its input again from the first record that still exists.
//! What it has published stays; it publishes the same again under the same ids, which do nothing a
//! second time. A reset that is cut off is repeated; until then, `serve` is refused on its data folder.
//!
//! What is read again is all that a topology has to make its state of. Where retention has deleted the
//! first records of an input, the state would come back without what they said; so that is refused
//! unless it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use millrace_state::{StateDir, StateOptions};
use millrace_streams::log::{
    CommittedOffset, Isolation, Log, Member, TopicInfo, TopicPartition, TopologyMetadata,
};

use super::{alone, ground};
use crate::config::Settings;
use crate::unfinished;

/// How a reset is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// It needs no confirmation.
    pub(super) yes: bool,
    /// The accounts go as well.
    pub(super) accounts: bool,
    /// Topologies may begin anew whose input has lost its first records.
    pub(super) lose_history: bool,
}

/// What a reset is going to do.
struct Plan {
    applications: Vec<(&'static str, TopologyMetadata)>,
    /// The database of accounts, if it goes.
    accounts: Vec<PathBuf>,
}

/// The inputs of topologies that have lost their first records, by the name of the topology.
type Lost<'a> = BTreeMap<&'static str, BTreeSet<&'a str>>;

pub(super) fn reset(
    settings: &Settings,
    asked: Asked,
    answers: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<()> {
    let plan = plan(settings, asked)?;
    let ground = ground(settings)?;
    // Holding both locks, nobody else runs on this folder.
    let folder = settings.data.join("state");
    let state = StateDir::open(&folder, StateOptions::default()).context("state folder")?;
    let lost = lost(&*ground.log, &plan)?;
    show(&plan, &lost, out)?;
    if !asked.lose_history {
        refuse_loss(&lost)?;
    }
    if !asked.yes {
        confirm(answers, out)?;
    }
    let mut unfinished = unfinished::read(&settings.data)?;
    let names = plan.applications.iter().map(|(name, _)| *name);
    unfinished.extend(names.map(str::to_owned));
    unfinished::write(&settings.data, &unfinished)?;
    for (name, topology) in &plan.applications {
        reset_application(&*ground.log, &state, name, topology)?;
        // Begun, it goes on, whether anybody reads or not.
        writeln!(out, "`{name}` begins anew").ok();
        unfinished.remove(*name);
    }
    for file in &plan.accounts {
        std::fs::remove_file(file).with_context(|| format!("`{}`", file.display()))?;
    }
    unfinished::write(&settings.data, &unfinished)
}

fn plan(settings: &Settings, asked: Asked) -> Result<Plan> {
    let limits = settings.rules();
    let mut applications = Vec::new();
    for entry in settings.entries()? {
        let topology = (entry.define)(&limits)?;
        applications.push((entry.name, topology.metadata(entry.name)));
    }
    let accounts = if asked.accounts {
        accounts(settings)?
    } else {
        Vec::new()
    };
    Ok(Plan {
        applications,
        accounts,
    })
}

/// The files of the embedded database of accounts.
fn accounts(settings: &Settings) -> Result<Vec<PathBuf>> {
    if settings.postgres.is_some() {
        bail!("accounts in PostgreSQL are not deleted from here; drop their database there");
    }
    let files = ["accounts.db", "accounts.db-wal", "accounts.db-shm"];
    let files = files.iter().map(|name| settings.data.join(name));
    Ok(files.filter(|file| file.exists()).collect())
}

/// Which inputs do not begin at their first record any more.
fn lost<'a>(log: &dyn Log, plan: &'a Plan) -> Result<Lost<'a>> {
    let topics = log.topics()?;
    let mut reader = log.reader(Isolation::ReadCommitted)?;
    let mut lost = Lost::new();
    for (name, topology) in &plan.applications {
        for source in sources(topology) {
            let bounds = reader.bounds(&partitions(&topics, source))?;
            if bounds.iter().any(|bounds| bounds.start > 0) {
                lost.entry(*name).or_default().insert(source);
            }
        }
    }
    Ok(lost)
}

fn refuse_loss(lost: &Lost<'_>) -> Result<()> {
    if lost.is_empty() {
        return Ok(());
    }
    let names: BTreeSet<_> = lost.keys().copied().collect();
    bail!(
        "nothing was reset: the first records of the input of {} are deleted, so its state would \
         come back without what they said; reset others with `--only`, or give `--lose-history`",
        list(names)
    )
}

fn show(plan: &Plan, lost: &Lost<'_>, out: &mut dyn Write) -> Result<()> {
    for (name, topology) in &plan.applications {
        let sources: BTreeSet<_> = sources(topology).collect();
        let internal: BTreeSet<_> = internal(topology).collect();
        writeln!(out, "topology `{name}`")?;
        writeln!(out, "  reads again: {}", list(sources))?;
        writeln!(out, "  deletes: its local stores, {}", list(internal))?;
        if let Some(topics) = lost.get(name) {
            let topics = list(topics.clone());
            writeln!(
                out,
                "  LOSES FOR EVER: what the records said that are deleted from {topics}"
            )?;
        }
    }
    for file in &plan.accounts {
        writeln!(out, "accounts\n  deletes: {}", file.display())?;
    }
    let kept = match plan.accounts.is_empty() {
        true => "keeps: all other topics, dead letters, schemas, accounts",
        false => "keeps: all other topics, dead letters, schemas",
    };
    Ok(writeln!(out, "{kept}")?)
}

fn list(names: BTreeSet<&str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn confirm(answers: &mut dyn BufRead, out: &mut dyn Write) -> Result<()> {
    write!(out, "type `yes` to go on: ")?;
    out.flush()?;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    match answer.trim() {
        "yes" => Ok(()),
        _ => bail!("nothing was reset; answer `yes`, or give `--yes`"),
    }
}

fn reset_application(
    log: &dyn Log,
    state: &StateDir,
    name: &str,
    topology: &TopologyMetadata,
) -> Result<()> {
    let mut member = alone::join(log, name, topology.clone())?;
    let rewound = rewind(log, member.as_mut(), topology);
    member.leave()?;
    rewound.with_context(|| format!("topology `{name}`"))?;
    let internal: Vec<&str> = internal(topology).collect();
    log.delete_topics(&internal)?;
    for (store, _) in state.stores()? {
        if store.application == name {
            state.remove_store(&store)?;
        }
    }
    Ok(())
}

/// Commits the begin of every input.
fn rewind(log: &dyn Log, member: &mut dyn Member, topology: &TopologyMetadata) -> Result<()> {
    member.recover()?;
    let topics = log.topics()?;
    let mut inputs = Vec::new();
    for source in sources(topology) {
        inputs.extend(partitions(&topics, source));
    }
    let bounds = member.bounds(&inputs)?;
    let starts = inputs
        .into_iter()
        .zip(bounds.iter().map(|bounds| bounds.start));
    // Repartition topics are made anew, so they begin at 0 again.
    let anew = repartitions(topology).flat_map(|topic| partitions(&topics, topic));
    let anew = anew.map(|partition| (partition, 0));
    let offsets: Vec<_> = starts
        .chain(anew)
        .map(|(at, offset)| (at, committed(offset)))
        .collect();
    member.commit(&offsets)?;
    Ok(())
}

/// The partitions of `topic`; none if it does not exist.
fn partitions(topics: &[TopicInfo], topic: &str) -> Vec<TopicPartition> {
    let found = topics.iter().find(|info| &*info.name == topic);
    let width = found.map_or(0, |info| info.partitions);
    let all = (0..width).map(|partition| TopicPartition::new(topic, partition));
    all.collect()
}

fn committed(offset: i64) -> CommittedOffset {
    CommittedOffset {
        offset,
        metadata: String::new(),
    }
}

/// The topics that a topology reads and does not own.
fn sources(topology: &TopologyMetadata) -> impl Iterator<Item = &str> {
    let parts = topology.subtopologies.iter();
    parts.flat_map(|part| part.sources.iter().map(|topic| &**topic))
}

fn repartitions(topology: &TopologyMetadata) -> impl Iterator<Item = &str> {
    let parts = topology.subtopologies.iter();
    parts.flat_map(|part| part.repartition_sources.iter().map(|topic| &*topic.name))
}

/// The topics that a topology owns.
fn internal(topology: &TopologyMetadata) -> impl Iterator<Item = &str> {
    let parts = topology.subtopologies.iter();
    let changelogs = parts.flat_map(|part| part.changelogs.iter().map(|topic| &**topic));
    changelogs.chain(repartitions(topology))
}
