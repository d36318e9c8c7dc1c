//! The command line's grammar.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use shared::units::Millis;

use crate::client::args::{
    AccountsCommand, LoginArguments, NodesArguments, ProjectsCommand, RunsArguments,
    StartArguments, StopArguments, TestsArguments, WatchArguments,
};
use crate::lab_options::{FaultOption, parse_fault, parse_percent};

/// Load-tests SIP platforms with real calls and tells what they sound like.
#[derive(Debug, Parser)]
#[command(name = "carillon", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a sample test against a built-in SIP target: the quickest look at everything.
    Demo(DemoArguments),
    /// Run a test file in this process and exit by its verdict.
    Run(RunArguments),
    /// Validate a test file: all mistakes at once, with line and key.
    Check(CheckArguments),
    /// A small built-in SIP registrar, proxy and media relay to test against (no production use).
    Lab(LabArguments),
    /// The service: HTTP API, storage, and by default a node, all in this process.
    Coordinator(CoordinatorArguments),
    /// A worker of a cluster: joins a coordinator over NATS and makes the calls.
    Node(NodeServiceArguments),
    /// Log in to a coordinator: checks an API key and keeps it for the commands below.
    Login(LoginArguments),
    /// The projects that the key sees.
    Projects {
        #[command(subcommand)]
        command: Option<ProjectsCommand>,
    },
    /// The saved tests of a project.
    Tests(TestsArguments),
    /// Runs: those of now and all that were.
    Runs(RunsArguments),
    /// Start a run of a saved test, show it, and exit by its verdict; Ctrl-C stops it.
    #[command(after_help = EXIT_CODES)]
    Start(StartArguments),
    /// Ask a run to stop.
    Stop(StopArguments),
    /// Show a run that lives and exit by its verdict; Ctrl-C leaves it alone.
    #[command(after_help = EXIT_CODES)]
    Watch(WatchArguments),
    /// The SIP accounts of a registrar.
    Accounts {
        #[command(subcommand)]
        command: AccountsCommand,
    },
    /// The nodes of the cluster.
    Nodes(NodesArguments),
    /// Make an nkey, by which a node or the coordinator logs in to NATS; prints its public part.
    Nkey {
        /// The new file for the seed, readable for its owner only.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Write the manual pages into a folder.
    #[command(hide = true)]
    Man {
        /// Made where it does not exist.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// Flags win over the environment, the environment over the file, the file over the defaults.
#[derive(Debug, Args)]
pub(crate) struct CoordinatorArguments {
    /// The configuration; config/coordinator.toml holds every key at its default.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the API is served; port 0 takes any free one [default: 127.0.0.1:8080].
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) bind: Option<String>,
    /// Where everything is kept [default: carillon-data].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// A network that tests may send to besides loopback (may be repeated).
    #[arg(long, value_name = "NETWORK")]
    pub(crate) allow_target: Vec<String>,
    /// Serve plain HTTP also on addresses that are not loopback.
    #[arg(long)]
    pub(crate) allow_plain_public: bool,
    /// The cluster's NATS server [default: none, no cluster].
    #[arg(long, value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// Any key of the configuration: `--set http.workers=4` (may be repeated).
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Flags win over the environment, the environment over the file, the file over the defaults.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = NODE_EXIT_CODES)]
pub(crate) struct NodeServiceArguments {
    /// The configuration; config/node.toml holds every key at its default.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Its name, unique in the cluster [default: the host's].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The region that tests may ask for.
    #[arg(long, value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// What people say about it, such as `rack=b7` (may be repeated).
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) label: Vec<String>,
    /// The cluster's NATS server [default: nats://127.0.0.1:4222].
    #[arg(long, value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// Where it keeps what must outlive its process [default: carillon-node].
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<String>,
    /// Any key of the configuration: `--set node.threads=2` (may be repeated).
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
    #[command(subcommand)]
    pub(crate) command: Option<NodeCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// End the calls that a node left open when it was killed; its next start does it too.
    Reap {
        /// The node's configuration.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Its state folder, instead of the configuration's.
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct DemoArguments {
    /// Calls at once; each has a caller and a callee of its own.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub(crate) calls: u32,
    /// How long the test lasts.
    #[arg(long, default_value = "20s", value_parser = Millis::parse)]
    pub(crate) duration: Millis,
    /// Packets that the built-in relay loses, in per cent.
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = parse_percent)]
    pub(crate) loss: f64,
    /// Delay that the relay adds in each direction, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) delay: u32,
    /// Random further delay, up to so many milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) jitter: u32,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(flatten)]
    pub(crate) node: NodeArguments,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct RunArguments {
    /// The test file; docs/TESTFILE.md describes every key.
    #[arg(value_name = "TEST.toml")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(flatten)]
    pub(crate) node: NodeArguments,
}

