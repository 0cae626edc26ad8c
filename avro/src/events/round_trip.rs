//! Every record of this crate against its schema file.

use std::collections::BTreeSet;
use std::path::Path;

use apache_avro::Schema;
use apache_avro::writer::datum::GenericDatumWriter;

use super::*;
use crate::codec::{AvroRecord, from_datum, to_datum};
use crate::samples::Sample;

/// Calls `$check::<Record>()` for every record that has a file in `schemas/`.
macro_rules! for_each_record {
    ($check:ident, $($domain:ident::$record:ident,)*) => {
        $($check::<$domain::$record>();)*
    };
    ($check:ident) => {
        for_each_record! { $check,
            common::CommandReply,
            common::AuditEntry,
            common::InvariantViolated,
            orders::OrderPlaced,
            orders::OrderCancelRequested,
            orders::OrderShipmentRequested,
            orders::OrderDeliveryReported,
            orders::OrderCreated,
            orders::OrderReserved,
            orders::OrderPaymentRequested,
            orders::OrderConfirmed,
            orders::OrderPartiallyShipped,
            orders::OrderShipped,
            orders::OrderDelivered,
            orders::OrderCancelling,
            orders::OrderCancelled,
            orders::OrderRestCancelled,
            orders::OrderRejected,
            orders::OrderExpired,
            orders::OrderPaymentFailed,
            orders::OrderOverdue,
            orders::OrderState,
            orders::OrderView,
            payments::StartPayment,
            payments::CapturePayment,
            payments::UndoPayments,
            payments::RefundPayment,
            payments::GatewayReported,
            payments::GatewayCall,
            payments::PaymentInitiated,
            payments::PaymentRequiresAction,
            payments::PaymentProcessing,
            payments::PaymentAuthorized,
            payments::PaymentCaptured,
            payments::PaymentFailed,
            payments::PaymentVoided,
            payments::PaymentRefundRequested,
            payments::PaymentRefunded,
            payments::PaymentRefundFailed,
            payments::PaymentDisputed,
            payments::PaymentDisputeClosed,
            payments::PaymentsState,
            payments::PaymentView,
            inventory::AdjustStock,
            inventory::ConfigureStock,
            inventory::ReserveStock,
            inventory::CommitReservation,
            inventory::ReleaseReservation,
            inventory::ShipReservation,
            inventory::StockAdjusted,
            inventory::StockConfigured,
            inventory::StockReserved,
            inventory::ReservationRejected,
            inventory::ReservationReleased,
            inventory::ReservationCommitted,
            inventory::ReservationCommitFailed,
            inventory::ReservationExpired,
            inventory::StockShipped,
            inventory::StockLow,
            inventory::StockState,
            inventory::StockView,
            carts::AddCartItem,
            carts::SetCartItem,
            carts::RemoveCartItem,
            carts::MergeCart,
            carts::TakeCartLines,
            carts::CheckOutCart,
            carts::CartItemAdded,
            carts::CartItemChanged,
            carts::CartItemRemoved,
            carts::CartMerged,
            carts::CartCheckedOut,
            carts::CartAbandoned,
            carts::CartState,
            carts::CartView,
            products::CreateProduct,
            products::UpdateProduct,
            products::DeleteProduct,
            products::PutCategory,
            products::DeleteCategory,
            products::ProductCreated,
            products::ProductUpdated,
            products::ProductDeleted,
            products::CategoryCreated,
            products::CategoryChanged,
            products::CategoryDeleted,
            products::ProductState,
            products::ProductView,
            products::CategoryTree,
            products::CategoryView,
            users::UserRegistered,
            users::UserUpdated,
            users::UserDeleted,
            users::UserSignedIn,
            users::ProductViewed,
            users::ProductWishlisted,
            users::ProductAddedToCart,
            users::ProductPurchased,
            users::CatalogueSearched,
            notifications::NotificationRequested,
            notifications::NotificationSent,
            notifications::NotificationFailed,
            recommendations::RecommendationsUpdated,
            recommendations::RecommendationClicked,
            audit::OrderAudit,
            audit::StockAudit,
        }
    };
}

#[test]
fn each_record_reads_what_its_schema_allows_and_writes_the_same_bytes() {
    for_each_record!(round_trip);
}

#[test]
fn each_record_has_the_name_of_its_schema_and_each_schema_has_a_record() {
    thread_local! {
        static NAMES: std::cell::RefCell<BTreeSet<String>> = const { std::cell::RefCell::new(BTreeSet::new()) };
    }
    fn name<R: AvroRecord>() {
        let schema = Schema::parse_str(R::SCHEMA).unwrap();
        assert_eq!(schema.name().unwrap().fullname(None), R::FULL_NAME);
        NAMES.with_borrow_mut(|names| names.insert(R::FULL_NAME.into()));
    }
    for_each_record!(name);
    assert_eq!(NAMES.with_borrow(Clone::clone), schema_files());
}

/// The names that the paths of the schema files stand for.
fn schema_files() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let mut names = BTreeSet::new();
    for domain in std::fs::read_dir(root).unwrap().map(Result::unwrap) {
        // Earlier versions of the same records.
        if domain.file_name() == "history" {
            continue;
        }
        for file in std::fs::read_dir(domain.path())
            .unwrap()
            .map(Result::unwrap)
        {
            let record = file
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned();
            let domain = domain.file_name().to_string_lossy().into_owned();
            names.insert(format!("millrace.{domain}.{record}"));
        }
    }
    names
}

#[test]
fn every_truncation_of_a_record_is_an_error() {
    fn check<R: AvroRecord>() {
        for bytes in samples::<R>(2) {
            for len in 0..bytes.len() {
                assert!(from_datum::<R>(&bytes[..len]).is_err(), "{}", R::FULL_NAME);
            }
        }
    }
    for_each_record!(check);
}

#[test]
fn no_flipped_byte_of_a_record_panics() {
    fn check<R: AvroRecord>() {
        for mut bytes in samples::<R>(2) {
            for place in 0..bytes.len() {
                for flip in [0x01, 0x80, 0xff] {
                    bytes[place] ^= flip;
                    from_datum::<R>(&bytes).ok();
                    bytes[place] ^= flip;
                }
            }
        }
    }
    for_each_record!(check);
}

fn round_trip<R: AvroRecord>() {
    for bytes in samples::<R>(8) {
        let record: R = from_datum(&bytes).unwrap_or_else(|e| panic!("{}: {e}", R::FULL_NAME));
        assert_eq!(to_datum(&record).unwrap(), bytes, "{}", R::FULL_NAME);
    }
}

/// So many datums of the schema of `R`, written by the reference implementation.
fn samples<R: AvroRecord>(count: u64) -> Vec<Vec<u8>> {
    let schema = Schema::parse_str(R::SCHEMA).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let values = (0..count).map(|seed| Sample::new(seed, &schema).value(&schema));
    values
        .map(|value| writer.write_value_to_vec(value).unwrap())
        .collect()
}
