//! A test file as the body of a request: TOML to the JSON that the API's test object is.
//!
//! Owns the conversion only; what the fields may be is decided where JSON's are. Groups keep the
//! order in which they were written: endpoints are numbered by it.

use serde_json::{Map, Number, Value};
use shared::api::TestDefinition;
use shared::definition::saved_from_json;
use toml::de::{DeTable, DeValue};

use crate::http::depth::DEPTH_MAX;
use crate::http::problem::ApiError;

/// Reads a test. Errors: 400 for what is no TOML, 422 naming the field.
pub(super) fn parse(octets: &[u8]) -> Result<TestDefinition, ApiError> {
    let bad = |detail: String| ApiError::bad_request("bad_toml", detail);
    let text = std::str::from_utf8(octets).map_err(|error| {
        bad(format!(
            "the file is no UTF-8 from octet {} on",
            error.valid_up_to()
        ))
    })?;
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| {
            let before = text.get(..span.start).unwrap_or(text);
            before.bytes().filter(|octet| *octet == b'\n').count() + 1
        });
        bad(format!("line {line}: {}", error.message().trim()))
    })?;
    let fields = table(document.get_ref(), 1)?;
    saved_from_json(Value::Object(fields)).map_err(ApiError::invalid)
}

fn table(table: &DeTable<'_>, depth: usize) -> Result<Map<String, Value>, ApiError> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
        .into_iter()
        .map(|(key, item)| {
            let key = key.get_ref().to_string();
            Ok((key, value(item.get_ref(), depth + 1)?))
        })
        .collect()
}

fn value(item: &DeValue<'_>, depth: usize) -> Result<Value, ApiError> {
    let bad = |text: &str| {
        ApiError::bad_request("bad_toml", format!("{text} is out of range for this API"))
    };
    if depth > DEPTH_MAX {
        return Err(ApiError::bad_request(
            "too_deep",
            format!("TOML may be nested {DEPTH_MAX} levels deep"),
        ));
    }
    Ok(match item {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Integer(number) => {
            let read = i64::from_str_radix(number.as_str(), number.radix());
            Value::Number(read.map_err(|_| bad(number.as_str()))?.into())
        }
        DeValue::Float(number) => {
            let read = number.as_str().parse().ok().and_then(Number::from_f64);
            Value::Number(read.ok_or_else(|| bad(number.as_str()))?)
        }
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| value(item.get_ref(), depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Table(inner) => Value::Object(table(inner, depth)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_file_becomes_the_api_object_in_its_order() {
        let test = parse(
            br#"
            name = "two groups"
            duration = "30s"
            thresholds = ["mos.p5 >= 3.8"]
            trace_sample = 0x10
            [groups.zebra]
            registrar = "pbx"
            count = 1_000
            target = { group = "ant" }
            [groups.ant]
            ratio = 1_0.5
            "#,
        )
        .expect("a good file");
        assert_eq!(test.name, "two groups");
        assert_eq!(test.trace_sample, Some(16));
        let names: Vec<&String> = test.groups.keys().collect();
        assert_eq!(names, ["zebra", "ant"]);
        assert_eq!(test.groups["zebra"]["count"], 1_000);
        assert_eq!(test.groups["zebra"]["target"]["group"], "ant");
        assert_eq!(test.groups["ant"]["ratio"], 10.5);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let code = |text: &str| {
            let error = parse(text.as_bytes()).expect_err(text);
            (error.status.as_u16(), error.code)
        };
        assert_eq!(code("name = "), (400, "bad_toml"));
        assert_eq!(code("name = \"n\"\n[registrars.a]\n"), (422, "invalid"));
        assert_eq!(
            code("name = \"n\"\ncolour = 1\n[groups.a]"),
            (422, "invalid")
        );
        assert_eq!(code("name = 1\n[groups.a]"), (422, "invalid"));
        assert_eq!(code("trace_sample = inf"), (400, "bad_toml"));
        assert_eq!(
            code(&format!("a = {}", "[".repeat(100_000))),
            (400, "bad_toml")
        );
        assert_eq!(
            code(&format!("{}a = 1", "a.".repeat(100_000))),
            (400, "bad_toml")
        );
        assert_eq!(
            code(&format!("{}a = 1", "a.".repeat(50))),
            (400, "too_deep")
        );
        let deep = format!("a = {}1{}", "[".repeat(60), "]".repeat(60));
        assert_eq!(code(&deep), (400, "too_deep"));
    }
}
