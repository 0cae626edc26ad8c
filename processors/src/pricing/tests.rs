//! Pricing, by examples and by its laws.

use millrace_avro::keys::{ProductId, Sku};
use proptest::prelude::*;

use super::*;

fn line(unit_price: i64, quantity: i64, tax_ppm: i64) -> PlacedLine {
    PlacedLine {
        sku: Sku::new("sku").unwrap(),
        product_id: ProductId::new("product").unwrap(),
        name: "A thing".to_owned(),
        quantity,
        unit_price: Money::new(unit_price, Currency::EUR),
        tax_rate: Rate::ppm(tax_ppm),
    }
}

fn percent(ppm: i64) -> Discount {
    Discount {
        code: "off".to_owned(),
        percent_off: Some(Rate::ppm(ppm)),
        amount_off: None,
    }
}

fn priced(lines: &[PlacedLine], discounts: &[Discount], shipping: i64) -> Priced {
    price(&Basket {
        currency: Currency::EUR,
        lines,
        discounts,
        shipping: Money::new(shipping, Currency::EUR),
        shipping_tax_rate: Rate::percent("19").unwrap(),
    })
    .unwrap()
}

#[test]
fn a_basket_costs_lines_less_discount_plus_tax_and_shipping() {
    let lines = [line(1999, 2, 190_000), line(500, 1, 70_000)];
    let totals = priced(&lines, &[percent(100_000)], 490).totals;
    let minor = [
        totals.subtotal,
        totals.discount,
        totals.tax,
        totals.shipping,
        totals.total,
    ]
    .map(|money| money.minor);
    assert_eq!(
        minor,
        [4498, 450, 684 + 32 + 93, 490, 4498 - 450 + 809 + 490]
    );
}

#[test]
fn a_discount_never_takes_more_than_there_is() {
    let all = Discount {
        code: "gift".to_owned(),
        percent_off: None,
        amount_off: Some(Money::new(10_000, Currency::EUR)),
    };
    let totals = priced(&[line(100, 1, 190_000)], &[percent(500_000), all], 0).totals;
    assert_eq!((totals.discount.minor, totals.total.minor), (100, 0));
}

#[test]
fn an_amount_of_another_currency_is_an_error() {
    let foreign = PlacedLine {
        unit_price: Money::new(1, Currency::USD),
        ..line(1, 1, 0)
    };
    let basket = Basket {
        currency: Currency::EUR,
        lines: &[foreign],
        discounts: &[],
        shipping: Money::zero(Currency::EUR),
        shipping_tax_rate: Rate::ZERO,
    };
    assert!(price(&basket).is_err());
}

#[test]
fn a_rise_is_told_from_a_fall() {
    let euro = |minor| Money::new(minor, Currency::EUR);
    assert!(has_risen(Some(euro(99)), euro(100)));
    assert!(!has_risen(Some(euro(100)), euro(100)));
    assert!(!has_risen(Some(euro(101)), euro(100)));
    assert!(!has_risen(None, euro(100)));
    assert!(has_risen(Some(Money::new(100, Currency::USD)), euro(100)));
}

proptest! {
    #[test]
    fn lines_sum_to_the_order_to_the_minor_unit(
        lines in prop::collection::vec((0_i64..1_000_000, 1_i64..50, 0_i64..300_000), 1..12),
        off in prop::collection::vec(0_i64..1_000_000, 0..3),
        shipping in 0_i64..10_000,
    ) {
        let lines: Vec<_> = lines.into_iter().map(|(p, q, t)| line(p, q, t)).collect();
        let off: Vec<_> = off.into_iter().map(percent).collect();
        let Priced { lines, totals } = priced(&lines, &off, shipping);
        let sum = |amount: fn(&OrderLine) -> Money| lines.iter().map(|l| amount(l).minor).sum::<i64>();
        prop_assert_eq!(sum(|l| l.line_total), totals.subtotal.minor);
        prop_assert_eq!(sum(|l| l.discount), totals.discount.minor);
        let shipping_tax = totals.tax.minor - sum(|l| l.tax);
        prop_assert!((shipping_tax * 100 - shipping * 19).abs() <= 50);
        prop_assert!(lines.iter().all(|l| l.discount.minor <= l.line_total.minor));
        prop_assert_eq!(
            totals.total.minor,
            totals.subtotal.minor - totals.discount.minor + totals.tax.minor + shipping
        );
    }

    #[test]
    fn the_pieces_of_a_line_cost_what_the_line_costs(
        price in 0_i64..100_000, first in 1_i64..20, second in 1_i64..20,
    ) {
        let line = priced(&[line(price, first + second, 190_000)], &[], 0).lines.remove(0);
        let whole = share_of_line(&line, 0, first + second).unwrap();
        let parts = [share_of_line(&line, 0, first), share_of_line(&line, first, second)];
        let sum: i64 = parts.into_iter().map(|part| part.unwrap().minor).sum();
        prop_assert_eq!(whole.minor, line.line_total.minor + line.tax.minor);
        prop_assert_eq!(sum, whole.minor);
    }
}
