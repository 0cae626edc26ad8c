//! Users: accounts, and what they do in the shop.

use serde::{Deserialize, Serialize};

use crate::keys::{OrderId, ProductId, UserId};
use crate::{avro_record, events};

/// An account exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRegistered {
    /// The user.
    pub user_id: UserId,
    /// `customer` or `admin`.
    pub role: String,
    /// Mail, name and the like, sealed with the user's key.
    pub profile: Option<String>,
}
avro_record!(
    UserRegistered = "millrace.users.UserRegistered",
    "users/UserRegistered.avsc"
);

/// An account has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserUpdated {
    /// The user.
    pub user_id: UserId,
    /// `customer` or `admin`.
    pub role: String,
    /// Mail, name and the like, sealed with the user's key.
    pub profile: Option<String>,
}
avro_record!(
    UserUpdated = "millrace.users.UserUpdated",
    "users/UserUpdated.avsc"
);

/// An account is gone, and its key is destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDeleted {
    /// The user.
    pub user_id: UserId,
}
avro_record!(
    UserDeleted = "millrace.users.UserDeleted",
    "users/UserDeleted.avsc"
);

/// A user has signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSignedIn {
    /// The user.
    pub user_id: UserId,
    /// Who the user was before.
    pub guest_id: Option<UserId>,
}
avro_record!(
    UserSignedIn = "millrace.users.UserSignedIn",
    "users/UserSignedIn.avsc"
);

/// Somebody has looked at a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductViewed {
    /// The product.
    pub product_id: ProductId,
    /// The session.
    pub session: Option<String>,
}
avro_record!(
    ProductViewed = "millrace.users.ProductViewed",
    "users/ProductViewed.avsc"
);

/// Somebody has put a product on a wish list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductWishlisted {
    /// The product.
    pub product_id: ProductId,
    /// The session.
    pub session: Option<String>,
}
avro_record!(
    ProductWishlisted = "millrace.users.ProductWishlisted",
    "users/ProductWishlisted.avsc"
);

/// Somebody has put a product into a cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductAddedToCart {
    /// The product.
    pub product_id: ProductId,
    /// How many.
    pub quantity: i64,
    /// The session.
    pub session: Option<String>,
}
avro_record!(
    ProductAddedToCart = "millrace.users.ProductAddedToCart",
    "users/ProductAddedToCart.avsc"
);

/// Somebody has bought a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductPurchased {
    /// The product.
    pub product_id: ProductId,
    /// How many.
    pub quantity: i64,
    /// The order.
    pub order_id: OrderId,
}
avro_record!(
    ProductPurchased = "millrace.users.ProductPurchased",
    "users/ProductPurchased.avsc"
);

/// Somebody has searched the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueSearched {
    /// What was searched for.
    pub query: String,
    /// How many were found.
    pub results: i64,
    /// The session.
    pub session: Option<String>,
}
avro_record!(
    CatalogueSearched = "millrace.users.CatalogueSearched",
    "users/CatalogueSearched.avsc"
);

events! {
    /// What has become of users, and what they have done.
    pub enum UserEvent {
        Registered(UserRegistered) = "user.registered",
        Updated(UserUpdated) = "user.updated",
        Deleted(UserDeleted) = "user.deleted",
        SignedIn(UserSignedIn) = "user.signed_in",
        ViewedProduct(ProductViewed) = "user.viewed_product",
        WishlistedProduct(ProductWishlisted) = "user.wishlisted_product",
        AddedToCart(ProductAddedToCart) = "user.added_to_cart",
        PurchasedProduct(ProductPurchased) = "user.purchased_product",
        Searched(CatalogueSearched) = "user.searched",
    }
}
