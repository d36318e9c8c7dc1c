//! What a node checks and loads before it says that it is ready: descriptors, ports, local
//! addresses, media files. Every problem at once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use media::codec::EncodedClip;
use media::source::{ClipLibrary, Source, Wav};
use shared::definition::{Group, Media, Target, Test};
use shared::wire::{Desired, Problem, Share};

use super::plan::{Clips, codec_id, host_port, proxy_host_port};
use super::start::NodeConfig;
use crate::net::limits;

/// What the preparation found.
pub(super) struct Prepared {
    pub(super) locals: Vec<IpAddr>,
    pub(super) clips: Vec<Clips>,
    pub(super) problems: Vec<Problem>,
}

/// Checks and loads; blocking (files, encoders), so it runs on a thread of its own.
pub(super) fn prepare(
    desired: &Desired,
    address: Option<IpAddr>,
    config: &NodeConfig,
    shards: u32,
    free_port_pairs: impl Fn(IpAddr) -> usize,
) -> Prepared {
    let (test, shares) = (&desired.test, desired.shares.as_slice());
    let mut problems = Vec::new();
    let locals: Vec<IpAddr> = test
        .groups
        .iter()
        .enumerate()
        .map(|(index, group)| {
            let far = has_pair_elsewhere(test, shares, index);
            local_address(test, group, address, far).unwrap_or_else(|sentence| {
                problems.push(Problem {
                    code: "no_local_address".to_owned(),
                    sentence,
                    limit: None,
                });
                Ipv4Addr::LOCALHOST.into()
            })
        })
        .collect();
    let mut library = ClipLibrary::default();
    let clips = test
        .groups
        .iter()
        .enumerate()
        .map(|(index, group)| {
            // What other nodes play was not sent to this one.
            if !shares.iter().any(|share| share.group.index() == index) {
                return None;
            }
            load(&mut library, group, desired, config).unwrap_or_else(|problem| {
                problems.push(problem);
                None
            })
        })
        .collect();
    let free_pairs = locals
        .iter()
        .map(|local| free_port_pairs(*local))
        .min()
        .unwrap_or(0);
    let free_pairs = u32::try_from(free_pairs).unwrap_or(u32::MAX);
    let need = limits::Need::of(test, shares, shards);
    problems.extend(need.problems(limits::free_descriptors(), free_pairs));
    Prepared {
        locals,
        clips,
        problems,
    }
}

/// The address to send from: the configured one, or the one that the kernel would take towards the
/// group's first hop (no packet is sent to find out).
fn local_address(
    test: &Test,
    group: &Group,
    address: Option<IpAddr>,
    far: bool,
) -> Result<IpAddr, String> {
    if let Some(bind) = group.sip_bind.filter(|bind| !bind.ip().is_unspecified()) {
        return Ok(bind.ip());
    }
    let hop = first_hop(test, group);
    let loopback = hop.is_none_or(|hop| hop.ip().is_loopback());
    if let Some(address) = address.filter(|address| !address.is_unspecified()) {
        let family_fits = hop.is_none_or(|hop| hop.is_ipv4() == address.is_ipv4());
        if family_fits && (loopback || !address.is_loopback()) {
            return Ok(address);
        }
    }
    let hop = match hop {
        Some(hop) => hop,
        None if far => ELSEWHERE,
        None => return Ok(Ipv4Addr::LOCALHOST.into()),
    };
    let any: SocketAddr = if hop.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    UdpSocket::bind(any)
        .and_then(|socket| socket.connect(hop).and_then(|()| socket.local_addr()))
        .map(|local| local.ip())
        .map_err(|error| {
            let group = &group.name;
            if hop == ELSEWHERE {
                return format!(
                    "group {group}: its calls go between nodes, and this node cannot tell which of \
                     its addresses the others reach: set node.address ({error})"
                );
            }
            format!("group {group}: no route from this machine to {hop}: {error}")
        })
}

/// Any address that is not of this network: the route there shows which of ours others reach. No
/// packet is sent to it (TEST-NET-1, RFC 5737).
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// Whether an endpoint of the group that is on this node calls, or is called by, one on another.
fn has_pair_elsewhere(test: &Test, shares: &[Share], index: usize) -> bool {
    let places = |wanted: usize| -> Vec<(u32, u32)> {
        let of_group = shares.iter().filter(|share| share.group.index() == wanted);
        let mut spans: Vec<_> = of_group
            .map(|share| (share.first, share.first.saturating_add(share.count)))
            .collect();
        spans.sort_unstable();
        spans
    };
    let mine = places(index);
    let calls = |group: &Group, callee: usize| matches!(group.target, Target::Group(called) if usize::from(called) == callee);
    let Some(own) = test.groups.get(index) else {
        return false;
    };
    let mut pairs = test
        .groups
        .iter()
        .enumerate()
        .filter(|(other, group)| calls(own, *other) || calls(group, index));
    !mine.is_empty() && pairs.any(|(other, _)| places(other) != mine)
}

