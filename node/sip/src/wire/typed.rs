//! The typed rsip model of a message, made on demand.
//!
//! Owns: filling rsip's request, response, URI and header types. Never: uses rsip's parser for a
//! whole message, as it refuses or misreads valid ones; never prints through it.
//! Source: rsip 0.4.0.

use super::{Host, Message, Method, Name, Scheme, Uri};

/// Why rsip cannot hold a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypedError {
    /// rsip knows a closed set of methods.
    #[error("rsip has no method {0}")]
    Method(Method),
    /// rsip has no tel and no opaque URIs, and no URI headers.
    #[error("rsip cannot hold the URI {0}")]
    Uri(String),
    /// The Request-URI is malformed.
    #[error("malformed Request-URI")]
    Syntax,
    /// rsip's header values are text.
    #[error("header {0} is not UTF-8")]
    NotText(String),
}

impl Message {
    /// Builds rsip's typed model of this message.
    ///
    /// Shape: header fields in order, compact names expanded, unknown ones as `Header::Other`. The
    /// reason phrase is kept where rsip has no variant for the code.
    /// Errors: `TypedError` when rsip cannot hold what the message says.
    pub fn to_rsip(&self) -> Result<rsip::SipMessage, TypedError> {
        let headers = self.rsip_headers()?;
        let body = self.body().to_vec();
        let version = rsip::Version::V2;
        if let Some(method) = self.method() {
            let uri = Uri::parse(self.request_uri()).map_err(|_| TypedError::Syntax)?;
            let request = rsip::Request {
                method: method.to_rsip()?,
                uri: uri.to_rsip()?,
                version,
                headers,
                body,
            };
            return Ok(rsip::SipMessage::Request(request));
        }
        let status_code = match rsip::StatusCode::from(self.status().unwrap_or_default()) {
            rsip::StatusCode::Other(code, _) => {
                rsip::StatusCode::Other(code, self.reason().into_owned())
            }
            known => known,
        };
        Ok(rsip::SipMessage::Response(rsip::Response {
            status_code,
            version,
            headers,
            body,
        }))
    }

    fn rsip_headers(&self) -> Result<rsip::Headers, TypedError> {
        let mut headers = Vec::new();
        for (name, spelling, value) in self.all_lines() {
            let spelling = String::from_utf8_lossy(spelling).into_owned();
            let Ok(value) = std::str::from_utf8(value) else {
                return Err(TypedError::NotText(spelling));
            };
            headers.push(header(name, spelling, value.to_owned()));
        }
        Ok(rsip::Headers::from(headers))
    }
}

impl Method {
    /// The rsip method.
    ///
    /// Errors: `TypedError::Method` for a method that rsip does not list.
    pub fn to_rsip(&self) -> Result<rsip::Method, TypedError> {
        Ok(match self {
            Self::Invite => rsip::Method::Invite,
            Self::Ack => rsip::Method::Ack,
            Self::Bye => rsip::Method::Bye,
            Self::Cancel => rsip::Method::Cancel,
            Self::Register => rsip::Method::Register,
            Self::Options => rsip::Method::Options,
            Self::Prack => rsip::Method::PRack,
            Self::Update => rsip::Method::Update,
            Self::Info => rsip::Method::Info,
            Self::Refer => rsip::Method::Refer,
            Self::Notify => rsip::Method::Notify,
            Self::Subscribe => rsip::Method::Subscribe,
            Self::Message => rsip::Method::Message,
            Self::Publish => rsip::Method::Publish,
            Self::Other(_) => return Err(TypedError::Method(self.clone())),
        })
    }
}

