//! Messages that are larger than the server lets through: cut into parts, joined again.
//!
//! Pure: no clock (the owner says when time has passed, with [`Joiner::tick`]), no connection. A
//! server keeps the order of what one connection publishes on one subject, so parts come in order or
//! one is lost; a lost part loses its message, which is counted. Source: NATS protocol, `max_payload`.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::MESSAGE_MAX;

/// What a part begins with: neither a message of ours (`shared::wire`) nor JSON begins so.
const MAGIC: [u8; 4] = [0xCA, 0x50, 0xA7, 0x01];
/// Magic, sender, number of the message, index of the part, count of parts.
pub(super) const HEAD: usize = 4 + 8 + 8 + 4 + 4;
/// Most octets of a joined message: the largest message with its envelope.
const JOINED_MAX: usize = MESSAGE_MAX as usize + 1_024;
/// Least room for content in a part. A server whose limit is smaller carries no large messages.
const CONTENT_MIN: usize = 1_024;
/// Most parts of a message.
const PARTS_MAX: usize = JOINED_MAX / CONTENT_MIN + 1;
/// Messages in progress on one subject: a process and its predecessor under the same name.
const SENDERS_MAX: usize = 2;
/// Octets in progress, over all subjects of one subscription.
const WAITING_MAX: usize = 256 << 20;
/// Ticks without a further part after which a message is given up.
const TICKS_MAX: u8 = 2;

/// Cuts messages; one for each connection.
#[derive(Debug)]
pub(super) struct Cutter {
    sender: u64,
    number: u64,
}

impl Cutter {
    /// `sender` is random: it tells one process from another on the same subject.
    pub(super) fn new(sender: u64) -> Self {
        Self { sender, number: 0 }
    }

    /// The parts of a message, none longer than `limit`; none at all where it cannot be cut.
    pub(super) fn cut(&mut self, payload: &Bytes, limit: usize) -> Vec<Bytes> {
        let room = limit.saturating_sub(HEAD);
        if room < CONTENT_MIN || payload.len() > JOINED_MAX {
            return Vec::new();
        }
        self.number += 1;
        let count = payload.len().div_ceil(room);
        let count_octets = u32::try_from(count).unwrap_or(u32::MAX);
        payload
            .chunks(room)
            .zip(0u32..)
            .map(|(content, index)| {
                let mut part = BytesMut::with_capacity(HEAD + content.len());
                part.put_slice(&MAGIC);
                part.put_u64(self.sender);
                part.put_u64(self.number);
                part.put_u32(index);
                part.put_u32(count_octets);
                part.put_slice(content);
                part.freeze()
            })
            .collect()
    }
}

/// What a joiner made of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was whole, or its last part came.
    Whole(Bytes),
    /// Parts are missing still.
    Waiting,
    /// It was a part that belongs to nothing: one before it is lost, or it is nonsense.
    Dropped,
}

/// Joins parts; one for each subscription.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    subjects: HashMap<String, Vec<Pending>>,
    octets: usize,
    lost: u64,
}

#[derive(Debug)]
struct Pending {
    sender: u64,
    number: u64,
    next: u32,
    count: u32,
    content: BytesMut,
    ticks: u8,
    /// It cannot become whole any more, and is counted.
    is_lost: bool,
}

struct Head {
    sender: u64,
    number: u64,
    index: u32,
    count: u32,
}

impl Joiner {
    /// Takes what came on a subject.
    ///
    /// Bounds: [`SENDERS_MAX`] messages in progress by subject, [`WAITING_MAX`] octets in all.
    pub(super) fn take(&mut self, subject: &str, payload: Bytes) -> Taken {
        let Some((head, content)) = parse(&payload) else {
            return Taken::Whole(payload);
        };
        let pending = self.subjects.remove(subject).unwrap_or_default();
        let (kept, taken) = self.join(pending, &head, content);
        if !kept.is_empty() {
            self.subjects.insert(subject.to_owned(), kept);
        }
        taken
    }

