//! A run's result without its endpoints: these may be larger than memory and no summary needs them.

use std::fmt;
use std::io::{BufReader, Read};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use shared::result::RunResult;

use super::api::{Api, encoded};
use super::error::ApiError;

/// Reads it.
pub(super) fn read(api: &Api, run: &str) -> Result<RunResult, ApiError> {
    let body = api.stream(&path(run), "application/json", None)?;
    from(body).map_err(|error| api.strange(error))
}

/// Where the whole of it is.
pub(super) fn path(run: &str) -> String {
    format!("runs/{}/result", encoded(run))
}

fn from(body: impl Read) -> serde_json::Result<RunResult> {
    let Slim(slim) = serde_json::from_reader(BufReader::new(body))?;
    serde_json::from_value(Value::Object(slim))
}

/// All fields but what is passed over.
struct Slim(Map<String, Value>);

impl<'de> Deserialize<'de> for Slim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Slim;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the result of a run")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Slim, M::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = if key == ENDPOINTS {
                map.next_value::<IgnoredAny>()?;
                Value::Array(Vec::new())
            } else {
                map.next_value()?
            };
            fields.insert(key, value);
        }
        Ok(Slim(fields))
    }
}

const ENDPOINTS: &str = "endpoints";

#[cfg(test)]
mod tests {
    use shared::result::Verdict;

    use super::*;

    #[test]
    fn endpoints_are_passed_over_whatever_they_hold() {
        let mut result =
            serde_json::to_value(crate::summary::tests::result(Verdict::Passed)).unwrap();
        result[ENDPOINTS] = serde_json::json!([{ "not": ["an", "endpoint"] }]);
        let slim = from(result.to_string().as_bytes()).unwrap();
        assert_eq!(slim.endpoints, []);
        assert_eq!(slim.run, result["run"].as_str().unwrap());
        assert!(from(&b"{\"endpoints\": [1, "[..]).is_err());
    }
}
