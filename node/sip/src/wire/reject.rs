//! Why octets were refused, and what may be answered.
//!
//! Owns: the list of refusals, the status each maps to and whether a stream survives it. Never:
//! sends.
//! Source: RFC 3261 §8.2, §16.3, §18.3; RFC 4475.

use bytes::Bytes;

use super::Name;

/// A message that was not taken.
///
/// Shape: `answer` is a complete stateless response for the packet's source; without one the
/// message is dropped. Either way the caller counts it under `kind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub kind: RejectKind,
    /// A stateless response, when the request was whole enough to be answered (never to ACK or a
    /// response).
    pub answer: Option<Bytes>,
}

impl Rejected {
    /// A refusal that is dropped without an answer.
    pub(crate) fn silent(kind: RejectKind) -> Self {
        Self { kind, answer: None }
    }
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectKind {
    /// No octet at all.
    Empty,
    /// Longer than `MAX_DATAGRAM`.
    DatagramTooLong,
    /// The header section does not end within `MAX_HEADER_SECTION`.
    HeaderSectionTooLong,
    /// A line longer than `MAX_LINE`.
    LineTooLong,
    /// More than `MAX_HEADER_LINES` header lines.
    TooManyHeaders,
    /// More than `MAX_VIA` Via lines.
    TooManyVias,
    /// A Content-Length over `MAX_BODY`, or a datagram's body that is longer.
    BodyTooLong,
    /// More than `MAX_STREAM_BUFFER` octets were pushed before they were taken out.
    StreamOverflow,
    /// The header section has no blank line at its end.
    NoBlankLine,
    /// A CR or LF that is not part of a CRLF.
    BareLineEnd,
    /// The first line is neither a Request-Line nor a Status-Line.
    NotSip,
    /// A SIP version other than 2.0.
    Version,
    /// A status below 100 or above 699, or no number.
    Status,
    /// A Request-URI with white space, brackets or a malformed host.
    RequestUri,
    /// A line without a colon or with a name that is no token.
    HeaderLine,
    /// A header field that every message needs is absent.
    Missing(Name),
    /// A header field that may stand once stands twice.
    Duplicate(Name),
    /// A header field whose value breaks its grammar or range.
    Malformed(Name),
    /// The method of CSeq is not that of the request line.
    CSeqMismatch,
    /// Content-Length says more octets than the datagram has.
    BodyTooShort,
}

impl RejectKind {
    /// The status code that a request refused for this reason is answered with; `None` where it is
    /// dropped.
    pub fn status(self) -> Option<u16> {
        match self {
            Self::Empty
            | Self::DatagramTooLong
            | Self::StreamOverflow
            | Self::NoBlankLine
            | Self::BareLineEnd
            | Self::NotSip
            | Self::HeaderSectionTooLong
            | Self::LineTooLong
            | Self::TooManyHeaders
            | Self::Status => None,
            Self::BodyTooLong => Some(413),
            Self::Version => Some(505),
            Self::TooManyVias
            | Self::RequestUri
            | Self::HeaderLine
            | Self::Missing(_)
            | Self::Duplicate(_)
            | Self::Malformed(_)
            | Self::CSeqMismatch
            | Self::BodyTooShort => Some(400),
        }
    }

    /// Whether the end of the message is unknown, so that a stream must be closed (RFC 3261 §18.3).
    pub fn breaks_stream(self) -> bool {
        match self {
            Self::HeaderSectionTooLong
            | Self::LineTooLong
            | Self::TooManyHeaders
            | Self::BodyTooLong
            | Self::StreamOverflow
            | Self::NoBlankLine
            | Self::BareLineEnd
            | Self::NotSip
            | Self::Missing(Name::ContentLength)
            | Self::Duplicate(Name::ContentLength)
            | Self::Malformed(Name::ContentLength) => true,
            Self::Empty
            | Self::DatagramTooLong
            | Self::TooManyVias
            | Self::Version
            | Self::Status
            | Self::RequestUri
            | Self::HeaderLine
            | Self::Missing(_)
            | Self::Duplicate(_)
            | Self::Malformed(_)
            | Self::CSeqMismatch
            | Self::BodyTooShort => false,
        }
    }
}

impl std::fmt::Display for RejectKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("empty datagram"),
            Self::DatagramTooLong => f.write_str("datagram too long"),
            Self::HeaderSectionTooLong => f.write_str("header section too long"),
            Self::LineTooLong => f.write_str("line too long"),
            Self::TooManyHeaders => f.write_str("too many header lines"),
            Self::TooManyVias => f.write_str("too many Via lines"),
            Self::BodyTooLong => f.write_str("body too long"),
            Self::StreamOverflow => f.write_str("stream buffer overflow"),
            Self::NoBlankLine => f.write_str("no blank line after the headers"),
            Self::BareLineEnd => f.write_str("bare CR or LF"),
            Self::NotSip => f.write_str("not a SIP message"),
            Self::Version => f.write_str("SIP version not supported"),
            Self::Status => f.write_str("status code out of range"),
            Self::RequestUri => f.write_str("malformed Request-URI"),
            Self::HeaderLine => f.write_str("malformed header line"),
            Self::Missing(name) => write!(f, "missing {name}"),
            Self::Duplicate(name) => write!(f, "duplicate {name}"),
            Self::Malformed(name) => write!(f, "malformed {name}"),
            Self::CSeqMismatch => f.write_str("CSeq method mismatch"),
            Self::BodyTooShort => f.write_str("body shorter than Content-Length"),
        }
    }
}

impl std::error::Error for RejectKind {}
