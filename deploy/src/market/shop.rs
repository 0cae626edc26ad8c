//! A client of the market's API, over HTTP and nothing else.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{ADMIN, PASSWORD};

/// How long any request may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The most that a page of orders holds.
const PAGE: usize = 100;

/// An amount in the minor unit of its currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Money {
    /// How much.
    pub minor: i64,
    /// The code of ISO 4217.
    pub currency: String,
}

/// What an audit needs of an order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// `pending`, `confirmed`, `rejected` and so on.
    pub status: String,
    /// Where its payment stands.
    pub payment_status: String,
    /// Why it ended as it did.
    pub reason: Option<String>,
    /// Its lines.
    pub items: Vec<Line>,
    /// Its sums.
    pub totals: Totals,
    /// Its last steps, oldest first.
    pub timeline: Vec<Step>,
}

/// A line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// What is ordered.
    pub sku: String,
    /// How many.
    pub quantity: i64,
}

/// The sums of an order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Totals {
    /// What is to be paid.
    pub total: Money,
}

/// A step of an order's life.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Step {
    /// The type of the event.
    pub event: String,
    /// The id of the event.
    pub id: String,
}

/// A charge in the ledger of the gateway simulator.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Charge {
    /// The payment attempt.
    pub payment_id: String,
    /// The order.
    pub order_id: String,
    /// The key of the call that made it.
    pub idempotency_key: String,
    /// What was asked for.
    pub amount: Money,
    /// What was taken.
    pub captured: Money,
    /// What went back.
    pub refunded: Money,
    /// Where it stands.
    pub status: String,
}

/// The stock of a SKU.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Stock {
    /// What lies in all locations.
    pub on_hand: i64,
    /// What of it is reserved.
    pub reserved: i64,
    /// On hand less reserved.
    pub available: i64,
    /// The last changes of what is on hand.
    pub movements: Vec<Movement>,
}

/// A change of what is on hand.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Movement {
    /// By how much.
    pub delta: i64,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The body, null when there is none.
    pub body: Value,
}

impl Answer {
    /// The answer to `request`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn to(request: RequestBuilder) -> Result<Self> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Self { status, body })
    }

    /// The code of a problem; empty for what is none.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The id of what was made or asked for; empty without one.
    pub fn id(&self) -> &str {
        self.body["id"].as_str().unwrap_or_default()
    }

    /// The body as `T`, of an answer with this status.
    pub fn expect<T: DeserializeOwned>(self, status: u16) -> Result<T> {
        ensure!(
            self.status == status,
            "{} for {status}: {}",
            self.status,
            self.body
        );
        let text = self.body.to_string();
        serde_json::from_value(self.body).with_context(|| text)
    }
}

/// A client of one instance of the market.
#[derive(Clone, Debug)]
pub struct Shop {
    url: String,
    http: reqwest::Client,
}

impl Shop {
    /// A client of the market at `url`.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            http: reqwest::Client::new(),
        }
    }

    /// A request to it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.http.request(method, url).timeout(TIMEOUT)
    }

    /// A GET of `path`.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A POST of `body` to `path`.
    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    /// An account that was registered and is logged in; one that exists is logged in only.
    pub async fn buyer(&self, email: &str) -> Result<Buyer> {
        let account = json!({ "email": email, "password": PASSWORD, "name": "Ada" });
        let registered = Answer::to(self.post("/api/auth/register", &account)).await?;
        ensure!(
            matches!(registered.status, 201 | 409),
            "{}",
            registered.body
        );
        self.login(email).await
    }

    /// The administrator.
    pub async fn admin(&self) -> Result<Buyer> {
        self.login(ADMIN).await
    }

    /// An account that exists.
    pub async fn login(&self, email: &str) -> Result<Buyer> {
        let credentials = json!({ "email": email, "password": PASSWORD });
        let answer: Value = Answer::to(self.post("/api/auth/login", &credentials))
            .await?
            .expect(200)?;
        let token = answer["access_token"].as_str().context("no access token")?;
        Ok(Buyer {
            shop: self.clone(),
            token: token.to_owned(),
        })
    }

    /// Every charge that the gateway simulator knows, as it tells the administrator.
    pub async fn ledger(&self) -> Result<Vec<Charge>> {
        #[derive(Deserialize)]
        struct Ledger {
            items: Vec<Charge>,
        }
        let answer = self.admin().await?.get("/simulator/ledger").await?;
        let ledger: Ledger = answer.expect(200)?;
        Ok(ledger.items)
    }
}

