//! Names to addresses: the registrars' own hosts first, then the system's resolver (A and AAAA).
//! RFC 3263's NAPTR and SRV come with a later issue; this is their seam.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use smol_str::SmolStr;

/// Names kept; a run that meets more has its oldest guesses looked up again.
const NAMES_MAX: usize = 1_024;

type Key = (SmolStr, u16, bool);

/// Known names. Clones share one table.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    /// A registrar's domain stands for its host and port, whatever DNS says.
    overrides: Rc<RefCell<FxHashMap<SmolStr, (String, u16)>>>,
    known: Rc<RefCell<FxHashMap<Key, SocketAddr>>>,
}

impl Resolver {
    /// From now on `domain` means `host` and `port`.
    pub fn redirect(&self, domain: &str, host: &str, port: u16) {
        if domain != host {
            self.overrides
                .borrow_mut()
                .insert(domain.into(), (host.to_owned(), port));
        }
    }

    /// The address, if it was looked up before.
    #[must_use]
    pub fn known(&self, name: &str, port: u16, ipv4: bool) -> Option<SocketAddr> {
        self.known.borrow().get(&(name.into(), port, ipv4)).copied()
    }

    /// Asks the system.
    ///
    /// Errors: a sentence with the name and what the resolver said.
    pub async fn look_up(&self, name: &str, port: u16, ipv4: bool) -> Result<SocketAddr, String> {
        let redirected = self.overrides.borrow().get(name).cloned();
        let (host, real_port) = redirected.unwrap_or_else(|| (name.to_owned(), port));
        let bare = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let found = tokio::net::lookup_host((bare.as_str(), real_port))
            .await
            .map_err(|error| format!("cannot resolve `{host}`: {error}"))?
            .find(|address| address.is_ipv4() == ipv4);
        let family = if ipv4 { "IPv4" } else { "IPv6" };
        let address = found.ok_or_else(|| format!("`{host}` has no {family} address"))?;
        let mut known = self.known.borrow_mut();
        if known.len() >= NAMES_MAX {
            known.clear();
        }
        known.insert((name.into(), port, ipv4), address);
        Ok(address)
    }
}
