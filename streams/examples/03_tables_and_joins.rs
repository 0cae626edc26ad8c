//! Lesson 3, tables: a stream meets what is known now, in the partition of its key or everywhere.
//!
//! `cargo run -p millrace-streams --example 03_tables_and_joins`

use std::error::Error;

use millrace_streams::{Store, Timestamp, Topic, Topology, TopologyTestDriver};

/// Sales by SKU; the value is the country of the buyer.
const SALES: Topic<String, String> = Topic::new("sales");
/// Prices by SKU, in cents.
const PRICES: Topic<String, u64> = Topic::new("prices").compacted();
const PRICE: Store<String, u64> = Store::new("price-by-sku");
/// Tax by country, in percent: few records, which every task needs.
const TAXES: Topic<String, u64> = Topic::new("taxes").compacted();
const TAX: Store<String, u64> = Store::new("tax-by-country");

const REVENUE: Topic<String, u64> = Topic::new("revenue-by-country");
const TOTAL: Store<String, u64> = Store::new("revenue");

pub fn main() -> Result<(), Box<dyn Error>> {
    // sales -+- join -+- join-global -> (by-country) -> [revenue] -> revenue-by-country
    // prices -> [price-by-sku] +         |
    // taxes -> [tax-by-country], everywhere
    let topology = Topology::define("revenue", |t| {
        let prices = t.table(PRICES, PRICE);
        let taxes = t.global_table(TAXES, TAX);
        t.stream(SALES)
            .join(prices, |country, price| (country.clone(), *price))
            .left_join_global(
                taxes,
                |_, (country, _)| country.clone(),
                |(country, price), percent| {
                    let tax = price * percent.copied().unwrap_or(0) / 100;
                    (country.clone(), price + tax)
                },
            )
            .select_key(|_, (country, _)| country.clone())
            .map_values(|_, (_, gross)| *gross)
            .repartition("by-country")
            .reduce(TOTAL, |sum, gross| sum + gross)
            .to(REVENUE);
    })?;

    let mut driver = TopologyTestDriver::new(&topology)?;
    let at = Timestamp::from_millis(0);
    let text = str::to_owned;
    driver.input(TAXES).pipe(&text("DE"), &19, at)?;
    driver.input(PRICES).pipe(&text("mug"), &1_000, at)?;
    let sales = [("mug", "DE"), ("mug", "US"), ("vase", "DE"), ("mug", "DE")];
    let sales = sales.map(|(sku, country)| (text(sku), text(country)));
    driver.input(SALES).pipe_all(sales, at)?;

    // Nobody knows a price of the vase: its sale is dropped by the inner join.
    let revenue = driver.output(REVENUE).read_to_map()?;
    println!("{revenue:?}");
    assert_eq!(revenue, [(text("DE"), 2_380), (text("US"), 1_000)].into());
    Ok(())
}
