//! What a person sees: live in a terminal, or as plain lines.

pub(crate) mod draw;
pub(crate) mod figure;
pub(crate) mod ink;
pub(crate) mod live;
pub(crate) mod plain;
pub(crate) mod terminal;

pub(crate) use ink::{Ink, Paint};
