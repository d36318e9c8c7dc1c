//! The thin shell round [`EndpointCore`]: hands it inputs, performs its outputs, arms its timer.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorContext, Addr, Context, Handler, Message};
use sip::ua::{Destination, HostPort};

use super::group::{GroupActor, Told};
use super::shard_run::Run;
use crate::core::endpoint::{
    EndpointCore, EndpointSpec, Input, LocalPorts, MediaStart, Output, Profile, Role,
};
use crate::core::journal::{Leg, Watch};
use crate::net::media::{RedirectSpec, Reservation, StartSpec};
use crate::net::sip::SendFailure;

/// An input for the endpoint.
pub(super) struct Hear(pub(super) Input);

impl Message for Hear {
    type Result = ();
}

/// One endpoint.
pub(super) struct EndpointActor {
    run: Run,
    core: EndpointCore,
    group: Addr<GroupActor>,
    place: u32,
    slot: u32,
    role: Role,
    user: String,
    local: SocketAddr,
    reservation: Option<(u32, Reservation)>,
    /// The call whose stream the engine runs.
    streaming: Option<u32>,
    /// Follows its calls for the journal.
    watch: Watch,
    /// Tells the group however this actor dies; a panic does not run `stopping` (DESIGN 4).
    guard: DeathGuard,
}

struct DeathGuard {
    group: Addr<GroupActor>,
    place: u32,
    ended: bool,
}

impl Drop for DeathGuard {
    fn drop(&mut self) {
        if !self.ended {
            let told = Told::Died {
                place: self.place,
                panicked: std::thread::panicking(),
            };
            // One message in an endpoint's life: bounded by design.
            self.group.do_send(told);
        }
    }
}

/// An INVITE with all its answers and retransmissions is a dozen messages; more at once than this
/// from one peer is a flood.
const MAILBOX: usize = 64;

impl EndpointActor {
    /// Starts the endpoint on this thread.
    pub(super) fn launch(
        run: Run,
        group: Addr<GroupActor>,
        profile: Rc<Profile>,
        spec: EndpointSpec,
    ) -> Addr<Self> {
        let now = Instant::now();
        let slot = spec.index.0;
        let guard = DeathGuard {
            group: group.clone(),
            place: spec.place,
            ended: false,
        };
        let contact = spec.ua.contact_user.clone();
        run.demux
            .borrow_mut()
            .add(slot, contact, spec.ua.user.clone());
        let actor = Self {
            place: spec.place,
            slot,
            role: spec.role,
            user: spec.ua.user.to_string(),
            local: spec.ua.local,
            core: EndpointCore::new(profile, spec, run.begin.get(), now),
            group,
            reservation: None,
            streaming: None,
            watch: Watch::new(),
            guard,
            run: Rc::clone(&run),
        };
        run.phase(actor.core.index(), actor.core.phase());
        let address = actor.start();
        run.endpoints.borrow_mut().insert(slot, address.clone());
        address
    }

    fn drive(&mut self, context: &mut Context<Self>, input: Input) {
        let now = Instant::now();
        let invited = first_invite(&input);
        let was_busy = self.core.in_call();
        if let Input::Sip { message, .. } = &input {
            self.run.journal.received(&mut self.watch, message);
        }
        self.core.handle(now, input);
        while let Some(output) = self.core.poll() {
            if let Some(answer) = self.perform(context, output) {
                self.core.handle(now, answer);
            }
        }
        let busy = self.core.in_call();
        // The port gave this receiver away when the INVITE came; one that the agent refused by
        // itself, or that met another call, leaves it as it is.
        if busy != was_busy || invited.is_some() {
            self.run
                .receivers
                .borrow_mut()
                .set_busy(self.slot, busy && !self.guard.ended);
        }
        if let Some(call_id) = invited.filter(|_| !busy) {
            self.run.demux.borrow_mut().release(&call_id, now);
        }
        self.run
            .timers
            .borrow_mut()
            .arm(self.slot, self.core.next_deadline());
    }

