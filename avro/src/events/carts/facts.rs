//! What has become of a cart.

use serde::{Deserialize, Serialize};

use super::CartLine;
use crate::keys::{CartId, OrderId, UserId};
use crate::{avro_record, events};

/// A line is new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartItemAdded {
    /// The cart.
    pub cart_id: CartId,
    /// The owner; none for a guest.
    pub user_id: Option<UserId>,
    /// The line.
    pub line: CartLine,
}
avro_record!(
    CartItemAdded = "millrace.carts.CartItemAdded",
    "carts/CartItemAdded.avsc"
);

/// A line has another quantity or another price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartItemChanged {
    /// The cart.
    pub cart_id: CartId,
    /// The owner; none for a guest.
    pub user_id: Option<UserId>,
    /// The line.
    pub line: CartLine,
    /// The quantity before.
    pub quantity_before: i64,
}
avro_record!(
    CartItemChanged = "millrace.carts.CartItemChanged",
    "carts/CartItemChanged.avsc"
);

/// A line is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartItemRemoved {
    /// The cart.
    pub cart_id: CartId,
    /// The owner; none for a guest.
    pub user_id: Option<UserId>,
    /// The line.
    pub line: CartLine,
}
avro_record!(
    CartItemRemoved = "millrace.carts.CartItemRemoved",
    "carts/CartItemRemoved.avsc"
);

/// A guest's cart has given its lines to a user's cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartMerged {
    /// The cart that tells it.
    pub cart_id: CartId,
    /// The other cart.
    pub other: CartId,
    /// True for the guest's cart, false for the user's.
    pub gave: bool,
    /// The lines that changed hands.
    pub lines: Vec<CartLine>,
}
avro_record!(
    CartMerged = "millrace.carts.CartMerged",
    "carts/CartMerged.avsc"
);

/// An order was made of the cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartCheckedOut {
    /// The cart.
    pub cart_id: CartId,
    /// The owner; none for a guest.
    pub user_id: Option<UserId>,
    /// The order.
    pub order_id: OrderId,
}
avro_record!(
    CartCheckedOut = "millrace.carts.CartCheckedOut",
    "carts/CartCheckedOut.avsc"
);

/// Nothing has happened to a cart with lines for too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartAbandoned {
    /// The cart.
    pub cart_id: CartId,
    /// The owner; none for a guest.
    pub user_id: Option<UserId>,
    /// What is in it.
    pub lines: Vec<CartLine>,
    /// When it last changed.
    pub idle_since_ms: i64,
}
avro_record!(
    CartAbandoned = "millrace.carts.CartAbandoned",
    "carts/CartAbandoned.avsc"
);

events! {
    /// What has become of a cart.
    pub enum CartEvent {
        ItemAdded(CartItemAdded) = "cart.item_added",
        ItemChanged(CartItemChanged) = "cart.item_changed",
        ItemRemoved(CartItemRemoved) = "cart.item_removed",
        Merged(CartMerged) = "cart.merged",
        CheckedOut(CartCheckedOut) = "cart.checked_out",
        Abandoned(CartAbandoned) = "cart.abandoned",
    }
}
