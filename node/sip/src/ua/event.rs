//! The vocabulary between the user agent and its shell: inputs, commands, outputs, events.
//!
//! Owns plain data only. A body is opaque octets here: this crate never looks into one.
//! Every `delay` counts from the moment the first request of its kind left, challenges included.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use smol_str::SmolStr;

use super::{Destination, Transport};
use crate::wire::{Message, Method, Uri};

/// A call's name between agent and shell.
///
/// The shell chooses the number of a call it makes, below [`CallRef::FIRST_INCOMING`]; the agent
/// chooses that of a call it receives, from there up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallRef(pub u32);

impl CallRef {
    /// The first number that the agent gives to a call it receives.
    pub const FIRST_INCOMING: u32 = 0x8000_0000;

    /// Whether the agent received this call (and did not make it).
    pub fn is_incoming(self) -> bool {
        self.0 >= Self::FIRST_INCOMING
    }
}

/// What the world tells the agent.
#[derive(Debug)]
pub enum Input {
    /// A parsed message arrived.
    Message {
        /// The message.
        message: Message,
        /// Its source address.
        from: SocketAddr,
        /// The transport it came by.
        transport: Transport,
    },
    /// The time of [`super::UserAgent::next_deadline`] has come.
    Timeout,
    /// Sending to an address failed (ICMP, connection refused or lost).
    TransportError {
        /// The address that could not be reached.
        to: SocketAddr,
        /// What the system said.
        error: SmolStr,
    },
    /// A name could not be resolved, or the egress rules refused a destination.
    DestinationRefused {
        /// The destination as it left in [`Output::Transmit`].
        to: Destination,
        /// What the resolver or the rule said.
        error: SmolStr,
    },
    /// The shell wants something done.
    Command(Command),
}

/// What the shell wants done.
#[derive(Debug)]
pub enum Command {
    /// Register, and keep registered until [`Command::Unregister`].
    Register,
    /// Remove the binding.
    Unregister,
    /// Make a call.
    Invite {
        /// The call's number; must be new and below [`CallRef::FIRST_INCOMING`].
        call: CallRef,
        /// Whom to call.
        target: Uri,
        /// The offer; `None` leaves the offer to the 2xx.
        offer: Option<Bytes>,
    },
    /// Give up a call that has no final answer yet; before a provisional answer it waits for one.
    Cancel {
        /// The call.
        call: CallRef,
    },
    /// End an answered call.
    Bye {
        /// The call.
        call: CallRef,
    },
    /// Send 180 for a received call.
    Ring {
        /// The call.
        call: CallRef,
    },
    /// Send 200 for a received call.
    Answer {
        /// The call.
        call: CallRef,
        /// The answer, or the offer if the INVITE had none.
        body: Bytes,
    },
    /// Refuse a received call.
    Reject {
        /// The call.
        call: CallRef,
        /// 300 to 699.
        code: u16,
        /// The reason phrase; empty takes the RFC's.
        reason: SmolStr,
    },
    /// Offer a changed session in a confirmed call.
    Reinvite {
        /// The call.
        call: CallRef,
        /// The new offer.
        offer: Bytes,
    },
    /// Answer [`Event::Offer`].
    AnswerOffer {
        /// The call.
        call: CallRef,
        /// The answer, or our offer if the request had none.
        body: Bytes,
    },
    /// Refuse [`Event::Offer`].
    RejectOffer {
        /// The call.
        call: CallRef,
        /// 300 to 699, usually 488.
        code: u16,
    },
    /// Ask a peer what it can do; its answer is [`Event::OptionsAnswered`].
    Options {
        /// Whom to ask.
        target: Uri,
    },
}

impl Command {
    /// The command's name, for messages to people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Register => "Register",
            Self::Unregister => "Unregister",
            Self::Invite { .. } => "Invite",
            Self::Cancel { .. } => "Cancel",
            Self::Bye { .. } => "Bye",
            Self::Ring { .. } => "Ring",
            Self::Answer { .. } => "Answer",
            Self::Reject { .. } => "Reject",
            Self::Reinvite { .. } => "Reinvite",
            Self::AnswerOffer { .. } => "AnswerOffer",
            Self::RejectOffer { .. } => "RejectOffer",
            Self::Options { .. } => "Options",
        }
    }
}

/// What the agent wants done, or tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send these octets.
    Transmit {
        /// The next hop.
        to: Destination,
        /// One whole message.
        bytes: Bytes,
        /// The same octets were sent before.
        retransmission: bool,
    },
    /// Something happened.
    Event(Event),
}

/// Why a call that we made was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// A final answer of 300 to 699.
    Refused,
    /// No final answer within the RFC's timer.
    Timeout,
    /// The transport reported a failure.
    Transport,
    /// We gave up and the peer agreed (487).
    Cancelled,
    /// The peer's answer cannot be used.
    Protocol,
}

