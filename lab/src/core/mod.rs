//! The lab's decisions: pure, in virtual time, without sockets or threads.

pub(crate) mod auth;
pub(crate) mod calls;
pub(crate) mod edit;
pub(crate) mod faults;
pub(crate) mod impair;
pub(crate) mod packet;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod registrar;
pub(crate) mod relay;
pub(crate) mod route;
pub(crate) mod sdp;
