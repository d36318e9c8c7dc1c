//! stub
/// stub
#[derive(Debug)]
pub struct EnvelopeError;
/// stub
pub fn encode() {}
/// stub
pub fn decode() {}
