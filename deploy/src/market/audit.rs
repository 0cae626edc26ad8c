//! Whether every promise was kept, and money and goods add up: seen from outside, over HTTP, and by
//! the market's own auditor.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use super::{Audited, Buyer, Charge, Order, Promises, Shop};

/// The pause between two looks at a market that settles.
const LOOK: Duration = Duration::from_millis(100);

/// How many findings a message names.
const SHOWN: usize = 20;

/// Where an order stays when nobody ships it, and whether its goods are kept for it and paid.
const SETTLED: [(&str, bool); 5] = [
    ("confirmed", true),
    ("rejected", false),
    ("cancelled", false),
    ("expired", false),
    ("payment_failed", false),
];

/// Who was promised what, and what there was to sell.
#[derive(Clone, Debug)]
pub struct Claims<'a> {
    /// The market that is audited.
    pub shop: &'a Shop,
    /// Everyone who has ordered.
    pub buyers: &'a [Buyer],
    /// What they were told.
    pub promises: &'a Promises,
    /// The administrator.
    pub admin: &'a Buyer,
    /// How many of each SKU were received, when nothing was shipped.
    pub received: &'a [(String, i64)],
}

/// How the orders ended.
pub type Outcomes = BTreeMap<String, usize>;

/// Waits until every order has settled, everything adds up, and the market's own auditor has heard
/// everything and found nothing; how many orders ended where.
///
/// # Errors
/// What does not add up, when it does not within `limit`.
pub async fn settles(claims: &Claims<'_>, limit: Duration) -> Result<Outcomes> {
    let deadline = Instant::now() + limit;
    loop {
        let (outcomes, findings) = look(claims).await?;
        if findings.is_empty() {
            return Ok(outcomes);
        }
        if Instant::now() > deadline {
            let shown: Vec<_> = findings.iter().take(SHOWN).cloned().collect();
            bail!(
                "{} findings after {limit:?}: {outcomes:?}\n{}",
                findings.len(),
                shown.join("\n")
            );
        }
        sleep(LOOK).await;
    }
}

/// How the orders stand, and everything that does not add up now.
///
/// # Errors
/// When the market does not answer.
pub async fn look(claims: &Claims<'_>) -> Result<(Outcomes, Vec<String>)> {
    let mut findings = Vec::new();
    let mut orders = Vec::new();
    for (number, buyer) in claims.buyers.iter().enumerate() {
        let found = buyer.orders().await?;
        let promised = claims.promises.orders.get(number);
        promises(
            number,
            promised.map_or(&[], Vec::as_slice),
            &found,
            &mut findings,
        );
        orders.extend(found);
    }
    let mut outcomes = Outcomes::new();
    for order in &orders {
        *outcomes.entry(order.status.clone()).or_default() += 1;
        steps(order, &mut findings);
    }
    money(&orders, &claims.shop.ledger().await?, &mut findings);
    goods(claims, &orders, &mut findings).await?;
    auditor(&claims.admin.audited().await?, &mut findings);
    Ok((outcomes, findings))
}

/// Every acknowledged order is there, once, and none that nobody asked for.
fn promises(buyer: usize, promised: &[String], found: &[Order], findings: &mut Vec<String>) {
    let promised: BTreeSet<_> = promised.iter().map(String::as_str).collect();
    let present: BTreeSet<_> = found.iter().map(|order| order.id.as_str()).collect();
    for lost in promised.difference(&present) {
        findings.push(format!("order {lost} of buyer {buyer} is lost"));
    }
    for surplus in present.difference(&promised) {
        findings.push(format!(
            "order {surplus} of buyer {buyer} was never promised"
        ));
    }
    if present.len() != found.len() {
        findings.push(format!("buyer {buyer} has an order twice"));
    }
}

/// An order has settled, and nothing has happened to it twice.
fn steps(order: &Order, findings: &mut Vec<String>) {
    if kept(order).is_none() {
        findings.push(format!("order {} is still {}", order.id, order.status));
    }
    let ids: BTreeSet<_> = order.timeline.iter().map(|step| &step.id).collect();
    if ids.len() != order.timeline.len() {
        findings.push(format!("order {} has an event twice", order.id));
    }
}

fn kept(order: &Order) -> Option<bool> {
    let found = SETTLED.iter().find(|(status, _)| *status == order.status);
    found.map(|(_, kept)| *kept)
}

/// One charge per attempt, and every order has paid exactly for what is kept for it.
fn money(orders: &[Order], ledger: &[Charge], findings: &mut Vec<String>) {
    let mut charges: HashMap<&str, Vec<&Charge>> = HashMap::new();
    let (mut keys, mut attempts) = (BTreeSet::new(), BTreeSet::new());
    for charge in ledger {
        charges.entry(&charge.order_id).or_default().push(charge);
        if !keys.insert(&charge.idempotency_key) || !attempts.insert(&charge.payment_id) {
            findings.push(format!("payment {} was charged twice", charge.payment_id));
        }
    }
    for order in orders {
        let of_order = charges.remove(order.id.as_str()).unwrap_or_default();
        let taken = of_order
            .iter()
            .map(|c| c.captured.minor - c.refunded.minor)
            .sum::<i64>();
        let due = match kept(order) {
            Some(true) => order.totals.total.minor,
            _ => 0,
        };
        if taken != due {
            let (id, status) = (&order.id, &order.status);
            findings.push(format!(
                "order {id} is {status} and has paid {taken} of {due}"
            ));
        }
    }
    for (order, _) in charges {
        findings.push(format!("charge for order {order}, which nobody has"));
    }
}

/// What lies there is what came; what is reserved is what orders keep.
async fn goods(claims: &Claims<'_>, orders: &[Order], findings: &mut Vec<String>) -> Result<()> {
    let mut wanted: HashMap<&str, i64> = HashMap::new();
    for order in orders.iter().filter(|order| kept(order) == Some(true)) {
        for line in &order.items {
            *wanted.entry(&line.sku).or_default() += line.quantity;
        }
    }
    for (sku, received) in claims.received {
        let stock = claims.admin.stock(sku).await?;
        let moved: i64 = stock.movements.iter().map(|movement| movement.delta).sum();
        let reserved = wanted.get(sku.as_str()).copied().unwrap_or_default();
        let expected = (*received, *received, reserved, received - reserved);
        let found = (stock.on_hand, moved, stock.reserved, stock.available);
        if found != expected || stock.available < 0 {
            let what = "(on hand, moved, reserved, available)";
            findings.push(format!("{sku}: {what} is {found:?}, not {expected:?}"));
        }
    }
    Ok(())
}

/// The market's own auditor has heard every fact, and none contradicts another.
fn auditor(audited: &Audited, findings: &mut Vec<String>) {
    match audited.behind {
        Some(0) => {}
        Some(behind) => findings.push(format!("the auditor has not heard {behind} records yet")),
        None => findings.push("nobody knows how far the auditor is".to_owned()),
    }
    let found = audited.items.iter().map(|violation| {
        let (invariant, about) = (violation.invariant, &violation.about);
        let detail = &violation.detail;
        format!("the auditor: invariant {invariant} does not hold for {about}: {detail}")
    });
    findings.extend(found);
}