/// A client with an account.
#[derive(Clone, Debug)]
pub struct Buyer {
    shop: Shop,
    token: String,
}

impl Buyer {
    /// The same account at another instance.
    #[must_use]
    pub fn at(&self, shop: &Shop) -> Self {
        Self {
            shop: shop.clone(),
            token: self.token.clone(),
        }
    }

    /// A request to it, by this account.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.shop.request(method, path).bearer_auth(&self.token)
    }

    /// A GET of `path`.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        Answer::to(self.request(Method::GET, path)).await
    }

    /// A POST of `body` to `path`, with an idempotency key where one is given.
    pub async fn post(&self, path: &str, body: &Value, key: Option<&str>) -> Result<Answer> {
        let request = self.request(Method::POST, path).json(body);
        Answer::to(match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        })
        .await
    }

    /// Puts some of a SKU into the cart.
    pub async fn put_in_cart(&self, sku: &str, quantity: i64) -> Result<Answer> {
        let item = json!({ "sku": sku, "quantity": quantity });
        self.post("/api/cart/items", &item, None).await
    }

    /// Orders what is in the cart.
    pub async fn place(&self, payment_method: &str, key: &str) -> Result<Answer> {
        let order =
            json!({ "payment_method": payment_method, "shipping_address": { "city": "Bonn" } });
        self.post("/api/orders", &order, Some(key)).await
    }

    /// An order, at once, or when it waits or is over, at most after `wait_s` seconds.
    pub async fn order(&self, id: &str, wait_s: u64) -> Result<Order> {
        self.get(&format!("/api/orders/{id}?wait={wait_s}"))
            .await?
            .expect(200)
    }

    /// Every order of the account, newest first.
    pub async fn orders(&self) -> Result<Vec<Order>> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<Order>,
            next_cursor: Option<String>,
        }
        let mut orders = Vec::new();
        let mut path = format!("/api/orders?limit={PAGE}");
        loop {
            let page: Page = self.get(&path).await?.expect(200)?;
            orders.extend(page.items);
            match page.next_cursor {
                Some(cursor) => path = format!("/api/orders?limit={PAGE}&cursor={cursor}"),
                None => return Ok(orders),
            }
        }
    }

    /// As the administrator: a product `id` with one variant per SKU, at 10.00 EUR each, and what
    /// lies in the location `main` of it.
    pub async fn offer(&self, id: &str, stock: &[(&str, i64)]) -> Result<()> {
        let category = json!({ "id": "drill", "name": "Drill" });
        let made = self.post("/api/admin/categories", &category, None).await?;
        ensure!(matches!(made.status, 201 | 409), "{}", made.body);
        let price = json!({ "minor": 1000, "currency": "EUR" });
        let variant = |(sku, _): &(&str, i64)| json!({ "sku": sku, "options": { "kind": sku }, "price": price });
        let variants: Vec<_> = stock.iter().map(variant).collect();
        let product = json!({
            "id": id, "name": id, "description": "Offered by a drill", "category_id": "drill",
            "variants": variants,
        });
        let made = self.post("/api/admin/products", &product, None).await?;
        ensure!(made.status == 201, "{}", made.body);
        for (sku, count) in stock {
            self.receive(sku, *count).await?;
        }
        Ok(())
    }

    /// As the administrator: puts `count` of a SKU into the location `main`.
    pub async fn receive(&self, sku: &str, count: i64) -> Result<()> {
        let received =
            json!({ "sku": sku, "location": "main", "delta": count, "reason": "received" });
        let key = format!("receive-{sku}-{count}");
        let made = self
            .post("/api/admin/inventory/adjustments", &received, Some(&key))
            .await?;
        ensure!(made.status == 201, "{} {}", made.status, made.body);
        Ok(())
    }

    /// As the administrator: the stock of a SKU.
    pub async fn stock(&self, sku: &str) -> Result<Stock> {
        self.get(&format!("/api/admin/inventory/{sku}"))
            .await?
            .expect(200)
    }
}
