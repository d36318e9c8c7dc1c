//! A test file as the API's test object: what the project holds is named, not repeated.
//!
//! Registrars and media files become names of the project's; accounts become a choice among its
//! accounts, so no password is in a saved test.

use std::path::Path;

use anyhow::anyhow;
use serde_json::{Map, Value};
use shared::api::TestDefinition;
use shared::definition::{Media, Test};
use toml::de::{DeTable, DeValue};

/// A WAV file that a test names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedMedia {
    /// As the test file has it.
    pub(super) path: String,
    /// What it is called in the project.
    pub(super) name: String,
}

/// The test object of a test file that has no mistakes; `test` is what was read from it.
///
/// Errors: the file changed since it was read.
pub(super) fn saved(text: &str, test: &Test) -> anyhow::Result<TestDefinition> {
    let document = DeTable::parse(text).map_err(|error| anyhow!("{}", error.message()))?;
    let Value::Object(mut root) = json_table(document.get_ref()) else {
        return Err(anyhow!("the test file is no table"));
    };
    root.remove("registrars");
    let mut groups = by_name(root.remove("groups"));
    for (name, group) in &mut groups {
        let read = test.groups.iter().find(|group| group.name == *name);
        let (Value::Object(group), Some(read)) = (group, read) else {
            continue;
        };
        group.insert("count".to_owned(), read.count.into());
        choose_accounts(group);
        if let Media::Wav { path } = &read.media {
            group.insert("media".to_owned(), media_name(path).into());
        }
    }
    root.insert("groups".to_owned(), Value::Object(groups));
    root.insert("name".to_owned(), test.name.clone().into());
    Ok(serde_json::from_value(Value::Object(root))?)
}

/// A pattern stays without its password; of a list or a CSV file only the count stays, and any free
/// account of the registrar serves.
fn choose_accounts(group: &mut Map<String, Value>) {
    let pattern = group
        .remove("accounts")
        .and_then(|accounts| accounts.get("pattern").cloned());
    if let Some(pattern) = pattern {
        let chosen = Map::from_iter([("pattern".to_owned(), pattern)]);
        group.insert("accounts".to_owned(), Value::Object(chosen));
    }
}

/// The media files of a test, each once.
pub(super) fn media_files(test: &Test) -> Vec<NamedMedia> {
    let mut files: Vec<NamedMedia> = Vec::new();
    for group in &test.groups {
        if let Media::Wav { path } = &group.media
            && !files.iter().any(|file| file.path == *path)
        {
            files.push(NamedMedia {
                path: path.clone(),
                name: media_name(path),
            });
        }
    }
    files
}

fn media_name(path: &str) -> String {
    let name = Path::new(path).file_name();
    name.map_or_else(
        || path.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// The accounts of all groups at a registrar, as CSV with a header; blank where there are none.
pub(super) fn accounts_csv(test: &Test, registrar: usize) -> String {
    let mut csv = String::new();
    let groups = test
        .groups
        .iter()
        .filter(|group| group.registrar.map(usize::from) == Some(registrar));
    for account in groups.flat_map(|group| &group.accounts) {
        if csv.is_empty() {
            csv.push_str("username,password,auth_username,realm\n");
        }
        let realm = account.realm.as_deref().unwrap_or("");
        let fields = [
            account.username.as_str(),
            &account.password,
            &account.auth_username,
            realm,
        ];
        csv.push_str(&fields.map(quoted).join(","));
        csv.push('\n');
    }
    csv
}

/// RFC 4180 §2.
fn quoted(field: &str) -> String {
    let needs = field.contains([',', ';', '"', '\n', '\r', '#']) || field.trim() != field;
    if needs {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// `[groups.NAME]` as it is; `[[groups]]` by the names in it.
fn by_name(groups: Option<Value>) -> Map<String, Value> {
    match groups {
        Some(Value::Object(groups)) => groups,
        Some(Value::Array(elements)) => elements
            .into_iter()
            .filter_map(|element| match element {
                Value::Object(mut group) => {
                    let name = group.remove("name")?;
                    Some((name.as_str()?.to_owned(), Value::Object(group)))
                }
                _ => None,
            })
            .collect(),
        _ => Map::new(),
    }
}

/// A table in the order of the text: endpoints are numbered by it.
fn json_table(table: &DeTable<'_>) -> Value {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let entries = entries.into_iter().map(|(key, value)| {
        let name: &str = key.get_ref();
        (name.to_owned(), json(value.get_ref()))
    });
    Value::Object(entries.collect())
}

fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Null, Value::from)
        }
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .map_or(Value::Null, Value::from),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Array(elements) => Value::Array(
            elements
                .iter()
                .map(|element| json(element.get_ref()))
                .collect(),
        ),
        DeValue::Table(table) => json_table(table),
    }
}

#[cfg(test)]
mod tests {
    use shared::definition::parse;

    use super::*;

    const FILE: &str = r#"
duration = "20s"
thresholds = ["mos.p5 >= 3.8"]

[registrars.pbx]
domain = "127.0.0.1"

[groups.zeta]
registrar = "pbx"
accounts = { pattern = "user{01..10}", password = "pw-{username}" }
calls = { group = "alpha" }
codecs = ["PCMA"]

[groups.alpha]
registrar = "pbx"
accounts = [{ username = "a", password = "x,\"y\"" }, { username = "b", password = " z" }]
count = 2
receives = true
ring_time = "1s"
"#;

    fn read(text: &str) -> Test {
        let none = |_: &str| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
        parse(text, "from the file", &none).unwrap()
    }

    #[test]
    fn a_test_file_becomes_a_test_object_without_passwords() {
        let text = FILE.replace("user{01..10}", "user{01..02}");
        let test = read(&text);
        let definition = saved(&text, &test).unwrap();
        assert_eq!(definition.name, "from the file");
        assert_eq!(definition.duration.as_deref(), Some("20s"));
        let groups: Vec<&String> = definition.groups.keys().collect();
        assert_eq!(
            groups,
            ["zeta", "alpha"],
            "endpoints are numbered in this order"
        );
        let json = serde_json::to_string(&definition).unwrap();
        assert!(!json.contains("password"), "{json}");
        let zeta = &definition.groups["zeta"];
        assert_eq!(zeta["accounts"]["pattern"], "user{01..02}");
        assert_eq!(
            (&zeta["count"], &zeta["registrar"]),
            (&2.into(), &"pbx".into())
        );
        assert_eq!(definition.groups["alpha"].get("accounts"), None);
        assert_eq!(definition.groups["alpha"]["ring_time"], "1s");
        let csv = accounts_csv(&test, 0);
        let expected = "username,password,auth_username,realm\nuser01,pw-user01,user01,\n\
                        user02,pw-user02,user02,\na,\"x,\"\"y\"\"\",a,\nb,\" z\",b,\n";
        assert_eq!(csv, expected);
    }

    #[test]
    fn groups_of_a_list_are_named_too() {
        let text = "[[groups]]\nname = \"one\"\ncount = 3\ncalls = \"sip:x@127.0.0.1\"\n";
        let test = read(text);
        let definition = saved(text, &test).unwrap();
        assert_eq!(definition.groups["one"]["count"], 3);
        assert_eq!(definition.groups["one"].get("name"), None);
        assert_eq!(accounts_csv(&test, 0), "");
    }
}
