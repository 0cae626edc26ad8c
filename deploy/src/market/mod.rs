//! The market itself as a server: started, killed and started again on the same data, bought from
//! under load, and audited from outside.
//!
//! | name | is |
//! | --- | --- |
//! | [`Market`] | the process, in a folder and on a port of its own |
//! | [`Shop`], [`Buyer`] | a client of its API, and one with an account |
//! | [`Load`] | buyers who go on buying, and what was promised to them |
//! | [`drill`] | what such buyers are offered |
//! | [`kills`] | kills at random moments, and the way back |
//! | [`audit`] | whether every promise was kept, and money and goods add up |

pub mod audit;
pub mod drill;
pub mod kills;
mod load;
mod process;
mod shop;

pub use load::{Dice, Load, LoadOptions, Promises};
pub use process::{ADMIN, Market, MarketOptions, PASSWORD};
pub use shop::{
    Answer, Audited, Buyer, Charge, Line, Money, Movement, Order, Shop, Step, Stock, Totals,
    Violation,
};
