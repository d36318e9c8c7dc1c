//! `carillon demo`: a sample test against the built-in SIP target, both in this process.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use lab::{Impairment, Lab, LabConfig, Loss, RelayConfig};
use shared::definition::{self, Test};

use crate::args::DemoArguments;
use crate::cluster::{Cluster, TemporaryFolder};
use crate::exit::Exit;
use crate::run::cluster_config;
use crate::screen::terminal::Screen;
use crate::session::{Outputs, Session};
use crate::show::say;

/// Starts the lab, runs the sample test against it, and says what to do next.
pub(crate) fn run(arguments: &DemoArguments, screen: Screen) -> anyhow::Result<Exit> {
    let outputs = match Outputs::open(&arguments.output) {
        Ok(outputs) => outputs,
        Err(error) => {
            say(&format!("carillon: {error:#}"));
            return Ok(Exit::BadInput);
        }
    };
    let lab = Lab::start(lab_config(arguments)).context("cannot start the built-in SIP target")?;
    let address = lab.sip_addr();
    let text = test_text(arguments, &address.to_string());
    let test = parse(&text)?;
    let quiet = arguments.output.quiet;
    if !quiet {
        introduce(&test, &address.to_string());
    }
    let temporary = match &arguments.output.data_dir {
        None => Some(TemporaryFolder::new("carillon-demo")?),
        Some(_) => None,
    };
    let kept: Option<PathBuf> = arguments.output.data_dir.clone();
    let data_dir = temporary
        .as_ref()
        .map(TemporaryFolder::path)
        .or(kept.as_deref());
    let data_dir = data_dir.map(Path::to_owned).unwrap_or_default();
    let config = cluster_config(&arguments.node, data_dir);
    let json_on_stdout = arguments
        .output
        .json
        .as_ref()
        .is_some_and(|path| path.as_os_str() == "-");
    let session = Session {
        outputs,
        screen,
        kept_in: kept.as_deref(),
        quiet,
    };
    let exit = actix::System::new().block_on(async {
        let cluster = Cluster::start(config)?;
        let ended = session.run(&cluster.coordinator, test).await;
        cluster.stop();
        ended
    })?;
    drop(lab.shutdown());
    let judged = matches!(exit, Exit::Passed | Exit::ThresholdCrossed);
    if judged && !quiet && !json_on_stdout {
        // A closed pipe is the reader's wish.
        drop(writeln!(io::stdout(), "{}", next_steps(arguments)));
    }
    Ok(exit)
}

fn lab_config(arguments: &DemoArguments) -> LabConfig {
    let loss = if arguments.loss > 0.0 {
        Loss::Random {
            percent: arguments.loss,
        }
    } else {
        Loss::None
    };
    LabConfig {
        relay: Some(RelayConfig {
            impair: Impairment {
                loss,
                delay_ms: f64::from(arguments.delay),
                jitter_ms: f64::from(arguments.jitter),
                ..Impairment::default()
            },
            ..RelayConfig::default()
        }),
        ..LabConfig::default()
    }
}

/// The sample test with this demo's figures filled in.
fn test_text(arguments: &DemoArguments, address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "5060"));
    TEST.replace("@HOST@", host)
        .replace("@PORT@", port)
        .replace("@CALLS@", &arguments.calls.to_string())
        .replace("@DURATION@", &arguments.duration.to_string())
        .replace("@BUILDUP@", &buildup(arguments).to_string())
}

/// Three seconds, or less in a short demo.
fn buildup(arguments: &DemoArguments) -> shared::units::Millis {
    shared::units::Millis(BUILDUP_MS.min(arguments.duration.0 / 4))
}

fn parse(text: &str) -> anyhow::Result<Test> {
    let no_files = |_: &str| Err(io::Error::from(io::ErrorKind::NotFound));
    definition::parse(text, "demo", &no_files).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        anyhow!("the sample test cannot run: {}", lines.join("; "))
    })
}

fn introduce(test: &Test, address: &str) {
    say(&format!(
        "carillon demo: {} endpoints register at a built-in SIP target ({address}), {} of them call \
         the others through its media relay for {}",
        test.endpoint_count(),
        test.endpoint_count() / 2,
        test.duration,
    ));
}

/// What to do next, with the test that ran: made to fit `carillon lab` as it starts by default.
fn next_steps(arguments: &DemoArguments) -> String {
    let text = test_text(arguments, LAB_DEFAULT);
    let test: String = text.lines().map(|line| format!("    {line}\n")).collect();
    let keep = match arguments.output.data_dir {
        Some(_) => "",
        None => "\n The data of this run was temporary; --data-dir DIR keeps it.",
    };
    format!(
        "\n What to do next\n   carillon demo --loss 3 --jitter 40    see what a bad network does to \
         these figures\n   carillon lab                          start the built-in SIP target by \
         itself\n   carillon run TEST.toml                run a test file; this one fits the \
         lab, change it for your platform:\n\n{test}{keep}"
    )
}

/// Where `carillon lab` listens unless it is told otherwise.
const LAB_DEFAULT: &str = "127.0.0.1:5060";
const TEST: &str = include_str!("demo.toml");
const BUILDUP_MS: u64 = 3_000;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    #[test]
    fn the_sample_test_has_no_mistakes_whatever_is_asked() {
        for line in [
            "carillon demo",
            "carillon demo --calls 2000 --duration 1s",
            "carillon demo --duration 2h",
        ] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            let Command::Demo(demo) = arguments.command else {
                panic!("{line}")
            };
            let test = parse(&test_text(&demo, "127.0.0.1:5061")).unwrap();
            assert_eq!(test.endpoint_count(), demo.calls * 2);
        }
    }
}
