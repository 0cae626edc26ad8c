//! The demonstration catalogue of a first start.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use millrace_avro::event::{EventId, Meta};
use millrace_avro::events::inventory::InventoryCommand;
use millrace_avro::events::products::{CategoryCommand, ProductCommand};
use millrace_avro::keys::CatalogueId;
use millrace_processors::demo::{Demo, demo};
use tokio::time::timeout;

use crate::clock;
use crate::market::CATALOGUE;
use crate::ports::{Commands, LOOK, Message, Views};

/// What the catalogue is made from.
const SEED: u64 = 7;
/// How many products there are.
const PRODUCTS: usize = 300;
/// How long the catalogue may take to be for sale.
const SHOWN_LIMIT: Duration = Duration::from_secs(20);

/// Appends what is missing of the catalogue, products before all stock; answers whether anything
/// was. A start that was cut off is made good by the next; where there is stock, products that are
/// missing were deleted, and stay so.
///
/// # Errors
/// When the log does not take a command.
pub async fn seed(views: &dyn Views, commands: &Arc<dyn Commands>) -> Result<bool> {
    while !views.caught_up() {
        tokio::time::sleep(LOOK).await;
    }
    let Demo {
        categories,
        products,
        stock,
    } = demo(SEED, PRODUCTS);
    // Stock is appended when every product is in the log.
    let is_offered = stock
        .iter()
        .any(|adjust| views.stock(&adjust.sku).is_some());
    let catalogue = CatalogueId::new(CATALOGUE)?;
    let categories = categories
        .into_iter()
        .map(|put| Message::Category(catalogue.clone(), CategoryCommand::Put(put)));
    let products = products.into_iter().map(|product| {
        Message::Product(product.product_id.clone(), ProductCommand::Create(product))
    });
    let goods = categories.chain(products);
    let goods: Vec<_> = goods
        .map(|message| (!is_offered).then_some(message))
        .collect();
    let stock = stock.into_iter().map(|adjust| {
        let sku = adjust.sku.clone();
        let known = views.stock(&sku).is_some_and(|stock| {
            let mut levels = stock.view.locations.iter();
            levels.any(|level| level.location == adjust.location)
        });
        (!known).then_some(Message::Inventory(sku, InventoryCommand::Adjust(adjust)))
    });
    let mut number = 0;
    let mut count = append(commands, &mut number, goods).await?;
    count += append(commands, &mut number, stock.collect()).await?;
    if count > 0 {
        tracing::info!(commands = count, "demonstration catalogue seeded");
    }
    Ok(count > 0)
}

/// Waits until what was appended is for sale, but not for ever.
pub async fn shown(views: &dyn Views) {
    let skus = demo(SEED, PRODUCTS).stock;
    let shown = async {
        // Stock comes last.
        while skus.iter().any(|adjust| views.stock(&adjust.sku).is_none()) {
            tokio::time::sleep(LOOK).await;
        }
    };
    if timeout(SHOWN_LIMIT, shown).await.is_err() {
        tracing::warn!("the demonstration catalogue is not shown yet: do its topologies run?");
    }
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

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::{BoxFuture, ready};
    use millrace_avro::events::inventory::{AdjustStock, StockPolicy, StockView};
    use millrace_streams::log::{Position, TopicPartition};
    use parking_lot::Mutex;

    use super::*;
    use crate::live::memory::{Change, MemoryViews};
    use crate::ports::{Place, PortError};

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<(EventId, Message)>>);

    impl Commands for Heard {
        fn append(
            &self,
            meta: Meta,
            message: Message,
        ) -> BoxFuture<'static, Result<Position, PortError>> {
            self.0.lock().push((meta.id, message));
            let partition = TopicPartition::new("commands", 0);
            ready(Ok(Position {
                partition,
                offset: 0,
            }))
            .boxed()
        }
    }

    async fn seeded(views: &MemoryViews) -> Vec<(EventId, Message)> {
        let heard = Arc::new(Heard::default());
        let commands: Arc<dyn Commands> = heard.clone();
        seed(views, &commands).await.unwrap();
        heard.0.lock().clone()
    }

    fn stock(adjust: &AdjustStock) -> StockView {
        StockView {
            sku: adjust.sku.clone(),
            policy: StockPolicy::Deny,
            low_stock_threshold: 0,
            on_hand: 0,
            reserved: 0,
            available: 0,
            locations: Vec::new(),
            movements: Vec::new(),
            version: 1,
            updated_at: String::new(),
        }
    }

    #[tokio::test]
    async fn what_was_deleted_stays_away_and_what_is_missing_comes_with_its_old_id() {
        let views = MemoryViews::new();
        views.set_caught_up();
        let first = seeded(&views).await;
        assert_eq!(seeded(&views).await, first);
        // every product is gone again, all but one SKU have stock
        let mut adjusts = first.iter().filter_map(|(_, message)| match message {
            Message::Inventory(_, InventoryCommand::Adjust(adjust)) => Some(adjust),
            _ => None,
        });
        let missing = adjusts.next().unwrap().sku.clone();
        for adjust in adjusts.filter(|adjust| adjust.sku != missing) {
            views.apply(
                Change::Stock(adjust.sku.clone(), stock(adjust)),
                Place::default(),
            );
        }
        let again = seeded(&views).await;
        let products = again
            .iter()
            .filter(|(_, message)| matches!(message, Message::Product(..)));
        assert!(products.count() <= 1);
        assert!(again.iter().all(|command| first.contains(command)));
    }
}