    fn join(
        &mut self,
        mut pending: Vec<Pending>,
        head: &Head,
        content: &[u8],
    ) -> (Vec<Pending>, Taken) {
        let place = pending.iter().position(|one| one.sender == head.sender);
        let mut one = match place.map(|place| pending.remove(place)) {
            Some(one) if one.number == head.number => one,
            other => {
                // Its sender is at another message: what was begun cannot be ended any more.
                if let Some(mut other) = other {
                    self.give_up(&mut other);
                }
                if pending.len() >= SENDERS_MAX {
                    self.give_up(&mut pending.remove(0));
                }
                Pending::new(head)
            }
        };
        let fits = one.next == head.index
            && one.count == head.count
            && one.content.len() + content.len() <= JOINED_MAX
            && self.octets + content.len() <= WAITING_MAX;
        one.ticks = 0;
        if !fits {
            self.give_up(&mut one);
        }
        let is_last = head.index + 1 >= one.count;
        if one.is_lost {
            // Kept until its last part, so that it is counted once.
            if !is_last {
                pending.push(one);
            }
            return (pending, Taken::Dropped);
        }
        one.content.extend_from_slice(content);
        one.next += 1;
        if is_last {
            self.octets -= one.content.len() - content.len();
            return (pending, Taken::Whole(one.content.freeze()));
        }
        self.octets += content.len();
        pending.push(one);
        (pending, Taken::Waiting)
    }

    fn give_up(&mut self, one: &mut Pending) {
        self.octets -= one.content.len();
        self.lost += u64::from(!one.is_lost);
        one.content = BytesMut::new();
        one.is_lost = true;
    }

    /// Time has passed: what waited for [`TICKS_MAX`] of these is given up.
    pub(super) fn tick(&mut self) {
        let (octets, lost) = (&mut self.octets, &mut self.lost);
        self.subjects.retain(|_, pending| {
            pending.retain_mut(|one| {
                one.ticks += 1;
                let is_kept = one.ticks < TICKS_MAX;
                if !is_kept {
                    *octets -= one.content.len();
                    *lost += u64::from(!one.is_lost);
                }
                is_kept
            });
            !pending.is_empty()
        });
    }

    /// Messages that were given up since the last question.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Messages in progress.
    pub(super) fn waiting(&self) -> u64 {
        self.subjects
            .values()
            .map(|pending| pending.len() as u64)
            .sum()
    }
}

impl Pending {
    fn new(head: &Head) -> Self {
        Self {
            sender: head.sender,
            number: head.number,
            next: 0,
            count: head.count,
            content: BytesMut::new(),
            ticks: 0,
            is_lost: false,
        }
    }
}

