//! Header field names: the known ones as an enum, their wire form and their compact form.
//!
//! Owns: the mapping between octets and names. Never: says what a header means.
//! Source: RFC 3261 §7.3.1 (names are case-insensitive), §7.3.3 (compact forms) and the IANA
//! registry of header fields.

/// A header field name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Name {
    /// `Via`, compact `v`.
    Via,
    /// `From`, compact `f`.
    From,
    /// `To`, compact `t`.
    To,
    /// `Call-ID`, compact `i`.
    CallId,
    /// `CSeq`.
    CSeq,
    /// `Contact`, compact `m`.
    Contact,
    /// `Max-Forwards`.
    MaxForwards,
    /// `Content-Length`, compact `l`.
    ContentLength,
    /// `Content-Type`, compact `c`.
    ContentType,
    /// `Content-Encoding`, compact `e`.
    ContentEncoding,
    /// `Content-Disposition`.
    ContentDisposition,
    /// `Content-Language`.
    ContentLanguage,
    /// `Route`.
    Route,
    /// `Record-Route`.
    RecordRoute,
    /// `Path`.
    Path,
    /// `Service-Route`.
    ServiceRoute,
    /// `WWW-Authenticate`.
    WwwAuthenticate,
    /// `Proxy-Authenticate`.
    ProxyAuthenticate,
    /// `Authorization`.
    Authorization,
    /// `Proxy-Authorization`.
    ProxyAuthorization,
    /// `Authentication-Info`.
    AuthenticationInfo,
    /// `Expires`.
    Expires,
    /// `Min-Expires`.
    MinExpires,
    /// `Retry-After`.
    RetryAfter,
    /// `Require`.
    Require,
    /// `Supported`, compact `k`.
    Supported,
    /// `Unsupported`.
    Unsupported,
    /// `Proxy-Require`.
    ProxyRequire,
    /// `Allow`.
    Allow,
    /// `Allow-Events`, compact `u`.
    AllowEvents,
    /// `Accept`.
    Accept,
    /// `Accept-Encoding`.
    AcceptEncoding,
    /// `Accept-Language`.
    AcceptLanguage,
    /// `RSeq`.
    RSeq,
    /// `RAck`.
    RAck,
    /// `Session-Expires`, compact `x`.
    SessionExpires,
    /// `Min-SE`.
    MinSe,
    /// `User-Agent`.
    UserAgent,
    /// `Server`.
    Server,
    /// `Reason`.
    Reason,
    /// `Warning`.
    Warning,
    /// `Date`.
    Date,
    /// `Timestamp`.
    Timestamp,
    /// `Subject`, compact `s`.
    Subject,
    /// `Event`, compact `o`.
    Event,
    /// `Subscription-State`.
    SubscriptionState,
    /// `Refer-To`, compact `r`.
    ReferTo,
    /// `Referred-By`, compact `b`.
    ReferredBy,
    /// `Replaces`.
    Replaces,
    /// `MIME-Version`.
    MimeVersion,
    /// `Organization`.
    Organization,
    /// `Priority`.
    Priority,
    /// `Error-Info`.
    ErrorInfo,
    /// `Alert-Info`.
    AlertInfo,
    /// `Call-Info`.
    CallInfo,
    /// `In-Reply-To`.
    InReplyTo,
    /// `Reply-To`.
    ReplyTo,
    /// `P-Asserted-Identity`.
    PAssertedIdentity,
    /// `P-Preferred-Identity`.
    PPreferredIdentity,
    /// `Privacy`.
    Privacy,
    /// `SIP-ETag`.
    SipEtag,
    /// `SIP-If-Match`.
    SipIfMatch,
    /// Any name that is not listed here; the message keeps it as it was written.
    Other,
}

