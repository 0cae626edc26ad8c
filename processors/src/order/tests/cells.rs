//! The saga's table, printed, compared with the contract, and played cell by cell.

use std::fmt::Write as _;

use expect_test::expect;
use millrace_avro::events::orders::OrderStatus;

use super::stage::Stage;
use crate::order::run::Run;
use crate::order::table::{STATES, cell, is_terminal};
use crate::order::view::status_name;
use crate::order::{Cell, Input, OrderEffect};

/// The table as the contract has it: state, then the columns of [`COLUMNS`].
const CONTRACT: &str = "
pending            | awaiting_payment or confirmed | rejected | no-op     | no-op | cancelled  | rejected | illegal | illegal
awaiting_payment   | no-op   | audit | confirmed | stay or payment_failed | cancelling | expired | illegal | illegal
confirmed          | no-op   | audit | no-op     | audit | cancelling | no-op | shipped or partially_shipped | cancelled or cancelling
partially_shipped  | no-op   | audit | no-op     | no-op | shipped    | no-op | shipped or partially_shipped | no-op
shipped            | no-op   | audit | no-op     | no-op | illegal    | no-op | no-op   | no-op
delivered          | no-op   | audit | no-op     | no-op | illegal    | no-op | no-op   | no-op
cancelling         | stay    | no-op | stay      | cancelled or no-op | no-op | no-op | illegal | cancelled or no-op
cancelled          | stay    | no-op | stay      | no-op | no-op      | no-op | illegal | no-op
rejected           | stay    | no-op | stay      | no-op | no-op      | no-op | illegal | no-op
expired            | stay    | no-op | stay      | no-op | no-op      | no-op | illegal | no-op
payment_failed     | stay    | no-op | stay      | no-op | no-op      | no-op | illegal | no-op
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

fn outcome(cell: Cell) -> String {
    match cell {
        Cell::Go(status, _) => status_name(status).to_owned(),
        Cell::Stay(_) => "stay".to_owned(),
        Cell::NoOp => "no-op".to_owned(),
        Cell::Audit => "audit".to_owned(),
        Cell::Illegal => "illegal".to_owned(),
        Cell::When(_, yes, no) => format!("{} or {}", outcome(*yes), outcome(*no)),
    }
}

#[test]
fn the_table_is_the_contract() {
    let rows = CONTRACT.trim().lines().zip(STATES);
    for (row, state) in rows {
        let mut expected = row.split('|').map(str::trim);
        assert_eq!(expected.next(), Some(status_name(state)));
        for (input, expected) in COLUMNS.into_iter().zip(expected.by_ref()) {
            let found = match outcome(cell(state, input)).as_str() {
                "awaiting_payment or confirmed" | "confirmed or awaiting_payment" => {
                    "awaiting_payment or confirmed".to_owned()
                }
                // Where nothing is to be refunded or voided, cancelling has ended as it begins.
                "cancelled or cancelling" if expected == "cancelling" => expected.to_owned(),
                found => found.to_owned(),
            };
            assert_eq!(found, expected, "{state:?} x {input:?}");
        }
    }
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
