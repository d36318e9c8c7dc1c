//! One epoll, one timer and one wake-up per thread: what both shells wait with.
//!
//! Owns the waiting; knows nothing of SIP or RTP. The timer is a timerfd, because epoll's own
//! timeout counts whole milliseconds.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// The sending end of a thread's inbox.
#[derive(Debug)]
pub(super) struct Link<T> {
    sender: SyncSender<T>,
    wake: Arc<EventFd>,
}

impl<T> Clone for Link<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            wake: Arc::clone(&self.wake),
        }
    }
}

impl<T> Link<T> {
    /// Hands over, waiting for room; `false` where the thread is gone.
    pub(super) fn send(&self, item: T) -> bool {
        let sent = self.sender.send(item).is_ok();
        self.ring();
        sent
    }

    /// Hands over where there is room.
    pub(super) fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        self.sender.try_send(item)?;
        self.ring();
        Ok(())
    }

    fn ring(&self) {
        if let Err(error) = self.wake.write(1) {
            // A full counter means that it rings already.
            tracing::trace!(%error, "the wake-up is pending already");
        }
    }
}

/// An inbox that wakes its thread.
pub(super) fn inbox<T>(room: usize) -> io::Result<(Link<T>, Receiver<T>)> {
    let (sender, receiver) = sync_channel(room);
    let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
    Ok((
        Link {
            sender,
            wake: Arc::new(wake),
        },
        receiver,
    ))
}

/// Waits for sockets, for the inbox and for a point in time.
#[derive(Debug)]
pub(super) struct Waiter {
    epoll: Epoll,
    timer: TimerFd,
    armed: Option<Instant>,
    wake: Arc<EventFd>,
    events: Vec<EpollEvent>,
}

/// What a wait ended with: the number that a socket was added under, and what it is ready for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    /// The number.
    pub(super) number: u64,
    /// Something can be read, or the peer is gone.
    pub(super) readable: bool,
    /// Something can be written.
    pub(super) writable: bool,
}

impl Waiter {
    /// Waits for the inbox of `link`, too.
    pub(super) fn new<T>(link: &Link<T>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        epoll.add(&*link.wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        Ok(Self {
            epoll,
            timer,
            armed: None,
            wake: Arc::clone(&link.wake),
            events: vec![EpollEvent::empty(); EVENTS],
        })
    }

    /// Reports when `socket` can be read.
    pub(super) fn add(&self, socket: impl AsFd, number: u64) -> io::Result<()> {
        Ok(self
            .epoll
            .add(socket, EpollEvent::new(EpollFlags::EPOLLIN, number))?)
    }

    /// Reports when `socket` can be written, too, or no longer.
    pub(super) fn writable(&self, socket: impl AsFd, number: u64, wanted: bool) -> io::Result<()> {
        let mut flags = EpollFlags::EPOLLIN;
        flags.set(EpollFlags::EPOLLOUT, wanted);
        Ok(self
            .epoll
            .modify(socket, &mut EpollEvent::new(flags, number))?)
    }

    /// Waits until a socket is ready, the inbox rings or `deadline` has come. Gives the sockets.
    pub(super) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<Vec<Ready>> {
        self.arm(deadline)?;
        let count = match self.epoll.wait(&mut self.events, EpollTimeout::NONE) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut ready = Vec::with_capacity(count);
        let mut fired = false;
        for event in self.events.iter().take(count) {
            match event.data() {
                TIMER => fired = true,
                WAKE => drain(&self.wake),
                number => ready.push(Ready {
                    number,
                    readable: event.events().intersects(READABLE),
                    writable: event.events().contains(EpollFlags::EPOLLOUT),
                }),
            }
        }
        if fired {
            // This takes its readiness away, too.
            self.timer.unset()?;
            self.armed = None;
        }
        Ok(ready)
    }

    fn arm(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        if self.armed == deadline {
            return Ok(());
        }
        match deadline {
            None => self.timer.unset()?,
            Some(at) => {
                // Zero would mean "never".
                let left = at.saturating_duration_since(Instant::now());
                let left = left.max(Duration::from_nanos(1));
                let once = Expiration::OneShot(TimeSpec::from(left));
                self.timer.set(once, TimerSetTimeFlags::empty())?;
            }
        }
        self.armed = deadline;
        Ok(())
    }
}

fn drain(wake: &EventFd) {
    if let Err(error) = wake.read() {
        tracing::trace!(%error, "the wake-up was read already");
    }
}

/// Sockets reported by one wait; the rest comes with the next.
const EVENTS: usize = 256;
const TIMER: u64 = u64::MAX;
const WAKE: u64 = u64::MAX - 1;
const READABLE: EpollFlags = EpollFlags::EPOLLIN
    .union(EpollFlags::EPOLLHUP)
    .union(EpollFlags::EPOLLERR);
