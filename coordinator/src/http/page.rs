//! Query parameters of lists: `limit`, `cursor`, `sort`, filters; and pages cut by them.
//!
//! A cursor holds where the page before ended (sort value and id of its last item), not a number of
//! items: what is added or deleted meanwhile neither repeats nor skips others. Every parameter that
//! a route does not know is an error that names it.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shared::api::{FieldProblem, Page};

use super::problem::ApiError;
use crate::objects;

/// Items of a page where `limit` is not given.
pub(crate) const LIMIT_DEFAULT: usize = 50;
/// Items of a page, at most.
pub(crate) const LIMIT_MAX: usize = 500;
/// Octets of a cursor, at most.
const CURSOR_MAX: usize = 1_024;
/// Octets of a query string, at most.
const QUERY_MAX: usize = 8_192;
/// Octets of the digest that ties a cursor to its list.
const DIGEST: usize = 8;

/// The parameters of a request, each at most once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    values: BTreeMap<String, String>,
}

impl Query {
    /// Reads the query string; `known` are the names that the route has.
    ///
    /// Errors: 400 naming every unknown parameter, and for one given twice.
    pub(crate) fn of(request: &HttpRequest, known: &[&str]) -> Result<Self, ApiError> {
        Self::parse(request.query_string(), known)
    }

    /// The same of a text.
    pub(crate) fn parse(text: &str, known: &[&str]) -> Result<Self, ApiError> {
        if text.len() > QUERY_MAX {
            return Err(ApiError::bad_request(
                "query_too_long",
                format!("the query string may have {QUERY_MAX} octets"),
            ));
        }
        let pairs = web::Query::<Vec<(String, String)>>::from_query(text)
            .map_err(|error| {
                ApiError::bad_request("bad_query", format!("the query string is wrong: {error}"))
            })?
            .into_inner();
        let mut values = BTreeMap::new();
        let mut errors = Vec::new();
        for (name, value) in pairs {
            let (code, detail) = if !known.contains(&name.as_str()) {
                let all = if known.is_empty() {
                    "this route has none".to_owned()
                } else {
                    format!("this route has: {}", known.join(", "))
                };
                ("unknown_parameter", all)
            } else if values.insert(name.clone(), value).is_some() {
                ("repeated_parameter", "it may be given once".to_owned())
            } else {
                continue;
            };
            errors.push(FieldProblem {
                field: name,
                code: code.to_owned(),
                detail,
            });
        }
        if errors.is_empty() {
            return Ok(Self { values });
        }
        let names: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        Err(ApiError::bad_request(
            "bad_query",
            format!("these query parameters are wrong: {}", names.join(", ")),
        )
        .with_errors(errors))
    }

    /// A parameter's text; none where it is not given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A parameter as another type (a number, an id). `what` says what would be right.
    pub(crate) fn parsed<T: std::str::FromStr>(
        &self,
        name: &str,
        what: &str,
    ) -> Result<Option<T>, ApiError> {
        self.text(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    ApiError::bad_field("bad_parameter", name, format!("`{name}` has to be {what}"))
                })
            })
            .transpose()
    }

    /// A parameter whose text has to be one that serde reads as `T`, as names of an enum are.
    pub(crate) fn named<T: for<'a> Deserialize<'a>>(
        &self,
        name: &str,
        what: &str,
    ) -> Result<Option<T>, ApiError> {
        self.text(name)
            .map(|text| {
                serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| {
                    ApiError::bad_field("bad_parameter", name, format!("`{name}` has to be {what}"))
                })
            })
            .transpose()
    }

    /// `limit`: 1 to 500, 50 where it is not given.
    pub(crate) fn limit(&self) -> Result<usize, ApiError> {
        match self.parsed::<usize>("limit", "a number from 1 to 500")? {
            None => Ok(LIMIT_DEFAULT),
            Some(limit @ 1..=LIMIT_MAX) => Ok(limit),
            Some(_) => Err(ApiError::bad_field(
                "bad_parameter",
                "limit",
                "`limit` has to be a number from 1 to 500",
            )),
        }
    }
}