/// Where the group's first packet goes, resolved by the system where it is a name.
fn first_hop(test: &Test, group: &Group) -> Option<SocketAddr> {
    use std::net::ToSocketAddrs;
    let registrar = group
        .registrar
        .and_then(|index| test.registrars.get(usize::from(index)));
    let hop = match (registrar, &group.target) {
        (Some(registrar), _) => match &registrar.outbound_proxy {
            Some(proxy) => proxy_host_port(proxy),
            None => host_port(&registrar.host, registrar.port),
        },
        (None, Target::Uri(uri)) => {
            let uri = sip::wire::Uri::parse(uri).ok()?;
            let host = uri.host.to_string();
            host_port(&host, uri.port.unwrap_or(5060))
        }
        (None, Target::Group(_) | Target::Receives | Target::Nobody) => return None,
    };
    match hop {
        sip::ua::HostPort::Ip(address) => Some(address),
        sip::ua::HostPort::Name(name, port) => (name.as_str(), port).to_socket_addrs().ok()?.next(),
    }
}

fn load(
    library: &mut ClipLibrary,
    group: &Group,
    desired: &Desired,
    config: &NodeConfig,
) -> Result<Clips, Problem> {
    let source = match &group.media {
        Media::None => return Ok(None),
        Media::Tone { hz } => Source::Tone { hz: *hz },
        Media::Speech => Source::Speech,
        Media::Wav { path } => {
            let file = config.base_dir.join(path);
            let octets = wav_file(path, &file, desired, config).map_err(|error| Problem {
                code: "media_file_missing".to_owned(),
                sentence: format!(
                    "group {}: cannot read {}: {error}",
                    group.name,
                    file.display()
                ),
                limit: None,
            })?;
            let wav = Wav::read(&octets).map_err(|error| Problem {
                code: "media_file_unusable".to_owned(),
                sentence: format!("group {}: {}: {error}", group.name, file.display()),
                limit: None,
            })?;
            Source::Wav(wav)
        }
    };
    let mut clips: Vec<(media::codec::CodecId, Arc<EncodedClip>)> = Vec::new();
    let mut ptimes = vec![group.ptime_ms, USUAL_PTIME_MS];
    ptimes.dedup();
    for codec in group.codecs.iter().copied().map(codec_id) {
        for ptime_ms in ptimes
            .iter()
            .copied()
            .filter(|ptime| codec.supports_ptime(*ptime))
        {
            let clip = library
                .clip(&source, codec, ptime_ms)
                .map_err(|error| Problem {
                    code: "media_unusable".to_owned(),
                    sentence: format!("group {}: {error}", group.name),
                    limit: None,
                })?;
            clips.push((codec, clip));
        }
    }
    Ok(Some(clips))
}

/// What came with the run, or else the file itself.
fn wav_file(
    path: &str,
    file: &Path,
    desired: &Desired,
    config: &NodeConfig,
) -> std::io::Result<Bytes> {
    match desired.media.iter().find(|sent| sent.path == path) {
        Some(sent) => Ok(sent.octets.clone()),
        None if config.wants_media => Err(std::io::Error::other(
            "it did not come with the run; files of more than 48 MiB in all are not sent to nodes",
        )),
        None => std::fs::read(file).map(Bytes::from),
    }
}

/// Answers may ask for the usual packetisation whatever the group prefers.
const USUAL_PTIME_MS: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use shared::id::GroupIndex;

    fn share(group: u16, first: u32, count: u32) -> Share {
        Share {
            group: GroupIndex(group),
            first,
            count,
        }
    }

    #[test]
    fn pairs_with_other_nodes_are_seen_from_both_ends() {
        let text = "duration = '1s'
            [groups.a]
            count = 10
            calls = { group = 'b' }
            [groups.b]
            count = 10
            receives = true";
        let nothing = |path: &str| Err(std::io::Error::other(path.to_owned()));
        let test = shared::definition::parse(text, "t", &nothing).unwrap();
        let whole = [share(0, 0, 10), share(1, 0, 10)];
        let halves = [share(0, 0, 5), share(1, 0, 5)];
        let apart = [share(0, 0, 10)];
        let crossed = [share(0, 0, 5), share(1, 5, 5)];
        for (shares, far) in [
            (&whole[..], false),
            (&halves, false),
            (&apart, true),
            (&crossed, true),
        ] {
            assert_eq!(has_pair_elsewhere(&test, shares, 0), far, "{shares:?}");
        }
        assert!(
            !has_pair_elsewhere(&test, &apart, 1),
            "nothing of it is here"
        );
    }
}
