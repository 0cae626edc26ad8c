//! The saga's table: what each input does in each state.
//!
//! A cell says whether the state changes, and which acts follow. It decides nothing else: acts
//! are carried out in `act`, guards are answered in `guard`.

use millrace_avro::events::orders::OrderStatus;

use super::act::Act;
use super::guard::Guard;

/// What the saga hears, classified: the columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// One line is reserved; others are still waited for.
    LineReserved,
    /// Every line is reserved.
    AllReserved,
    /// A line was refused.
    LineRejected,
    /// The payment covers the total: captured, or authorised where capture is manual.
    Paid,
    /// Every attempt has failed, and nothing is kept.
    PaymentFailed,
    /// The payments have moved in another way.
    PaymentProgress,
    /// All that was captured went back.
    RefundedInFull,
    /// A hold was not committed in time.
    ReservationExpired,
    /// What had expired could not be had again.
    CommitFailed,
    /// The stock has moved in another way: committed, released, shipped.
    StockProgress,
    /// A client wants to cancel.
    Cancel,
    /// Goods leave.
    Ship,
    /// Goods have arrived.
    Deliver,
    /// The state's deadline has passed.
    Deadline,
}

impl Input {
    /// Every input, in the order of the table's columns.
    pub const ALL: [Self; 14] = [
        Self::LineReserved,
        Self::AllReserved,
        Self::LineRejected,
        Self::Paid,
        Self::PaymentFailed,
        Self::PaymentProgress,
        Self::RefundedInFull,
        Self::ReservationExpired,
        Self::CommitFailed,
        Self::StockProgress,
        Self::Cancel,
        Self::Ship,
        Self::Deliver,
        Self::Deadline,
    ];
}

