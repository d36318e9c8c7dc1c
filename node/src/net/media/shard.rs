//! The handle by which endpoints reach the media thread of their shard.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Sender, TrySendError};
use media::stream::StreamConfig;
use shared::definition::SocketMode;

use crate::core::lease::Permit;
use crate::net::egress::{Egress, EgressKind, Refused};
use crate::net::media::report::StreamId;
use crate::net::media::reserve::{Binder, OwnSockets, Reservation, ReserveError, Sockets};
use crate::net::media::wheel::PTIMES_MS;

/// Commands that may wait for one thread; it takes up to 64 in each millisecond.
pub(super) const COMMANDS_MAX: usize = 32_768;

/// Shared sockets of one thread: one pair for each local address and DSCP value.
pub(super) const SHARED_PORTS_MAX: usize = 64;

/// How a stream is started.
#[derive(Clone, Debug)]
pub struct StartSpec {
    /// Where RTP goes to and must come from.
    pub remote_rtp: SocketAddr,
    /// Where RTCP goes to; RTCP may come from here and from `remote_rtp`.
    pub remote_rtcp: SocketAddr,
    /// The peer's SSRC where SDP signalled it (RFC 5576). `shared` sockets need it where both ends
    /// of several calls live on this machine.
    pub remote_ssrc: Option<u32>,
    /// The run's allow-list, asked at start and at every redirect.
    pub egress: Arc<Egress>,
    /// The lease under which the run began: without it the stream is mute, RTP and RTCP.
    pub permit: Permit,
    /// Everything that is not about sockets.
    pub stream: StreamConfig,
}

/// How a running stream goes on after a re-INVITE or UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectSpec {
    /// As in [`StartSpec`].
    pub remote_rtp: SocketAddr,
    /// As in [`StartSpec`].
    pub remote_rtcp: SocketAddr,
    /// As in [`StartSpec`]; none keeps the known one while the address stays.
    pub remote_ssrc: Option<u32>,
    /// We send.
    pub send: bool,
    /// We expect to receive.
    pub receive: bool,
}

/// The thread cannot take more commands: its channel is full or it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media thread is too busy to take a command")]
pub struct Busy;

/// Why a stream could not be started. Its reservation is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// See [`Busy`].
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The destination is not in the allow-list.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No slot for this packetisation time.
    #[error("a packetisation time of {0} ms is not possible: 10, 20, 30, 40, 50 or 60")]
    Ptime(u32),
    /// A shared socket belongs to another thread than this handle.
    #[error("the reservation belongs to another media thread")]
    OtherShard,
}

/// What a thread is told.
pub(super) enum Command {
    Start(Box<Start>),
    Redirect(StreamId, Box<RedirectSpec>),
    Stop(StreamId),
    AddShared(Box<OwnSockets>, SocketAddr),
}

/// A stream to start.
pub(super) struct Start {
    pub id: StreamId,
    pub reservation: Reservation,
    pub spec: StartSpec,
}

/// The way to one media thread. Cheap to clone.
#[derive(Clone)]
pub struct ShardMedia {
    thread: usize,
    commands: Sender<Command>,
    binder: Binder,
    ports: Arc<Mutex<Vec<SharedAddress>>>,
    buffer_octets: usize,
}

#[derive(Clone, Copy, Debug)]
struct SharedAddress {
    local: IpAddr,
    dscp: u8,
    rtp: SocketAddr,
}

impl ShardMedia {
    pub(super) fn new(
        thread: usize,
        commands: Sender<Command>,
        binder: Binder,
        buffer_octets: usize,
    ) -> Self {
        Self {
            thread,
            commands,
            binder,
            ports: Arc::default(),
            buffer_octets,
        }
    }

    /// The thread, from 0.
    #[must_use]
    pub fn thread(&self) -> usize {
        self.thread
    }

    /// RTP port pairs that may still be taken at `local`, by all threads together.
    #[must_use]
    pub fn free_ports(&self, local: IpAddr) -> usize {
        self.binder.free(local)
    }

