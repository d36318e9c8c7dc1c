//! A network of its own: hosts as network namespaces on one bridge, with addresses that exist only
//! while the test lives. Nothing of the machine's own network is reached or changed.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::peers;

/// Hosts on a bridge; removed on drop.
#[derive(Debug)]
pub struct Network {
    bridge: String,
    prefix: String,
    hosts: Vec<String>,
}

impl Network {
    /// A bridge with so many hosts. `None`, with a line that says so, where `ip` or `iptables` is
    /// missing or this user may not make namespaces.
    ///
    /// # Panics
    /// Where a step fails, or a program is missing under CI.
    #[must_use]
    pub fn new(hosts: u8) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !peers(&["ip", "iptables"]) {
            return None;
        }
        let number = (std::process::id() * 8 + NEXT.fetch_add(1, Ordering::Relaxed)) % 250;
        let tag = format!("{:x}n{number}", std::process::id() & 0xffff);
        let mut network = Self {
            bridge: format!("cb{tag}"),
            prefix: format!("10.77.{number}"),
            hosts: Vec::new(),
        };
        let bridge = network.bridge.clone();
        if !ip(&["link", "add", &bridge, "type", "bridge"])
            .status
            .success()
        {
            assert!(
                std::env::var_os("CI").is_none(),
                "no bridge can be made here"
            );
            println!("skipped: this user may not make network namespaces");
            return None;
        }
        must(&[
            "addr",
            "add",
            &format!("{}.1/24", network.prefix),
            "dev",
            &bridge,
        ]);
        must(&["link", "set", &bridge, "up"]);
        for host in 0..hosts {
            let name = format!("ch{tag}x{host}");
            let outer = format!("cv{tag}x{host}");
            must(&["netns", "add", &name]);
            network.hosts.push(name.clone());
            must(&[
                "link", "add", &outer, "type", "veth", "peer", "name", "eth0", "netns", &name,
            ]);
            must(&["link", "set", &outer, "master", &bridge]);
            must(&["link", "set", &outer, "up"]);
            let address = format!("{}/24", network.address(host));
            must(&["-n", &name, "addr", "add", &address, "dev", "eth0"]);
            must(&["-n", &name, "link", "set", "eth0", "up"]);
            must(&["-n", &name, "link", "set", "lo", "up"]);
        }
        Some(network)
    }

    /// The machine's own address on the bridge.
    #[must_use]
    pub fn own(&self) -> String {
        format!("{}.1", self.prefix)
    }

    /// All of it: `10.77.9.0/24`.
    #[must_use]
    pub fn network(&self) -> String {
        format!("{}.0/24", self.prefix)
    }

    /// The bridge, to capture on.
    #[must_use]
    pub fn bridge(&self) -> &str {
        &self.bridge
    }

    /// A host's address.
    #[must_use]
    pub fn address(&self, host: u8) -> String {
        format!("{}.{}", self.prefix, host + 2)
    }

    /// What starts a program on a host, replacing itself by it.
    #[must_use]
    pub fn on(&self, host: u8) -> Vec<&str> {
        vec!["ip", "netns", "exec", &self.hosts[usize::from(host)]]
    }

    /// iptables on a host: `["-A", "OUTPUT", …]`.
    ///
    /// # Panics
    /// Where it fails.
    pub fn iptables(&self, host: u8, arguments: &[&str]) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.hosts[usize::from(host)], "iptables"]);
        let output = run(command.args(arguments));
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The namespaces take their ends of the cables with them.
        for host in &self.hosts {
            drop(ip(&["netns", "del", host]));
        }
        drop(ip(&["link", "del", &self.bridge]));
    }
}

fn must(arguments: &[&str]) {
    let output = ip(arguments);
    assert!(output.status.success(), "ip {arguments:?}: {output:?}");
}

fn ip(arguments: &[&str]) -> Output {
    run(Command::new("ip").args(arguments))
}

fn run(command: &mut Command) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    output.output().expect("iproute2 and iptables")
}