/// What an input does in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// The state changes, then the acts follow.
    Go(OrderStatus, &'static [Act]),
    /// The state stays, what was heard is remembered, the acts follow.
    Stay(&'static [Act]),
    /// Nothing beyond remembering what was heard.
    NoOp,
    /// As a no-op, and the audit log hears of it.
    Audit,
    /// A command is refused; an event is impossible and goes to the audit log.
    Illegal,
    /// One cell or the other.
    When(Guard, &'static Cell, &'static Cell),
}

/// Every state, in the order of the table's rows.
pub const STATES: [OrderStatus; 11] = [
    OrderStatus::Pending,
    OrderStatus::AwaitingPayment,
    OrderStatus::Confirmed,
    OrderStatus::PartiallyShipped,
    OrderStatus::Shipped,
    OrderStatus::Delivered,
    OrderStatus::Cancelling,
    OrderStatus::Cancelled,
    OrderStatus::Rejected,
    OrderStatus::Expired,
    OrderStatus::PaymentFailed,
];

/// The cell of an input in a state.
pub const fn cell(state: OrderStatus, input: Input) -> Cell {
    TABLE[state as usize][input as usize]
}

/// True if nothing but the undoing of money can still happen.
pub const fn is_terminal(state: OrderStatus) -> bool {
    use OrderStatus as S;
    matches!(
        state,
        S::Delivered | S::Cancelled | S::Rejected | S::Expired | S::PaymentFailed
    )
}

use Act::{
    Alert, CancelLost, CancelRefunded, CancelRest, CommitAll, EmptyCart, NextAttempt, Overdue,
    ReleaseAll, Ship, UndoPayments,
};
use Cell::{Audit, Go, Illegal, NoOp, Stay, When};
use OrderStatus as S;

/// Gives back what was taken. Mails and promotion uses follow from the fact that is told.
const COMPENSATE: &[Act] = &[ReleaseAll, UndoPayments];
const RELEASE: Cell = Stay(&[ReleaseAll]);
const UNDO: Cell = Stay(&[UndoPayments]);
/// An order that owes nobody money has no news to wait for.
const CANCEL: Cell = When(
    Guard::Settled,
    &Go(S::Cancelled, COMPENSATE),
    &Go(S::Cancelling, COMPENSATE),
);
const SETTLE: Cell = When(Guard::Settled, &Go(S::Cancelled, &[]), &NoOp);
/// A line that cannot be had again is cancelled and refunded; what has left stays sold.
const LOSE: Cell = When(
    Guard::OnlyLostLeft,
    &Go(S::Shipped, &[CancelLost]),
    &Stay(&[CancelLost]),
);
const SHIP: Cell = When(
    Guard::NothingLeft,
    &Go(S::Shipped, &[Ship]),
    &Go(S::PartiallyShipped, &[Ship]),
);

type Row = [Cell; Input::ALL.len()];

#[rustfmt::skip]
const TABLE: [Row; STATES.len()] = [
    // pending
    [
        /* line reserved       */ NoOp,
        /* all reserved        */ When(Guard::Paid, &Go(S::Confirmed, &[CommitAll, EmptyCart]), &Go(S::AwaitingPayment, &[NextAttempt, EmptyCart])),
        /* line rejected       */ Go(S::Rejected, COMPENSATE),
        /* paid                */ NoOp, // held until reserved
        /* payment failed      */ NoOp,
        /* payment progress    */ NoOp,
        /* refunded in full    */ Illegal,
        /* reservation expired */ Go(S::Rejected, COMPENSATE),
        /* commit failed       */ Illegal,
        /* stock progress      */ NoOp,
        /* cancel              */ Go(S::Cancelled, COMPENSATE),
        /* ship                */ Illegal,
        /* deliver             */ Illegal,
        /* deadline            */ Go(S::Rejected, COMPENSATE),
    ],
    // awaiting_payment
    [
        /* line reserved       */ NoOp,
        /* all reserved        */ NoOp,
        /* line rejected       */ Audit,
        /* paid                */ Go(S::Confirmed, &[CommitAll]),
        /* payment failed      */ When(Guard::AttemptsLeft, &Stay(&[NextAttempt]), &Go(S::PaymentFailed, COMPENSATE)),
        /* payment progress    */ NoOp,
        /* refunded in full    */ Illegal,
        /* reservation expired */ Go(S::Expired, COMPENSATE),
        /* commit failed       */ Illegal,
        /* stock progress      */ NoOp,
        /* cancel              */ CANCEL,
        /* ship                */ Illegal,
        /* deliver             */ Illegal,
        /* deadline            */ Go(S::Expired, COMPENSATE),
    ],
    // confirmed
    [
        /* line reserved       */ NoOp,
        /* all reserved        */ NoOp,
        /* line rejected       */ Audit,
        /* paid                */ NoOp,
        /* payment failed      */ Audit, // never downgrades
        /* payment progress    */ NoOp,
        /* refunded in full    */ CANCEL,
        /* reservation expired */ NoOp, // the commit that follows has it again, or fails
        /* commit failed       */ CANCEL,
        /* stock progress      */ NoOp,
        /* cancel              */ CANCEL,
        /* ship                */ SHIP,
        /* deliver             */ Illegal,
        /* deadline            */ Stay(&[Overdue]),
    ],
    // partially_shipped
    [
        /* line reserved       */ NoOp,
        /* all reserved        */ NoOp,
        /* line rejected       */ Audit,
        /* paid                */ NoOp,
        /* payment failed      */ NoOp,
        /* payment progress    */ NoOp,
        /* refunded in full    */ Go(S::Shipped, &[CancelRefunded]), // the rest does not leave for nothing
        /* reservation expired */ NoOp,
        /* commit failed       */ LOSE,
        /* stock progress      */ NoOp,
        /* cancel              */ Go(S::Shipped, &[CancelRest]), // only what is left
        /* ship                */ SHIP,
        /* deliver             */ Illegal,
        /* deadline            */ Stay(&[Overdue]),
    ],
    // shipped
    [
        /* line reserved       */ NoOp,
        /* all reserved        */ NoOp,
        /* line rejected       */ Audit,
        /* paid                */ NoOp,
        /* payment failed      */ NoOp,
        /* payment progress    */ NoOp,
        /* refunded in full    */ NoOp, // the return dimension tells it
        /* reservation expired */ NoOp,
        /* commit failed       */ NoOp, // of a line that was cancelled
        /* stock progress      */ RELEASE, // a commit that was under way
        /* cancel              */ Illegal, // it is a return
        /* ship                */ NoOp,
        /* deliver             */ Go(S::Delivered, &[]),
        /* deadline            */ Go(S::Delivered, &[]),
    ],
    // delivered
    [
        /* line reserved       */ NoOp,
        /* all reserved        */ NoOp,
        /* line rejected       */ Audit,
        /* paid                */ NoOp,
        /* payment failed      */ NoOp,
        /* payment progress    */ NoOp,
        /* refunded in full    */ NoOp, // the return dimension tells it
        /* reservation expired */ NoOp,
        /* commit failed       */ NoOp, // of a line that was cancelled
        /* stock progress      */ RELEASE, // a commit that was under way
        /* cancel              */ Illegal, // it is a return
        /* ship                */ NoOp,
        /* deliver             */ NoOp,
        /* deadline            */ NoOp,
    ],
    // cancelling
    [
        /* line reserved       */ RELEASE,
        /* all reserved        */ RELEASE,
        /* line rejected       */ NoOp,
        /* paid                */ UNDO,
        /* payment failed      */ SETTLE,
        /* payment progress    */ SETTLE,
        /* refunded in full    */ SETTLE,
        /* reservation expired */ NoOp,
        /* commit failed       */ NoOp,
        /* stock progress      */ RELEASE, // a commit that was under way
        /* cancel              */ NoOp,
        /* ship                */ Illegal,
        /* deliver             */ Illegal,
        /* deadline            */ When(Guard::Settled, &Go(S::Cancelled, &[]), &Stay(&[UndoPayments, Alert])),
    ],
    UNDONE, // cancelled
    UNDONE, // rejected
    UNDONE, // expired
    UNDONE, // payment_failed
];

/// The row of an order of which nothing is left: what still comes in goes back by itself.
#[rustfmt::skip]
const UNDONE: Row = [
    /* line reserved       */ RELEASE,
    /* all reserved        */ RELEASE,
    /* line rejected       */ NoOp,
    /* paid                */ Stay(&[UndoPayments, Alert]),
    /* payment failed      */ NoOp,
    /* payment progress    */ NoOp,
    /* refunded in full    */ NoOp,
    /* reservation expired */ NoOp,
    /* commit failed       */ NoOp,
    /* stock progress      */ RELEASE, // a commit that was under way
    /* cancel              */ NoOp,
    /* ship                */ Illegal,
    /* deliver             */ Illegal,
    /* deadline            */ NoOp,
];
