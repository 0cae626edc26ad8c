//! What customers ask of a cart.

use serde::{Deserialize, Serialize};

use super::{CartLine, Quote};
use crate::events::orders::ShippedItem;
use crate::keys::{CartId, OrderId, Sku, UserId};
use crate::{avro_record, events};

/// The command to put more of a SKU into a cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddCartItem {
    /// The cart.
    pub cart_id: CartId,
    /// The owner; none for a guest.
    pub user_id: Option<UserId>,
    /// What is wanted.
    pub sku: Sku,
    /// How many more, at least 1.
    pub quantity: i64,
    /// What the catalogue says.
    pub quote: Quote,
    /// The version that the client saw; refused when it is another.
    pub expected_version: Option<i64>,
}
avro_record!(
    AddCartItem = "millrace.carts.AddCartItem",
    "carts/AddCartItem.avsc"
);

/// The command to want a number of a SKU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetCartItem {
    /// The cart.
    pub cart_id: CartId,
    /// The line.
    pub line_id: String,
    /// How many; 0 takes the line out.
    pub quantity: i64,
    /// What the catalogue says; none when it no longer knows the SKU.
    pub quote: Option<Quote>,
    /// The version that the client saw; refused when it is another.
    pub expected_version: Option<i64>,
}
avro_record!(
    SetCartItem = "millrace.carts.SetCartItem",
    "carts/SetCartItem.avsc"
);

/// The command to take a line out of a cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveCartItem {
    /// The cart.
    pub cart_id: CartId,
    /// The line.
    pub line_id: String,
    /// The version that the client saw; refused when it is another.
    pub expected_version: Option<i64>,
}
avro_record!(
    RemoveCartItem = "millrace.carts.RemoveCartItem",
    "carts/RemoveCartItem.avsc"
);

/// The command to a guest's cart to give its lines to a user's cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeCart {
    /// The guest's cart.
    pub cart_id: CartId,
    /// The user's cart.
    pub into: CartId,
    /// The user.
    pub user_id: UserId,
}
avro_record!(
    MergeCart = "millrace.carts.MergeCart",
    "carts/MergeCart.avsc"
);

/// The command to a user's cart to take the lines of a guest's cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeCartLines {
    /// The user's cart.
    pub cart_id: CartId,
    /// The guest's cart.
    pub from: CartId,
    /// The user.
    pub user_id: UserId,
    /// The lines.
    pub lines: Vec<CartLine>,
}
avro_record!(
    TakeCartLines = "millrace.carts.TakeCartLines",
    "carts/TakeCartLines.avsc"
);

/// The command to empty a cart, because an order was made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckOutCart {
    /// The cart.
    pub cart_id: CartId,
    /// The order.
    pub order_id: OrderId,
    /// What the order took.
    pub lines: Vec<ShippedItem>,
}
avro_record!(
    CheckOutCart = "millrace.carts.CheckOutCart",
    "carts/CheckOutCart.avsc"
);

events! {
    /// What customers ask of a cart.
    pub enum CartCommand {
        AddItem(AddCartItem) = "cart.add_item",
        SetItem(SetCartItem) = "cart.set_item",
        RemoveItem(RemoveCartItem) = "cart.remove_item",
        Merge(MergeCart) = "cart.merge",
        TakeLines(TakeCartLines) = "cart.take_lines",
        CheckOut(CheckOutCart) = "cart.check_out",
    }
}
