//! Lists, page by page, there and back.

use reqwest::header::LINK;
use serde_json::{Value, json};

use crate::support::*;

/// A page's ids, and where its links lead.
struct Seen {
    ids: Vec<String>,
    prev: Option<String>,
    next: Option<String>,
}

async fn page(market: &TestMarket, path: &str, token: &str) -> Seen {
    let response = expect_response(market.get(path).bearer_auth(token), 200).await;
    let links = response.headers().get_all(LINK).iter();
    let links: Vec<_> = links.map(|link| link.to_str().unwrap()).collect();
    let link = |rel: &str| {
        let end = format!(">; rel=\"{rel}\"");
        let link = links.iter().find_map(|link| link.strip_suffix(&end))?;
        Some(link.trim_start_matches('<').to_owned())
    };
    let (prev, next) = (link("prev"), link("next"));
    let body = body(response).await;
    assert_eq!(body["next_cursor"].is_null(), next.is_none());
    let items = body["items"].as_array().unwrap().iter();
    let ids = items.map(|item| item["id"].as_str().unwrap().to_owned());
    Seen {
        ids: ids.collect(),
        prev,
        next,
    }
}

/// Follows the links to the last page and back to the first: the pages, the same both ways.
async fn there_and_back(market: &TestMarket, first: &str, token: &str) -> Vec<Vec<String>> {
    let mut seen = page(market, first, token).await;
    assert_eq!(seen.prev, None);
    let mut pages = vec![seen.ids];
    while let Some(next) = seen.next {
        seen = page(market, &next, token).await;
        pages.push(seen.ids);
    }
    let mut back = pages.last().cloned().into_iter().collect::<Vec<_>>();
    while let Some(prev) = seen.prev {
        seen = page(market, &prev, token).await;
        back.push(seen.ids);
    }
    back.reverse();
    assert_eq!(back, pages);
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn products_are_listed_page_by_page_there_and_back() {
    let market = TestMarket::start().await;
    let admin = market.offer(1).await;
    for (n, price) in [300, 100, 100, 200, 100, 400].into_iter().enumerate() {
        let mut product = mug(price);
        product["id"] = json!(format!("p{n}"));
        product["variants"][0]["sku"] = json!(format!("sku-{n}"));
        let create = market.post("/api/admin/products", &product);
        expect(create.bearer_auth(&admin), 201).await;
    }
    let first = "/api/products?sort=price&limit=2&q=mug";
    let pages = there_and_back(&market, first, &admin).await;
    assert_eq!(
        json!(pages),
        json!([["p1", "p2"], ["p4", "p3"], ["p0", "p5"], ["mug"]])
    );
    let whole = there_and_back(&market, "/api/products?sort=-price&limit=7", &admin).await;
    assert_eq!(whole.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_listed_from_the_newest_page_by_page() {
    let (market, _) = TestMarket::paying(9, |_| ()).await;
    let token = market.customer("ada@example.com").await;
    let mut placed: Vec<Value> = Vec::new();
    for n in 0..5 {
        let item = json!({ "sku": "mug-red", "quantity": 1 });
        let add = market.post("/api/cart/items", &item).bearer_auth(&token);
        expect(add, 200).await;
        let order = json!({ "payment_method": "pm_ok", "shipping_address": { "city": "Bonn" } });
        let place = market.post("/api/orders", &order).bearer_auth(&token);
        let place = place.header("idempotency-key", format!("key-{n}"));
        placed.push(expect(place, 201).await["id"].clone());
    }
    placed.reverse();
    let pages = there_and_back(&market, "/api/orders?limit=2", &token).await;
    let sizes: Vec<_> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(json!(pages.concat()), json!(placed));
}
