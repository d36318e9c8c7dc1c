//! What a node checks and loads before it says that it is ready: descriptors, ports, local
//! addresses, media files. Every problem at once.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use media::codec::EncodedClip;
use media::source::{ClipLibrary, Source, Wav};
use shared::definition::{Group, Media, Target, Test};
use shared::wire::{Problem, Share};

use super::plan::{Clips, codec_id, host_port, proxy_host_port};
use crate::net::limits;

/// What the preparation found.
pub(super) struct Prepared {
    pub(super) locals: Vec<IpAddr>,
    pub(super) clips: Vec<Clips>,
    pub(super) problems: Vec<Problem>,
}

/// Checks and loads; blocking (files, encoders), so it runs on a thread of its own.
pub(super) fn prepare(
    test: &Test,
    shares: &[Share],
    address: Option<IpAddr>,
    base_dir: &Path,
    shards: u32,
    free_port_pairs: impl Fn(IpAddr) -> usize,
) -> Prepared {
    let mut problems = Vec::new();
    let locals: Vec<IpAddr> = test
        .groups
        .iter()
        .map(|group| {
            local_address(test, group, address).unwrap_or_else(|sentence| {
                problems.push(Problem {
                    code: "no_local_address".to_owned(),
                    sentence,
                    limit: None,
                });
                std::net::Ipv4Addr::LOCALHOST.into()
            })
        })
        .collect();
    let mut library = ClipLibrary::default();
    let clips = test
        .groups
        .iter()
        .map(|group| {
            load(&mut library, group, base_dir).unwrap_or_else(|problem| {
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
fn local_address(test: &Test, group: &Group, address: Option<IpAddr>) -> Result<IpAddr, String> {
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
    let Some(hop) = hop else {
        return Ok(std::net::Ipv4Addr::LOCALHOST.into());
    };
    let any: SocketAddr = if hop.is_ipv4() {
        (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    UdpSocket::bind(any)
        .and_then(|socket| socket.connect(hop).and_then(|()| socket.local_addr()))
        .map(|local| local.ip())
        .map_err(|error| {
            format!(
                "group {}: no route from this machine to {hop}: {error}",
                group.name
            )
        })
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

fn load(library: &mut ClipLibrary, group: &Group, base_dir: &Path) -> Result<Clips, Problem> {
    let source = match &group.media {
        Media::None => return Ok(None),
        Media::Tone { hz } => Source::Tone { hz: *hz },
        Media::Speech => Source::Speech,
        Media::Wav { path } => {
            let file = base_dir.join(path);
            let octets = std::fs::read(&file).map_err(|error| Problem {
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

/// Answers may ask for the usual packetisation whatever the group prefers.
const USUAL_PTIME_MS: u32 = 20;
