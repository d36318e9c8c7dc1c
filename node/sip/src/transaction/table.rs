//! The live transactions of one agent.
//!
//! Owns routing of messages and timeouts to machines. An agent has a handful of transactions, so a
//! scan is faster than a hash. Never grows past [`MAX_TRANSACTIONS`] of either kind.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::client::NonInviteClient;
use super::client_invite::InviteClient;
use super::key::ServerKey;
use super::server::NonInviteServer;
use super::server_invite::InviteServer;
use super::{Answer, Expiry, Owner};
use crate::ua::{Destination, HostPort, Outbox, TimerConfig};
use crate::wire::{Message, Method};

/// Names one transaction of one agent, never reused within 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TransactionId(u32);

impl TransactionId {
    /// Names no transaction.
    pub(crate) const NONE: Self = Self(0);
}

/// The transactions of one agent.
#[derive(Debug, Default)]
pub(crate) struct Table {
    clients: Vec<Client>,
    servers: Vec<Server>,
    last_id: u32,
}

#[derive(Debug)]
struct Client {
    id: TransactionId,
    owner: Owner,
    branch: SmolStr,
    method: Method,
    machine: ClientMachine,
}

#[derive(Debug)]
enum ClientMachine {
    Invite(InviteClient),
    Other(NonInviteClient),
}

#[derive(Debug)]
struct Server {
    id: TransactionId,
    key: ServerKey,
    machine: ServerMachine,
}

#[derive(Debug)]
enum ServerMachine {
    Invite(InviteServer),
    Other(NonInviteServer),
}

/// What the table made of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// An answer for its owner.
    ForOwner(Owner, TransactionId),
    /// A repetition that a machine absorbed or answered.
    Repeated,
    /// Too late, or senseless in the machine's state; ignored.
    Stray,
    /// No transaction: a new request, an ACK of a 2xx, or an answer to nothing.
    Unmatched,
}

impl Table {
    /// Sends a request (not ACK) in a new client transaction.
    ///
    /// Errors: `None` when the table is full; nothing is sent then.
    pub(crate) fn request(
        &mut self,
        now: Instant,
        config: &TimerConfig,
        request: Outgoing,
        out: &mut Outbox,
    ) -> Option<TransactionId> {
        if self.clients.len() >= MAX_TRANSACTIONS {
            return None;
        }
        let Outgoing {
            owner,
            method,
            branch,
            to,
            bytes,
        } = request;
        let machine = match method {
            Method::Invite => {
                ClientMachine::Invite(InviteClient::start(now, config, to, bytes, out))
            }
            _ => ClientMachine::Other(NonInviteClient::start(now, config, to, bytes, out)),
        };
        let id = self.new_id();
        self.clients.push(Client {
            id,
            owner,
            branch,
            method,
            machine,
        });
        Some(id)
    }

    /// Gives an INVITE up by a CANCEL; `false` if no provisional answer came yet or it is over.
    pub(crate) fn cancel(
        &mut self,
        now: Instant,
        config: &TimerConfig,
        id: TransactionId,
        owner: Owner,
        out: &mut Outbox,
    ) -> bool {
        let Some(client) = self.clients.iter_mut().find(|client| client.id == id) else {
            return false;
        };
        let ClientMachine::Invite(invite) = &mut client.machine else {
            return false;
        };
        let Some(bytes) = invite.cancel(now, config) else {
            return false;
        };
        let (branch, to) = (client.branch.clone(), invite.destination().clone());
        let request = Outgoing {
            owner,
            method: Method::Cancel,
            branch,
            to,
            bytes,
        };
        self.request(now, config, request, out).is_some()
    }

    /// Routes an answer (RFC 3261 §17.1.3: top branch and CSeq method).
    pub(crate) fn receive_response(
        &mut self,
        now: Instant,
        config: &TimerConfig,
        response: &Message,
        out: &mut Outbox,
    ) -> Received {
        let (branch, (_, method)) = (response.branch(), response.cseq());
        let found = self
            .clients
            .iter_mut()
            .find(|client| Some(client.branch.as_str()) == branch && client.method == *method);
        let Some(client) = found else {
            return Received::Unmatched;
        };
        let answer = match &mut client.machine {
            ClientMachine::Invite(machine) => machine.on_response(now, config, response, out),
            ClientMachine::Other(machine) => {
                machine.on_response(now, config, response.status().unwrap_or(0))
            }
        };
        let received = match answer {
            Answer::Deliver => Received::ForOwner(client.owner, client.id),
            Answer::Repeated => Received::Repeated,
            Answer::Stray => Received::Stray,
        };
        self.sweep();
        received
    }

