//! The times and counts that bound payments.

use std::time::Duration;

use millrace_avro::events::orders::CaptureMode;
use millrace_avro::events::payments::GatewayAction;

/// The times and counts that bound payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentLimits {
    /// How long a gateway may take to answer before it is asked again; doubled with each try.
    pub answer_within: Duration,
    /// The longest wait before a gateway is asked again.
    pub answer_within_max: Duration,
    /// How often a gateway is asked to take money before the attempt is given up.
    pub tries_max: i64,
    /// How often a gateway is asked for what has to happen before somebody has to look: to give
    /// money back or free, to take money for goods that have left.
    pub owed_tries_max: i64,
    /// How long a customer, or a gateway that said it works on it, may take.
    pub progress_within: Duration,
    /// How many facts an attempt keeps.
    pub facts_max: usize,
    /// How many refunds an unwanted attempt gets before somebody has to look.
    pub refunds_of_undone_max: usize,
    /// How many refunds the payments of an order keep.
    pub refunds_max: usize,
}

impl Default for PaymentLimits {
    fn default() -> Self {
        Self {
            answer_within: Duration::from_secs(10),
            answer_within_max: Duration::from_secs(300),
            tries_max: 6,
            // About a day.
            owed_tries_max: 300,
            progress_within: Duration::from_secs(60 * 60),
            facts_max: 128,
            refunds_of_undone_max: 16,
            refunds_max: 64,
        }
    }
}

impl PaymentLimits {
    /// How often an action is asked.
    pub(super) fn tries(&self, action: GatewayAction, capture: CaptureMode) -> i64 {
        match (action, capture) {
            (GatewayAction::Authorize, _) => self.tries_max,
            (GatewayAction::Capture, CaptureMode::Automatic) => self.tries_max,
            (GatewayAction::Capture, CaptureMode::Manual) => self.owed_tries_max,
            (GatewayAction::Void | GatewayAction::Refund, _) => self.owed_tries_max,
        }
    }

    /// How long a gateway is asked for what has to happen.
    pub fn owed_within(&self) -> Duration {
        (1..=self.owed_tries_max)
            .map(|tries| self.patience(tries))
            .fold(Duration::ZERO, Duration::saturating_add)
    }

    /// How long to wait for the answer to try number `tries` (from 1).
    pub fn patience(&self, tries: i64) -> Duration {
        let doublings = u32::try_from(tries.clamp(1, 20) - 1).unwrap_or(0);
        let wait = self.answer_within.saturating_mul(1 << doublings);
        wait.min(self.answer_within_max)
    }
}
