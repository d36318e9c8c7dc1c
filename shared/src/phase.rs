//! Where an endpoint is (phase), how it ended (outcome), and where a run is (status).
//! Source: PRODUCT §2 and §3.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An endpoint's phase. Only ever forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(u8)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Phase {
    /// Built; its REGISTER may be under way.
    Initializing,
    /// Its registration succeeded, or its group does not register and it is ready.
    Registered,
    /// INVITE sent or received, no provisional answer other than 100 yet.
    Calling,
    /// 180 or another provisional answer was sent or received.
    Ringing,
    /// An offer and answer are being settled.
    Negotiating,
    /// 200 OK and ACK exchanged; media may flow.
    Incall,
    /// BYE, CANCEL or the un-REGISTER is under way.
    Disconnecting,
    /// Nothing more will happen.
    Closed,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 8] = [
        Self::Initializing,
        Self::Registered,
        Self::Calling,
        Self::Ringing,
        Self::Negotiating,
        Self::Incall,
        Self::Disconnecting,
        Self::Closed,
    ];

    /// The name in PRODUCT's spelling.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Initializing => "INITIALIZING",
            Self::Registered => "REGISTERED",
            Self::Calling => "CALLING",
            Self::Ringing => "RINGING",
            Self::Negotiating => "NEGOTIATING",
            Self::Incall => "INCALL",
            Self::Disconnecting => "DISCONNECTING",
            Self::Closed => "CLOSED",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How an endpoint ended; replaced only by a more severe one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Outcome {
    /// Everything it was asked to do was done.
    Success,
    /// Done, with something worth a look (a peer's invalid SDP, a late answer, …).
    CompletedWithWarnings,
    /// The REGISTER was refused.
    RegistrationFailed,
    /// The call was refused or broke.
    CallFailed,
    /// No common codec or an unusable session description.
    NegotiationFailed,
    /// Nobody answered inside the RFC's timer.
    Timeout,
    /// The operating system refused: port, descriptor, unreachable network.
    Oserror,
    /// BYE or un-REGISTER failed.
    TeardownError,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::CompletedWithWarnings,
        Self::RegistrationFailed,
        Self::CallFailed,
        Self::NegotiationFailed,
        Self::Timeout,
        Self::Oserror,
        Self::TeardownError,
    ];

    /// 0, 1, or 10 for every failure.
    #[must_use]
    pub fn severity(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::CompletedWithWarnings => 1,
            Self::RegistrationFailed
            | Self::CallFailed
            | Self::NegotiationFailed
            | Self::Timeout
            | Self::Oserror
            | Self::TeardownError => 10,
        }
    }

    /// The more severe of the two; the first to come wins a tie.
    #[must_use]
    pub fn worse(self, later: Self) -> Self {
        if later.severity() > self.severity() {
            later
        } else {
            self
        }
    }

    /// The name in PRODUCT's spelling.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::CompletedWithWarnings => "COMPLETED_WITH_WARNINGS",
            Self::RegistrationFailed => "REGISTRATION_FAILED",
            Self::CallFailed => "CALL_FAILED",
            Self::NegotiationFailed => "NEGOTIATION_FAILED",
            Self::Timeout => "TIMEOUT",
            Self::Oserror => "OSERROR",
            Self::TeardownError => "TEARDOWN_ERROR",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A run's status. Legal moves are in PRODUCT §2 and decided by the coordinator's core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RunStatus {
    /// Submitted; being validated.
    Pending,
    /// Accepted; nodes and endpoints are being allocated.
    Queued,
    /// Endpoints register, call and exchange media.
    Running,
    /// A stop was asked for; live calls are being ended.
    Stopping,
    /// Every endpoint reached its end and reported.
    Completed,
    /// A critical error ended it.
    Failed,
    /// It could not start.
    CannotRunForNow,
}

impl RunStatus {
    /// True for the three that nothing leaves.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::CannotRunForNow)
    }

    /// The name in PRODUCT's spelling.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::CannotRunForNow => "CANNOT_RUN_FOR_NOW",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
