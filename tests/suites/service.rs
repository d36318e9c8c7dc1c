//! The service as its users meet it: the README's quick start, a run over the API, the command
//! line, the configuration, start and stop.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

#[path = "service/client.rs"]
mod client;
#[path = "service/late.rs"]
mod late;
#[path = "service/manager.rs"]
mod manager;
#[path = "service/process.rs"]
mod process;
#[path = "service/quick_start.rs"]
mod quick_start;
#[path = "service/run.rs"]
mod run;

use lab::{Action, Fault, Faults, Lab, LabConfig, LabHandle};

/// The built-in target on a free port of 127.0.0.1: any NAME with the password `pw-NAME`.
fn target() -> LabHandle {
    target_with(Faults::default())
}

/// A target that answers no BYE, so that an orderly end takes seconds.
fn target_silent_to_bye() -> LabHandle {
    target_with(Faults {
        bye: vec![Fault {
            action: Action::Silence,
            percent: 100.0,
        }],
        ..Faults::default()
    })
}

fn target_with(faults: Faults) -> LabHandle {
    let config = LabConfig {
        bind: "127.0.0.1:0".parse().unwrap(),
        faults,
        ..LabConfig::default()
    };
    Lab::start(config).expect("the lab")
}
