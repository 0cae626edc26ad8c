//! Accounts over HTTP, on SQLite and on PostgreSQL alike.

use crate::support::*;
use millrace_api::accounts::Role;
use millrace_deploy::{Postgres, require};
use serde_json::{Value, json};

async fn postgres(postgres: &Postgres) -> TestMarket {
    let url = postgres.url();
    TestMarket::start_with(move |options| options.postgres = Some(url)).await
}

fn credentials(email: &str, password: &str) -> Value {
    json!({ "email": email, "password": password })
}

async fn accounts_hold(mut market: TestMarket) {
    let new = json!({ "email": "Ada@Example.com", "password": PASSWORD, "name": "Ada" });
    let user = expect(market.post("/api/auth/register", &new), 201).await;
    assert_eq!(
        (&user["email"], &user["role"]),
        (&json!("ada@example.com"), &json!("customer"))
    );
    let again = problem(market.post("/api/auth/register", &new), 409).await;
    assert_eq!(again["code"], "email-taken");

    for wrong in [
        credentials("ada@example.com", "wrong"),
        credentials("eve@example.com", PASSWORD),
    ] {
        let refused = problem(market.post("/api/auth/login", &wrong), 401).await;
        assert_eq!(refused["code"], "invalid-credentials");
    }
    let login = market.post("/api/auth/login", &credentials("ada@example.com", PASSWORD));
    let tokens = expect(login, 200).await;
    assert_eq!(
        (&tokens["token_type"], &tokens["expires_in"]),
        (&json!("Bearer"), &json!(900))
    );
    assert_eq!(
        role(&market, tokens["access_token"].as_str().unwrap()).await,
        Role::Customer
    );

    market.restart().await;
    assert_eq!(role(&market, &market.admin().await).await, Role::Admin);
    // the signing key is kept, so tokens of before the restart are valid
    role(&market, tokens["access_token"].as_str().unwrap()).await;
    rotation_holds(&market, &tokens["refresh_token"]).await;
    reset_holds(&market).await;
    market.stop().await;
}

async fn rotation_holds(market: &TestMarket, first: &Value) {
    let refresh =
        |token: &Value| market.post("/api/auth/refresh", &json!({ "refresh_token": token }));
    let second = expect(refresh(first), 200).await["refresh_token"].clone();
    assert_ne!(&second, first);
    let third = expect(refresh(&second), 200).await["refresh_token"].clone();
    // a used token ends the session of its thief and of its owner
    problem(refresh(first), 401).await;
    problem(refresh(&third), 401).await;
    let login = market.post("/api/auth/login", &credentials("ada@example.com", PASSWORD));
    let token = expect(login, 200).await["refresh_token"].clone();
    let logout = market.post("/api/auth/logout", &json!({ "refresh_token": token }));
    expect(logout, 204).await;
    problem(refresh(&token), 401).await;
}

async fn reset_holds(market: &TestMarket) {
    let ask = |email: &str| market.post("/api/auth/reset-password", &json!({ "email": email }));
    expect(ask("nobody@example.com"), 202).await;
    expect(ask("ada@example.com"), 202).await;
    let token = mailed_token(market).await;
    let set = |password: &str| {
        let body = json!({ "token": token, "new_password": password });
        market.post("/api/auth/reset-password", &body)
    };
    assert_eq!(
        problem(set("short"), 422).await["errors"][0]["pointer"],
        "/new_password"
    );
    expect(set("another password"), 204).await;
    problem(set("a third password"), 401).await;
    let old = market.post("/api/auth/login", &credentials("ada@example.com", PASSWORD));
    problem(old, 401).await;
    let new = market.post(
        "/api/auth/login",
        &credentials("ada@example.com", "another password"),
    );
    expect(new, 200).await;
}

/// The token in the one mail that was sent.
async fn mailed_token(market: &TestMarket) -> String {
    let folder = market.folder.path().join("mail");
    let look = || async {
        let mail = std::fs::read_dir(&folder).ok()?.flatten().next()?;
        let text = std::fs::read_to_string(mail.path()).ok()?;
        let mail: Value = serde_json::from_str(&text).ok()?;
        mail["data"]["token"].as_str().map(str::to_owned)
    };
    until("a mail", look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_hold_on_sqlite() {
    accounts_hold(TestMarket::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_hold_on_postgresql() {
    let server = require!(Postgres);
    accounts_hold(postgres(&server).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_wrong_gets_a_problem_that_says_where() {
    let market = TestMarket::start().await;
    let register = |body: Value| market.post("/api/auth/register", &body);
    let unknown = json!({ "email": "a@b", "password": PASSWORD, "name": "A", "admin": true });
    let unknown = problem(register(unknown), 422).await;
    assert_eq!(unknown["errors"][0]["pointer"], "/admin");
    assert_eq!(unknown["errors"][0]["code"], "unknown-field");
    let invalid = problem(
        register(json!({ "email": "a", "password": "b", "name": "" })),
        422,
    )
    .await;
    let pointers: Vec<_> = invalid["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["pointer"])
        .collect();
    assert_eq!(pointers, ["/email", "/password", "/name"]);
    let plain = market
        .request(reqwest::Method::POST, "/api/auth/login")
        .body("{}");
    assert_eq!(problem(plain, 415).await["code"], "unsupported-media-type");
    let broken = market
        .request(reqwest::Method::POST, "/api/auth/login")
        .body("{");
    let broken = broken.header("content-type", "application/json");
    assert_eq!(problem(broken, 400).await["code"], "malformed-request");
    let large = json!({ "email": "x".repeat(300 << 10), "password": "", "name": "" });
    assert_eq!(
        problem(register(large), 413).await["code"],
        "body-too-large"
    );
    assert_eq!(
        problem(market.get("/api/nothing"), 404).await["code"],
        "not-found"
    );
    let method = market.request(reqwest::Method::DELETE, "/api/auth/login");
    assert_eq!(problem(method, 405).await["code"], "method-not-allowed");
    for token in ["", "x", "a.b.c"] {
        let me = problem(market.get("/api/users/me").bearer_auth(token), 401).await;
        assert_eq!(me["code"], "unauthenticated");
    }
    let customer = market.customer("eve@example.com").await;
    let admin = market.get("/api/admin/inventory/x").bearer_auth(customer);
    assert_eq!(problem(admin, 403).await["code"], "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tries_too_many_passwords_has_to_wait() {
    let market = TestMarket::start_with(|options| options.logins_per_minute = Some(3)).await;
    let login = || market.post("/api/auth/login", &credentials("eve@example.com", "guess"));
    for _ in 0..3 {
        problem(login(), 401).await;
    }
    let response = expect_response(login(), 429).await;
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_tells_its_health_and_its_numbers() {
    let market = TestMarket::start().await;
    expect(market.get("/livez"), 200).await;
    until("readiness", || async {
        let status = market.get("/readyz").send().await.unwrap().status();
        (status == 200).then_some(())
    })
    .await;
    expect(market.get("/readyz"), 200).await;
    let metrics = market
        .get("/metrics")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(metrics.contains("http_requests_total{"), "{metrics}");
    let problems = market
        .get("/problems")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(problems.contains("## price-changed"));
}
