//! The objects of the control plane: plans, organizations, keys, projects, registrars, accounts,
//! media, tests; what makes one valid, how it is stored, and how a saved test becomes runnable.
//!
//! Owns: names and their uniqueness, revisions, references, sealing of passwords, hashing of keys,
//! idempotency records. Reads and writes through `store::Control` only. Never decides whether a
//! caller may do something (`http`) nor whether a run may start (`core`), never knows HTTP.

mod caller;
mod error;
mod list;
mod signatures;

pub(crate) use caller::Caller;
pub(crate) use error::{AuthError, ObjectError};
pub(crate) use list::{LIMIT_DEFAULT, LIMIT_MAX, ListQuery, Sort};
pub(crate) use signatures::*;
