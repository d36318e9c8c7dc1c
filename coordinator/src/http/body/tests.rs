use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Outer {
    name: String,
    #[serde(default)]
    inner: Vec<Inner>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Inner {
    count: u8,
}

fn field(text: &str) -> (u16, String, String) {
    let error = parse::<Outer>(text.as_bytes()).expect_err(text);
    let field = error.errors.first();
    (
        error.status.as_u16(),
        field.map_or(error.code.to_owned(), |field| field.code.clone()),
        field.map_or(String::new(), |field| field.field.clone()),
    )
}

fn answer(status: u16, code: &str, field: &str) -> (u16, String, String) {
    (status, code.to_owned(), field.to_owned())
}

#[test]
fn the_offending_field_is_named() {
    assert_eq!(field(r#"{}"#), answer(422, "missing", "name"));
    assert_eq!(field(r#"{"name":1}"#), answer(422, "wrong_type", "name"));
    assert_eq!(
        field(r#"{"name":"n","inner":[{"count":1},{"count":300}]}"#),
        answer(422, "wrong_type", "inner[1].count")
    );
    assert_eq!(
        field(r#"{"name":"n","inner":[{}]}"#),
        answer(422, "missing", "inner[0].count")
    );
    assert_eq!(
        field(r#"{"name":"n","colour":1}"#),
        answer(422, "unknown_field", "colour")
    );
    assert_eq!(field(r#"[]"#).0, 422);
    assert_eq!(field(r#""text""#), answer(422, "wrong_type", "body"));
}

#[test]
fn what_is_no_json_is_a_400() {
    for bad in ["{", "nope", "{\"name\":\"n\"} x", "{\"name\":\"\u{1}\"}"] {
        assert_eq!(field(bad), answer(400, "bad_json", ""), "{bad}");
    }
    assert_eq!(field(""), answer(400, "no_body", ""));
    assert_eq!(field(&"[".repeat(100_000)), answer(400, "too_deep", ""));
}

#[test]
fn a_sentence_has_no_place_in_the_text() {
    let error = parse::<Outer>(b"{\"name\":1}").expect_err("a number");
    assert!(!error.errors[0].detail.contains(" at line "));
}
