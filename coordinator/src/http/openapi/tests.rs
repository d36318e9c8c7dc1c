use std::collections::BTreeSet;

use super::*;
use crate::http::routes;

const ROLES: [&str; 8] = [
    "public", "any", "viewer", "tester", "editor", "admin", "owner", "operator",
];

#[test]
fn every_route_says_which_role_it_needs() {
    let document = routes::document("1.2.3");
    let operations = operations(&document);
    assert!(operations.len() > 40, "{} routes", operations.len());
    for (method, path, operation) in operations {
        let role = role(operation).unwrap_or_else(|| panic!("{method} {path} has no x-role"));
        assert!(ROLES.contains(&role), "{method} {path}: {role}");
        let open = operation.security.as_ref().is_some_and(|all| {
            all.iter()
                .all(|one| serde_json::to_value(one).is_ok_and(|v| v == serde_json::json!({})))
        });
        assert_eq!(open, role == "public", "{method} {path}");
    }
}

#[test]
fn every_operation_has_a_name_of_its_own_and_says_what_it_does() {
    let document = routes::document("1.2.3");
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = operation.operation_id.clone().unwrap_or_default();
        assert!(names.insert(name.clone()), "{method} {path}: {name} twice");
        assert!(operation.summary.is_some(), "{method} {path}: no summary");
        assert!(operation.tags.is_some(), "{method} {path}: no tag");
        let good = operation
            .responses
            .responses
            .keys()
            .any(|status| status.starts_with('2'));
        assert!(good, "{method} {path} never succeeds");
        assert!(operation.responses.responses.contains_key("500"));
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let text = routes::document("1.2.3").to_json().expect("JSON");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut references = BTreeSet::new();
    let mut left = vec![&value];
    while let Some(next) = left.pop() {
        match next {
            serde_json::Value::Object(map) => {
                if let Some(serde_json::Value::String(reference)) = map.get("$ref") {
                    references.insert(reference.clone());
                }
                left.extend(map.values());
            }
            serde_json::Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(value.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn path_parameters_are_all_described() {
    let document = routes::document("1.2.3");
    for (method, path, operation) in operations(&document) {
        let named: BTreeSet<String> = path
            .split('/')
            .filter_map(|part| Some(part.strip_prefix('{')?.strip_suffix('}')?.to_owned()))
            .collect();
        let described: BTreeSet<String> = operation
            .parameters
            .iter()
            .flatten()
            .filter_map(|parameter| match parameter {
                RefOr::T(p) if p.parameter_in == ParameterIn::Path => Some(p.name.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(named, described, "{method} {path}");
    }
}
