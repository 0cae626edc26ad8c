//! What the records of inventory are made of.

use serde::{Deserialize, Serialize};

use crate::keys::LocationId;

/// What happens to demand beyond the stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockPolicy {
    /// It is refused.
    Deny,
    /// It is promised, and served when stock arrives.
    Backorder,
    /// It is promised before any stock has arrived.
    Preorder,
}

/// Why a reservation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// Nobody has heard of the SKU.
    UnknownSku,
    /// There is not enough.
    InsufficientStock,
    /// It was given back before it arrived.
    Released,
    /// It had expired, and cannot be had again.
    Expired,
    /// The demand is not a positive number.
    Invalid,
}

/// The stock of a SKU at one location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLevel {
    /// The location.
    pub location: LocationId,
    /// What lies there.
    pub on_hand: i64,
    /// What of it is reserved.
    pub reserved: i64,
    /// On hand less reserved; negative for what is promised and not there.
    pub available: i64,
}

/// A change of what lies at a location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// The id of the movement.
    pub id: String,
    /// The location.
    pub location: LocationId,
    /// By how much.
    pub delta: i64,
    /// Why: `received`, `shipped`, `damaged`.
    pub reason: String,
    /// On whose behalf.
    pub actor: String,
    /// The id of the command that asked for it.
    pub cause: String,
    /// When, RFC 3339.
    pub at: String,
}
