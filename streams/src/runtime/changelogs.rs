//! Whether a local store may be rolled forward from its changelog, or must be made anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use millrace_state::{Origin, Store};

use crate::error::Error;
use crate::log::{Bounds, Log, Offset, TopicPartition};
use crate::time::Timestamp;

/// A compacted topic keeps a tombstone for 24 hours (`delete.retention.ms`). A store that was last
/// complete longer ago may miss some, and would keep deleted keys for ever. The rest of the day is
/// the margin for clocks that differ, and for followers that lag.
const TRUSTED: Duration = Duration::from_hours(18);

/// The changelogs as they are now.
pub(crate) struct Changelogs {
    ids: HashMap<Arc<str>, u128>,
    now: Timestamp,
}

impl Changelogs {
    /// Asks the log which topics it has.
    pub(crate) fn look(log: &dyn Log, now: Timestamp) -> Result<Self, Error> {
        let topics = log.topics()?.into_iter();
        let ids = topics.filter_map(|topic| Some((topic.name, topic.id?)));
        Ok(Self {
            ids: ids.collect(),
            now,
        })
    }

    /// Where to read on for `store`. One that does not fit its changelog, because that was truncated
    /// or made anew, or because deletions may be missing, is wiped and read from the start.
    pub(crate) fn take_up(
        &self,
        store: &mut Store,
        changelog: &TopicPartition,
        bounds: Bounds,
    ) -> Result<Offset, Error> {
        let id = self.ids.get(&changelog.topic).copied();
        let (known, origin) = (store.position(), store.origin());
        let kept = known.filter(|at| self.fits(origin, id, *at, bounds));
        if kept.is_none() && known.is_some() {
            tracing::warn!(%changelog, ?known, ?bounds, "store does not fit its changelog; rebuilt");
            store.wipe()?;
        }
        let origin = origin.filter(|_| kept.is_some());
        store.set_origin(Origin {
            changelog: id.or(origin.and_then(|origin| origin.changelog)),
            at_ms: origin.map_or(self.now.as_millis(), |origin| origin.at_ms),
        });
        Ok(kept.unwrap_or(bounds.start))
    }

    fn fits(&self, origin: Option<Origin>, id: Option<u128>, at: Offset, bounds: Bounds) -> bool {
        let inside = (bounds.start..=bounds.high_watermark).contains(&at);
        // A store of an earlier format does not say; a log may not know.
        let Some(origin) = origin.filter(|_| inside) else {
            return inside;
        };
        let is_same = id.is_none() || origin.changelog.is_none() || origin.changelog == id;
        let complete_at = Timestamp::from_millis(origin.at_ms);
        let is_fresh = self.now.since(complete_at) <= TRUSTED;
        is_same && (is_fresh || at == bounds.high_watermark)
    }
}

/// Notes that `store` holds all of its changelog.
pub(crate) fn note_complete(store: &mut Store, now: Timestamp) {
    if let Some(origin) = store.origin() {
        store.set_origin(Origin {
            at_ms: now.as_millis(),
            ..origin
        });
    }
}
