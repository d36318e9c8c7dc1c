//! SIP messages as octets: a lenient, bounded parser, exact printers, and the typed views between
//! them.
//!
//! Owns: framing (datagram and stream), the header index, URI, name-addr and Via, writers, the
//! request checks that need no state. Never: keeps transactions or dialogs, changes an octet that
//! it hands on, or reads an SDP body.
//! Source: RFC 3261 §7, §18, §20, §25; RFC 4475; RFC 5118; RFC 5626 §3.5.1.

mod answer;
mod framer;
mod head;
mod host;
pub(crate) mod lex;
mod message;
mod method;
mod name;
mod name_addr;
mod params;
mod phrase;
mod reject;
mod typed;
mod uri;
mod validate;
mod via;

pub mod check;
pub mod scan;
pub mod write;

pub use framer::StreamFramer;
pub use host::Host;
pub use message::{Incoming, Message};
pub use method::Method;
pub use name::Name;
pub use name_addr::NameAddr;
pub use params::Params;
pub use phrase::reason_phrase;
pub use reject::{RejectKind, Rejected};
pub use typed::TypedError;
pub use uri::{Scheme, Uri};
pub use via::Via;
pub use write::{RequestWriter, ResponseWriter};

/// The longest datagram that is looked at, octets (the most that UDP over IPv4 can carry).
pub const MAX_DATAGRAM: usize = 65_535;
/// The longest start line and header section together, octets, its blank line included.
pub const MAX_HEADER_SECTION: usize = 16 * 1024;
/// The most header lines of one message (folded lines count once).
pub const MAX_HEADER_LINES: usize = 256;
/// The longest line, octets, after unfolding.
pub const MAX_LINE: usize = 8 * 1024;
/// The most Via header lines of one message.
pub const MAX_VIA: usize = 64;
/// The longest body, octets.
pub const MAX_BODY: usize = 64 * 1024;
/// The most octets a stream may have waiting before `StreamFramer::next` is called.
pub const MAX_STREAM_BUFFER: usize = 256 * 1024;

/// A malformed URI, name-addr or Via.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// Not a URI that SIP can use.
    #[error("malformed URI")]
    Uri,
    /// Neither a name-addr nor an addr-spec.
    #[error("malformed address")]
    NameAddr,
    /// Not a via-parm.
    #[error("malformed Via")]
    Via,
}
