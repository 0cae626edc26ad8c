//! Notifications: messages to users.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::keys::{NotificationId, OrderId, UserId};
use crate::{avro_record, events};

/// How a message reaches a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// By electronic mail.
    Mail,
    /// By text message.
    Sms,
    /// To a device.
    Push,
}

/// A message is to be sent, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationRequested {
    /// The message: one per event, template and recipient.
    pub notification_id: NotificationId,
    /// The recipient.
    pub user_id: UserId,
    /// How.
    pub channel: Channel,
    /// The template.
    pub template: String,
    /// The order it is about, if any.
    pub order_id: Option<OrderId>,
    /// What the template needs; no personal data.
    pub data: BTreeMap<String, String>,
}
avro_record!(
    NotificationRequested = "millrace.notifications.NotificationRequested",
    "notifications/NotificationRequested.avsc"
);

/// A message was handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationSent {
    /// The message.
    pub notification_id: NotificationId,
    /// The recipient.
    pub user_id: UserId,
    /// The provider's id.
    pub reference: Option<String>,
}
avro_record!(
    NotificationSent = "millrace.notifications.NotificationSent",
    "notifications/NotificationSent.avsc"
);

/// A message could not be handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationFailed {
    /// The message.
    pub notification_id: NotificationId,
    /// The recipient.
    pub user_id: UserId,
    /// Why.
    pub reason: String,
}
avro_record!(
    NotificationFailed = "millrace.notifications.NotificationFailed",
    "notifications/NotificationFailed.avsc"
);

events! {
    /// What has become of messages.
    pub enum NotificationEvent {
        Requested(NotificationRequested) = "notification.requested",
        Sent(NotificationSent) = "notification.sent",
        Failed(NotificationFailed) = "notification.failed",
    }
}
