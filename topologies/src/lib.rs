//! The wiring of the market: one file, one topology, one diagram.
//!
//! A topology reads the topics of the typed catalogue, runs the rules of `processors`, and writes
//! what they decide. New behaviour is one more file, with a function and its `ENTRY` named alike, and
//! one more line in the list below; [`registry`] finds it there.

pub mod registry;
mod views;

pub use views::views;

/// Takes the topologies in, each from the file of its name. `cargo fmt` does not look into macros:
/// `cargo xtask ci` names it the files.
macro_rules! topologies {
    ($($name:ident,)*) => {
        $(
            mod $name;
            pub use $name::$name;
        )*

        const LISTED: &[registry::Entry] = &[$($name::ENTRY),*];
    };
}

topologies! {
    products,
    categories,
    carts,
    orders,
    inventory,
    payments,
    audit,
}
