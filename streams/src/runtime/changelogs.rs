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
        // At the end of its changelog a store holds everything, however old it is.
        let since = origin.filter(|_| kept != Some(bounds.high_watermark));
        store.set_origin(Origin {
            changelog: id.or(origin.and_then(|origin| origin.changelog)),
            at_ms: since.map_or(self.now.as_millis(), |origin| origin.at_ms),
        });
        Ok(kept.unwrap_or(bounds.start))
    }

    fn fits(&self, origin: Option<Origin>, id: Option<u128>, at: Offset, bounds: Bounds) -> bool {
        let is_inside = (bounds.start..=bounds.high_watermark).contains(&at);
        // A store of an earlier format does not say; a log may not know.
        let Some(origin) = origin.filter(|_| is_inside) else {
            return is_inside;
        };
        let is_same = id.is_none() || origin.changelog.is_none() || origin.changelog == id;
        is_same && (at == bounds.high_watermark || has_all_deletions(origin, self.now))
    }
}

/// True if what was complete at `since` can have missed no deletion.
pub(crate) fn is_trusted(since: Timestamp, now: Timestamp) -> bool {
    now.since(since) <= TRUSTED
}

/// True if every deletion since `origin` is still in the changelog.
fn has_all_deletions(origin: Origin, now: Timestamp) -> bool {
    is_trusted(Timestamp::from_millis(origin.at_ms), now)
}

/// Notes that `store` holds all of its changelog, as far as its follower knows: that is not enough
/// for one that was suspended for longer than deletions stay, and may have missed some.
pub(crate) fn note_complete(store: &mut Store, now: Timestamp) {
    if store
        .origin()
        .is_some_and(|origin| has_all_deletions(origin, now))
    {
        note_owned(store, now);
    }
}

/// Notes that `store` holds all of its changelog because nobody else can have written to it: its
/// owner has just committed.
pub(crate) fn note_owned(store: &mut Store, now: Timestamp) {
    if let Some(origin) = store.origin() {
        store.set_origin(Origin {
            at_ms: now.as_millis(),
            ..origin
        });
    }
}