impl Name {
    /// Maps a name in any case, long or compact, to its header.
    ///
    /// Shape: never fails; what is unknown (or longer than any known name) is `Other`.
    pub fn from_bytes(name: &[u8]) -> Self {
        let mut lower = [0_u8; LONGEST];
        let Some(lower) = lower.get_mut(..name.len()) else {
            return Self::Other;
        };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        match &*lower {
            b"via" | b"v" => Self::Via,
            b"from" | b"f" => Self::From,
            b"to" | b"t" => Self::To,
            b"call-id" | b"i" => Self::CallId,
            b"cseq" => Self::CSeq,
            b"contact" | b"m" => Self::Contact,
            b"max-forwards" => Self::MaxForwards,
            b"content-length" | b"l" => Self::ContentLength,
            b"content-type" | b"c" => Self::ContentType,
            b"content-encoding" | b"e" => Self::ContentEncoding,
            b"content-disposition" => Self::ContentDisposition,
            b"content-language" => Self::ContentLanguage,
            b"route" => Self::Route,
            b"record-route" => Self::RecordRoute,
            b"path" => Self::Path,
            b"service-route" => Self::ServiceRoute,
            b"www-authenticate" => Self::WwwAuthenticate,
            b"proxy-authenticate" => Self::ProxyAuthenticate,
            b"authorization" => Self::Authorization,
            b"proxy-authorization" => Self::ProxyAuthorization,
            b"authentication-info" => Self::AuthenticationInfo,
            b"expires" => Self::Expires,
            b"min-expires" => Self::MinExpires,
            b"retry-after" => Self::RetryAfter,
            b"require" => Self::Require,
            b"supported" | b"k" => Self::Supported,
            b"unsupported" => Self::Unsupported,
            b"proxy-require" => Self::ProxyRequire,
            b"allow" => Self::Allow,
            b"allow-events" | b"u" => Self::AllowEvents,
            b"accept" => Self::Accept,
            b"accept-encoding" => Self::AcceptEncoding,
            b"accept-language" => Self::AcceptLanguage,
            b"rseq" => Self::RSeq,
            b"rack" => Self::RAck,
            b"session-expires" | b"x" => Self::SessionExpires,
            b"min-se" => Self::MinSe,
            b"user-agent" => Self::UserAgent,
            b"server" => Self::Server,
            b"reason" => Self::Reason,
            b"warning" => Self::Warning,
            b"date" => Self::Date,
            b"timestamp" => Self::Timestamp,
            b"subject" | b"s" => Self::Subject,
            b"event" | b"o" => Self::Event,
            b"subscription-state" => Self::SubscriptionState,
            b"refer-to" | b"r" => Self::ReferTo,
            b"referred-by" | b"b" => Self::ReferredBy,
            b"replaces" => Self::Replaces,
            b"mime-version" => Self::MimeVersion,
            b"organization" => Self::Organization,
            b"priority" => Self::Priority,
            b"error-info" => Self::ErrorInfo,
            b"alert-info" => Self::AlertInfo,
            b"call-info" => Self::CallInfo,
            b"in-reply-to" => Self::InReplyTo,
            b"reply-to" => Self::ReplyTo,
            b"p-asserted-identity" => Self::PAssertedIdentity,
            b"p-preferred-identity" => Self::PPreferredIdentity,
            b"privacy" => Self::Privacy,
            b"sip-etag" => Self::SipEtag,
            b"sip-if-match" => Self::SipIfMatch,
            _ => Self::Other,
        }
    }

