//! `carillon lab`: the built-in SIP target, until Ctrl-C.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use lab::{Accounts, Auth, Impairment, Lab, LabConfig, LabStats, Loss, RelayConfig};

use crate::args::{LabArguments, RelayArguments};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::lab_options::faults;
use crate::screen::figure::{count, percent};
use crate::screen::terminal::Screen;
use crate::show::say;

/// Starts the lab, shows what passes through it, and ends it in order.
pub(crate) fn run(arguments: &LabArguments) -> anyhow::Result<Exit> {
    let config = config(arguments)?;
    if let Err(error) = config.check() {
        say(&format!("carillon lab: {error}"));
        return Ok(Exit::BadInput);
    }
    let banner = config.to_string();
    let handle = Lab::start(config).context("cannot start the lab")?;
    writeln!(io::stdout(), "{banner}\nlistening on {}", handle.sip_addr())?;
    let system = actix::System::new();
    let screen = Screen::default();
    system.block_on(watch(&handle, &screen))?;
    screen.clear();
    let stats = handle.shutdown();
    writeln!(io::stdout(), "{}", line(&stats))?;
    // A target has no end of its own: Ctrl-C is how it ends well.
    Ok(Exit::Passed)
}

async fn watch(handle: &lab::LabHandle, screen: &Screen) -> anyhow::Result<()> {
    let mut interrupts = Interrupts::listen(screen.clone())?;
    let mut tick = tokio::time::interval(SHOW_EVERY);
    let live = io::stderr().is_terminal();
    loop {
        tokio::select! {
            _ = tick.tick() => {
                if live {
                    let text = line(&handle.stats());
                    let text = console::truncate_str(&text, Screen::size().0, "…").into_owned();
                    screen.draw(vec![text]);
                }
            }
            () = interrupts.first() => return Ok(()),
        }
    }
}

fn line(stats: &LabStats) -> String {
    let sip = &stats.sip;
    let media = &stats.media_total;
    let lost = media.loss_pct().unwrap_or(0.0);
    format!(
        "registered {} · calls now {} · answered {} · failed {} · ended {} · requests {} · wrong credentials {} · RTP relayed {} · lost {}",
        count(sip.registered_now),
        count(sip.calls_now),
        count(sip.calls_answered),
        count(sip.calls_failed),
        count(sip.calls_ended),
        count(sip.requests),
        count(sip.wrong_credentials),
        count(media.received),
        percent(lost),
    )
}

fn config(arguments: &LabArguments) -> anyhow::Result<LabConfig> {
    let accounts = if arguments.account.is_empty() {
        Accounts::Any
    } else {
        let mut listed = HashMap::new();
        for account in &arguments.account {
            let Some((user, password)) = account.split_once(':') else {
                bail!("--account `{account}` has no password; write USER:PASSWORD");
            };
            listed.insert(user.to_owned(), password.to_owned());
        }
        Accounts::Listed(listed)
    };
    let auth = Auth {
        register: !arguments.no_auth,
        invite: !arguments.no_auth,
        ..Auth::default()
    };
    Ok(LabConfig {
        bind: arguments.bind,
        tcp: arguments.tcp,
        realm: arguments.realm.clone(),
        domains: arguments.domain.clone(),
        accounts,
        auth,
        relay: relay(&arguments.relay),
        faults: faults(&arguments.fault),
        seed: arguments.seed,
        allow_public: arguments.allow_public,
        ..LabConfig::default()
    })
}

fn relay(arguments: &RelayArguments) -> Option<RelayConfig> {
    let impair = Impairment {
        loss: loss(arguments),
        delay_ms: arguments.delay.unwrap_or(0.0),
        jitter_ms: arguments.jitter.unwrap_or(0.0),
        duplicate_pct: arguments.duplicate.unwrap_or(0.0),
        reorder_pct: arguments.reorder.unwrap_or(0.0),
        ..Impairment::default()
    };
    let wanted = arguments.relay
        || arguments.impair_rtcp
        || arguments.log.is_some()
        || impair != Impairment::default();
    wanted.then(|| RelayConfig {
        ports: arguments.relay_ports.clone(),
        impair,
        rtcp_impaired: arguments.impair_rtcp,
        log: arguments.log.clone(),
        ..RelayConfig::default()
    })
}

/// The Gilbert model's chances from the mean loss and the mean length of a burst.
fn loss(arguments: &RelayArguments) -> Loss {
    match (arguments.loss, arguments.burst) {
        (None, _) => Loss::None,
        (Some(percent), None) => Loss::Random { percent },
        (Some(mean), Some(burst)) => {
            let q = 100.0 / burst.max(1.0);
            // mean = p / (p + q), so p = q * mean / (100 - mean).
            let p = (q * mean / (100.0 - mean).max(f64::MIN_POSITIVE)).min(100.0);
            Loss::Gilbert { p, q }
        }
    }
}

const SHOW_EVERY: Duration = Duration::from_millis(500);