impl Uri {
    /// The rsip URI.
    ///
    /// Shape: an IPv6 host becomes a bracketed domain, as rsip prints addresses without brackets.
    /// Errors: `TypedError::Uri` for a scheme other than `sip`/`sips`, URI headers, or a parameter
    /// rsip refuses.
    pub fn to_rsip(&self) -> Result<rsip::Uri, TypedError> {
        let refused = || TypedError::Uri(self.to_string());
        let scheme = match self.scheme {
            Scheme::Sip => rsip::Scheme::Sip,
            Scheme::Sips => rsip::Scheme::Sips,
            Scheme::Tel | Scheme::Other(_) => return Err(refused()),
        };
        if self.headers.is_some() {
            return Err(refused());
        }
        let host = match &self.host {
            Host::V4(address) => rsip::Host::IpAddr((*address).into()),
            Host::V6(_) => rsip::Host::Domain(self.host.to_string().into()),
            Host::Name(name) => rsip::Host::Domain(name.to_string().into()),
        };
        let params = self
            .params
            .iter()
            .map(|param| rsip::Param::try_from(param).map_err(|_| refused()))
            .collect::<Result<_, _>>()?;
        Ok(rsip::Uri {
            scheme: Some(scheme),
            auth: self.user.as_ref().map(|user| rsip::Auth {
                user: user.to_string(),
                password: self.password.as_ref().map(ToString::to_string),
            }),
            host_with_port: rsip::HostWithPort {
                host,
                port: self.port.map(Into::into),
            },
            params,
            headers: Vec::new(),
        })
    }
}

/// One header line as rsip's enum; what rsip has no variant for keeps its spelling.
fn header(name: Name, spelling: String, value: String) -> rsip::Header {
    use rsip::Header as H;
    match name {
        Name::Accept => H::Accept(value.into()),
        Name::AcceptEncoding => H::AcceptEncoding(value.into()),
        Name::AcceptLanguage => H::AcceptLanguage(value.into()),
        Name::AlertInfo => H::AlertInfo(value.into()),
        Name::Allow => H::Allow(value.into()),
        Name::AuthenticationInfo => H::AuthenticationInfo(value.into()),
        Name::Authorization => H::Authorization(value.into()),
        Name::CSeq => H::CSeq(value.into()),
        Name::CallId => H::CallId(value.into()),
        Name::CallInfo => H::CallInfo(value.into()),
        Name::Contact => H::Contact(value.into()),
        Name::ContentDisposition => H::ContentDisposition(value.into()),
        Name::ContentEncoding => H::ContentEncoding(value.into()),
        Name::ContentLanguage => H::ContentLanguage(value.into()),
        Name::ContentLength => H::ContentLength(value.into()),
        Name::ContentType => H::ContentType(value.into()),
        Name::Date => H::Date(value.into()),
        Name::ErrorInfo => H::ErrorInfo(value.into()),
        Name::Event => H::Event(value.into()),
        Name::Expires => H::Expires(value.into()),
        Name::From => H::From(value.into()),
        Name::InReplyTo => H::InReplyTo(value.into()),
        Name::MaxForwards => H::MaxForwards(value.into()),
        Name::MimeVersion => H::MimeVersion(value.into()),
        Name::MinExpires => H::MinExpires(value.into()),
        Name::Organization => H::Organization(value.into()),
        Name::Priority => H::Priority(value.into()),
        Name::ProxyAuthenticate => H::ProxyAuthenticate(value.into()),
        Name::ProxyAuthorization => H::ProxyAuthorization(value.into()),
        Name::ProxyRequire => H::ProxyRequire(value.into()),
        Name::RecordRoute => H::RecordRoute(value.into()),
        Name::ReplyTo => H::ReplyTo(value.into()),
        Name::Require => H::Require(value.into()),
        Name::RetryAfter => H::RetryAfter(value.into()),
        Name::Route => H::Route(value.into()),
        Name::Server => H::Server(value.into()),
        Name::Subject => H::Subject(value.into()),
        Name::SubscriptionState => H::SubscriptionState(value.into()),
        Name::Supported => H::Supported(value.into()),
        Name::Timestamp => H::Timestamp(value.into()),
        Name::To => H::To(value.into()),
        Name::Unsupported => H::Unsupported(value.into()),
        Name::UserAgent => H::UserAgent(value.into()),
        Name::Via => H::Via(value.into()),
        Name::Warning => H::Warning(value.into()),
        Name::WwwAuthenticate => H::WwwAuthenticate(value.into()),
        Name::Other => H::Other(spelling, value),
        known => H::Other(known.as_str().to_owned(), value),
    }
}