/// A part's head and content; none where it is no part.
fn parse(payload: &[u8]) -> Option<(Head, &[u8])> {
    let (magic, rest) = payload.split_first_chunk::<4>()?;
    let (sender, rest) = rest.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (index, rest) = rest.split_first_chunk::<4>()?;
    let (count, content) = rest.split_first_chunk::<4>()?;
    let head = Head {
        sender: u64::from_be_bytes(*sender),
        number: u64::from_be_bytes(*number),
        index: u32::from_be_bytes(*index),
        count: u32::from_be_bytes(*count),
    };
    let is_part = *magic == MAGIC
        && head.index < head.count
        && usize::try_from(head.count).is_ok_and(|count| count <= PARTS_MAX);
    is_part.then_some((head, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(octets: usize) -> Bytes {
        (0..octets).map(|n| (n % 251) as u8).collect()
    }

    #[test]
    fn a_message_comes_out_as_it_went_in_whatever_the_limit() {
        let mut cutter = Cutter::new(7);
        let mut joiner = Joiner::default();
        for (octets, limit) in [
            (2_000, 1_500),
            (8 << 20, 1 << 20),
            (100_000, 1_052),
            (1, 2_000),
        ] {
            let message = message(octets);
            let parts = cutter.cut(&message, limit);
            let (last, before) = parts.split_last().unwrap();
            assert!(parts.iter().all(|part| part.len() <= limit));
            for part in before {
                assert_eq!(joiner.take("a", part.clone()), Taken::Waiting);
            }
            assert_eq!(joiner.take("a", last.clone()), Taken::Whole(message));
            assert_eq!(
                (joiner.octets, joiner.waiting(), joiner.take_lost()),
                (0, 0, 0)
            );
        }
    }

    #[test]
    fn what_is_no_part_goes_through() {
        let mut joiner = Joiner::default();
        let strange = [MAGIC.as_slice(), &[0xFF; HEAD - 4]].concat();
        for octets in [b"".as_slice(), b"{}", &MAGIC, &strange] {
            let octets = Bytes::copy_from_slice(octets);
            assert_eq!(joiner.take("a", octets.clone()), Taken::Whole(octets));
        }
    }

    #[test]
    fn each_lost_part_loses_its_message_and_no_other() {
        let message = message(5_000);
        for lost in 0..5 {
            let mut cutter = Cutter::new(7);
            let mut joiner = Joiner::default();
            let parts = cutter.cut(&message, HEAD + CONTENT_MIN);
            assert_eq!(parts.len(), 5);
            let mut whole = 0;
            let next = cutter.cut(&message, HEAD + CONTENT_MIN);
            let kept = parts.iter().enumerate().filter(|(index, _)| *index != lost);
            for part in kept.map(|(_, part)| part).chain(&next) {
                whole += u32::from(matches!(joiner.take("a", part.clone()), Taken::Whole(_)));
            }
            assert_eq!((whole, joiner.take_lost()), (1, 1), "part {lost}");
            assert_eq!((joiner.octets, joiner.waiting()), (0, 0));
        }
    }

    #[test]
    fn a_repeated_or_foreign_part_is_not_put_in() {
        let mut joiner = Joiner::default();
        let parts = Cutter::new(7).cut(&message(3_000), HEAD + CONTENT_MIN);
        let others = Cutter::new(8).cut(&message(3_000), HEAD + CONTENT_MIN);
        assert_eq!(joiner.take("a", parts[0].clone()), Taken::Waiting);
        // Another sender, another subject: not mixed up.
        assert_eq!(joiner.take("a", others[0].clone()), Taken::Waiting);
        assert_eq!(joiner.take("b", parts[1].clone()), Taken::Dropped);
        assert_eq!(joiner.take("a", parts[1].clone()), Taken::Waiting);
        assert_eq!(joiner.take("a", parts[1].clone()), Taken::Dropped);
        // Of sender 7: on `b`, which has no beginning, and on `a`.
        assert_eq!(joiner.take_lost(), 2);
    }

    #[test]
    fn beginnings_without_end_take_no_more_than_their_bound() {
        let mut joiner = Joiner::default();
        for sender in 0..1_000 {
            let parts = Cutter::new(sender).cut(&message(3_000), HEAD + CONTENT_MIN);
            assert_eq!(joiner.take("a", parts[0].clone()), Taken::Waiting);
        }
        assert_eq!(joiner.waiting(), SENDERS_MAX as u64);
        assert_eq!(joiner.octets, SENDERS_MAX * CONTENT_MIN);
        assert_eq!(joiner.take_lost(), 1_000 - SENDERS_MAX as u64);
    }

    #[test]
    fn what_waits_too_long_is_given_up() {
        let mut joiner = Joiner::default();
        let parts = Cutter::new(7).cut(&message(3_000), HEAD + CONTENT_MIN);
        assert_eq!(joiner.take("a", parts[0].clone()), Taken::Waiting);
        joiner.tick();
        assert_eq!(joiner.take("a", parts[1].clone()), Taken::Waiting);
        joiner.tick();
        assert_eq!((joiner.waiting(), joiner.take_lost()), (1, 0));
        joiner.tick();
        assert_eq!(
            (joiner.waiting(), joiner.octets, joiner.take_lost()),
            (0, 0, 1)
        );
    }

    #[test]
    fn what_cannot_be_cut_is_not() {
        let mut cutter = Cutter::new(7);
        assert!(
            cutter
                .cut(&message(3_000), HEAD + CONTENT_MIN - 1)
                .is_empty()
        );
        assert!(cutter.cut(&message(JOINED_MAX + 1), 1 << 20).is_empty());
    }
}
