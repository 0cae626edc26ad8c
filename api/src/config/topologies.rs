//! What the settings ask of the topologies.

use millrace_topologies::registry::{Entry, Limits, select};

use super::{ConfigError, Settings};

impl Settings {
    /// The limits of the rules.
    pub fn rules(&self) -> Limits {
        let mut limits = Limits::default();
        limits.orders.reservation_ttl = self.times.reservation_ttl;
        limits.carts.idle_after = self.times.cart_idle;
        limits.carts.keep_for = self.times.cart_ttl;
        limits.carts.currency = self.currency;
        limits
    }

    /// The topologies to run.
    ///
    /// # Errors
    /// The first name that no topology has.
    pub fn entries(&self) -> Result<Vec<&'static Entry>, ConfigError> {
        let only = (!self.only.is_empty()).then(|| self.only.join(","));
        select(only.as_deref()).map_err(|error| ConfigError(format!("`only`: {error}")))
    }
}
