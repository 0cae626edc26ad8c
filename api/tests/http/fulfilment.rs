//! Orders are shipped and delivered, and what is no longer possible then is refused with what is.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::*;

/// A confirmed order, and how it is sent away.
struct Shipping<'a> {
    market: &'a TestMarket,
    admin: &'a str,
    order: String,
}

impl Shipping<'_> {
    fn ship(&self, items: &Value) -> RequestBuilder {
        let path = format!("/api/admin/orders/{}/shipments", self.order);
        let body = json!({ "items": items, "tracking": "TR-1" });
        self.market.post(&path, &body).bearer_auth(self.admin)
    }

    /// Ships as soon as the goods are the order's own.
    async fn ships(&self, items: Value) -> Value {
        until("a shipment", || async {
            let shipped = self.ship(&items).send().await.unwrap();
            let (status, body) = (shipped.status(), body(shipped).await);
            let is_early = status == 409 && body["reason"] == "not-ready";
            assert!(status == 201 || is_early, "{status}: {body}");
            (status == 201).then_some(body)
        })
        .await
    }

    fn deliver(&self) -> RequestBuilder {
        let path = format!("/api/admin/orders/{}/delivery", self.order);
        let deliver = self.market.put(&path, &Value::Null);
        deliver.bearer_auth(self.admin)
    }

    fn cancel(&self) -> RequestBuilder {
        let path = format!("/api/orders/{}/cancel", self.order);
        let cancel = self.market.put(&path, &json!({ "reason": "too late" }));
        cancel.bearer_auth(self.admin)
    }

    async fn now(&self) -> Value {
        let path = format!("/api/orders/{}", self.order);
        expect(self.market.get(&path).bearer_auth(self.admin), 200).await
    }
}

async fn shipping<'a>(market: &'a TestMarket, admin: &'a str, quantity: i64) -> Shipping<'a> {
    let placed = market.place_many("ada@example.com", "pm_ok", quantity);
    let (token, order) = placed.await;
    let confirmed = |order: &Value| order["status"] == "confirmed";
    market.settle(&token, &order, confirmed).await;
    let order = order["id"].as_str().unwrap().to_owned();
    Shipping {
        market,
        admin,
        order,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_shipped_in_parts_and_delivered() {
    let (market, admin) = TestMarket::paying(9, |_| ()).await;
    let shipping = shipping(&market, &admin, 3).await;
    let early = problem(shipping.deliver(), 409).await;
    assert_eq!(early["allowed"], json!(["cancel", "ship"]));

    let first = json!([{ "sku": "mug-red", "quantity": 1 }]);
    let shipment = shipping.ships(first.clone()).await;
    assert_eq!(
        (&shipment["items"], &shipment["tracking"]),
        (&first, &json!("TR-1"))
    );
    let order = shipping.now().await;
    assert_eq!(order["status"], "partially_shipped");
    assert_eq!(order["fulfilment_status"], "partially_shipped");
    let beyond = json!([{ "sku": "mug-red", "quantity": 3 }]);
    let beyond = problem(shipping.ship(&beyond), 422).await;
    assert_eq!(beyond["reason"], "invalid-shipment");

    // No items: all that is left.
    shipping.ships(json!([])).await;
    assert_eq!(shipping.now().await["status"], "shipped");
    let delivered = expect(shipping.deliver(), 200).await;
    assert_eq!(delivered["status"], "delivered");
    assert_eq!(delivered["fulfilment_status"], "delivered");
    assert_eq!(delivered["shipments"].as_array().unwrap().len(), 2);
    let timeline = delivered["timeline"].as_array().unwrap();
    let told: Vec<_> = timeline
        .iter()
        .rev()
        .take(3)
        .map(|it| &it["event"])
        .collect();
    assert_eq!(
        told,
        [
            "order.delivered",
            "order.shipped",
            "order.partially_shipped"
        ]
    );
    let stock = until("the goods to have left", || async {
        let stock = market.get("/api/admin/inventory/mug-red");
        let stock = expect(stock.bearer_auth(&admin), 200).await;
        (stock["on_hand"] == 6).then_some(stock)
    });
    assert_eq!(stock.await["reserved"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_has_left_is_not_cancelled_and_says_what_is_possible() {
    let (market, admin) = TestMarket::paying(9, |_| ()).await;
    let shipping = shipping(&market, &admin, 1).await;
    shipping.ships(json!([])).await;
    let refused = problem(shipping.cancel(), 409).await;
    assert_eq!(refused["code"], "illegal-transition");
    assert_eq!(refused["allowed"], json!(["deliver"]));
    let again = problem(shipping.ship(&json!([])), 409).await;
    assert_eq!(
        (&again["reason"], &again["allowed"]),
        (&json!("nothing-to-ship"), &json!(["deliver"]))
    );
    expect(shipping.deliver(), 200).await;
    let over = problem(shipping.cancel(), 409).await;
    assert_eq!(over["allowed"], json!([]));
    assert_eq!(shipping.now().await["status"], "delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_ship_and_only_orders_that_there_are() {
    let (market, admin) = TestMarket::paying(9, |_| ()).await;
    let eve = market.customer("eve@example.com").await;
    let order = shipping(&market, &admin, 1).await.order;
    let at = |token: &str, order: &str| {
        Shipping {
            market: &market,
            admin: token,
            order: order.to_owned(),
        }
        .ship(&json!([]))
    };
    problem(at(&eve, &order), 403).await;
    problem(at(&admin, "none"), 404).await;
    let wrong = json!([{ "sku": "mug-red", "quantity": 0 }]);
    let wrong = market.post(
        &format!("/api/admin/orders/{order}/shipments"),
        &json!({ "items": wrong }),
    );
    let wrong = problem(wrong.bearer_auth(&admin), 422).await;
    assert_eq!(wrong["errors"][0]["pointer"], "/items/0/quantity");
}
