//! A catalogue to begin with: a few hundred products, made from a seed.
//!
//! The same seed makes the same commands, ids included, so seeding twice changes nothing.
//!
//! ```
//! use millrace_processors::demo::{Demo, demo};
//!
//! let Demo { categories, products, stock } = demo(7, 300);
//! assert_eq!((products.len(), categories.len()), (300, 25));
//! assert!(stock.len() > products.len());
//! ```

mod words;

use std::collections::BTreeMap;

use millrace_avro::events::inventory::AdjustStock;
use millrace_avro::events::products::{CreateProduct, ProductDraft, PutCategory, Variant};
use millrace_avro::keys::{CategoryId, LocationId, ProductId, Sku};
use millrace_avro::money::{Currency, Money, Rate};

use words::{COLOURS, DEPARTMENTS, Department, Kind, LOCATIONS, MATERIALS, MOODS, SIZES};

/// The commands that make the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Demo {
    /// The tree of categories, parents first.
    pub categories: Vec<PutCategory>,
    /// The products.
    pub products: Vec<CreateProduct>,
    /// What lies where at the beginning.
    pub stock: Vec<AdjustStock>,
}

/// Makes a catalogue of `products` products.
pub fn demo(seed: u64, products: usize) -> Demo {
    let mut dice = Dice(seed);
    let kinds: Vec<(&Department, &Kind)> = DEPARTMENTS
        .iter()
        .flat_map(|department| department.kinds.iter().map(move |kind| (department, kind)))
        .collect();
    let mut made = Vec::with_capacity(products);
    let mut stock = Vec::new();
    for number in 0..products {
        let (department, kind) = kinds[number % kinds.len()];
        let product = product(&mut dice, department, kind, number);
        for variant in &product.draft.variants {
            stock.extend(stock_of(&mut dice, &variant.sku));
        }
        made.push(product);
    }
    Demo {
        categories: categories(),
        products: made,
        stock,
    }
}

fn categories() -> Vec<PutCategory> {
    let mut all = Vec::new();
    for (place, department) in (0..).zip(DEPARTMENTS) {
        all.push(category(department.id, department.name, None, place));
        for (place, kind) in (0..).zip(department.kinds) {
            let id = category_id(department, kind);
            all.push(category(&id, kind.plural, Some(department.id), place));
        }
    }
    all
}

fn category(id: &str, name: &str, parent: Option<&str>, position: i64) -> PutCategory {
    PutCategory {
        category_id: key(id, CategoryId::new),
        name: name.to_owned(),
        parent_id: parent.map(|parent| key(parent, CategoryId::new)),
        position,
    }
}

fn category_id(department: &Department, kind: &Kind) -> String {
    format!("{}-{}", department.id, slug(kind.plural))
}

fn product(dice: &mut Dice, department: &Department, kind: &Kind, number: usize) -> CreateProduct {
    let (mood, material) = (dice.pick(MOODS), dice.pick(MATERIALS));
    let name = format!("{mood} {material} {}", kind.singular);
    let price = dice.between(kind.price.0, kind.price.1) * 100 + 99;
    let number = number + 1;
    CreateProduct {
        product_id: key(&format!("prd-{number:04}"), ProductId::new),
        draft: ProductDraft {
            description: format!(
                "A {} {} of {}, made for everyday use. Part of our {} range.",
                mood.to_lowercase(),
                kind.singular.to_lowercase(),
                material.to_lowercase(),
                department.name.to_lowercase(),
            ),
            category_id: key(&category_id(department, kind), CategoryId::new),
            brand: Some(dice.pick(words::BRANDS).to_owned()),
            tags: vec![slug(mood), slug(material), slug(kind.singular)],
            images: vec![format!("/assets/demo/{}.svg", slug(kind.singular))],
            tax_rate: Rate::basis_points(department.tax_basis_points),
            variants: variants(dice, kind, number, price),
            active: true,
            name,
        },
    }
}

fn variants(dice: &mut Dice, kind: &Kind, number: usize, price: i64) -> Vec<Variant> {
    let colours = dice.between(1, 3);
    let first = dice.between(0, 7);
    let sizes: &[&str] = if kind.sized { SIZES } else { &[""] };
    let mut all = Vec::new();
    for colour in (first..first + colours).map(|index| COLOURS[index as usize % COLOURS.len()]) {
        for (step, size) in (0..).zip(sizes) {
            let mut options = BTreeMap::from([("colour".to_owned(), colour.to_owned())]);
            let mut sku = format!("SKU-{number:04}-{}", colour[..3].to_uppercase());
            if !size.is_empty() {
                options.insert("size".to_owned(), (*size).to_owned());
                sku = format!("{sku}-{size}");
            }
            all.push(Variant {
                sku: key(&sku, Sku::new),
                options,
                // A larger size costs a little more.
                price: Money::new(price + step * 100, Currency::EUR),
            });
        }
    }
    all
}

/// Every SKU lies in one to three places; one in twenty is sold out.
fn stock_of(dice: &mut Dice, sku: &Sku) -> Vec<AdjustStock> {
    let sold_out = dice.between(0, 19) == 0;
    let places = if sold_out { 0 } else { dice.between(1, 3) };
    let places = LOCATIONS.iter().take(usize::try_from(places).unwrap_or(0));
    places
        .map(|location| AdjustStock {
            sku: sku.clone(),
            location: key(location, LocationId::new),
            delta: dice.between(5, 120),
            reason: "seeded".to_owned(),
        })
        .collect()
}

fn slug(text: &str) -> String {
    text.to_lowercase().replace(' ', "-")
}

fn key<K, E: std::fmt::Debug>(text: &str, make: impl Fn(&str) -> Result<K, E>) -> K {
    // Invariant: the words of the catalogue are short and have no control characters.
    make(text).expect("a word of the catalogue is a key")
}

/// A small generator of numbers: Steele and Vigna's `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of `low..=high`, of small non-negative numbers.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high - low + 1).unwrap_or(1).max(1);
        low + i64::try_from(self.next() % span).unwrap_or(0)
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        let last = i64::try_from(words.len()).unwrap_or(1) - 1;
        let index = usize::try_from(self.between(0, last)).unwrap_or(0);
        words[index]
    }
}

#[cfg(test)]
mod tests;
