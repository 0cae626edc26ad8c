//! The saga: its table cell by cell, and an order's life in scenes.

mod cells;
mod rest;
mod scenes;
mod stage;
