//! Confluent's wire format: a zero byte, the schema's id (`u32`, big-endian), the Avro encoding.

use millrace_streams::serde::SerdeError;

const MAGIC: u8 = 0;

/// Appends the frame that precedes the Avro encoding.
pub(super) fn begin(id: u32, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&id.to_be_bytes());
}

/// The schema's id and the Avro encoding of `bytes`; `what` names the type for the error.
pub(super) fn split<'a>(
    what: &'static str,
    bytes: &'a [u8],
) -> Result<(u32, &'a [u8]), SerdeError> {
    let malformed = |reason: String| SerdeError::Malformed { what, reason };
    let Some((frame, body)) = bytes.split_first_chunk::<5>() else {
        let len = bytes.len();
        return Err(malformed(format!(
            "{len} bytes, too few for the wire format"
        )));
    };
    let [magic, id @ ..] = *frame;
    if magic != MAGIC {
        return Err(malformed(format!("magic byte {magic}, not {MAGIC}")));
    }
    Ok((u32::from_be_bytes(id), body))
}
