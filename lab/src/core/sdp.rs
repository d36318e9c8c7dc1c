//! Session descriptions as far as a relay reads and changes them: addresses, ports, rtcp.
//!
//! Works on lines and leaves every other octet as it was, `a=ssrc` included. ICE attributes are
//! taken out, because a relay that is not a candidate would be passed by. RFC 8866, RFC 3605.

use std::net::{IpAddr, SocketAddr};

/// Where one media line wants its packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Media {
    /// The media line is in use (its port is not 0).
    pub(crate) active: bool,
    /// `None`: the address is unspecified (an old hold) or no IP address.
    pub(crate) rtp: Option<SocketAddr>,
    /// From `a=rtcp`, else the port above (RFC 3550 §11).
    pub(crate) rtcp: Option<SocketAddr>,
    /// `a=rtcp-mux` is there.
    pub(crate) mux: bool,
}

/// Reads every media line, in order; at most [`MAX_MEDIA_LINES`].
pub(crate) fn media(sdp: &[u8]) -> Vec<Media> {
    let mut session_address = None;
    let mut found: Vec<Draft> = Vec::new();
    for line in lines(sdp) {
        if line.key == b"m=" {
            if found.len() == MAX_MEDIA_LINES {
                break;
            }
            found.push(Draft {
                port: media_port(line.value),
                ..Draft::default()
            });
            continue;
        }
        match (line.key, found.last_mut()) {
            (b"c=", None) => session_address = connection(line.value),
            (b"c=", Some(media)) => media.address = Some(connection(line.value)),
            (b"a=", Some(media)) => media.attribute(line.value),
            _ => {}
        }
    }
    found
        .into_iter()
        .map(|draft| draft.finish(session_address))
        .collect()
}

/// Ports of the relay for one media line: (RTP, RTCP).
pub(crate) type Ports = (u16, u16);

