//! The words that the demonstration catalogue is made of.

/// A part of the shop.
pub(super) struct Department {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) tax_basis_points: i32,
    pub(super) kinds: &'static [Kind],
}

/// A kind of thing.
pub(super) struct Kind {
    pub(super) singular: &'static str,
    pub(super) plural: &'static str,
    /// The cheapest and the dearest, in whole units of the currency.
    pub(super) price: (i64, i64),
    pub(super) sized: bool,
}

const fn kind(singular: &'static str, plural: &'static str, price: (i64, i64)) -> Kind {
    Kind {
        singular,
        plural,
        price,
        sized: false,
    }
}

const fn sized(singular: &'static str, plural: &'static str, price: (i64, i64)) -> Kind {
    Kind {
        sized: true,
        ..kind(singular, plural, price)
    }
}

pub(super) const DEPARTMENTS: &[Department] = &[
    Department {
        id: "home",
        name: "Home",
        tax_basis_points: 2000,
        kinds: &[
            kind("Mug", "Mugs", (7, 24)),
            kind("Lamp", "Lamps", (29, 180)),
            kind("Cushion", "Cushions", (14, 49)),
            kind("Vase", "Vases", (12, 89)),
        ],
    },
    Department {
        id: "clothing",
        name: "Clothing",
        tax_basis_points: 2000,
        kinds: &[
            sized("Shirt", "Shirts", (19, 79)),
            sized("Jacket", "Jackets", (59, 249)),
            sized("Sweater", "Sweaters", (39, 119)),
            kind("Scarf", "Scarves", (15, 69)),
        ],
    },
    Department {
        id: "outdoor",
        name: "Outdoor",
        tax_basis_points: 2000,
        kinds: &[
            kind("Backpack", "Backpacks", (39, 189)),
            kind("Bottle", "Bottles", (9, 39)),
            kind("Tent", "Tents", (89, 499)),
            kind("Blanket", "Blankets", (19, 99)),
        ],
    },
    Department {
        id: "office",
        name: "Office",
        tax_basis_points: 2000,
        kinds: &[
            kind("Notebook", "Notebooks", (4, 29)),
            kind("Pen", "Pens", (2, 59)),
            kind("Desk Tray", "Desk Trays", (11, 45)),
            kind("Clock", "Clocks", (17, 129)),
        ],
    },
    Department {
        id: "books",
        name: "Books",
        tax_basis_points: 550,
        kinds: &[
            kind("Cookbook", "Cookbooks", (14, 45)),
            kind("Atlas", "Atlases", (19, 89)),
            kind("Sketchbook", "Sketchbooks", (6, 25)),
            kind("Field Guide", "Field Guides", (12, 35)),
        ],
    },
];

pub(super) const MOODS: &[&str] = &[
    "Quiet",
    "Bright",
    "Northern",
    "Simple",
    "Sturdy",
    "Gentle",
    "Bold",
    "Early",
    "Wandering",
    "Classic",
    "Little",
    "Grand",
];

pub(super) const MATERIALS: &[&str] = &[
    "Oak", "Linen", "Wool", "Steel", "Clay", "Canvas", "Cotton", "Copper", "Cork", "Paper",
];

pub(super) const BRANDS: &[&str] = &[
    "Aldermoor",
    "Brightwater",
    "Casco",
    "Dunmere",
    "Eastling",
    "Fairholt",
    "Grenwick",
];

pub(super) const COLOURS: &[&str] = &[
    "red", "blue", "green", "black", "white", "amber", "slate", "rose",
];

pub(super) const SIZES: &[&str] = &["S", "M", "L", "XL"];

pub(super) const LOCATIONS: &[&str] = &["main", "north", "south"];
