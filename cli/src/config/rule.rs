//! Rules for values: what is taken, and the sentence for what is not.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use shared::definition::Network;
use shared::units::Millis;
use toml::de::DeValue;
use tracing_subscriber::EnvFilter;

/// A value as it was given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Raw<'r> {
    /// In the file.
    Toml(&'r DeValue<'r>),
    /// In the environment or as a flag: text, whatever its type.
    Text(&'r str),
}

impl<'r> Raw<'r> {
    /// The text of a string.
    fn text(&self, wanted: &str) -> Result<&'r str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Toml(DeValue::String(text)) => Ok(text),
            Self::Toml(other) => Err(wrong_type(other, wanted)),
        }
    }

    fn number(&self, wanted: &str) -> Result<i64, String> {
        match self {
            Self::Text(text) => {
                let number = text.trim().replace('_', "").parse();
                number.map_err(|_| format!("`{text}` is no number; write {wanted}"))
            }
            Self::Toml(DeValue::Integer(number)) => {
                i64::from_str_radix(number.as_str(), number.radix())
                    .map_err(|_| format!("`{}` is too large; write {wanted}", number.as_str()))
            }
            Self::Toml(other) => Err(wrong_type(other, wanted)),
        }
    }
}

fn wrong_type(value: &DeValue<'_>, wanted: &str) -> String {
    let kind = match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    format!("is {kind}; write {wanted}")
}

pub(super) fn flag(raw: &Raw<'_>) -> Result<bool, String> {
    match raw {
        Raw::Toml(DeValue::Boolean(flag)) => Ok(*flag),
        Raw::Toml(other) => Err(wrong_type(other, "true or false")),
        Raw::Text("true") => Ok(true),
        Raw::Text("false") => Ok(false),
        Raw::Text(text) => Err(format!("`{text}` is neither; write true or false")),
    }
}

/// A whole number between two bounds, both included.
pub(super) fn integer<T: TryFrom<i64>>(raw: &Raw<'_>, least: u32, most: u32) -> Result<T, String> {
    let wanted = format!("a whole number from {least} to {most}");
    let number = raw.number(&wanted)?;
    let inside = (i64::from(least)..=i64::from(most)).contains(&number);
    T::try_from(number)
        .ok()
        .filter(|_| inside)
        .ok_or_else(|| format!("{number} is out of range; write {wanted}"))
}

pub(super) fn duration(raw: &Raw<'_>, least: Duration, most: Duration) -> Result<Duration, String> {
    let span = Millis::parse(raw.text("a duration with its unit, such as \"30s\"")?)?.duration();
    if (least..=most).contains(&span) {
        return Ok(span);
    }
    Err(format!(
        "{} is out of range; write \"{}\" to \"{}\"",
        Millis::from(span),
        Millis::from(least),
        Millis::from(most)
    ))
}

/// `"64KiB"`, `"1MiB"`.
pub(super) fn octets(raw: &Raw<'_>, least: usize, most: usize) -> Result<usize, String> {
    let text = raw.text("a size with its unit, such as \"1MiB\"")?.trim();
    let wrong =
        || format!("`{text}` is no size; write a whole number and KiB, MiB or GiB: \"1MiB\"");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(wrong()),
    };
    let number: usize = number.parse().map_err(|_| wrong())?;
    let size = number.checked_mul(1 << shift).ok_or_else(wrong)?;
    if (least..=most).contains(&size) {
        return Ok(size);
    }
    Err(format!(
        "{text} is out of range; write \"{}KiB\" to \"{}MiB\"",
        least >> 10,
        most >> 20
    ))
}

pub(super) fn text(raw: &Raw<'_>) -> Result<String, String> {
    raw.text("a string in quotes").map(str::to_owned)
}

/// A name that is a part of subjects and labels.
pub(super) fn name(raw: &Raw<'_>) -> Result<String, String> {
    let name = raw.text("a string in quotes")?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=NAME_MAX).contains(&name.len()) && name.chars().all(legal) {
        return Ok(name.to_owned());
    }
    Err(format!(
        "`{name}` is no name; write 1 to {NAME_MAX} letters, digits, - or _"
    ))
}

/// The same, where nothing is a value too.
pub(super) fn name_or_blank(raw: &Raw<'_>) -> Result<String, String> {
    if raw.text("a string in quotes")?.is_empty() {
        return Ok(String::new());
    }
    name(raw)
}

/// The first part of this machine's name, as a node's name.
pub(super) fn host_name() -> Result<String, String> {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    let first = host.split('.').next().unwrap_or_default();
    name(&Raw::Text(first)).map_err(|_| {
        format!("is blank, and the host name `{host}` cannot stand for it; write a name")
    })
}