/// Puts the relay's address into the description. `ports` holds one entry per media line;
/// `None` leaves that line's port as it is.
pub(crate) fn rewrite(sdp: &[u8], address: IpAddr, ports: &[Option<Ports>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(sdp.len() + 32);
    let mut index = None;
    let mut own_port = 0;
    for line in lines(sdp) {
        let here = index.and_then(|n: usize| ports.get(n).copied().flatten());
        match line.key {
            b"m=" => {
                let next = index.map_or(0, |n| n + 1);
                index = Some(next);
                own_port = media_port(line.value);
                match ports.get(next).copied().flatten() {
                    Some((rtp, _)) if own_port != 0 => media_line(&mut out, line.value, rtp),
                    _ => out.extend_from_slice(line.text),
                }
            }
            b"c=" if connection(line.value).is_none_or(|ip| !ip.is_unspecified()) => {
                out.extend_from_slice(
                    format!(
                        "c=IN {address_type} {address}",
                        address_type = family(address)
                    )
                    .as_bytes(),
                );
            }
            b"a=" if is_ice(line.value) => continue,
            b"a=" if line.value.starts_with(b"rtcp:") => match here {
                Some((rtp, rtcp)) => {
                    // The RTP port in a=rtcp says "multiplexed only" (RFC 5761 §5.1.1).
                    let same = rtcp_port(line.value) == Some(own_port);
                    let port = if same { rtp } else { rtcp };
                    let text = format!("a=rtcp:{port} IN {} {address}", family(address));
                    out.extend_from_slice(text.as_bytes());
                }
                None => out.extend_from_slice(line.text),
            },
            _ => out.extend_from_slice(line.text),
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[derive(Default)]
struct Draft {
    port: u16,
    address: Option<Option<IpAddr>>,
    rtcp: Option<(u16, Option<IpAddr>)>,
    mux: bool,
}

impl Draft {
    fn attribute(&mut self, value: &[u8]) {
        if value == b"rtcp-mux" {
            self.mux = true;
        } else if let Some(port) = rtcp_port(value) {
            let address = text(value)
                .split_once(' ')
                .and_then(|(_, rest)| connection(rest.as_bytes()));
            self.rtcp = Some((port, address));
        }
    }

    fn finish(self, session_address: Option<IpAddr>) -> Media {
        let active = self.port != 0;
        let address = self
            .address
            .unwrap_or(session_address)
            .filter(|ip| active && !ip.is_unspecified());
        let rtp = address.map(|ip| SocketAddr::new(ip, self.port));
        let rtcp = match (self.rtcp, self.port.checked_add(1)) {
            (Some((port, own)), _) => own.or(address).map(|ip| SocketAddr::new(ip, port)),
            (None, Some(port)) => address.map(|ip| SocketAddr::new(ip, port)),
            (None, None) => None,
        };
        Media {
            active,
            rtp,
            rtcp: rtcp.filter(|_| rtp.is_some()),
            mux: self.mux,
        }
    }
}

struct Line<'a> {
    key: &'a [u8],
    value: &'a [u8],
    text: &'a [u8],
}

fn lines(sdp: &[u8]) -> impl Iterator<Item = Line<'_>> {
    sdp.split(|octet| *octet == b'\n').filter_map(|line| {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        let (key, value) = text.split_at_checked(2)?;
        Some(Line { key, value, text })
    })
}

fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or("")
}

/// The port of an `m=` value; `49170/2` counts as 49170. Unreadable ports are 0: not in use.
fn media_port(value: &[u8]) -> u16 {
    let field = text(value).split_ascii_whitespace().nth(1).unwrap_or("");
    field
        .split('/')
        .next()
        .and_then(|port| port.parse().ok())
        .unwrap_or(0)
}

fn rtcp_port(value: &[u8]) -> Option<u16> {
    let rest = text(value).strip_prefix("rtcp:")?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// `IN IP4 192.0.2.1`, with a multicast `/ttl` ignored.
fn connection(value: &[u8]) -> Option<IpAddr> {
    let address = text(value).split_ascii_whitespace().nth(2)?;
    address.split('/').next()?.parse().ok()
}

fn media_line(out: &mut Vec<u8>, value: &[u8], port: u16) {
    let mut fields = text(value).splitn(3, ' ');
    let kind = fields.next().unwrap_or("");
    let rest = fields.nth(1).unwrap_or("");
    out.extend_from_slice(format!("m={kind} {port} {rest}").as_bytes());
}

fn is_ice(value: &[u8]) -> bool {
    const NAMES: [&[u8]; 6] = [
        b"candidate:",
        b"remote-candidates:",
        b"end-of-candidates",
        b"ice-ufrag:",
        b"ice-pwd:",
        b"ice-options:",
    ];
    NAMES.iter().any(|name| value.starts_with(name))
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IP4" } else { "IP6" }
}

/// More media lines than audio, video, text and application are not relayed.
pub(crate) const MAX_MEDIA_LINES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=a 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
        m=audio 6000 RTP/AVP 0 8 101\r\na=rtcp:6005\r\na=ssrc:77 cname:x@lab\r\na=rtcp-mux\r\n\
        a=candidate:1 1 UDP 1 127.0.0.1 6000 typ host\r\n\
        m=video 0 RTP/AVP 99\r\n\
        m=text 7000 RTP/AVP 98\r\nc=IN IP6 ::1\r\n";

    #[test]
    fn addresses_are_read_per_media_line() {
        let found = media(OFFER.as_bytes());
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].rtp, Some("127.0.0.1:6000".parse().unwrap()));
        assert_eq!(found[0].rtcp, Some("127.0.0.1:6005".parse().unwrap()));
        assert!(found[0].mux && found[0].active);
        assert!(!found[1].active && found[1].rtp.is_none());
        assert_eq!(found[2].rtcp, Some("[::1]:7001".parse().unwrap()));
    }

    #[test]
    fn the_relay_takes_the_place_and_the_rest_stays() {
        let ports = [Some((40_000, 40_001)), None, Some((40_004, 40_005))];
        let out = rewrite(OFFER.as_bytes(), "127.0.0.9".parse().unwrap(), &ports);
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("m=audio 40000 RTP/AVP 0 8 101\r\n"), "{out}");
        assert!(out.contains("a=rtcp:40001 IN IP4 127.0.0.9\r\n"), "{out}");
        assert!(
            out.contains("a=ssrc:77 cname:x@lab\r\na=rtcp-mux\r\n"),
            "{out}"
        );
        assert!(!out.contains("candidate"), "{out}");
        assert!(out.contains("m=video 0 RTP/AVP 99\r\n"), "{out}");
        assert!(
            out.contains("m=text 40004 RTP/AVP 98\r\nc=IN IP4 127.0.0.9\r\n"),
            "{out}"
        );
        assert!(out.contains("o=a 1 1 IN IP4 127.0.0.1\r\n"), "{out}");
        let again = media(out.as_bytes());
        assert_eq!(again[0].rtcp, Some("127.0.0.9:40001".parse().unwrap()));
    }

    #[test]
    fn rtcp_on_the_media_port_stays_on_the_media_port() {
        let sdp = b"m=audio 6000 RTP/AVP 0\r\na=rtcp:6000\r\na=rtcp-mux\r\n";
        let out = rewrite(sdp, "127.0.0.1".parse().unwrap(), &[Some((40_000, 40_001))]);
        assert!(
            String::from_utf8(out)
                .unwrap()
                .contains("a=rtcp:40000 IN IP4 127.0.0.1")
        );
    }

    #[test]
    fn an_old_hold_stays_a_hold() {
        let sdp = b"c=IN IP4 0.0.0.0\r\nm=audio 6000 RTP/AVP 0\r\n";
        assert_eq!(media(sdp)[0].rtp, None);
        assert!(media(sdp)[0].active);
        let out = rewrite(sdp, "127.0.0.1".parse().unwrap(), &[Some((40_000, 40_001))]);
        assert!(out.starts_with(b"c=IN IP4 0.0.0.0\r\nm=audio 40000"));
    }

    #[test]
    fn rubbish_never_panics() {
        for len in 0..OFFER.len() {
            let mut sdp = OFFER.as_bytes().to_vec();
            media(&sdp[..len]);
            sdp[len] ^= 0x80;
            media(&sdp);
            rewrite(&sdp, "::1".parse().unwrap(), &[Some((2, 3)); 4]);
        }
        assert_eq!(media(&b"m=\r\n".repeat(100)).len(), MAX_MEDIA_LINES);
    }
}
