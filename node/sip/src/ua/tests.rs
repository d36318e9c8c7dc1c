//! Two agents, joined by a link in virtual time that loses, doubles, delays and reorders by a seed;
//! and one agent alone under a flood.

mod flood;
mod link;
mod property;
