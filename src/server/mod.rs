//! skeleton
pub mod listener;
