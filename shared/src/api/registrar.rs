//! Registrars and their SIP accounts.

use serde::{Deserialize, Serialize};

use crate::definition::Transport;
use crate::id::{AccountId, ProjectId, RegistrarId};

/// Where accounts register. Tests name it: `registrar = "pbx"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Registrar {
    /// Its id.
    pub id: RegistrarId,
    /// Where it belongs.
    pub project: ProjectId,
    /// Unique in the project.
    pub name: String,
    /// The domain of the addresses of record.
    pub domain: String,
    /// Host name or IP address to send to; null: the domain.
    pub host: Option<String>,
    /// Port to send to; null: 5060.
    pub port: Option<u16>,
    /// `udp` or `tcp`.
    pub transport: Transport,
    /// `host:port` that every REGISTER and INVITE is sent through; null: none.
    pub outbound_proxy: Option<String>,
    /// The expiry asked for, in seconds: 10 to 86,400.
    pub expires_s: u32,
    /// How many accounts it has.
    pub accounts: u32,
    /// ETag; accounts do not change it.
    pub revision: u64,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970.
    pub updated_unix_ms: u64,
}

/// Make a registrar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateRegistrar {
    /// Unique in the project; letters, digits, `-`, `_` and `.`; 1 to 128 octets.
    pub name: String,
    /// The domain of the addresses of record.
    pub domain: String,
    /// Host name or IP address to send to; null: the domain.
    #[serde(default)]
    pub host: Option<String>,
    /// Port to send to; null: 5060.
    #[serde(default)]
    pub port: Option<u16>,
    /// `udp` (the default) or `tcp`.
    #[serde(default = "udp")]
    pub transport: Transport,
    /// `host:port`; null: none.
    #[serde(default)]
    pub outbound_proxy: Option<String>,
    /// The expiry asked for, in seconds: 10 to 86,400, 3,600 where it is not given.
    #[serde(default = "hour")]
    pub expires_s: u32,
}

/// Change a registrar.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateRegistrar {
    /// Unique in the project.
    pub name: Option<String>,
    /// The domain of the addresses of record.
    pub domain: Option<String>,
    /// Host name or IP address to send to; blank: the domain.
    pub host: Option<String>,
    /// Port to send to.
    pub port: Option<u16>,
    /// `udp` or `tcp`.
    pub transport: Option<Transport>,
    /// `host:port`; blank: none.
    pub outbound_proxy: Option<String>,
    /// The expiry asked for, in seconds.
    pub expires_s: Option<u32>,
}

/// A SIP account. Its password is encrypted at rest and never given out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SipAccount {
    /// Its id.
    pub id: AccountId,
    /// Where it registers.
    pub registrar: RegistrarId,
    /// Unique at the registrar; the user part of the address of record.
    pub username: String,
    /// The user name in digests.
    pub auth_username: String,
    /// The realm; null: that of the challenge.
    pub realm: Option<String>,
    /// When the password was set, milliseconds since 1970.
    pub password_set_unix_ms: u64,
    /// ETag.
    pub revision: u64,
    /// Milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Milliseconds since 1970.
    pub updated_unix_ms: u64,
}

/// Make an account.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateAccount {
    /// Unique at the registrar; the user part of the address of record; 1 to 128 octets.
    pub username: String,
    /// The user name in digests; null: the username.
    #[serde(default)]
    pub auth_username: Option<String>,
    /// At most 256 octets.
    pub password: String,
    /// The realm; null: that of the challenge.
    #[serde(default)]
    pub realm: Option<String>,
}

/// Change an account; its username stays.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateAccount {
    /// The user name in digests.
    pub auth_username: Option<String>,
    /// At most 256 octets.
    pub password: Option<String>,
    /// The realm; blank: that of the challenge.
    pub realm: Option<String>,
}

/// Many accounts at once: either `pattern` or `csv`. Existing usernames get the new values.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BulkAccounts {
    /// `user{0001..0500}`; needs `password`.
    pub pattern: Option<String>,
    /// With `pattern`: `{username}` stands for the user name.
    pub password: Option<String>,
    /// With `pattern`: the same.
    pub auth_username: Option<String>,
    /// With `pattern`.
    pub realm: Option<String>,
    /// The text of a CSV file as docs/TESTFILE.md describes it. A body of type `text/csv` is the
    /// file itself.
    pub csv: Option<String>,
}

/// What came of a bulk import: all of it or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BulkResult {
    /// New accounts.
    pub created: u32,
    /// Accounts that were there and got the new values.
    pub updated: u32,
    /// Accounts of the registrar now.
    pub accounts: u32,
}

fn udp() -> Transport {
    Transport::Udp
}

fn hour() -> u32 {
    3_600
}

macro_rules! without_password {
    ($name:ident { $($field:ident),+ }) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($field), &self.$field))+
                    .finish_non_exhaustive()
            }
        }
    };
}
without_password!(CreateAccount { username, realm });
without_password!(UpdateAccount { realm });
without_password!(BulkAccounts { pattern, realm });