/// `rack=b7,tier=edge`, or a table of strings.
pub(super) fn labels(raw: &Raw<'_>) -> Result<BTreeMap<String, String>, String> {
    let wanted = "a table such as { rack = \"b7\" }, or \"rack=b7,tier=edge\"";
    let mut labels = BTreeMap::new();
    let mut label = |key: &str, value: &str| {
        let key = name(&Raw::Text(key.trim()))?;
        let value = value.trim();
        let legal = |c: char| !c.is_control() && c != ',';
        if value.is_empty() || value.len() > LABEL_MAX || !value.chars().all(legal) {
            return Err(format!(
                "`{key}` has no right value; write 1 to {LABEL_MAX} octets without commas"
            ));
        }
        match labels.insert(key, value.to_owned()) {
            None => Ok(()),
            Some(first) => Err(format!("gives a label twice, first as `{first}`")),
        }
    };
    match raw {
        Raw::Toml(DeValue::Table(table)) => {
            for (key, value) in table {
                match value.get_ref() {
                    DeValue::String(value) => label(key.get_ref(), value)?,
                    other => {
                        let key = key.get_ref();
                        return Err(format!("{key} {}", wrong_type(other, "a string")));
                    }
                }
            }
        }
        other => {
            let text = other.text(wanted)?;
            for part in text.split(',').filter(|part| !part.trim().is_empty()) {
                let (key, value) = part
                    .split_once('=')
                    .ok_or_else(|| format!("`{part}` is no label; write {wanted}"))?;
                label(key, value)?;
            }
        }
    }
    if labels.len() > LABELS_MAX {
        return Err(format!("holds more than {LABELS_MAX} labels"));
    }
    Ok(labels)
}

pub(super) fn path(raw: &Raw<'_>) -> Result<PathBuf, String> {
    let path = path_or_blank(raw)?;
    if path.as_os_str().is_empty() {
        return Err("is blank; write a path".to_owned());
    }
    Ok(path)
}

pub(super) fn path_or_blank(raw: &Raw<'_>) -> Result<PathBuf, String> {
    raw.text("a path in quotes").map(PathBuf::from)
}

pub(super) fn socket(raw: &Raw<'_>) -> Result<SocketAddr, String> {
    let text = raw.text("an address with its port, such as \"127.0.0.1:8080\"")?;
    text.trim().parse().map_err(|_| {
        format!(
            "`{text}` is no IP address with a port; write \"127.0.0.1:8080\", \"[::1]:8080\" or, \
             for every address, \"0.0.0.0:8080\""
        )
    })
}

pub(super) fn ip(raw: &Raw<'_>) -> Result<IpAddr, String> {
    let text = raw.text("an IP address in quotes")?;
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is no IP address; write \"192.0.2.7\" or \"0.0.0.0\""))
}

pub(super) fn ports(raw: &Raw<'_>) -> Result<RangeInclusive<u16>, String> {
    crate::args::parse_ports(raw.text("a range in quotes, such as \"16384-32767\"")?)
}

/// A list in the file; parted by commas elsewhere.
pub(super) fn networks(raw: &Raw<'_>) -> Result<Vec<Network>, String> {
    let wanted = "a list of networks, such as [\"10.0.0.0/8\"]";
    match raw {
        Raw::Text(text) => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::parse)
            .collect(),
        Raw::Toml(DeValue::Array(elements)) => elements
            .iter()
            .map(|element| match element.get_ref() {
                DeValue::String(text) => text.parse(),
                other => Err(wrong_type(other, wanted)),
            })
            .collect(),
        Raw::Toml(other) => Err(wrong_type(other, wanted)),
    }
}

/// One of several words.
pub(super) fn choice<T: Copy>(raw: &Raw<'_>, words: &[(&str, T)]) -> Result<T, String> {
    let all = words.iter().map(|(word, _)| format!("\"{word}\""));
    let all = all.collect::<Vec<_>>().join(" or ");
    let given = raw.text(&all)?;
    words
        .iter()
        .find(|(word, _)| *word == given)
        .map(|(_, value)| *value)
        .ok_or_else(|| format!("`{given}` is not known; write {all}"))
}

pub(super) fn log_filter(raw: &Raw<'_>) -> Result<String, String> {
    let text = raw.text("a filter in quotes, such as \"info\"")?;
    match EnvFilter::try_new(text) {
        Ok(_) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => Err(format!(
            "`{text}` is no filter; write \"warn\", \"info\", \"debug\" or \"info,coordinator=debug\""
        )),
    }
}

const NAME_MAX: usize = 64;
/// Of a label's value, in octets.
const LABEL_MAX: usize = 128;
/// Labels of a node.
const LABELS_MAX: usize = 32;
