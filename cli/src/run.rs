//! `carillon run TEST.toml`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use crate::args::{NodeArguments, RunArguments};
use crate::cluster::{Cluster, ClusterConfig};
use crate::exit::Exit;
use crate::screen::terminal::Screen;
use crate::session::{Outputs, Session};
use crate::show::say;
use crate::test_file;

/// Runs the file's test in this process.
pub(crate) fn run(arguments: &RunArguments, screen: Screen) -> anyhow::Result<Exit> {
    let test = match test_file::load(&arguments.file) {
        Ok(test) => test,
        Err(bad) => {
            bad.print(&mut std::io::stderr().lock())?;
            return Ok(Exit::BadInput);
        }
    };
    let outputs = match Outputs::open(&arguments.output) {
        Ok(outputs) => outputs,
        Err(error) => {
            say(&format!("carillon: {error:#}"));
            return Ok(Exit::BadInput);
        }
    };
    let data_dir = arguments
        .output
        .data_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(DATA_DIR_DEFAULT));
    let config = ClusterConfig {
        base_dir: test_file::folder(&arguments.file),
        ..cluster_config(&arguments.node, data_dir.clone())
    };
    let session = Session {
        outputs,
        screen,
        kept_in: Some(&data_dir),
        quiet: arguments.output.quiet,
    };
    actix::System::new().block_on(async {
        let cluster = Cluster::start(config)?;
        let ended = session.run(&cluster.coordinator, test).await;
        cluster.stop();
        ended
    })
}

/// A cluster of one as the options ask for it.
pub(crate) fn cluster_config(arguments: &NodeArguments, data_dir: PathBuf) -> ClusterConfig {
    ClusterConfig {
        data_dir,
        address: arguments
            .node_address
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        media_ports: arguments.media_ports.clone(),
        threads: arguments.threads.map(usize::from),
        base_dir: PathBuf::from("."),
    }
}

const DATA_DIR_DEFAULT: &str = "carillon-data";
