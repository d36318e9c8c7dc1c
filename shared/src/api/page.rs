//! A page of a list.

use serde::{Deserialize, Serialize};

/// A page of a list. `?limit=` sets how many items (1 to 500, 50 by default), `?cursor=` goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items, in the order that `?sort=` asked for.
    pub items: Vec<T>,
    /// What to hand over as `cursor` for the next page; null on the last one.
    pub next_cursor: Option<String>,
}
