//! The saga's table, printed, compared with the contract, and played cell by cell.

use std::fmt::Write as _;

use expect_test::expect;
use millrace_avro::events::orders::OrderStatus;

use super::stage::Stage;
use crate::order::run::Run;
use crate::order::table::{STATES, cell, is_terminal};
use crate::order::view::status_name;
use crate::order::{Cell, Input, OrderEffect};

/// The table as the contract has it, word for word; `*` stands for giving everything back.
const CONTRACT: &str = "
| pending | awaiting_payment | rejected * | hold until reserved | record | cancelled * | rejected * | illegal | illegal |
| awaiting_payment | no-op | audit | confirmed | same, next attempt; after N payment_failed * | cancelling | expired * | illegal | illegal |
| confirmed | no-op | audit | no-op | audit: never downgrades | cancelling: refund or void | no-op: committed never expires | partially_shipped, shipped | refunding |
| partially_shipped | no-op | - | no-op | no-op | only what is left | no-op | shipped | partial |
| shipped, delivered | no-op | - | no-op | no-op | illegal: return | no-op | no-op | after return |
| cancelling | release | no-op | refund or void, then cancelled | cancelled | no-op | no-op | illegal | cancelled |
| cancelled, rejected, expired, payment_failed | release at once | no-op | refund by itself, and alert | no-op | no-op | no-op | illegal | no-op |
";

const COLUMNS: [Input; 8] = [
    Input::AllReserved,
    Input::LineRejected,
    Input::Paid,
    Input::PaymentFailed,
    Input::Cancel,
    Input::ReservationExpired,
    Input::Ship,
    Input::RefundedInFull,
];

