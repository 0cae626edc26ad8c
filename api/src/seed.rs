//! The demonstration catalogue of a first start.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use millrace_avro::event::{EventId, Meta};
use millrace_avro::events::inventory::InventoryCommand;
use millrace_avro::events::products::{CategoryCommand, ProductCommand};
use millrace_avro::keys::{CatalogueId, Sku};
use millrace_processors::demo::{Demo, demo};
use tokio::time::timeout;

use crate::clock;
use crate::market::CATALOGUE;
use crate::ports::{Commands, Message, Views};

/// What the catalogue is made from.
const SEED: u64 = 7;
/// How many products there are.
const PRODUCTS: usize = 300;
/// How long the catalogue may take to be for sale.
const SHOWN_LIMIT: Duration = Duration::from_secs(20);
/// How often the views are looked at while they catch up.
const LOOK: Duration = Duration::from_millis(20);

/// Appends the catalogue if there is no product yet, and waits until it is for sale. Its commands have the same ids each time, so
/// a start that was cut off is made good by the next.
///
/// # Errors
/// When the log does not take a command.
pub async fn seed(views: &dyn Views, commands: &Arc<dyn Commands>) -> Result<()> {
    while !views.caught_up() {
        tokio::time::sleep(LOOK).await;
    }
    if views.products().len() >= PRODUCTS {
        return Ok(());
    }
    let Demo {
        categories,
        products,
        stock,
    } = demo(SEED, PRODUCTS);
    let skus: BTreeSet<Sku> = stock.iter().map(|adjust| adjust.sku.clone()).collect();
    let catalogue = CatalogueId::new(CATALOGUE)?;
    let messages = categories
        .into_iter()
        .map(|put| Message::Category(catalogue.clone(), CategoryCommand::Put(put)))
        .chain(products.into_iter().map(|product| {
            Message::Product(product.product_id.clone(), ProductCommand::Create(product))
        }))
        .chain(stock.into_iter().map(|adjust| {
            Message::Inventory(adjust.sku.clone(), InventoryCommand::Adjust(adjust))
        }));
    let appended = messages.enumerate().map(|(number, message)| {
        let meta = Meta::new(
            EventId::new(format!("demo-{SEED}-{number}")),
            "/demo",
            clock::now(),
        );
        commands.append(meta, message)
    });
    let count = try_join_all(appended).await?.len();
    tracing::info!(commands = count, "demonstration catalogue seeded");
    let shown = async {
        while views.products().len() < PRODUCTS || skus.iter().any(|sku| views.stock(sku).is_none())
        {
            tokio::time::sleep(LOOK).await;
        }
    };
    if timeout(SHOWN_LIMIT, shown).await.is_err() {
        tracing::warn!("the demonstration catalogue is not shown yet: do its topologies run?");
    }
    Ok(())
}