/// The parameters of every list of objects.
const OBJECTS: [&str; 4] = ["limit", "cursor", "sort", "name"];

/// The parameters of every list of objects, for the OpenAPI document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the OpenAPI document only")]
pub(crate) struct ListParams {
    /// Items of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// `created` (the default) or `name`; a `-` before it: descending.
    #[param(pattern = "^-?(created|name)$")]
    sort: Option<String>,
    /// Only those whose name holds this, whatever the case.
    name: Option<String>,
}

impl Query {
    /// The parameters of a list of objects, and those in `more`.
    ///
    /// Errors: 400 naming the parameter.
    pub(crate) fn objects(
        request: &HttpRequest,
        more: &[&str],
    ) -> Result<(Self, objects::ListQuery), ApiError> {
        let mut known = OBJECTS.to_vec();
        known.extend_from_slice(more);
        let query = Self::of(request, &known)?;
        let list = objects::ListQuery {
            name: query.text("name").map(str::to_owned),
            sort: match query.text("sort") {
                Some(text) => text.parse().map_err(in_query)?,
                None => objects::Sort::default(),
            },
            cursor: query.text("cursor").map(str::to_owned),
            limit: Some(query.limit()?),
        };
        Ok((query, list))
    }
}

/// What `Objects` says of a list's parameters is a 400, not a 422.
pub(crate) fn in_query(error: objects::ObjectError) -> ApiError {
    match error {
        objects::ObjectError::Invalid(errors) => {
            let names: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
            let detail = format!("these query parameters are wrong: {}", names.join(", "));
            ApiError::bad_request("bad_query", detail).with_errors(errors)
        }
        other => other.into(),
    }
}

/// What a list is sorted by: one of the route's names, `-` before it for descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    /// The route's name of it.
    pub(crate) by: &'static str,
    /// Largest first.
    pub(crate) descending: bool,
}

/// Where the page before ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct After {
    /// The last item's sort value, in a form that sorts as text.
    #[serde(rename = "v")]
    pub(crate) value: String,
    /// The last item's id, which parts equal values.
    #[serde(rename = "i")]
    pub(crate) id: String,
}

/// What a list request asks for.
#[derive(Clone, Debug)]
pub(crate) struct ListQuery {
    /// All parameters, for the filters.
    pub(crate) query: Query,
    /// Items of the page.
    pub(crate) limit: usize,
    /// The order.
    pub(crate) sort: Sort,
    /// Where to go on; none on the first page.
    pub(crate) after: Option<After>,
    /// Ties cursors to this list: its path, order and filters.
    digest: [u8; DIGEST],
}

