//! The lifetime that a registrar grants, and when to ask for more.
//!
//! Source: RFC 3261 §10.2.4, §10.3 step 8, §19.1.4 (comparison of URIs, as far as Contacts need it).

use std::time::Duration;

use crate::ua::UaConfig;
use crate::wire::{Host, Message, Name, NameAddr, Uri};

/// The lifetime of our Contact in a 2xx, in seconds: its `expires`, else Expires; `None` if the
/// registrar names neither.
pub(super) fn granted_s(config: &UaConfig, response: &Message) -> Option<u32> {
    let ours = response
        .values(Name::Contact)
        .filter_map(|contact| NameAddr::parse(contact).ok())
        .find(|contact| is_ours(config, &contact.uri));
    ours.and_then(|contact| contact.params.get("expires")?.parse().ok())
        .or_else(|| response.number(Name::Expires))
}

/// User, host and port decide; a registrar may add or drop parameters.
fn is_ours(config: &UaConfig, contact: &Uri) -> bool {
    contact.user.as_deref() == Some(config.contact_user.as_str())
        && contact.host == Host::from(config.local)
        && contact.port.unwrap_or(crate::dialog::DEFAULT_PORT) == config.local.port()
}

/// When to refresh: at 80 % of the lifetime, but no more than [`LONGEST_LEAD`] before its end, and
/// never sooner than [`SHORTEST`].
pub(super) fn refresh_after(expires_s: u32) -> Duration {
    let lifetime = Duration::from_secs(u64::from(expires_s));
    let lead = (lifetime / 5).min(LONGEST_LEAD);
    (lifetime - lead).max(SHORTEST)
}

/// A day-long binding needs no refresh hours ahead; this leaves room for many Timer Fs.
const LONGEST_LEAD: Duration = Duration::from_secs(600);
/// A registrar that grants next to nothing must not make us flood it.
const SHORTEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refresh_comes_before_the_end_and_not_too_often() {
        let after = |expires_s| refresh_after(expires_s).as_secs_f64();
        assert_eq!(after(60), 48.0);
        assert_eq!(after(3600), 3000.0);
        assert_eq!(after(86_400), 85_800.0);
        assert_eq!(after(1), 1.0);
        assert_eq!(after(0), 1.0);
    }
}
