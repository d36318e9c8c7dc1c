//! Ctrl-C, SIGTERM and SIGHUP: the first asks for an orderly end, the second leaves at once.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::exit::Exit;
use crate::screen::terminal::Screen;

/// The first interrupt; the second ends the process.
#[derive(Debug)]
pub(crate) struct Interrupts {
    first: mpsc::Receiver<()>,
}

impl Interrupts {
    /// Listens from now on.
    ///
    /// Errors: the system refuses a signal handler.
    pub(crate) fn listen(screen: Screen) -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("cannot listen for signals");
        let mut signals = [
            on(SignalKind::interrupt())?,
            on(SignalKind::terminate())?,
            on(SignalKind::hangup())?,
        ];
        let (told, first) = mpsc::channel(1);
        actix_rt::spawn(async move {
            any(&mut signals).await;
            // Nobody listens any more where the run ended meanwhile.
            let _ = told.try_send(());
            any(&mut signals).await;
            screen.clear();
            std::process::exit(i32::from(Exit::Interrupted.code()));
        });
        Ok(Self { first })
    }

    /// Returns at the first interrupt, and never again.
    pub(crate) async fn first(&mut self) {
        if self.first.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

async fn any(signals: &mut [Signal; 3]) {
    let [interrupt, terminate, hangup] = signals;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
