//! What comes over the bus, read and handed to the node's actor one by one: the subscription's bound
//! is the bound of all that waits.

use actix::Addr;
use shared::bus::{Bus, COMMANDS_CAPACITY};
use shared::id::NodeId;
use shared::wire::{Downward, HELLO, Hello, Message, command_subject, decode};

use super::node::NodeActor;
use crate::core::node::Input;

/// Something from the bus.
pub(super) struct FromBus(pub(super) Input);

impl actix::Message for FromBus {
    type Result = ();
}

/// Hellos that may wait: each only asks for a renewal.
const HELLOS_CAPACITY: usize = 16;

/// Listens for commands and hellos as long as the actor lives.
pub(super) fn listen(bus: &dyn Bus, node: &NodeId, to: &Addr<NodeActor>) {
    let mut commands = bus.subscribe(&command_subject(node), COMMANDS_CAPACITY);
    let actor = to.clone();
    actix_rt::spawn(async move {
        let mut refused = 0;
        while let Some(message) = commands.next().await {
            let input = match decode::<Message<Downward>>(&message.payload) {
                Ok(message) => Input::Message(Box::new(message)),
                Err(error) => {
                    tracing::warn!(%error, "a message for this node could not be read");
                    Input::Unreadable
                }
            };
            if actor.send(FromBus(input)).await.is_err() {
                return;
            }
            if commands.refused() > refused {
                refused = commands.refused();
                if actor.send(FromBus(Input::Overflow(refused))).await.is_err() {
                    return;
                }
            }
        }
    });
    let mut hellos = bus.subscribe(HELLO, HELLOS_CAPACITY);
    let actor = to.clone();
    actix_rt::spawn(async move {
        while let Some(message) = hellos.next().await {
            let input = match decode::<Message<Hello>>(&message.payload) {
                Ok(_) => Input::Hello,
                Err(_) => Input::Unreadable,
            };
            if actor.send(FromBus(input)).await.is_err() {
                return;
            }
        }
    });
}
