//! Two agents, joined by a link in virtual time that loses, doubles, delays and reorders by a seed.

mod link;
mod property;
