//! Views outside of the log: disposable folds of its snapshot topics, for fast reads by others.

pub mod redis;
