//! What Kafka's own tool for Streams groups says of a group.

use millrace_deploy::{Kafka, wait};

use crate::servers::LIMIT;

/// A member and its tasks, `SUBTOPOLOGY:PARTITION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) active: Vec<String>,
    pub(crate) standby: Vec<String>,
}

/// Asks kafka-streams-groups until the group's members are as they should be.
pub(crate) fn wait_until(kafka: &Kafka, group: &str, are: impl Fn(&[Member]) -> bool) {
    let mut last = String::new();
    let settled = wait::until(LIMIT, "the group's members", || {
        last = describe(kafka, group);
        Ok(are(&members(&last)).then_some(()))
    });
    settled.unwrap_or_else(|error| panic!("{error:#}\n{last}"));
}

fn describe(kafka: &Kafka, group: &str) -> String {
    let tool = "org.apache.kafka.tools.streams.StreamsGroupCommand";
    let output = kafka
        .tool(&[
            tool,
            "--describe",
            "--members",
            "--verbose",
            "--group",
            group,
        ])
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// The members of a description: those lines that name tasks, or could.
pub(crate) fn members(description: &str) -> Vec<Member> {
    let lines = description.lines().skip(1);
    let members = lines.filter(|line| line.contains("ACTIVE:"));
    members
        .map(|line| Member {
            active: tasks(line, " ACTIVE:"),
            standby: tasks(line, " STANDBY:"),
        })
        .collect()
}

/// Reads ` ACTIVE: 0:[2,3] 1:[0];`.
fn tasks(line: &str, label: &str) -> Vec<String> {
    let Some((_, rest)) = line.split_once(label) else {
        return Vec::new();
    };
    let list = rest.split(';').next().unwrap_or_default();
    let mut tasks = Vec::new();
    for part in list.split(']') {
        let Some((subtopology, partitions)) = part.split_once(":[") else {
            continue;
        };
        let subtopology = subtopology.trim_matches([',', ' ']);
        let partitions = partitions
            .split(',')
            .filter(|partition| !partition.is_empty());
        tasks.extend(partitions.map(|partition| format!("{subtopology}:{}", partition.trim())));
    }
    tasks
}
