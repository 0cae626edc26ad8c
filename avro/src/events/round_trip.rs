//! Every record of this crate against its schema file.

use std::collections::BTreeSet;
use std::path::Path;

use apache_avro::Schema;
use apache_avro::schema::{Name, NamesRef, ResolvedSchema};
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

use super::*;
use crate::codec::{AvroRecord, from_datum, to_datum};

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

fn round_trip<R: AvroRecord>() {
    let schema = Schema::parse_str(R::SCHEMA).unwrap();
    let resolved = ResolvedSchema::try_from(&schema).unwrap();
    for seed in 0..8 {
        let mut sample = Sample {
            seed,
            names: resolved.get_names(),
        };
        let value = sample.value("", &schema);
        let bytes = GenericDatumWriter::builder(&schema)
            .build()
            .unwrap()
            .write_value_to_vec(value)
            .unwrap();
        let record: R = from_datum(&bytes).unwrap_or_else(|e| panic!("{}: {e}", R::FULL_NAME));
        assert_eq!(to_datum(&record).unwrap(), bytes, "{}", R::FULL_NAME);
    }
}

/// Makes values of a schema, other ones for each seed.
struct Sample<'a> {
    seed: u64,
    names: &'a NamesRef<'a>,
}

impl Sample<'_> {
    fn next(&mut self, bound: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.seed >> 33) % bound
    }

    fn value(&mut self, field: &str, schema: &Schema) -> Value {
        match schema {
            Schema::Null => Value::Null,
            Schema::Boolean => Value::Boolean(self.next(2) == 1),
            Schema::Int => Value::Int(self.next(100) as i32),
            Schema::Long => Value::Long(self.next(1 << 30) as i64 - (1 << 29)),
            Schema::Double => Value::Double(self.next(1000) as f64 / 8.0),
            Schema::String => self.text(field),
            Schema::Bytes => Value::Bytes(vec![self.next(256) as u8; 17]),
            Schema::Enum(symbols) => {
                let index = self.next(symbols.symbols.len() as u64) as usize;
                Value::Enum(index as u32, symbols.symbols[index].clone())
            }
            Schema::Array(array) => {
                let len = self.next(3);
                Value::Array((0..len).map(|_| self.value(field, &array.items)).collect())
            }
            Schema::Map(map) => {
                let value = self.value(field, &map.types);
                Value::Map([("size".to_owned(), value)].into())
            }
            Schema::Union(union) => {
                let index = self.next(2) as usize;
                let value = self.value(field, &union.variants()[index]);
                Value::Union(index as u32, Box::new(value))
            }
            Schema::Record(record) => Value::Record(
                record
                    .fields
                    .iter()
                    .map(|f| (f.name.clone(), self.value(&f.name, &f.schema)))
                    .collect(),
            ),
            Schema::Ref { name } => self.value(field, self.named(name)),
            other => panic!("no sample of {other:?}"),
        }
    }

    fn named(&self, name: &Name) -> &'static Schema {
        let schema = self.names[name].clone();
        Box::leak(Box::new(schema))
    }

    fn text(&mut self, field: &str) -> Value {
        let text = match field {
            "currency" => ["EUR", "JPY", "KWD"][self.next(3) as usize].to_owned(),
            _ => format!("{field}-{}", self.next(1000)),
        };
        Value::String(text)
    }
}
