//! The operators, one file each: the method of the DSL, its documentation, and the runtime half.

mod aggregate;
mod count;
mod filter;
mod flat_map;
mod flat_map_values;
mod flatten_values;
mod join_global;
mod join_table;
mod map_values;
pub(crate) mod merge;
mod process;
mod reduce;
mod repartition;
mod select_key;
mod sink;
mod source;
mod split;
mod table;
mod to_stream;
mod to_table;
mod transition;

use std::cell::RefCell;
use std::rc::Rc;

pub use process::ConnectedStores;
pub(crate) use sink::SinkWriter;
pub use split::Branch;

use crate::error::ProcessResult;
use crate::record::Record;
use crate::task::TaskContext;

/// The runtime half of an operator: takes one record, forwards what follows from it.
pub(crate) trait Operator<K, V> {
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult;
}

/// An operator that one or more parents forward to.
pub(crate) type Child<K, V> = Rc<RefCell<dyn Operator<K, V>>>;

/// The edges to the next operators, in the order in which they were drawn.
///
/// The graph has no cycle, so an operator is never entered twice and the borrow always succeeds.
pub(crate) struct Downstream<K, V> {
    children: Box<[Child<K, V>]>,
}

impl<K, V> Downstream<K, V> {
    pub(crate) fn new(children: Vec<Child<K, V>>) -> Self {
        Self {
            children: children.into(),
        }
    }

    /// True if nobody listens.
    pub(crate) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Hands the record to every child, one after the other, depth first.
    #[inline]
    pub(crate) fn forward(&self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        for child in &self.children {
            child.borrow_mut().process(cx, record)?;
        }
        Ok(())
    }

    /// Hands the record to one child.
    pub(crate) fn forward_to(
        &self,
        index: usize,
        cx: &mut TaskContext,
        record: Record<'_, K, V>,
    ) -> ProcessResult {
        match self.children.get(index) {
            Some(child) => child.borrow_mut().process(cx, record),
            None => Ok(()),
        }
    }
}