impl ListQuery {
    /// Reads `limit`, `cursor`, `sort` and the `filters` of a route. `sorts` are the orders that it
    /// has, by name; the first one is the default, `-created` as a first one sorts newest first.
    ///
    /// Errors: 400 naming the parameter.
    pub(crate) fn of(
        request: &HttpRequest,
        sorts: &[&'static str],
        filters: &[&str],
    ) -> Result<Self, ApiError> {
        let mut known = vec!["limit", "cursor", "sort"];
        known.extend_from_slice(filters);
        let query = Query::of(request, &known)?;
        let sort = sort(query.text("sort"), sorts)?;
        let digest = digest(request.path(), sort, &query, filters);
        Ok(Self {
            limit: query.limit()?,
            after: query
                .text("cursor")
                .map(|cursor| open(cursor, digest))
                .transpose()?,
            sort,
            digest,
            query,
        })
    }

    /// Cuts a page out of all items of a list: sorts them by `place` (sort value and id) and takes
    /// what follows the cursor. For lists that are held in memory.
    pub(crate) fn cut<T>(&self, items: Vec<T>, place: impl Fn(&T) -> After) -> Page<T> {
        let order = |a: &After, b: &After| {
            let order = (&a.value, &a.id).cmp(&(&b.value, &b.id));
            if self.sort.descending {
                order.reverse()
            } else {
                order
            }
        };
        let mut placed: Vec<(After, T)> = items
            .into_iter()
            .map(|item| (place(&item), item))
            .filter(|(at, _)| {
                self.after
                    .as_ref()
                    .is_none_or(|after| order(at, after).is_gt())
            })
            .collect();
        placed.sort_by(|(a, _), (b, _)| order(a, b));
        let more = placed.len() > self.limit;
        placed.truncate(self.limit);
        let next_cursor = placed
            .last()
            .filter(|_| more)
            .map(|(at, _)| self.cursor(at));
        Page {
            items: placed.into_iter().map(|(_, item)| item).collect(),
            next_cursor,
        }
    }

    /// Makes a page of items that come in order and already follow the cursor: `limit` + 1 of them
    /// are looked at.
    #[cfg(test)]
    pub(crate) fn take<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        place: impl Fn(&T) -> After,
    ) -> Page<T> {
        let mut items: Vec<T> = items.into_iter().take(self.limit + 1).collect();
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let next_cursor = items
            .last()
            .filter(|_| more)
            .map(|item| self.cursor(&place(item)));
        Page { items, next_cursor }
    }

    /// The cursor of a page that ended there.
    pub(crate) fn cursor(&self, at: &After) -> String {
        let mut octets = self.digest.to_vec();
        octets.extend(serde_json::to_vec(at).unwrap_or_default());
        URL_SAFE_NO_PAD.encode(octets)
    }
}

fn sort(asked: Option<&str>, sorts: &[&'static str]) -> Result<Sort, ApiError> {
    let Some(text) = asked.or(sorts.first().copied()) else {
        return Err(ApiError::internal(&"a list without an order"));
    };
    let (name, descending) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text, false),
    };
    sorts
        .iter()
        .map(|known| known.trim_start_matches('-'))
        .find(|known| *known == name)
        .map(|by| Sort { by, descending })
        .ok_or_else(|| {
            let names: Vec<&str> = sorts.iter().map(|s| s.trim_start_matches('-')).collect();
            ApiError::bad_field(
                "bad_parameter",
                "sort",
                format!(
                    "`sort` has to be one of {}, with a `-` before it for descending",
                    names.join(", ")
                ),
            )
        })
}

fn digest(path: &str, sort: Sort, query: &Query, filters: &[&str]) -> [u8; DIGEST] {
    let mut hash = Sha256::new();
    for part in [path, sort.by, if sort.descending { "-" } else { "+" }] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    for name in filters {
        let value = query.text(name).unwrap_or_default();
        hash.update((value.len() as u64).to_be_bytes());
        hash.update(value);
    }
    let whole: [u8; 32] = hash.finalize().into();
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(&whole[..DIGEST]);
    digest
}

fn open(cursor: &str, digest: [u8; DIGEST]) -> Result<After, ApiError> {
    let bad = |detail: &str| {
        ApiError::new(StatusCode::BAD_REQUEST, "bad_cursor", detail).with_errors(vec![
            FieldProblem {
                field: "cursor".to_owned(),
                code: "bad_cursor".to_owned(),
                detail: detail.to_owned(),
            },
        ])
    };
    let foreign = "`cursor` has to be the next_cursor of a page";
    if cursor.len() > CURSOR_MAX {
        return Err(bad(foreign));
    }
    let octets = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad(foreign))?;
    let (tie, after) = octets
        .split_at_checked(DIGEST)
        .ok_or_else(|| bad(foreign))?;
    let after: After = serde_json::from_slice(after).map_err(|_| bad(foreign))?;
    if tie != digest {
        return Err(bad(
            "`cursor` is of another list: path, `sort` and filters have to stay as they were",
        ));
    }
    Ok(after)
}

#[cfg(test)]
mod tests;