    /// Routes a request: repetitions are answered here, an ACK of a 300-699 is absorbed.
    pub(crate) fn receive_request(
        &mut self,
        now: Instant,
        config: &TimerConfig,
        key: &ServerKey,
        is_ack: bool,
        out: &mut Outbox,
    ) -> Received {
        let Some(server) = self.servers.iter_mut().find(|server| server.key == *key) else {
            return Received::Unmatched;
        };
        let received = match &mut server.machine {
            // RFC 6026 §7.1: an ACK that matches in Accepted is the user's.
            ServerMachine::Invite(machine) if is_ack => match machine.on_ack(now, config) {
                true => Received::Unmatched,
                false => Received::Stray,
            },
            ServerMachine::Invite(machine) => {
                machine.on_repeated_invite(out);
                Received::Repeated
            }
            ServerMachine::Other(machine) => {
                machine.on_repeated_request(out);
                Received::Repeated
            }
        };
        self.sweep();
        received
    }

    /// Opens a server transaction for a new request; `trying` is the 100 of an INVITE.
    ///
    /// Errors: `None` when the table is full.
    pub(crate) fn serve(
        &mut self,
        now: Instant,
        key: ServerKey,
        to: Destination,
        trying: Option<Bytes>,
    ) -> Option<TransactionId> {
        if self.servers.len() >= MAX_TRANSACTIONS {
            return None;
        }
        let machine = match trying {
            Some(trying) => ServerMachine::Invite(InviteServer::start(now, to, trying)),
            None => ServerMachine::Other(NonInviteServer::start(to)),
        };
        let id = self.new_id();
        self.servers.push(Server { id, key, machine });
        Some(id)
    }

