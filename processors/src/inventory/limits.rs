//! The counts that bound the stock of a SKU.

/// The counts that bound the stock of a SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InventoryLimits {
    /// The threshold of low stock of a SKU that does not say.
    pub low_stock_threshold: i64,
    /// How many locations a SKU may have.
    pub locations_max: usize,
    /// How many holds a SKU may have at a time; beyond, demand is refused.
    pub holds_max: usize,
    /// How many ended reservations a SKU remembers, to know a duplicate or a late reservation.
    pub closed_max: usize,
    /// How many commands a SKU remembers, to know a duplicate.
    pub recent_max: usize,
    /// How many movements a SKU keeps; all of them are in the log.
    pub movements_max: usize,
    /// The most that may lie at one location.
    pub on_hand_max: i64,
}

impl Default for InventoryLimits {
    fn default() -> Self {
        Self {
            low_stock_threshold: 5,
            locations_max: 64,
            // What a SKU remembers has to fit one record of its changelog.
            holds_max: 2_000,
            closed_max: 512,
            recent_max: 256,
            movements_max: 20,
            on_hand_max: 1_000_000_000,
        }
    }
}