/// What happened, for the shell.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The registrar asked for credentials and we answered.
    RegistrationChallenged,
    /// The binding stands.
    Registered {
        /// Lifetime granted, in seconds.
        expires_s: u32,
        /// The 2xx.
        code: u16,
        /// From the first REGISTER to the 2xx (RFC 6076 RRD).
        delay: Duration,
        /// The binding stood before.
        refresh: bool,
    },
    /// There is no binding (any more).
    RegistrationFailed {
        /// The final answer; `None` if there was none.
        code: Option<u16>,
        /// A sentence for people.
        reason: String,
        /// Timer F passed.
        timeout: bool,
        /// The transport failed.
        transport: bool,
    },
    /// The binding is removed.
    Unregistered {
        /// The 2xx.
        code: u16,
    },
    /// Removing the binding failed; it ends by its own lifetime.
    UnregisterFailed {
        /// The final answer; `None` if there was none.
        code: Option<u16>,
    },
    /// The first INVITE of the call left.
    CallSent {
        /// The call.
        call: CallRef,
    },
    /// The first answer of any kind (100 included, challenges not) came.
    FirstResponse {
        /// The call.
        call: CallRef,
        /// Since the first INVITE.
        delay: Duration,
    },
    /// A provisional answer above 100.
    Progress {
        /// The call.
        call: CallRef,
        /// 101 to 199.
        code: u16,
        /// An early answer.
        body: Option<Bytes>,
        /// Since the first INVITE (RFC 6076 SRD, at 180).
        delay: Duration,
    },
    /// The peer answered; ACK is sent. When our INVITE had no offer, `body` is the peer's offer and
    /// the ACK waits for [`Command::AnswerOffer`] (or RejectOffer, which ends the call).
    Answered {
        /// The call.
        call: CallRef,
        /// The 2xx.
        code: u16,
        /// The answer.
        body: Option<Bytes>,
        /// Since the first INVITE.
        delay: Duration,
    },
    /// The call ended before an answer.
    CallFailed {
        /// The call.
        call: CallRef,
        /// The final answer; `None` if there was none.
        code: Option<u16>,
        /// A sentence for people.
        reason: String,
        /// The kind of failure.
        kind: FailureKind,
        /// Since the first INVITE.
        delay: Duration,
    },
    /// Somebody calls.
    Incoming {
        /// The number the agent gave to the call.
        call: CallRef,
        /// The From URI.
        from: SmolStr,
        /// The Call-ID.
        call_id: SmolStr,
        /// User part of the Request-URI.
        request_user: SmolStr,
        /// The offer; `None` asks us for one.
        offer: Option<Bytes>,
    },
    /// The caller gave up; 487 is sent.
    IncomingCancelled {
        /// The call.
        call: CallRef,
    },
    /// The ACK to our 2xx came.
    Confirmed {
        /// The call.
        call: CallRef,
        /// The answer, when the 2xx carried the offer.
        body: Option<Bytes>,
        /// Since our 2xx.
        delay: Duration,
    },
    /// No ACK within 64*T1; BYE is sent.
    AckMissing {
        /// The call.
        call: CallRef,
    },
    /// The peer ended the call; 200 is sent.
    RemoteBye {
        /// The call.
        call: CallRef,
    },
    /// Our BYE is answered.
    ByeCompleted {
        /// The call.
        call: CallRef,
        /// Since BYE (RFC 6076 SDD).
        delay: Duration,
        /// The final answer.
        code: u16,
    },
    /// Our BYE had no usable answer; the call is over all the same (RFC 3261 §15.1.1).
    ByeFailed {
        /// The call.
        call: CallRef,
        /// The final answer; `None` if there was none.
        code: Option<u16>,
    },
    /// The peer wants to change the session; answer by AnswerOffer or RejectOffer.
    Offer {
        /// The call.
        call: CallRef,
        /// The offer; `None` asks us for one (re-INVITE only).
        body: Option<Bytes>,
        /// INVITE or UPDATE.
        method: Method,
    },
    /// Our changed offer is answered.
    OfferAnswered {
        /// The call.
        call: CallRef,
        /// The answer.
        body: Option<Bytes>,
    },
    /// Our changed offer is refused or lost; the session stays as it was.
    OfferRefused {
        /// The call.
        call: CallRef,
        /// The final answer; `None` if there was none.
        code: Option<u16>,
    },
    /// Our OPTIONS is answered, or not.
    OptionsAnswered {
        /// The final answer; `None` if there was none.
        code: Option<u16>,
        /// Since OPTIONS.
        delay: Duration,
    },
    /// The peer sent a request or final answer again.
    RetransmissionReceived {
        /// The method of its transaction.
        method: Method,
    },
    /// A message that fits nothing we know of.
    Unexpected {
        /// What it was.
        what: String,
    },
    /// Something that a person may want to know.
    Warning {
        /// What it is.
        text: String,
    },
}
