//! Many clients want what there is not enough of.

use std::collections::BTreeMap;

use futures::future::join_all;
use millrace_deploy::market::audit::{Claims, settles};
use millrace_deploy::market::{Buyer, Promises, Shop};
use serde_json::Value;

use crate::support::{REST, market};

const CLIENTS: usize = 50;

async fn buyers(shop: &Shop, count: usize) -> Vec<Buyer> {
    let register = (0..count)
        .map(|number| async move { shop.buyer(&format!("client-{number}@example.com")).await });
    join_all(register)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_clients_who_want_the_last_unit_one_gets_it_and_nobody_else_pays() {
    let market = market();
    let shop = market.shop();
    let admin = shop.admin().await.unwrap();
    admin.offer("lamp", &[("lamp-last", 1)]).await.unwrap();
    let buyers = buyers(&shop, CLIENTS).await;
    for put in join_all(buyers.iter().map(|buyer| buyer.put_in_cart("lamp-last", 1))).await {
        assert_eq!(put.unwrap().status, 200);
    }

    let placed = join_all(buyers.iter().map(|buyer| buyer.place("pm_ok", "last"))).await;
    let placed: Vec<_> = placed.into_iter().map(Result::unwrap).collect();
    for answer in &placed {
        assert!(matches!(answer.status, 201 | 202), "{answer:?}");
    }
    let promises = Promises {
        orders: placed
            .iter()
            .map(|answer| vec![answer.id().to_owned()])
            .collect(),
        ..Promises::default()
    };
    let received = [("lamp-last".to_owned(), 1)];
    let claims = Claims {
        shop: &shop,
        buyers: &buyers,
        promises: &promises,
        admin: &admin,
        received: &received,
    };
    let outcomes = settles(&claims, REST).await.unwrap();
    let expected = BTreeMap::from([("confirmed".to_owned(), 1), ("rejected".to_owned(), 49)]);
    assert_eq!(outcomes, expected);
    for (buyer, answer) in buyers.iter().zip(&placed) {
        let order = buyer.order(answer.id(), 0).await.unwrap();
        if order.status == "rejected" {
            assert_eq!(order.reason.as_deref(), Some("insufficient-stock"));
        }
    }
    assert_eq!(
        shop.ledger().await.unwrap().len(),
        1,
        "49 clients never met the gateway"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lines_of_one_sku_are_one_demand() {
    let market = market();
    let shop = market.shop();
    let admin = shop.admin().await.unwrap();
    admin.offer("lamp", &[("lamp-pair", 3)]).await.unwrap();
    let (ada, eve) = (
        shop.buyer("ada@example.com").await.unwrap(),
        shop.buyer("eve@example.com").await.unwrap(),
    );
    assert_eq!(ada.put_in_cart("lamp-pair", 2).await.unwrap().status, 200);
    let added = ada.put_in_cart("lamp-pair", 1).await.unwrap();
    let cart: Value = added.expect(200).unwrap();
    assert_eq!(cart["items"].as_array().map(Vec::len), Some(1), "{cart}");
    assert_eq!(cart["items"][0]["quantity"], 3);
    let beyond = ada.put_in_cart("lamp-pair", 1).await.unwrap();
    assert_eq!((beyond.status, beyond.code()), (409, "insufficient-stock"));

    assert_eq!(eve.put_in_cart("lamp-pair", 1).await.unwrap().status, 200);
    let first = eve.place("pm_ok", "first").await.unwrap();
    assert_eq!(eve.order(first.id(), 20).await.unwrap().status, "confirmed");
    let second = ada.place("pm_ok", "second").await.unwrap();
    let order = ada.order(second.id(), 20).await.unwrap();
    assert_eq!(
        order.status, "rejected",
        "two are left, which cover one of the additions only"
    );
    assert_eq!(order.reason.as_deref(), Some("insufficient-stock"));
    let charges = shop.ledger().await.unwrap();
    assert!(
        charges.iter().all(|charge| charge.order_id == first.id()),
        "{charges:?}"
    );
}
