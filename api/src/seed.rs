//! The demonstration catalogue of a first start.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use millrace_avro::event::{EventId, Meta};
use millrace_avro::events::inventory::InventoryCommand;
use millrace_avro::events::products::{CategoryCommand, CreateProduct, ProductCommand};
use millrace_avro::keys::CatalogueId;
use millrace_processors::demo::{Demo, demo};

use crate::clock;
use crate::market::CATALOGUE;
use crate::ports::{Commands, Message, Views};

/// What the catalogue is made from.
const SEED: u64 = 7;
/// How many products there are.
const PRODUCTS: usize = 300;
/// How often the views are looked at while they catch up.
const LOOK: Duration = Duration::from_millis(20);

/// Appends what is missing of the catalogue, products before their stock. A start that was cut off
/// is made good by the next; what an administrator has deleted, its stock tells from what was never
/// there, and it stays away.
///
/// # Errors
/// When the log does not take a command.
pub async fn seed(views: &dyn Views, commands: &Arc<dyn Commands>) -> Result<()> {
    while !views.caught_up() {
        tokio::time::sleep(LOOK).await;
    }
    let Demo {
        categories,
        products,
        stock,
    } = demo(SEED, PRODUCTS);
    let is_new = |product: &CreateProduct| {
        let mut variants = product.draft.variants.iter();
        views.product(&product.product_id).is_none()
            && variants.all(|variant| views.stock(&variant.sku).is_none())
    };
    let is_whole = !products.iter().any(is_new);
    let catalogue = CatalogueId::new(CATALOGUE)?;
    let categories = categories.into_iter().map(|put| {
        let known = is_whole || views.category(&put.category_id).is_some();
        let message = Message::Category(catalogue.clone(), CategoryCommand::Put(put));
        (!known).then_some(message)
    });
    let products = products.into_iter().map(|product| {
        let id = product.product_id.clone();
        is_new(&product).then(|| Message::Product(id, ProductCommand::Create(product)))
    });
    let stock = stock.into_iter().map(|adjust| {
        let sku = adjust.sku.clone();
        let known = views.stock(&sku).is_some_and(|stock| {
            let mut levels = stock.view.locations.iter();
            levels.any(|level| level.location == adjust.location)
        });
        (!known).then(|| Message::Inventory(sku, InventoryCommand::Adjust(adjust)))
    });
    let mut number = 0;
    let goods: Vec<_> = categories.chain(products).collect();
    let mut count = append(commands, &mut number, goods).await?;
    count += append(commands, &mut number, stock.collect()).await?;
    if count > 0 {
        tracing::info!(commands = count, "demonstration catalogue seeded");
    }
    Ok(())
}

/// Appends what there is of `messages`; their places among all make their ids. Answers how many.
async fn append(
    commands: &Arc<dyn Commands>,
    number: &mut usize,
    messages: Vec<Option<Message>>,
) -> Result<usize> {
    let first = *number;
    *number += messages.len();
    let messages = messages.into_iter().enumerate();
    let appended = messages.filter_map(|(place, message)| {
        let id = EventId::new(format!("demo-{SEED}-{}", first + place));
        let meta = Meta::new(id, "/demo", clock::now());
        message.map(|message| commands.append(meta, message))
    });
    Ok(try_join_all(appended).await?.len())
}
