//! `topics`: the catalogue as a table.

use std::io::Write;

use anyhow::Result;
use millrace_avro::catalog;

pub(super) fn print(out: &mut dyn Write) -> Result<()> {
    let head = ("topic", "key", "partitions", "kept", "types");
    let (name, key, partitions, kept, types) = head;
    writeln!(
        out,
        "{name:<24} {key:<14} {partitions:>10}  {kept:<18} {types}"
    )?;
    for topic in catalog::topics() {
        let (name, partitions) = (&topic.spec.name, topic.spec.partitions);
        let (key, kept, types) = (topic.key, topic.kept(), topic.types.join(" "));
        writeln!(
            out,
            "{name:<24} {key:<14} {partitions:>10}  {kept:<18} {types}"
        )?;
    }
    Ok(())
}
