//! Who asks for what: customers, operators, and whoever fills the shelves.

use millrace_avro::events::inventory::AdjustStock;
use millrace_avro::events::orders::{
    CaptureMode, OrderCancelRequested, OrderCommand, OrderDeliveryReported, OrderPlaced,
    OrderShipmentRequested, OrderStatus, PlacedLine, ShippedItem,
};
use millrace_avro::events::payments::RefundPayment;
use millrace_avro::keys::{LocationId, OrderId, ProductId, RefundId, ShipmentId, Sku, UserId};
use millrace_avro::money::{Currency, Money, Rate};
use millrace_processors::order::OrderInput;

use super::{Message, SKUS, World};

const ORDERS: i64 = 12;

impl World {
    pub(super) fn somebody_asks(&mut self) {
        let id = order_id(self.roll(ORDERS));
        let known = self.orders.contains_key(&id);
        let body: OrderCommand = match self.roll(24) {
            _ if !known => self.new_order(&id).into(),
            0 => OrderCancelRequested {
                order_id: id.clone(),
                reason: None,
            }
            .into(),
            1..4 => self.shipment(&id).into(),
            4 => OrderDeliveryReported {
                order_id: id.clone(),
            }
            .into(),
            5 => return self.operator_refunds(&id),
            _ => return,
        };
        let event = self.event(body);
        let input = OrderInput::Command(event);
        self.under_way.push(Message::Order(id, input));
    }

    fn new_order(&mut self, id: &OrderId) -> OrderPlaced {
        let lines = 1 + self.roll(3);
        let lines = (0..lines).map(|_| self.line()).collect();
        let capture = match self.roll(4) {
            0 => CaptureMode::Manual,
            _ => CaptureMode::Automatic,
        };
        OrderPlaced {
            order_id: id.clone(),
            user_id: UserId::new("user").unwrap(),
            cart_id: None,
            currency: Currency::EUR,
            lines,
            discounts: Vec::new(),
            shipping: Money::new(390, Currency::EUR),
            shipping_tax_rate: Rate::ZERO,
            payment_method: "pm_ok".to_owned(),
            capture,
            shipping_address: None,
            expected_total: None,
            near: Vec::new(),
        }
    }

    fn line(&mut self) -> PlacedLine {
        let sku = SKUS[self.pick(SKUS.len())];
        PlacedLine {
            sku: Sku::new(sku).unwrap(),
            product_id: ProductId::new(sku).unwrap(),
            name: sku.to_owned(),
            quantity: 1 + self.roll(3),
            unit_price: Money::new(100 + self.roll(900), Currency::EUR),
            tax_rate: Rate::basis_points(1900),
        }
    }

    fn shipment(&mut self, id: &OrderId) -> OrderShipmentRequested {
        let line = {
            let lines = &self.orders[id].0.lines;
            lines[self.dice as usize % lines.len()].clone()
        };
        let some = ShippedItem {
            sku: line.sku,
            quantity: 1,
        };
        let all = self.roll(2) == 0;
        let number = self.commands;
        OrderShipmentRequested {
            order_id: id.clone(),
            shipment_id: ShipmentId::new(&format!("shipment-{number}")).unwrap(),
            items: if all { Vec::new() } else { vec![some] },
            tracking: None,
        }
    }

    /// Something of a delivered order comes back, or an order of which a part has left is refunded.
    fn operator_refunds(&mut self, id: &OrderId) {
        let order = &self.orders[id].0;
        let (status, total) = (order.status, order.totals.total);
        let amount = match status {
            OrderStatus::Delivered => Money::new(1 + self.roll(300), Currency::EUR),
            OrderStatus::PartiallyShipped => total,
            _ => return,
        };
        let refund_id = RefundId::new(&format!("refund-{}", self.commands)).unwrap();
        let event = self.event(RefundPayment {
            order_id: id.clone(),
            refund_id,
            payment_id: None,
            amount,
            reason: "returned".to_owned(),
        });
        self.under_way.push(Message::Payment(id.clone(), event));
    }

    pub(super) fn operator_adjusts(&mut self) {
        let sku = SKUS[self.pick(SKUS.len())];
        let delta = self.roll(5) - 2;
        self.adjust(sku, "near", delta);
    }

    pub(super) fn adjust(&mut self, sku: &str, location: &str, delta: i64) {
        let sku = Sku::new(sku).unwrap();
        let event = self.event(AdjustStock {
            sku: sku.clone(),
            location: LocationId::new(location).unwrap(),
            delta,
            reason: "received".to_owned(),
        });
        self.under_way.push(Message::Stock(sku, event));
    }

    pub(super) fn customer_acts(&mut self) {
        let mut attempts = Vec::new();
        for (id, (payments, _)) in &self.payments {
            attempts.extend(
                payments
                    .attempts
                    .iter()
                    .map(|a| (id.clone(), a.payment_id.clone())),
            );
        }
        if attempts.is_empty() {
            return;
        }
        let (order_id, payment_id) = attempts.swap_remove(self.pick(attempts.len()));
        let agrees = self.roll(3) > 0;
        if let Some(facts) = self.gateway.customer_acts(&payment_id, agrees) {
            self.report(order_id, payment_id, facts);
        }
    }
}

fn order_id(number: i64) -> OrderId {
    OrderId::new(&format!("order-{number}")).unwrap()
}