    /// Sends an answer in a server transaction; after its final answer nothing is sent.
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        config: &TimerConfig,
        id: TransactionId,
        code: u16,
        bytes: Bytes,
        out: &mut Outbox,
    ) {
        let Some(server) = self.servers.iter_mut().find(|server| server.id == id) else {
            return;
        };
        match &mut server.machine {
            ServerMachine::Invite(machine) => machine.respond(now, config, code, bytes, out),
            ServerMachine::Other(machine) => machine.respond(now, config, bytes, out),
        }
        self.sweep();
    }

    /// The INVITE transaction that a CANCEL belongs to (RFC 3261 §9.2).
    pub(crate) fn find_server(&self, key: &ServerKey) -> Option<TransactionId> {
        self.servers
            .iter()
            .find(|server| server.key == *key)
            .map(|server| server.id)
    }

    /// Where the answers of a server transaction go.
    pub(crate) fn invite_destination(&self, id: TransactionId) -> Option<&Destination> {
        self.servers
            .iter()
            .find(|server| server.id == id)
            .and_then(|server| match &server.machine {
                ServerMachine::Invite(machine) => Some(machine.destination()),
                ServerMachine::Other(_) => None,
            })
    }

    /// Performs what is due; tells which owners must hear of it.
    pub(crate) fn on_timeout(
        &mut self,
        now: Instant,
        config: &TimerConfig,
        out: &mut Outbox,
    ) -> SmallVec<[(Owner, TransactionId, Expiry); 2]> {
        let mut expired = SmallVec::new();
        for client in &mut self.clients {
            let expiry = match &mut client.machine {
                ClientMachine::Invite(machine) => machine.on_timeout(now, out),
                ClientMachine::Other(machine) => machine.on_timeout(now, config, out),
            };
            if expiry != Expiry::Nothing {
                expired.push((client.owner, client.id, expiry));
            }
        }
        for server in &mut self.servers {
            match &mut server.machine {
                ServerMachine::Invite(machine) => machine.on_timeout(now, config, out),
                ServerMachine::Other(machine) => machine.on_timeout(now),
            }
        }
        self.sweep();
        expired
    }

    /// Ends the client transactions towards an address that cannot be reached.
    ///
    /// A transaction towards a name matches by port: the agent never learns what it resolved to.
    pub(crate) fn on_transport_error(
        &mut self,
        to: SocketAddr,
    ) -> SmallVec<[(Owner, TransactionId); 2]> {
        self.fail(|destination| match &destination.host {
            HostPort::Ip(address) => *address == to,
            HostPort::Name(_, port) => *port == to.port(),
        })
    }

    /// Ends the client transactions towards a destination that the shell will not send to.
    pub(crate) fn on_refused(&mut self, to: &Destination) -> SmallVec<[(Owner, TransactionId); 2]> {
        self.fail(|destination| destination == to)
    }

    fn fail(
        &mut self,
        hit: impl Fn(&Destination) -> bool,
    ) -> SmallVec<[(Owner, TransactionId); 2]> {
        let mut failed = SmallVec::new();
        for client in &mut self.clients {
            let pending = match &mut client.machine {
                ClientMachine::Invite(machine) => {
                    hit(machine.destination()) && machine.on_transport_error()
                }
                ClientMachine::Other(machine) => {
                    hit(machine.destination()) && machine.on_transport_error()
                }
            };
            if pending {
                failed.push((client.owner, client.id));
            }
        }
        self.sweep();
        failed
    }

    /// The earliest deadline of all.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let clients = self
            .clients
            .iter()
            .filter_map(|client| match &client.machine {
                ClientMachine::Invite(machine) => machine.next_deadline(),
                ClientMachine::Other(machine) => machine.next_deadline(),
            });
        let servers = self
            .servers
            .iter()
            .filter_map(|server| match &server.machine {
                ServerMachine::Invite(machine) => machine.next_deadline(),
                ServerMachine::Other(machine) => machine.next_deadline(),
            });
        clients.chain(servers).min()
    }

    /// Whether no transaction is alive.
    pub(crate) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.servers.is_empty()
    }

    /// Whether no transaction awaits a final answer, ours or the peer's; what is left only absorbs
    /// repetitions.
    pub(crate) fn is_quiet(&self) -> bool {
        let quiet_clients = self.clients.iter().all(|client| match &client.machine {
            ClientMachine::Invite(machine) => !machine.is_pending(),
            ClientMachine::Other(machine) => !machine.is_pending(),
        });
        quiet_clients
            && self.servers.iter().all(|server| match &server.machine {
                ServerMachine::Invite(machine) => !machine.is_proceeding(),
                ServerMachine::Other(machine) => !machine.is_pending(),
            })
    }

    /// Whether a client transaction is still alive.
    pub(crate) fn is_alive(&self, id: TransactionId) -> bool {
        self.clients.iter().any(|client| client.id == id)
    }

    fn new_id(&mut self) -> TransactionId {
        self.last_id = self.last_id.wrapping_add(1);
        TransactionId(self.last_id)
    }

    fn sweep(&mut self) {
        self.clients.retain(|client| match &client.machine {
            ClientMachine::Invite(machine) => !machine.is_terminated(),
            ClientMachine::Other(machine) => !machine.is_terminated(),
        });
        self.servers.retain(|server| match &server.machine {
            ServerMachine::Invite(machine) => !machine.is_terminated(),
            ServerMachine::Other(machine) => !machine.is_terminated(),
        });
        if self.clients.is_empty() && self.clients.capacity() > 0 {
            self.clients = Vec::new();
        }
        if self.servers.is_empty() && self.servers.capacity() > 0 {
            self.servers = Vec::new();
        }
    }
}

/// A request that is ready to leave.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) owner: Owner,
    pub(crate) method: Method,
    pub(crate) branch: SmolStr,
    pub(crate) to: Destination,
    pub(crate) bytes: Bytes,
}

/// The most client, and the most server transactions of one agent. A call needs four at once; the
/// rest is room for those that only wait for their last timer.
pub(crate) const MAX_TRANSACTIONS: usize = 256;
