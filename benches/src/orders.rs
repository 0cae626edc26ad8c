//! How long an order takes: from the moment it is sent until it is acknowledged, and until it is
//! confirmed, as its buyer sees it over HTTP.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use millrace_deploy::market::{Answer, Buyer, Shop};
use serde_json::Value;

use crate::clock::now;

/// How long an order may take.
const CONFIRMED_WITHIN_S: u64 = 30;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The market, with its demonstration catalogue and `MILLRACE_RATE_LIMITS=off`.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// How many buy at the same time, each one order after the other.
    #[arg(long, value_name = "N", default_value_t = 8)]
    clients: usize,
    /// How many orders each of them places.
    #[arg(long, value_name = "N", default_value_t = 50)]
    orders: usize,
    /// The mean pause of a client between two orders, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pause_ms: u64,
}

/// The two waits of one order.
#[derive(Clone, Copy, Debug)]
struct Sample {
    acknowledged: Duration,
    confirmed: Duration,
}

/// Buys, and prints a table.
///
/// # Errors
/// When the market does not answer, or an order is not confirmed.
pub fn run(options: &Options) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(measure(options))
}

async fn measure(options: &Options) -> Result<()> {
    let shop = Shop::new(&options.url);
    let skus = skus(&shop).await?;
    let clients = (0..options.clients).map(|number| {
        let (shop, skus) = (&shop, &skus);
        async move {
            let buyer = shop.buyer(&format!("bench-{number}@example.com")).await?;
            let started = std::process::id().to_string();
            Ok::<_, anyhow::Error>(Client {
                number,
                started,
                buyer,
                skus,
            })
        }
    });
    let clients: Vec<Client<'_>> = try_join_all(clients).await?;
    // The first order of each pays for connections and caches; it is not counted.
    try_join_all(clients.iter().map(|client| client.buy(usize::MAX))).await?;
    let began = now();
    let samples = try_join_all(clients.iter().map(|client| client.buy_all(options))).await?;
    let took = began.elapsed();
    let samples: Vec<Sample> = samples.into_iter().flatten().collect();
    report(options, &samples, took);
    Ok(())
}

/// What is for sale, the most plentiful first.
async fn skus(shop: &Shop) -> Result<Vec<String>> {
    let page = products(shop).await?;
    let products = page["items"].as_array().context("no products")?;
    let variants = products
        .iter()
        .flat_map(|product| product["variants"].as_array());
    let mut found: Vec<(i64, &str)> = variants
        .flatten()
        .filter_map(|variant| Some((variant["available"].as_i64()?, variant["sku"].as_str()?)))
        .collect();
    found.sort_unstable_by_key(|(available, _)| -available);
    ensure!(
        !found.is_empty(),
        "nothing is for sale: start the market with its demonstration"
    );
    Ok(found.into_iter().map(|(_, sku)| sku.to_owned()).collect())
}

async fn products(shop: &Shop) -> Result<Value> {
    let request = shop.get("/api/products?in_stock=true&limit=100");
    Answer::to(request).await?.expect(200)
}

struct Client<'a> {
    number: usize,
    /// Tells the keys of this run from those of another.
    started: String,
    buyer: Buyer,
    skus: &'a [String],
}

impl Client<'_> {
    async fn buy_all(&self, options: &Options) -> Result<Vec<Sample>> {
        let mut samples = Vec::with_capacity(options.orders);
        for round in 0..options.orders {
            samples.push(self.buy(round).await?);
            // Spread, so that the clients do not march in step.
            let spread = (self.number + round) as u64 % 3;
            let pause = Duration::from_millis(options.pause_ms * (spread + 1) / 2);
            tokio::time::sleep(pause).await;
        }
        Ok(samples)
    }

    async fn buy(&self, round: usize) -> Result<Sample> {
        self.fill_cart(round).await?;
        let key = format!("{}-{}-{round}", self.started, self.number);
        let sent = now();
        let placed = self.buyer.place("pm_ok", &key).await?;
        let acknowledged = sent.elapsed();
        // 202: the log has it, and it is not seen yet.
        let is_placed = matches!(placed.status, 201 | 202);
        ensure!(is_placed, "{} {}", placed.status, placed.body);
        let order = self.buyer.order(placed.id(), CONFIRMED_WITHIN_S).await?;
        let confirmed = sent.elapsed();
        ensure!(
            order.status == "confirmed",
            "{} is {}",
            order.id,
            order.status
        );
        Ok(Sample {
            acknowledged,
            confirmed,
        })
    }

    /// One of something that there still is.
    async fn fill_cart(&self, round: usize) -> Result<()> {
        let begin = self.number.wrapping_mul(7).wrapping_add(round) % self.skus.len();
        for sku in self.skus.iter().cycle().skip(begin).take(self.skus.len()) {
            if self.buyer.put_in_cart(sku, 1).await?.status == 200 {
                return Ok(());
            }
        }
        anyhow::bail!("everything is sold out")
    }
}

fn report(options: &Options, samples: &[Sample], took: Duration) {
    let rate = samples.len() as f64 / took.as_secs_f64();
    println!(
        "{} clients, {} orders, {rate:.0} orders/s",
        options.clients,
        samples.len()
    );
    println!(
        "{:<24} {:>9} {:>9} {:>9} {:>9}",
        "from sent, ms", "p50", "p95", "p99", "worst"
    );
    row(
        "to acknowledged",
        samples.iter().map(|sample| sample.acknowledged),
    );
    row(
        "to confirmed",
        samples.iter().map(|sample| sample.confirmed),
    );
}

fn row(name: &str, times: impl Iterator<Item = Duration>) {
    let mut times: Vec<f64> = times.map(|time| time.as_secs_f64() * 1000.0).collect();
    times.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (times.len() as f64 * share) as usize;
        times
            .get(place.min(times.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    let (p50, p95, p99, worst) = (at(0.5), at(0.95), at(0.99), at(1.0));
    println!("{name:<24} {p50:>9.1} {p95:>9.1} {p99:>9.1} {worst:>9.1}");
}
