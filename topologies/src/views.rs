//! Views: what every instance holds whole, to answer reads.

use millrace_avro::catalog::{
    CART_VIEW, CARTS, CATEGORIES, CATEGORY_VIEW, ORDER_VIEW, ORDERS, PAYMENT_VIEW, PAYMENTS,
    PRODUCT_VIEW, PRODUCTS, STOCK_LEVELS, STOCK_VIEW,
};
use millrace_streams::{Topology, TopologyError};

use crate::registry::Entry;

pub(crate) const ENTRY: Entry = Entry {
    name: "views",
    purpose: "holds what is read, whole in every instance",
    define: |_| views(),
    configure: |_| {},
};

/// ```text
/// orders, payments, carts, products, categories, stock-levels -> global tables
/// ```
///
/// The snapshots are disposable folds of the log; an API reads them and nothing else.
///
/// # Errors
/// Never, while its names are its own.
pub fn views() -> Result<Topology, TopologyError> {
    Topology::define("views", |t| {
        t.global_table(ORDERS, ORDER_VIEW);
        t.global_table(PAYMENTS, PAYMENT_VIEW);
        t.global_table(CARTS.of_values(), CART_VIEW);
        t.global_table(PRODUCTS.of_values(), PRODUCT_VIEW);
        t.global_table(CATEGORIES.of_values(), CATEGORY_VIEW);
        t.global_table(STOCK_LEVELS, STOCK_VIEW);
    })
}
