//! Lists: filter by name, order, pages.
//!
//! Owns what a cursor holds. A page begins after the last item of the one before it, whatever was
//! made or deleted in between; nothing is told twice or left out that was there all the time.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::api::Page;

use super::ObjectError;

/// Which part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListQuery {
    /// Only those whose name holds this, whatever the case.
    pub(crate) name: Option<String>,
    /// In which order.
    pub(crate) sort: Sort,
    /// `next_cursor` of the page before.
    pub(crate) cursor: Option<String>,
    /// Items: 1 to [`LIMIT_MAX`]; none: [`LIMIT_DEFAULT`].
    pub(crate) limit: Option<usize>,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// `created`: oldest first.
    #[default]
    Created,
    /// `-created`: newest first.
    Newest,
    /// `name`: octets of the lower-case name, ascending.
    Name,
    /// `-name`
    NameDescending,
}

impl std::str::FromStr for Sort {
    type Err = ObjectError;

    fn from_str(text: &str) -> Result<Self, ObjectError> {
        match text {
            "created" => Ok(Self::Created),
            "-created" => Ok(Self::Newest),
            "name" => Ok(Self::Name),
            "-name" => Ok(Self::NameDescending),
            _ => Err(ObjectError::field(
                "sort",
                "invalid",
                "cannot be sorted by; write created, -created, name or -name",
            )),
        }
    }
}

impl ListQuery {
    /// How many items.
    ///
    /// Errors: [`ObjectError::Invalid`] for 0 and above [`LIMIT_MAX`].
    pub(crate) fn checked_limit(&self) -> Result<usize, ObjectError> {
        match self.limit {
            None => Ok(LIMIT_DEFAULT),
            Some(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            Some(limit) => Err(ObjectError::field(
                "limit",
                "out_of_range",
                format!("{limit} is out of range; write 1 to {LIMIT_MAX}"),
            )),
        }
    }

    /// Where the page begins: after this item.
    ///
    /// Errors: [`ObjectError::Invalid`] where it is none of ours.
    pub(super) fn after(&self) -> Result<Option<Place>, ObjectError> {
        let Some(cursor) = &self.cursor else {
            return Ok(None);
        };
        let read = || {
            let octets = URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let (id, name) = octets.split_first_chunk::<8>()?;
            Some(Place {
                id: u64::from_be_bytes(*id),
                name: String::from_utf8(name.to_vec()).ok()?,
            })
        };
        let wrong = || {
            let detail = "is no cursor of this list; leave it out to begin anew";
            ObjectError::field("cursor", "invalid", detail)
        };
        read().map(Some).ok_or_else(wrong)
    }

    /// True where the name is wanted.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.name
            .as_ref()
            .is_none_or(|part| name.to_lowercase().contains(&part.to_lowercase()))
    }

    /// Filters, orders and cuts a whole list.
    pub(super) fn page<T>(
        &self,
        items: Vec<T>,
        place: impl Fn(&T) -> Place,
    ) -> Result<Page<T>, ObjectError> {
        let (limit, after) = (self.checked_limit()?, self.after()?);
        let mut placed: Vec<(Place, T)> = items
            .into_iter()
            .map(|item| (place(&item), item))
            .filter(|(place, _)| self.wants(&place.name))
            .map(|(place, item)| (place.lower(), item))
            .filter(|(place, _)| {
                let behind = |after: &Place| self.order(place, after) == Ordering::Greater;
                after.as_ref().is_none_or(behind)
            })
            .collect();
        placed.sort_by(|(left, _), (right, _)| self.order(left, right));
        let more = placed.len() > limit;
        placed.truncate(limit);
        let last = placed.last().filter(|_| more);
        let next_cursor = last.map(|(place, _)| place.cursor());
        let items = placed.into_iter().map(|(_, item)| item).collect();
        Ok(Page { items, next_cursor })
    }

    fn order(&self, left: &Place, right: &Place) -> Ordering {
        let by_id = left.id.cmp(&right.id);
        let by_name = left.name.cmp(&right.name);
        match self.sort {
            Sort::Created => by_id,
            Sort::Newest => by_id.reverse(),
            Sort::Name => by_name.then(by_id),
            Sort::NameDescending => by_name.then(by_id).reverse(),
        }
    }
}

/// Where an item stands in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its id: ids grow with time.
    pub(super) id: u64,
    /// Its name.
    pub(super) name: String,
}

impl Place {
    pub(super) fn new(id: u64, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
        }
    }

    fn lower(self) -> Self {
        Self {
            name: self.name.to_lowercase(),
            ..self
        }
    }

    /// The cursor of the page that begins after this one.
    pub(super) fn cursor(&self) -> String {
        let mut octets = self.id.to_be_bytes().to_vec();
        octets.extend_from_slice(self.name.as_bytes());
        URL_SAFE_NO_PAD.encode(octets)
    }
}

/// Items of a page, at most.
pub(crate) const LIMIT_MAX: usize = 500;
/// Items of a page where nothing was said.
pub(crate) const LIMIT_DEFAULT: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn pages_together_are_the_whole_list_in_order() {
        for seed in 0..40 {
            let mut random = Random::new(seed);
            let items: Vec<(u64, String)> = (0..random.below(90))
                .map(|id| (u64::from(id), format!("N{}", random.below(30))))
                .collect();
            for sort in [
                Sort::Created,
                Sort::Newest,
                Sort::Name,
                Sort::NameDescending,
            ] {
                let mut query = ListQuery {
                    sort,
                    limit: Some(1 + random.below(20) as usize),
                    name: (seed % 2 == 0).then(|| "n1".to_owned()),
                    cursor: None,
                };
                let mut told = Vec::new();
                loop {
                    let page = query
                        .page(items.clone(), |(id, name)| Place::new(*id, name))
                        .unwrap();
                    told.extend(page.items);
                    query.cursor = page.next_cursor;
                    if query.cursor.is_none() {
                        break;
                    }
                }
                let mut want: Vec<(u64, String)> = items
                    .iter()
                    .filter(|(_, name)| seed % 2 != 0 || name.starts_with("N1"))
                    .cloned()
                    .collect();
                want.sort_by(|a, b| match sort {
                    Sort::Created | Sort::Newest => a.0.cmp(&b.0),
                    _ => (&a.1, a.0).cmp(&(&b.1, b.0)),
                });
                if matches!(sort, Sort::Newest | Sort::NameDescending) {
                    want.reverse();
                }
                assert_eq!(told, want, "seed {seed} {sort:?}");
            }
        }
    }

    #[test]
    fn nonsense_is_told_with_its_field() {
        for (query, field) in [
            (
                ListQuery {
                    limit: Some(0),
                    ..ListQuery::default()
                },
                "limit",
            ),
            (
                ListQuery {
                    limit: Some(501),
                    ..ListQuery::default()
                },
                "limit",
            ),
            (
                ListQuery {
                    cursor: Some("?".to_owned()),
                    ..ListQuery::default()
                },
                "cursor",
            ),
            (
                ListQuery {
                    cursor: Some("AAAA".to_owned()),
                    ..ListQuery::default()
                },
                "cursor",
            ),
        ] {
            let error = query
                .page(vec![1_u64], |id| Place::new(*id, ""))
                .unwrap_err();
            let ObjectError::Invalid(problems) = error else {
                panic!("{error}");
            };
            assert_eq!(problems[0].field, field);
        }
    }
}