    /// The long form as it is written on the wire; empty for `Other`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Via => "Via",
            Self::From => "From",
            Self::To => "To",
            Self::CallId => "Call-ID",
            Self::CSeq => "CSeq",
            Self::Contact => "Contact",
            Self::MaxForwards => "Max-Forwards",
            Self::ContentLength => "Content-Length",
            Self::ContentType => "Content-Type",
            Self::ContentEncoding => "Content-Encoding",
            Self::ContentDisposition => "Content-Disposition",
            Self::ContentLanguage => "Content-Language",
            Self::Route => "Route",
            Self::RecordRoute => "Record-Route",
            Self::Path => "Path",
            Self::ServiceRoute => "Service-Route",
            Self::WwwAuthenticate => "WWW-Authenticate",
            Self::ProxyAuthenticate => "Proxy-Authenticate",
            Self::Authorization => "Authorization",
            Self::ProxyAuthorization => "Proxy-Authorization",
            Self::AuthenticationInfo => "Authentication-Info",
            Self::Expires => "Expires",
            Self::MinExpires => "Min-Expires",
            Self::RetryAfter => "Retry-After",
            Self::Require => "Require",
            Self::Supported => "Supported",
            Self::Unsupported => "Unsupported",
            Self::ProxyRequire => "Proxy-Require",
            Self::Allow => "Allow",
            Self::AllowEvents => "Allow-Events",
            Self::Accept => "Accept",
            Self::AcceptEncoding => "Accept-Encoding",
            Self::AcceptLanguage => "Accept-Language",
            Self::RSeq => "RSeq",
            Self::RAck => "RAck",
            Self::SessionExpires => "Session-Expires",
            Self::MinSe => "Min-SE",
            Self::UserAgent => "User-Agent",
            Self::Server => "Server",
            Self::Reason => "Reason",
            Self::Warning => "Warning",
            Self::Date => "Date",
            Self::Timestamp => "Timestamp",
            Self::Subject => "Subject",
            Self::Event => "Event",
            Self::SubscriptionState => "Subscription-State",
            Self::ReferTo => "Refer-To",
            Self::ReferredBy => "Referred-By",
            Self::Replaces => "Replaces",
            Self::MimeVersion => "MIME-Version",
            Self::Organization => "Organization",
            Self::Priority => "Priority",
            Self::ErrorInfo => "Error-Info",
            Self::AlertInfo => "Alert-Info",
            Self::CallInfo => "Call-Info",
            Self::InReplyTo => "In-Reply-To",
            Self::ReplyTo => "Reply-To",
            Self::PAssertedIdentity => "P-Asserted-Identity",
            Self::PPreferredIdentity => "P-Preferred-Identity",
            Self::Privacy => "Privacy",
            Self::SipEtag => "SIP-ETag",
            Self::SipIfMatch => "SIP-If-Match",
            Self::Other => "",
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The length of the longest known name.
const LONGEST: usize = 20;

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn every_known_name_maps_back_to_itself_in_any_case() {
        for name in [
            Name::Via,
            Name::From,
            Name::To,
            Name::CallId,
            Name::CSeq,
            Name::Contact,
            Name::MaxForwards,
            Name::ContentLength,
            Name::ContentType,
            Name::ContentEncoding,
            Name::ContentDisposition,
            Name::ContentLanguage,
            Name::Route,
            Name::RecordRoute,
            Name::Path,
            Name::ServiceRoute,
            Name::WwwAuthenticate,
            Name::ProxyAuthenticate,
            Name::Authorization,
            Name::ProxyAuthorization,
            Name::AuthenticationInfo,
            Name::Expires,
            Name::MinExpires,
            Name::RetryAfter,
            Name::Require,
            Name::Supported,
            Name::Unsupported,
            Name::ProxyRequire,
            Name::Allow,
            Name::AllowEvents,
            Name::Accept,
            Name::AcceptEncoding,
            Name::AcceptLanguage,
            Name::RSeq,
            Name::RAck,
            Name::SessionExpires,
            Name::MinSe,
            Name::UserAgent,
            Name::Server,
            Name::Reason,
            Name::Warning,
            Name::Date,
            Name::Timestamp,
            Name::Subject,
            Name::Event,
            Name::SubscriptionState,
            Name::ReferTo,
            Name::ReferredBy,
            Name::Replaces,
            Name::MimeVersion,
            Name::Organization,
            Name::Priority,
            Name::ErrorInfo,
            Name::AlertInfo,
            Name::CallInfo,
            Name::InReplyTo,
            Name::ReplyTo,
            Name::PAssertedIdentity,
            Name::PPreferredIdentity,
            Name::Privacy,
            Name::SipEtag,
            Name::SipIfMatch,
        ] {
            assert_eq!(Name::from_bytes(name.as_str().as_bytes()), name);
            assert_eq!(
                Name::from_bytes(name.as_str().to_uppercase().as_bytes()),
                name
            );
        }
        assert_eq!(Name::from_bytes(b"v"), Name::Via);
        assert_eq!(Name::from_bytes(b"L"), Name::ContentLength);
        assert_eq!(Name::from_bytes(b"C%6Fntact"), Name::Other);
        assert_eq!(Name::from_bytes(&[b'a'; 300]), Name::Other);
        assert_eq!(Name::from_bytes(b""), Name::Other);
    }
}
