//! The calls of former lives: they are ended while the node joins, and no run binds a port before.

use std::time::{Duration, Instant};

use shared::wire::LifeId;
use tokio::sync::watch;

use crate::core::reap::ReapConfig;
use crate::net::reap::Inheritance;

/// Once a run waits for the ports, peers that do not answer are given up this long after the start.
const HURRIED_PATIENCE: Duration = Duration::from_secs(5);

/// Former calls being ended. Clones share them.
#[derive(Clone)]
pub(super) struct Former {
    over: watch::Receiver<bool>,
    hurry: watch::Sender<bool>,
}

impl Former {
    /// Begins to end them, on this thread.
    pub(super) fn settle(inheritance: Option<Inheritance>, life: LifeId) -> Self {
        let (tell_over, over) = watch::channel(false);
        let (hurry, mut hurried) = watch::channel(false);
        let Some(inheritance) = inheritance else {
            tell_over.send_replace(true);
            return Self { over, hurry };
        };
        let config = ReapConfig {
            salt: life.0,
            ..ReapConfig::default()
        };
        let started = Instant::now();
        actix_rt::spawn(async move {
            let hurry = async move {
                if hurried.wait_for(|hurried| *hurried).await.is_err() {
                    std::future::pending::<()>().await;
                }
                started + HURRIED_PATIENCE
            };
            inheritance.settle(config, hurry).await;
            tell_over.send_replace(true);
        });
        Self { over, hurry }
    }

    /// Waits until their ports are free.
    pub(super) async fn over(mut self) {
        self.hurry.send_replace(true);
        // The other end is gone only with the thread.
        let _ = self.over.wait_for(|over| *over).await;
    }
}
