//! Recommendations: lists for users and products.

use serde::{Deserialize, Serialize};

use crate::keys::{ProductId, SubjectId};
use crate::{avro_record, events};

/// One item of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecommendedItem {
    /// The product.
    pub product_id: ProductId,
    /// How well it fits; comparable within one list.
    pub score: f64,
    /// Why it is there: `bought together`.
    pub reason: String,
}

/// A list has changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecommendationsUpdated {
    /// The user or the product that the list is for.
    pub subject: SubjectId,
    /// The list, best first.
    pub items: Vec<RecommendedItem>,
}
avro_record!(
    RecommendationsUpdated = "millrace.recommendations.RecommendationsUpdated",
    "recommendations/RecommendationsUpdated.avsc"
);

/// Somebody has followed a recommendation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecommendationClicked {
    /// The user or the product that the list was for.
    pub subject: SubjectId,
    /// The product.
    pub product_id: ProductId,
    /// Its place in the list, from 0.
    pub position: i64,
}
avro_record!(
    RecommendationClicked = "millrace.recommendations.RecommendationClicked",
    "recommendations/RecommendationClicked.avsc"
);

events! {
    /// What has become of recommendations.
    pub enum RecommendationEvent {
        Updated(RecommendationsUpdated) = "recommendation.updated",
        Clicked(RecommendationClicked) = "recommendation.clicked",
    }
}
