//! The market as a program, with everything embedded: races, kills, and how it starts and ends.

mod kill;
mod race;
mod support;
