//! The in-process bus: `carillon run`, `carillon demo` and tests. The same envelope, the same
//! subjects, the same bounds as over a network.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::subscription::{Offered, Queue, Subscription};
use super::{Bus, BusMessage, Published, matches};

/// A bus inside one process. Clones are the same bus; its subscriptions end with the last clone.
#[derive(Clone, Debug, Default)]
pub struct LocalBus {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    listeners: RwLock<Vec<Listener>>,
}

#[derive(Debug)]
struct Listener {
    pattern: String,
    queue: Arc<Queue>,
}

impl LocalBus {
    /// A bus without subscriptions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Bus for LocalBus {
    fn publish(&self, subject: &str, payload: Bytes) -> Published {
        let mut published = Published::default();
        let mut gone = false;
        {
            let listeners = self
                .inner
                .listeners
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            for listener in listeners.iter() {
                if !matches(&listener.pattern, subject) {
                    continue;
                }
                let message = BusMessage {
                    subject: subject.to_owned(),
                    payload: payload.clone(),
                };
                match listener.queue.offer(message) {
                    Offered::Taken => published.delivered += 1,
                    Offered::Refused => published.refused += 1,
                    Offered::Gone => gone = true,
                }
            }
        }
        if gone {
            self.inner.forget_the_gone();
        }
        published
    }

    fn subscribe(&self, pattern: &str, capacity: usize) -> Subscription {
        let (queue, subscription) = Queue::new(capacity);
        self.inner.forget_the_gone();
        self.inner
            .listeners
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Listener {
                pattern: pattern.to_owned(),
                queue,
            });
        subscription
    }
}

impl Inner {
    fn forget_the_gone(&self) {
        self.listeners
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|listener| !listener.queue.is_closed());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let listeners = self
            .listeners
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.drain(..) {
            listener.queue.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use super::*;

    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_message_reaches_every_matching_subscription_in_order() {
        let bus = LocalBus::new();
        let mut all = bus.subscribe("nodes.*.report", 8);
        let mut one = bus.subscribe("nodes.a.report", 8);
        assert_eq!(
            bus.publish("nodes.a.report", Bytes::from_static(b"1")),
            Published {
                delivered: 2,
                refused: 0
            }
        );
        assert_eq!(
            bus.publish("nodes.b.report", Bytes::from_static(b"2"))
                .delivered,
            1
        );
        assert_eq!(&all.try_next().unwrap().payload[..], b"1");
        assert_eq!(all.try_next().unwrap().subject, "nodes.b.report");
        assert_eq!(&one.try_next().unwrap().payload[..], b"1");
        assert_eq!(one.try_next(), None);
    }

    #[test]
    fn a_full_queue_refuses_the_newest_and_both_sides_know() {
        let bus = LocalBus::new();
        let mut slow = bus.subscribe(">", 2);
        for n in 0..5u8 {
            let published = bus.publish("x", Bytes::from(vec![n]));
            assert_eq!(published.refused, u32::from(n >= 2));
        }
        assert_eq!(slow.refused(), 3);
        assert_eq!(&slow.try_next().unwrap().payload[..], [0]);
        assert_eq!(&slow.try_next().unwrap().payload[..], [1]);
        assert_eq!(slow.try_next(), None);
    }

    #[test]
    fn a_dropped_subscription_is_forgotten() {
        let bus = LocalBus::new();
        drop(bus.subscribe(">", 2));
        assert_eq!(bus.publish("x", Bytes::new()), Published::default());
        assert!(bus.inner.listeners.read().unwrap().is_empty());
    }

    #[test]
    fn a_waiting_reader_is_woken_by_a_message_and_by_the_end() {
        let bus = LocalBus::new();
        let mut subscription = bus.subscribe(">", 2);
        let woken = Arc::new(Counted(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        {
            let mut next = pin!(subscription.next());
            assert!(next.as_mut().poll(&mut context).is_pending());
            let _ = bus.publish("x", Bytes::from_static(b"!"));
            assert_eq!(woken.0.load(Ordering::SeqCst), 1);
            assert!(next.as_mut().poll(&mut context).is_ready());
        }
        assert!(subscription.poll_next(&mut context).is_pending());
        drop(bus);
        assert_eq!(woken.0.load(Ordering::SeqCst), 2);
        assert_eq!(subscription.poll_next(&mut context), Poll::Ready(None));
    }
}
