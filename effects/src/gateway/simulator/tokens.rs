//! What each token of a payment method makes the simulator do.

use std::time::Duration;

use millrace_avro::events::orders::CaptureMode;
use millrace_avro::events::payments::GatewayFactKind as Kind;

/// How long `pm_slow` takes to answer.
pub const SLOW: Duration = Duration::from_secs(3);

/// What a token makes of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behaviour {
    /// What has happened when the call is done.
    pub(super) outcome: Outcome,
    /// How long the answer takes; the charge itself is made at once.
    pub(super) answers_after: Duration,
    /// Whether the answer to the call that charges is lost.
    pub(super) drops_reply: bool,
    /// Whether the first call fails, and charges nothing.
    pub(super) fails_first: bool,
}

/// What becomes of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Approved,
    RequiresAction,
    Declined(&'static str),
}

impl Behaviour {
    pub(super) fn of(token: &str) -> Self {
        let of = |outcome| Self {
            outcome,
            answers_after: Duration::ZERO,
            drops_reply: false,
            fails_first: false,
        };
        let ok = of(Outcome::Approved);
        match token {
            "pm_ok" => ok,
            "pm_decline" => of(Outcome::Declined("card_declined")),
            "pm_requires_action" => of(Outcome::RequiresAction),
            "pm_slow" => Self {
                answers_after: SLOW,
                ..ok
            },
            "pm_drop_reply" => Self {
                drops_reply: true,
                ..ok
            },
            "pm_error_then_ok" => Self {
                fails_first: true,
                ..ok
            },
            _ => of(Outcome::Declined("unknown_payment_method")),
        }
    }
}

impl Outcome {
    /// What happens at once.
    pub(super) fn kinds(self, capture: CaptureMode) -> &'static [Kind] {
        match (self, capture) {
            (Self::Approved, CaptureMode::Automatic) => &[Kind::Authorized, Kind::Captured],
            (Self::Approved, CaptureMode::Manual) => &[Kind::Authorized],
            (Self::RequiresAction, _) => &[Kind::RequiresAction],
            (Self::Declined(_), _) => &[Kind::Failed],
        }
    }

    /// Why it has failed.
    pub(super) const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Declined(reason) => Some(reason),
            Self::Approved | Self::RequiresAction => None,
        }
    }
}