/// What the contract's words mean, as the table is printed.
fn meaning(words: &'static str) -> &'static str {
    match words {
        "no-op" | "record" | "hold until reserved" | "no-op: committed never expires" => "no-op",
        "audit" | "audit: never downgrades" => "audit",
        "illegal" | "illegal: return" => "illegal",
        "awaiting_payment" => "-> awaiting_payment [NextAttempt, EmptyCart]",
        "confirmed" => "-> confirmed [CommitAll]",
        "rejected *" => "-> rejected [ReleaseAll, UndoPayments]",
        "cancelled *" => "-> cancelled [ReleaseAll, UndoPayments]",
        "expired *" => "-> expired [ReleaseAll, UndoPayments]",
        "same, next attempt; after N payment_failed *" => {
            "AttemptsLeft? [NextAttempt] : -> payment_failed [ReleaseAll, UndoPayments]"
        }
        "cancelling" | "cancelling: refund or void" => "-> cancelling [ReleaseAll, UndoPayments]",
        "partially_shipped, shipped" => {
            "NothingLeft? -> shipped [Ship] : -> partially_shipped [Ship]"
        }
        "shipped" => "-> shipped [Ship]",
        "only what is left" => "-> shipped [CancelRest]",
        "release" | "release at once" => "[ReleaseAll]",
        "refund or void, then cancelled" => "[UndoPayments]",
        "cancelled" => "-> cancelled []",
        "refund by itself, and alert" => "[UndoPayments, Alert]",
        // The saga has neither such a state nor such an act: `refunding`, `partial`, `after return`,
        // `-`.
        words => words,
    }
}

/// A cell that is not what the contract says.
struct Deviation {
    states: &'static [OrderStatus],
    input: Input,
    cell: &'static str,
    why: &'static str,
}

/// Every such cell.
const DEVIATIONS: [Deviation; 9] = [
    Deviation {
        states: &[OrderStatus::Pending],
        input: Input::AllReserved,
        cell: "Paid? -> confirmed [CommitAll, EmptyCart] : \
               -> awaiting_payment [NextAttempt, EmptyCart]",
        why: "an order that costs nothing waits for no payment",
    },
    Deviation {
        states: &[OrderStatus::AwaitingPayment, OrderStatus::Confirmed],
        input: Input::Cancel,
        cell: CANCEL,
        why: "where no money is kept or under way, cancelling has ended as it begins",
    },
    Deviation {
        states: &[OrderStatus::Confirmed],
        input: Input::RefundedInFull,
        cell: CANCEL,
        why: "the money is back, and `refunding` would wait for nothing: the goods are released, \
              or they would leave for nothing",
    },
    Deviation {
        states: &[
            OrderStatus::PartiallyShipped,
            OrderStatus::Shipped,
            OrderStatus::Delivered,
        ],
        input: Input::LineRejected,
        cell: "audit",
        why: "`-` says that it cannot be; if it is, somebody should see it",
    },
    Deviation {
        states: &[OrderStatus::PartiallyShipped],
        input: Input::Ship,
        cell: "NothingLeft? -> shipped [Ship] : -> partially_shipped [Ship]",
        why: "the second shipment may not be the last",
    },
    Deviation {
        states: &[OrderStatus::PartiallyShipped],
        input: Input::RefundedInFull,
        cell: "-> shipped [CancelRefunded]",
        why: "what has left is told by the return dimension, but what is left is cancelled, or it \
              would leave for nothing",
    },
    Deviation {
        states: &[OrderStatus::Shipped, OrderStatus::Delivered],
        input: Input::RefundedInFull,
        cell: "no-op",
        why: "the return dimension tells it, whether the goods have come back or not",
    },
    Deviation {
        states: &[OrderStatus::Cancelling],
        input: Input::PaymentFailed,
        cell: SETTLE,
        why: "an attempt that is lost in a dispute or just begun may be left",
    },
    Deviation {
        states: &[OrderStatus::Cancelling],
        input: Input::RefundedInFull,
        cell: SETTLE,
        why: "an attempt that is lost in a dispute or just begun may be left",
    },
];

const CANCEL: &str = "Settled? -> cancelled [ReleaseAll, UndoPayments] : \
                      -> cancelling [ReleaseAll, UndoPayments]";
const SETTLE: &str = "Settled? -> cancelled [] : no-op";

/// The contract's cells, with what they mean.
fn contract() -> Vec<(OrderStatus, Input, &'static str)> {
    let mut cells = Vec::new();
    for row in CONTRACT.trim().lines() {
        let mut words = row.trim_matches('|').split('|').map(str::trim);
        let states: Vec<_> = words.next().unwrap().split(", ").collect();
        let words: Vec<_> = words.collect();
        assert_eq!(words.len(), COLUMNS.len(), "{states:?}");
        for state in STATES.iter().filter(|s| states.contains(&status_name(**s))) {
            let columns = COLUMNS.into_iter().zip(&words);
            cells.extend(columns.map(|(input, words)| (*state, input, meaning(words))));
        }
    }
    cells
}

#[test]
fn the_table_is_the_contract_but_for_the_deviations() {
    let cells = contract();
    assert_eq!(cells.len(), STATES.len() * COLUMNS.len());
    let mut deviations = 0;
    for (state, input, expected) in cells {
        let found = print(cell(state, input));
        let mut all = DEVIATIONS.iter();
        match all.find(|one| one.input == input && one.states.contains(&state)) {
            None => assert_eq!(found, expected, "{state:?} x {input:?}"),
            Some(Deviation { cell, why, .. }) => {
                assert_ne!(*cell, expected, "{state:?} x {input:?} does not deviate");
                assert_eq!(found, *cell, "{state:?} x {input:?}: {why}");
                deviations += 1;
            }
        }
    }
    let listed = DEVIATIONS.iter().map(|one| one.states.len());
    assert_eq!(deviations, listed.sum::<usize>());
}

/// Every leaf of a cell.
fn leaves(cell: Cell) -> Vec<Cell> {
    match cell {
        Cell::When(_, yes, no) => [leaves(*yes), leaves(*no)].concat(),
        leaf => vec![leaf],
    }
}

#[test]
fn every_leaf_of_every_cell_leaves_an_order_that_is_terminal_or_has_a_deadline() {
    for state in STATES {
        for leaf in Input::ALL
            .into_iter()
            .flat_map(|input| leaves(cell(state, input)))
        {
            let stage = Stage::new();
            let (order, emit) = stage.order_in(state);
            let mut run = Run::new(order.clone(), &stage.saga.limits, emit);
            let did = run.apply(leaf);
            let step = run.finish();
            let after = step.state.unwrap();
            assert_eq!(did, matches!(leaf, Cell::Go(..) | Cell::Stay(_)));
            assert_eq!(step.deadline.is_none(), is_terminal(after.status));
            assert!(after.seq == order.seq || !step.effects.is_empty());
            if let Cell::Go(status, _) = leaf {
                assert_eq!(after.status, status);
                let facts = step.effects.iter();
                let facts = facts.filter(|effect| matches!(effect, OrderEffect::Fact(_)));
                assert!(facts.count() > 0, "{state:?} to {status:?} is told");
            }
            if !did {
                assert_eq!(after, order, "{state:?}: {leaf:?} changes nothing");
                assert!(step.effects.is_empty());
            }
        }
    }
}

#[test]
fn an_order_never_leaves_a_terminal_state() {
    for state in STATES.into_iter().filter(|state| is_terminal(*state)) {
        for leaf in Input::ALL
            .into_iter()
            .flat_map(|input| leaves(cell(state, input)))
        {
            assert!(!matches!(leaf, Cell::Go(..)), "{state:?}");
        }
    }
}

#[test]
fn what_has_left_is_never_cancelled() {
    for state in [OrderStatus::Shipped, OrderStatus::Delivered] {
        assert_eq!(cell(state, Input::Cancel), Cell::Illegal);
    }
}

#[test]
fn the_table_as_it_is_printed() {
    let mut text = String::new();
    for state in STATES {
        writeln!(text, "{}", status_name(state)).unwrap();
        for input in Input::ALL {
            let cell = cell(state, input);
            if cell != Cell::NoOp {
                let name = format!("{input:?}");
                writeln!(text, "  {name:<18} {}", print(cell)).unwrap();
            }
        }
    }
    expect![[r#"
        pending
          AllReserved        Paid? -> confirmed [CommitAll, EmptyCart] : -> awaiting_payment [NextAttempt, EmptyCart]
          LineRejected       -> rejected [ReleaseAll, UndoPayments]
          RefundedInFull     illegal
          ReservationExpired -> rejected [ReleaseAll, UndoPayments]
          CommitFailed       illegal
          Cancel             -> cancelled [ReleaseAll, UndoPayments]
          Ship               illegal
          Deliver            illegal
          Deadline           -> rejected [ReleaseAll, UndoPayments]
        awaiting_payment
          LineRejected       audit
          Paid               -> confirmed [CommitAll]
          PaymentFailed      AttemptsLeft? [NextAttempt] : -> payment_failed [ReleaseAll, UndoPayments]
          RefundedInFull     illegal
          ReservationExpired -> expired [ReleaseAll, UndoPayments]
          CommitFailed       illegal
          Cancel             Settled? -> cancelled [ReleaseAll, UndoPayments] : -> cancelling [ReleaseAll, UndoPayments]
          Ship               illegal
          Deliver            illegal
          Deadline           -> expired [ReleaseAll, UndoPayments]
        confirmed
          LineRejected       audit
          PaymentFailed      audit
          RefundedInFull     Settled? -> cancelled [ReleaseAll, UndoPayments] : -> cancelling [ReleaseAll, UndoPayments]
          CommitFailed       Settled? -> cancelled [ReleaseAll, UndoPayments] : -> cancelling [ReleaseAll, UndoPayments]
          Cancel             Settled? -> cancelled [ReleaseAll, UndoPayments] : -> cancelling [ReleaseAll, UndoPayments]
          Ship               NothingLeft? -> shipped [Ship] : -> partially_shipped [Ship]
          Deliver            illegal
          Deadline           [Overdue]
        partially_shipped
          LineRejected       audit
          RefundedInFull     -> shipped [CancelRefunded]
          CommitFailed       OnlyLostLeft? -> shipped [CancelLost] : [CancelLost]
          Cancel             -> shipped [CancelRest]
          Ship               NothingLeft? -> shipped [Ship] : -> partially_shipped [Ship]
          Deliver            illegal
          Deadline           [Overdue]
        shipped
          LineRejected       audit
          StockProgress      [ReleaseAll]
          Cancel             illegal
          Deliver            -> delivered []
          Deadline           -> delivered []
        delivered
          LineRejected       audit
          StockProgress      [ReleaseAll]
          Cancel             illegal
        cancelling
          LineReserved       [ReleaseAll]
          AllReserved        [ReleaseAll]
          Paid               [UndoPayments]
          PaymentFailed      Settled? -> cancelled [] : no-op
          PaymentProgress    Settled? -> cancelled [] : no-op
          RefundedInFull     Settled? -> cancelled [] : no-op
          StockProgress      [ReleaseAll]
          Ship               illegal
          Deliver            illegal
          Deadline           Settled? -> cancelled [] : [UndoPayments, Alert]
        cancelled
          LineReserved       [ReleaseAll]
          AllReserved        [ReleaseAll]
          Paid               [UndoPayments, Alert]
          StockProgress      [ReleaseAll]
          Ship               illegal
          Deliver            illegal
        rejected
          LineReserved       [ReleaseAll]
          AllReserved        [ReleaseAll]
          Paid               [UndoPayments, Alert]
          StockProgress      [ReleaseAll]
          Ship               illegal
          Deliver            illegal
        expired
          LineReserved       [ReleaseAll]
          AllReserved        [ReleaseAll]
          Paid               [UndoPayments, Alert]
          StockProgress      [ReleaseAll]
          Ship               illegal
          Deliver            illegal
        payment_failed
          LineReserved       [ReleaseAll]
          AllReserved        [ReleaseAll]
          Paid               [UndoPayments, Alert]
          StockProgress      [ReleaseAll]
          Ship               illegal
          Deliver            illegal
    "#]].assert_eq(&text);
}

fn print(cell: Cell) -> String {
    match cell {
        Cell::Go(status, acts) => format!("-> {} {acts:?}", status_name(status)),
        Cell::Stay(acts) => format!("{acts:?}"),
        Cell::NoOp => "no-op".to_owned(),
        Cell::Audit => "audit".to_owned(),
        Cell::Illegal => "illegal".to_owned(),
        Cell::When(guard, yes, no) => {
            format!("{guard:?}? {} : {}", print(*yes), print(*no))
        }
    }
}
