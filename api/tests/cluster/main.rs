//! The market as a program on real servers: how it starts, how instances share the work, and what
//! kills and stops do to it.

mod facts;
mod group;
mod kill;
mod servers;
mod share;
mod start;
mod zombie;
