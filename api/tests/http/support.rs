//! A whole market in a temporary folder, and a client of its API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::accounts::Role;
use millrace_api::commands::dump;
use millrace_api::config::{Options, Settings, Span};
use millrace_api::gateway::BuiltInGateway;
use millrace_api::ground::Ground;
use millrace_api::outside::MailFolder;
use millrace_api::serve::{Instance, Outside};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;

pub(crate) const ADMIN: &str = "admin@example.com";
pub(crate) const PASSWORD: &str = "correct horse";

/// A market that can be stopped and started again on the same folder.
pub(crate) struct TestMarket {
    pub(crate) folder: TempDir,
    options: Options,
    pays: bool,
    running: Option<(Instance, Ground)>,
    client: reqwest::Client,
}

impl TestMarket {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options {
            data: Some(folder.path().to_owned()),
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            no_demo: true,
            admin_email: Some(ADMIN.to_owned()),
            admin_password: Some(PASSWORD.to_owned()),
            // Tests look again and again.
            requests_per_minute: Some(1_000_000),
            command_wait: Some(Span(Duration::from_secs(20))),
            ..Options::default()
        };
        change(&mut options);
        let client = reqwest::Client::new();
        let mut market = Self {
            folder,
            options,
            pays: false,
            running: None,
            client,
        };
        market.restart().await;
        market
    }

    /// A market that takes payments by the simulator, with `mug-red` on sale and `stock` of it; and
    /// its administrator.
    pub(crate) async fn paying(stock: i64, change: impl FnOnce(&mut Options)) -> (Self, String) {
        let mut market = Self::start_with(change).await;
        market.pays = true;
        market.restart().await;
        let admin = market.offer(stock).await;
        (market, admin)
    }

    /// Stops the market if it runs, and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let settings = Settings::from_options(self.options.clone()).unwrap();
        let ground = Ground::open(&settings).unwrap();
        let mailer = Arc::new(MailFolder::new(settings.data.join("mail")));
        let gateway = match self.pays {
            true => Some(BuiltInGateway::open(&settings, "secret").await.unwrap()),
            false => None,
        };
        let outside = Outside { gateway, mailer };
        let instance = Instance::start(settings, ground.clone(), outside).await;
        let instance = instance.unwrap();
        instance.running().await.unwrap();
        self.running = Some((instance, ground));
    }

    pub(crate) async fn stop(&mut self) {
        if let Some((instance, _ground)) = self.running.take() {
            instance.stop().await.unwrap();
        }
    }

    pub(crate) fn instance(&self) -> &Instance {
        let (instance, _) = self.running.as_ref().expect("the market runs");
        instance
    }

    /// The first committed record of `topic` that is the one, once there is one: as `log dump`
    /// prints it.
    pub(crate) async fn record(&self, topic: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        until(topic, || async {
            self.records(topic).into_iter().find(|record| is_it(record))
        })
        .await
    }

    /// The committed records of `topic`, as `log dump` prints them.
    pub(crate) fn records(&self, topic: &str) -> Vec<Value> {
        let (_, ground) = self.running.as_ref().expect("the market runs");
        let mut lines = Vec::new();
        block_in_place(|| dump(ground, topic, false, &mut lines)).unwrap();
        let lines = serde_json::Deserializer::from_slice(&lines).into_iter();
        lines.collect::<Result<_, _>>().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.instance().address())
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::PUT, path).json(body)
    }

    /// Registers a customer and logs in: the access token.
    pub(crate) async fn customer(&self, email: &str) -> String {
        let body = json!({ "email": email, "password": PASSWORD, "name": "Ada" });
        expect(self.post("/api/auth/register", &body), 201).await;
        self.login(email).await
    }

    pub(crate) async fn admin(&self) -> String {
        self.login(ADMIN).await
    }

    pub(crate) async fn login(&self, email: &str) -> String {
        let body = json!({ "email": email, "password": PASSWORD });
        let answer = expect(self.post("/api/auth/login", &body), 200).await;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// A category, a product `mug` with the SKU `mug-red` at 10.00 EUR, and `stock` of it.
    pub(crate) async fn offer(&self, stock: i64) -> String {
        let admin = self.admin().await;
        let category = json!({ "id": "kitchen", "name": "Kitchen" });
        let category = self
            .post("/api/admin/categories", &category)
            .bearer_auth(&admin);
        expect(category, 201).await;
        let product = self
            .post("/api/admin/products", &mug(1000))
            .bearer_auth(&admin);
        expect(product, 201).await;
        let adjustment =
            json!({ "sku": "mug-red", "location": "main", "delta": stock, "reason": "received" });
        let adjust = self.post("/api/admin/inventory/adjustments", &adjustment);
        let adjust = adjust
            .bearer_auth(&admin)
            .header("idempotency-key", "stock");
        let level = expect(adjust, 201).await;
        assert_eq!(level["available"], stock);
        admin
    }
}

/// A product with one variant.
pub(crate) fn mug(price: i64) -> Value {
    let price = json!({ "minor": price, "currency": "EUR" });
    json!({
        "id": "mug",
        "name": "Mug",
        "description": "A mug for tea",
        "category_id": "kitchen",
        "variants": [{ "sku": "mug-red", "options": { "colour": "red" }, "price": price }],
    })
}

/// Sends the request and expects a status; the body, or null.
pub(crate) async fn expect(request: RequestBuilder, status: u16) -> Value {
    body(expect_response(request, status).await).await
}

pub(crate) async fn expect_response(request: RequestBuilder, status: u16) -> Response {
    let response = request.send().await.unwrap();
    if response.status() != status {
        let (found, url) = (response.status(), response.url().clone());
        panic!(
            "{url}: {found} for {status}: {}",
            response.text().await.unwrap()
        );
    }
    response
}

pub(crate) async fn body(response: Response) -> Value {
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// Sends the request and expects a problem: its code.
pub(crate) async fn problem(request: RequestBuilder, status: u16) -> Value {
    let response = expect_response(request, status).await;
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let body = body(response).await;
    assert!(
        body["trace_id"].is_string() && body["status"] == status,
        "{body}"
    );
    body
}

/// Looks again and again until there is something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            // A pause between two looks at the condition.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(60), found).await;
    found.unwrap_or_else(|_| panic!("no sign of {what}"))
}

/// The role of an account, by its own word.
pub(crate) async fn role(market: &TestMarket, token: &str) -> Role {
    let me = expect(market.get("/api/users/me").bearer_auth(token), 200).await;
    serde_json::from_value(me["role"].clone()).unwrap()
}