    /// Takes a place to receive at, before SDP is written.
    ///
    /// Shape: `own` binds one socket (two without `rtcp_mux`) on the calling thread; `shared` opens
    /// the thread's sockets for this address and DSCP on first use and hands out their address.
    /// What comes before the stream starts waits in the socket (`own`) or counts as a stranger's.
    ///
    /// # Errors
    /// Each [`ReserveError`] is a sentence for the user.
    pub fn reserve(
        &self,
        mode: SocketMode,
        local: IpAddr,
        rtcp_mux: bool,
        dscp: u8,
    ) -> Result<Reservation, ReserveError> {
        if local.is_unspecified() {
            return Err(ReserveError::NotLocal { local });
        }
        match mode {
            SocketMode::Own => {
                let own = self.binder.bind(local, !rtcp_mux, dscp, None)?;
                Ok(Reservation {
                    rtp: SocketAddr::new(local, own.port()),
                    rtcp: rtcp_of(SocketAddr::new(local, own.port()), rtcp_mux),
                    sockets: Sockets::Own(own),
                })
            }
            SocketMode::Shared => self.reserve_shared(local, rtcp_mux, dscp),
        }
    }

    fn reserve_shared(
        &self,
        local: IpAddr,
        mux: bool,
        dscp: u8,
    ) -> Result<Reservation, ReserveError> {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let known = ports
            .iter()
            .position(|port| port.local == local && port.dscp == dscp);
        let port = match known {
            Some(port) => port,
            None => {
                if ports.len() >= SHARED_PORTS_MAX {
                    return Err(ReserveError::TooManyLocals {
                        limit: SHARED_PORTS_MAX,
                    });
                }
                let own = self
                    .binder
                    .bind(local, true, dscp, Some(self.buffer_octets))?;
                let rtp = SocketAddr::new(local, own.port());
                // In the channel before any stream that names it, so in the thread before it too.
                self.send(Command::AddShared(Box::new(own), rtp))
                    .map_err(|Busy| ReserveError::Busy)?;
                ports.push(SharedAddress { local, dscp, rtp });
                ports.len() - 1
            }
        };
        let rtp = ports
            .get(port)
            .map_or(SocketAddr::new(local, 0), |port| port.rtp);
        Ok(Reservation {
            rtp,
            rtcp: rtcp_of(rtp, mux),
            sockets: Sockets::Shared {
                thread: self.thread,
                port,
                mux,
            },
        })
    }

    /// Starts a stream in the next millisecond or so.
    ///
    /// # Errors
    /// [`StartError`]; the reservation is released then.
    pub fn start(
        &self,
        id: StreamId,
        reservation: Reservation,
        spec: StartSpec,
    ) -> Result<(), StartError> {
        spec.egress.permit(spec.remote_rtp, EgressKind::Rtp)?;
        spec.egress.permit(spec.remote_rtcp, EgressKind::Rtcp)?;
        if !PTIMES_MS.contains(&spec.stream.ptime_ms) {
            return Err(StartError::Ptime(spec.stream.ptime_ms));
        }
        if let Sockets::Shared { thread, .. } = reservation.sockets
            && thread != self.thread
        {
            return Err(StartError::OtherShard);
        }
        self.send(Command::Start(Box::new(Start {
            id,
            reservation,
            spec,
        })))?;
        Ok(())
    }

    /// Sends a running stream elsewhere, holds or resumes it. A destination outside the allow-list
    /// is reported as trouble and silences the stream.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn redirect(&self, id: StreamId, spec: RedirectSpec) -> Result<(), Busy> {
        self.send(Command::Redirect(id, Box::new(spec)))
    }

    /// Ends a stream with RTCP BYE; `MediaReport::Ended` follows and its port is free.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn stop(&self, id: StreamId) -> Result<(), Busy> {
        self.send(Command::Stop(id))
    }

    fn send(&self, command: Command) -> Result<(), Busy> {
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) | TrySendError::Disconnected(_) => Busy,
            })
    }
}

fn rtcp_of(rtp: SocketAddr, mux: bool) -> SocketAddr {
    // RTP ports of the pool are even, so there is one above.
    SocketAddr::new(rtp.ip(), rtp.port() + u16::from(!mux))
}
