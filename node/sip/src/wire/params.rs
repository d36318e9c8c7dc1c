//! Parameters of a URI, a name-addr or a Via, kept as the text they came in.
//!
//! Owns: reading and editing `;name=value` lists without disturbing order, case, escapes, quoting
//! or what it does not know. Never: decodes escapes on its own.
//! Source: RFC 3261 §25.1 `generic-param`, §7.3.1.

use smol_str::{SmolStr, SmolStrBuilder};

use super::lex::{self, ParamPairs};

/// A list of `;name=value` parameters.
///
/// Shape: the text as written, starting at its first `;`, or empty. Printing gives the same octets
/// back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Params(SmolStr);

impl Params {
    /// Takes `;a=b;c` text.
    ///
    /// Errors: `None` when a parameter has no name or a quoted string is not closed.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        lex::params_are_sound(text.as_bytes()).then(|| Self(SmolStr::new(text)))
    }

    /// The value of the first parameter called `name`, quotes kept; empty for a parameter without a
    /// value.
    pub fn get(&self, name: &str) -> Option<&str> {
        lex::param(self.0.as_bytes(), name.as_bytes())
            .map(|value| lex::utf8(value.unwrap_or_default()).unwrap_or_default())
    }

    /// Whether a parameter called `name` is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        lex::param(self.0.as_bytes(), name.as_bytes()).is_some()
    }

    /// All parameters in order: name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        ParamPairs::of(self.0.as_bytes()).map(|(name, value)| {
            (
                lex::utf8(name).unwrap_or_default(),
                value.and_then(lex::utf8),
            )
        })
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds `;name` or `;name=value` at the end, or replaces the parameter of that name where it
    /// stands.
    ///
    /// Shape: `value` goes in as it is: the caller quotes or escapes.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let mut text = SmolStrBuilder::new();
        let mut placed = false;
        let push = |text: &mut SmolStrBuilder, name: &str, value: Option<&str>| {
            text.push(';');
            text.push_str(name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(value);
            }
        };
        for (old_name, old_value) in self.iter() {
            if !old_name.eq_ignore_ascii_case(name) {
                push(&mut text, old_name, old_value);
            } else if !placed {
                placed = true;
                push(&mut text, name, value);
            }
        }
        if !placed {
            push(&mut text, name, value);
        }
        self.0 = text.finish();
    }

    /// Takes every parameter called `name` out.
    pub fn remove(&mut self, name: &str) {
        if !self.has(name) {
            return;
        }
        let mut text = SmolStrBuilder::new();
        for (old_name, value) in self
            .iter()
            .filter(|(old, _)| !old.eq_ignore_ascii_case(name))
        {
            text.push(';');
            text.push_str(old_name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(value);
            }
        }
        self.0 = text.finish();
    }
}

impl std::fmt::Display for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Params;

    #[test]
    fn unknown_parameters_keep_order_case_and_quotes() {
        let text = ";Transport=UDP;lr;+sip.instance=\"<urn:uuid:1;2>\";n%61me=v%61lue%25%34%31";
        let params = Params::parse(text).unwrap();
        assert_eq!(params.to_string(), text);
        assert_eq!(params.get("transport"), Some("UDP"));
        assert_eq!(params.get("lr"), Some(""));
        assert_eq!(params.get("+sip.instance"), Some("\"<urn:uuid:1;2>\""));
        assert_eq!(params.get("name"), None);
        assert_eq!(params.iter().count(), 4);
    }

    #[test]
    fn set_replaces_in_place_and_remove_takes_all() {
        let mut params = Params::parse(";a=1;rport;b").unwrap();
        params.set("rport", Some("5060"));
        params.set("received", Some("192.0.2.1"));
        assert_eq!(params.as_str(), ";a=1;rport=5060;b;received=192.0.2.1");
        params.remove("A");
        assert_eq!(params.as_str(), ";rport=5060;b;received=192.0.2.1");
    }

    #[test]
    fn empty_parameters_and_open_quotes_are_refused() {
        for bad in [";;", ";", ";a=\"b", "a=b", ";=x"] {
            assert_eq!(Params::parse(bad), None, "{bad}");
        }
        assert!(Params::parse("").unwrap().is_empty());
    }
}
