//! The documented routes are those that there are, for those whom the document names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use reqwest::Method;
use serde_json::Value;

use crate::support::*;

const DOCUMENT: &str = include_str!("../../docs/routes.md");

/// A route as it is documented.
struct Route {
    method: Method,
    path: &'static str,
    who: &'static str,
}

fn documented() -> Vec<Route> {
    let rows = DOCUMENT.lines().filter(|line| line.contains("/"));
    let routes = rows.filter_map(|row| {
        let mut cells = row.strip_prefix("| `")?.split(" | ");
        let (method, path) = cells.next()?.trim_end_matches('`').split_once(' ')?;
        Some(Route {
            method: method.parse().ok()?,
            path,
            who: cells.next()?,
        })
    });
    routes.collect()
}

/// Every path that a source below `folder` gives to a router.
fn routed(folder: &Path, paths: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            routed(&path, paths);
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let after = source.split(".route(").skip(1);
        let literals = after.filter_map(|text| text.trim_start().strip_prefix('"'));
        paths.extend(literals.filter_map(|text| Some(text.split_once('"')?.0.to_owned())));
    }
}

fn concrete(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{gateway}" => "simulator",
        part if part.starts_with('{') => "none",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_is_documented() {
    let mut paths = BTreeSet::new();
    routed(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut paths,
    );
    let known: BTreeSet<_> = documented().iter().map(|it| it.path.to_owned()).collect();
    assert!(known.len() > 30);
    assert_eq!(paths, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_documented_path_has_the_methods_that_are_documented() {
    let (market, _) = TestMarket::paying(1, |_| ()).await;
    let mut methods: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for route in documented() {
        let of_path = methods.entry(route.path).or_default();
        of_path.insert(route.method.to_string());
        if route.method == Method::GET {
            of_path.insert("HEAD".to_owned());
        }
    }
    for (path, methods) in methods {
        let request = market.request(Method::TRACE, &concrete(path));
        let refused = expect_response(request, 405).await;
        let allowed = refused.headers()["allow"].to_str().unwrap();
        let allowed = allowed.split(',').map(|it| it.trim().to_owned());
        assert_eq!(allowed.collect::<BTreeSet<_>>(), methods, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_documented_route_is_open_to_those_who_are_documented() {
    let (market, _) = TestMarket::paying(1, |_| ()).await;
    let ada = market.customer("ada@example.com").await;
    for Route { method, path, who } in documented() {
        let request = || market.request(method.clone(), &concrete(path));
        let nobody = code(request()).await;
        let customer = code(request().bearer_auth(&ada)).await;
        let expected = match who {
            "anybody" | "guest or customer" => (false, false),
            "customer" => (true, false),
            "administrator" => (true, true),
            _ => panic!("{method} {path}: who is `{who}`?"),
        };
        let refused = (nobody == "unauthenticated", customer == "forbidden");
        assert_eq!(refused, expected, "{method} {path}: {nobody}, {customer}");
    }
}

/// The code of the problem that is answered; null for none.
async fn code(request: reqwest::RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    let kind = response.headers().get("content-type");
    match kind.is_some_and(|kind| kind == "application/problem+json") {
        true => body(response).await["code"].clone(),
        false => Value::Null,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_points_to_where_to_begin() {
    let market = TestMarket::start().await;
    let root = expect(market.get("/"), 200).await;
    let links = root["links"].as_object().unwrap();
    assert!(links.contains_key("routes") && links.contains_key("products"));
    for (name, path) in links {
        let told = market.get(path.as_str().unwrap()).send().await.unwrap();
        assert!(matches!(told.status().as_u16(), 200 | 503), "{name}");
    }
    let page = market.get("/routes").send().await.unwrap();
    assert_eq!(page.text().await.unwrap(), DOCUMENT);
}