    /// Performs one output; some have an answer at once.
    fn perform(&mut self, context: &mut Context<Self>, output: Output) -> Option<Input> {
        match output {
            Output::Transmit { to, bytes } => {
                self.note(&to, &bytes);
                return match self.run.io.send(self.local, self.slot, &to, &bytes) {
                    Ok(_) => None,
                    Err(SendFailure::Refused(error)) => {
                        Some(Input::DestinationRefused { to, error })
                    }
                    Err(SendFailure::Unreachable(to, error)) => {
                        Some(Input::TransportError { to, error })
                    }
                };
            }
            Output::Reserve { call } => {
                let ports = self.reserve(call);
                return Some(Input::Reserved { call, ports });
            }
            Output::StartMedia(start) => return self.start_media(*start),
            Output::RedirectMedia {
                call,
                remote_rtp,
                remote_rtcp,
                send,
                receive,
            } => {
                let id = self.run.stream_id(self.core.index(), call);
                let spec = RedirectSpec {
                    remote_rtp,
                    remote_rtcp,
                    remote_ssrc: None,
                    send,
                    receive,
                };
                if self.run.media.redirect(id, spec).is_err() {
                    self.run.count_refused();
                }
            }
            Output::StopMedia { call } => self.stop_media(call),
            Output::Ready { uri } => {
                if self.role == Role::Receiver || self.role == Role::Partner {
                    self.run.receivers.borrow_mut().add(self.local, self.slot);
                }
                self.group.do_send(Told::Ready {
                    place: self.place,
                    uri,
                });
            }
            Output::ClaimCallId { call_id, claimed } => self.claim(&call_id, claimed),
            Output::Sample(metric, value) => self.run.sample(self.core.index(), metric, value),
            Output::Phase(phase) => self.run.phase(self.core.index(), phase),
            Output::Ended { report, trace } => {
                self.guard.ended = true;
                self.run.journal.ended(&mut self.watch);
                self.run.demux.borrow_mut().remove(self.slot, &self.user);
                self.run
                    .receivers
                    .borrow_mut()
                    .remove(self.local, self.slot);
                self.run.endpoints.borrow_mut().remove(&self.slot);
                self.group.do_send(Told::Ended {
                    place: self.place,
                    report,
                    trace,
                });
                context.stop();
            }
        }
        None
    }

    /// Puts what ends the call into the journal, before the message leaves.
    fn note(&mut self, to: &Destination, bytes: &[u8]) {
        if !self.run.journal.is_kept() {
            return;
        }
        let mut to = to.clone();
        if let HostPort::Name(name, port) = &to.host {
            // A registrar's name may lead elsewhere than the world's resolvers say.
            let resolver = self.run.io.resolver();
            if let Some(address) = resolver.known(name, *port, self.local.is_ipv4()) {
                to.host = HostPort::Ip(address);
            }
        }
        let local = self.local;
        let leg = Leg { local, to };
        self.run.journal.sending(&mut self.watch, &leg, bytes);
    }

    fn reserve(&mut self, call: u32) -> Result<LocalPorts, String> {
        let group = self.run.plan.group(self.group_index());
        let reservation = self
            .run
            .media
            .reserve(
                group.sockets,
                self.local.ip(),
                group.rtcp_mux,
                group.dscp_rtp,
            )
            .map_err(|error| error.to_string())?;
        let ports = LocalPorts {
            rtp: reservation.rtp,
            rtcp: reservation.rtcp,
        };
        self.reservation = Some((call, reservation));
        Ok(ports)
    }

    fn group_index(&self) -> shared::id::GroupIndex {
        self.core.group()
    }

    fn start_media(&mut self, start: MediaStart) -> Option<Input> {
        let (call, reservation) = self.reservation.take()?;
        let id = self.run.stream_id(self.core.index(), call);
        let spec = StartSpec {
            remote_rtp: start.remote_rtp,
            remote_rtcp: start.remote_rtcp,
            remote_ssrc: start.remote_ssrc,
            egress: Arc::clone(&self.run.plan.egress),
            permit: self.run.permit.borrow().clone(),
            stream: start.stream,
        };
        let started = self.run.media.start(id, reservation, spec);
        self.streaming = started.is_ok().then_some(call);
        started.err().map(|error| Input::MediaRefused {
            call,
            what: error.to_string(),
        })
    }

    fn stop_media(&mut self, call: u32) {
        // Ports that never carried a stream are given back by dropping their reservation.
        if self
            .reservation
            .take_if(|(reserved, _)| *reserved == call)
            .is_some()
        {
            return;
        }
        self.stop_stream(call);
    }

    fn stop_stream(&mut self, call: u32) {
        self.streaming = None;
        let id = self.run.stream_id(self.core.index(), call);
        if self.run.media.stop(id).is_err() {
            self.run.count_refused();
        }
    }

    fn claim(&mut self, call_id: &str, claimed: bool) {
        let mut demux = self.run.demux.borrow_mut();
        if !claimed {
            demux.release(call_id, Instant::now());
        } else if !demux.claim(call_id, self.slot) {
            drop(demux);
            self.run.count_refused();
        }
    }
}

/// The Call-ID of an INVITE that would begin a call.
fn first_invite(input: &Input) -> Option<String> {
    match input {
        Input::Sip { message, .. }
            if message.method() == Some(&sip::wire::Method::Invite)
                && message.to_tag().is_none() =>
        {
            Some(message.call_id().to_owned())
        }
        _ => None,
    }
}

impl Actor for EndpointActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Hear> for EndpointActor {
    type Result = ();

    fn handle(&mut self, Hear(input): Hear, context: &mut Self::Context) {
        self.drive(context, input);
    }
}

impl Drop for EndpointActor {
    fn drop(&mut self) {
        self.run.timers.borrow_mut().arm(self.slot, None);
        // A panic took it: what it held outside must not outlive it, RTP least of all.
        if !self.guard.ended {
            if let Some(call) = self.streaming {
                self.stop_stream(call);
            }
            self.run.demux.borrow_mut().remove(self.slot, &self.user);
            let mut receivers = self.run.receivers.borrow_mut();
            receivers.remove(self.local, self.slot);
            self.run.endpoints.borrow_mut().remove(&self.slot);
        }
    }
}
