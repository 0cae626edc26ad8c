//! The market as a program, with everything embedded: races, kills, and how it starts and ends.

mod ends;
mod kill;
mod race;
mod readme;
mod support;