/// What a run leaves behind.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArguments {
    /// Write the whole result as JSON, with every endpoint's every second (`-`: standard output).
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write thresholds and groups as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Write the SIP trace of one endpoint for each kind of failure into a folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) traces: Option<PathBuf>,
    /// Where runs are kept [default: carillon-data; for the demo a temporary folder].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print the verdict only.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// How the node in this process works.
#[derive(Debug, Args)]
#[command(next_help_heading = "Node")]
pub(crate) struct NodeArguments {
    /// The local address for SIP and RTP [default: the one that routes to the target].
    #[arg(long, value_name = "IP")]
    pub(crate) node_address: Option<IpAddr>,
    /// UDP ports for RTP and RTCP, first and last.
    #[arg(long, value_name = "FIRST-LAST", default_value = "16384-32767", value_parser = parse_ports)]
    pub(crate) media_ports: RangeInclusive<u16>,
    /// Threads for signalling and for media [default: one of each per core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The test file.
    #[arg(value_name = "TEST.toml")]
    pub(crate) file: PathBuf,
    /// Print nothing where there is no mistake.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LabArguments {
    /// Where SIP is received; port 0 takes any free one.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5060")]
    pub(crate) bind: SocketAddr,
    /// Receive SIP over TCP as well, on the same port.
    #[arg(long)]
    pub(crate) tcp: bool,
    /// Digest realm, and a domain that is served.
    #[arg(long, default_value = "lab.carillon")]
    pub(crate) realm: String,
    /// A further domain that is served (may be repeated).
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Vec<String>,
    /// An account, instead of any NAME with the password `pw-NAME` (may be repeated).
    #[arg(long, value_name = "USER:PASSWORD")]
    pub(crate) account: Vec<String>,
    /// Challenge nothing.
    #[arg(long)]
    pub(crate) no_auth: bool,
    /// Serve addresses and targets that are not loopback; the lab is open to whoever reaches it.
    #[arg(long)]
    pub(crate) allow_public: bool,
    /// Answer wrongly on purpose: `invite:503:10`, `invite:503:10:retry=5`, `register:silence:1`,
    /// `invite:slow=800:50` (may be repeated).
    #[arg(long, value_name = "METHOD:WHAT:PERCENT", value_parser = parse_fault)]
    pub(crate) fault: Vec<FaultOption>,
    /// Seed of every random decision.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) relay: RelayArguments,
}

/// The lab's media relay; any of its options turns it on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Media relay")]
pub(crate) struct RelayArguments {
    /// Relay media, also without any impairment.
    #[arg(long)]
    pub(crate) relay: bool,
    /// Ports of the relay, first and last.
    #[arg(long, value_name = "FIRST-LAST", default_value = "40000-48999", value_parser = parse_ports)]
    pub(crate) relay_ports: RangeInclusive<u16>,
    /// Lose packets independently, in per cent.
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    pub(crate) loss: Option<f64>,
    /// Lose packets in bursts of so many on average; `--loss` is the mean.
    #[arg(long, value_name = "PACKETS", requires = "loss")]
    pub(crate) burst: Option<f64>,
    /// Constant delay in each direction, in milliseconds.
    #[arg(long, value_name = "MS")]
    pub(crate) delay: Option<f64>,
    /// Random further delay up to so many milliseconds.
    #[arg(long, value_name = "MS")]
    pub(crate) jitter: Option<f64>,
    /// Packets sent twice, in per cent.
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    pub(crate) duplicate: Option<f64>,
    /// Packets that change places with the next one, in per cent.
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    pub(crate) reorder: Option<f64>,
    /// Impair RTCP like RTP.
    #[arg(long)]
    pub(crate) impair_rtcp: bool,
    /// Write every packet's fate to this file (CSV).
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
}

/// `16384-32767`.
pub(crate) fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || format!("`{text}` is no port range; write FIRST-LAST, such as 16384-32767");
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let port = |text: &str| {
        text.trim()
            .parse::<u16>()
            .ok()
            .filter(|port| *port >= 1_024)
    };
    let (first, last) = port(first).zip(port(last)).ok_or_else(wrong)?;
    if last <= first {
        return Err(format!(
            "{text} holds no pair of ports; the last must be above the first"
        ));
    }
    Ok(first..=last)
}

const EXIT_CODES: &str = "Exit codes: 0 passed · 1 the run failed or could not start · 2 bad arguments or test file · \
98 the generator was saturated, so the result is not valid · 99 a threshold was crossed · 130 interrupted";

const NODE_EXIT_CODES: &str = "Exit codes: 0 drained, nothing is left here · 1 it could not start or go on, or another process took its \
name · 2 bad arguments or configuration · 130 left at once, at a second signal";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn ports_are_read() {
        assert_eq!(parse_ports("16384-32767"), Ok(16_384..=32_767));
        for text in [
            "",
            "5",
            "10-20",
            "9000-9000",
            "9000-8000",
            "a-b",
            "9000-70000",
        ] {
            assert!(parse_ports(text).is_err(), "{text}");
        }
    }
}
