//! Offer/answer as tables of descriptions, and what mangled ones lead to.

use std::net::{IpAddr, Ipv4Addr};

use super::super::{accept, answer, offer};
use super::*;

fn local(codecs: &[CodecId]) -> LocalMedia {
    LocalMedia {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        rtp_port: 40_000,
        rtcp_port: 40_001,
        rtcp_mux: false,
        ssrc: 0x1234_5678,
        cname: "e1@carillon".to_owned(),
        codecs: codecs.to_vec(),
        ptime_ms: 20,
        direction: Direction::SendRecv,
        telephone_event: true,
        rtcp_xr: true,
        session_id: 77,
        session_version: 1,
    }
}

/// A peer's description from its media part; line ends as RFC 8866 wants them.
fn sdp(media: &str) -> Vec<u8> {
    let head = "v=0\no=peer 1 1 IN IP4 192.0.2.7\ns=call\nc=IN IP4 192.0.2.7\nt=0 0\n";
    format!("{head}{media}").replace('\n', "\r\n").into_bytes()
}

fn text(body: &Bytes) -> String {
    String::from_utf8(body.to_vec()).unwrap()
}

const PCMU: &[CodecId] = &[CodecId::Pcmu];

#[test]
fn our_offer_reads_as_rfc_8866_orders_it() {
    let mut ours = local(&[CodecId::Opus, CodecId::Pcma]);
    ours.rtcp_mux = true;
    let expected = "v=0\r\no=- 77 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
        m=audio 40000 RTP/AVP 111 8 101 110\r\n\
        a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;sprop-maxcapturerate=16000\r\n\
        a=rtpmap:8 PCMA/8000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
        a=rtpmap:110 telephone-event/48000\r\na=fmtp:110 0-15\r\n\
        a=rtcp:40000\r\na=rtcp-mux\r\na=ptime:20\r\na=sendrecv\r\n\
        a=ssrc:305419896 cname:e1@carillon\r\na=rtcp-xr:rcvr-rtt=all voip-metrics\r\n";
    assert_eq!(text(&offer(&ours)), expected);
}

#[test]
fn two_of_us_agree_on_everything_whatever_the_codec_and_family() {
    for address in ["127.0.0.1", "::1", "::ffff:192.0.2.1"] {
        for codec in CodecId::ALL {
            for rtcp_mux in [false, true] {
                let mut caller = local(&[codec]);
                caller.address = address.parse().unwrap();
                caller.rtcp_mux = rtcp_mux;
                let callee = LocalMedia {
                    rtp_port: 50_000,
                    rtcp_port: 50_003,
                    ssrc: 9,
                    ..caller.clone()
                };
                let (body, at_callee) = answer(&callee, &offer(&caller)).unwrap();
                let at_caller = accept(&caller, &body).unwrap();
                let canonical = caller.address.to_canonical();
                for (agreed, rtp, rtcp, ssrc) in [
                    (&at_callee, 40_000, 40_001, 0x1234_5678),
                    (&at_caller, 50_000, 50_003, 9),
                ] {
                    assert_eq!(agreed.codec, codec);
                    assert_eq!(agreed.send_payload_type, codec.payload_type());
                    let events = if codec == CodecId::Opus { 110 } else { 101 };
                    assert_eq!(
                        agreed.receive_payload_types[..],
                        [codec.payload_type(), events]
                    );
                    assert_eq!(agreed.telephone_event, Some(events));
                    assert_eq!(agreed.remote_rtp, SocketAddr::new(canonical, rtp));
                    let rtcp = if rtcp_mux { rtp } else { rtcp };
                    assert_eq!(agreed.remote_rtcp, SocketAddr::new(canonical, rtcp));
                    assert_eq!(agreed.remote_ssrc, Some(ssrc));
                    assert!(agreed.send && agreed.receive && !agreed.remote_hold);
                    assert!(agreed.rtcp_xr && agreed.rtcp_mux == rtcp_mux);
                    assert_eq!(agreed.warnings, Vec::<String>::new());
                }
            }
        }
    }
}

#[test]
fn static_numbers_need_no_rtpmap_and_names_no_case() {
    let (_, agreed) = answer(&local(PCMU), &sdp("m=audio 4000 RTP/AVP 0\n")).unwrap();
    assert_eq!((agreed.codec, agreed.send_payload_type), (CodecId::Pcmu, 0));
    let odd = sdp("m=audio 4000 RTP/AVP 96\na=rtpmap:96 OPUS/48000\n");
    assert_eq!(
        answer(&local(&[CodecId::Opus]), &odd)
            .unwrap()
            .1
            .send_payload_type,
        96
    );
    let g722 = sdp("m=audio 4000 RTP/AVP 9\na=rtpmap:9 G722/16000\n");
    assert_eq!(
        answer(&local(&[CodecId::G722]), &g722).unwrap().1.codec,
        CodecId::G722
    );
    // A mapping beats the static meaning.
    let remapped = sdp("m=audio 4000 RTP/AVP 0\na=rtpmap:0 PCMA/8000\n");
    assert!(answer(&local(PCMU), &remapped).is_err());
}

#[test]
fn the_answerer_follows_the_order_of_the_offer_and_its_numbers() {
    let body = sdp(
        "m=audio 4000 RTP/AVP 18 8 0 97 98\na=rtpmap:97 telephone-event/8000\n\
         a=rtpmap:98 opus/48000/2\n",
    );
    let ours = local(&[CodecId::Opus, CodecId::Pcmu, CodecId::Pcma]);
    let (reply, agreed) = answer(&ours, &body).unwrap();
    assert_eq!(agreed.codec, CodecId::Pcma);
    assert_eq!(agreed.receive_payload_types[..], [8, 97]);
    assert!(text(&reply).contains("m=audio 40000 RTP/AVP 8 97\r\n"));
}

#[test]
fn the_offerer_uses_each_sides_own_numbers() {
    let ours = local(&[CodecId::Opus, CodecId::Pcmu]);
    let reply = sdp("m=audio 4000 RTP/AVP 120 121\na=rtpmap:120 opus/48000/2\n\
        a=rtpmap:121 telephone-event/48000\n");
    let agreed = accept(&ours, &reply).unwrap();
    assert_eq!(
        (agreed.codec, agreed.send_payload_type),
        (CodecId::Opus, 120)
    );
    assert_eq!(agreed.telephone_event, Some(121));
    assert_eq!(agreed.receive_payload_types[..], [111, 110]);
    // An answer that leaves the mapping to our offer.
    let bare = accept(&ours, &sdp("m=audio 4000 RTP/AVP 111\n")).unwrap();
    assert_eq!((bare.codec, bare.send_payload_type), (CodecId::Opus, 111));
}

#[test]
fn events_at_another_clock_are_not_agreed() {
    let body = sdp("m=audio 4000 RTP/AVP 96 101\na=rtpmap:96 opus/48000/2\n\
        a=rtpmap:101 telephone-event/8000\n");
    let (_, agreed) = answer(&local(&[CodecId::Opus]), &body).unwrap();
    assert_eq!(agreed.telephone_event, None);
    assert_eq!(agreed.receive_payload_types[..], [96]);
}

#[test]
fn every_media_line_is_answered_in_order() {
    let body = sdp("m=video 4100 RTP/AVP 96\na=rtpmap:96 H264/90000\n\
         m=audio 4200 RTP/SAVP 0\n\
         m=audio 0 RTP/AVP 0\n\
         m=audio 4300 RTP/AVP 0\n\
         m=audio 4400 RTP/AVP 0\n\
         m=image 4500 udptl t38\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n");
    let (reply, agreed) = answer(&local(PCMU), &body).unwrap();
    let reply = text(&reply);
    let lines: Vec<&str> = reply
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    let expected = [
        "m=video 0 RTP/AVP 96",
        "m=audio 0 RTP/SAVP 0",
        "m=audio 0 RTP/AVP 0",
        "m=audio 40000 RTP/AVP 0",
        "m=audio 0 RTP/AVP 0",
        "m=image 0 udptl t38",
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
    ];
    assert_eq!(lines, expected);
    assert_eq!(agreed.remote_rtp.port(), 4_300);
}

#[test]
fn directions_are_mirrored_and_hold_is_seen() {
    // The peer's attribute, ours, then: the answer's attribute, send, receive, remote hold.
    let rows = [
        (
            "sendrecv",
            Direction::SendRecv,
            "sendrecv",
            true,
            true,
            false,
        ),
        (
            "sendonly",
            Direction::SendRecv,
            "recvonly",
            false,
            true,
            true,
        ),
        (
            "recvonly",
            Direction::SendRecv,
            "sendonly",
            true,
            false,
            false,
        ),
        (
            "inactive",
            Direction::SendRecv,
            "inactive",
            false,
            false,
            true,
        ),
        (
            "sendrecv",
            Direction::SendOnly,
            "sendonly",
            true,
            false,
            false,
        ),
        (
            "sendonly",
            Direction::SendOnly,
            "inactive",
            false,
            false,
            true,
        ),
        (
            "sendrecv",
            Direction::RecvOnly,
            "recvonly",
            false,
            true,
            false,
        ),
    ];
    for (theirs, ours, written, send, receive, hold) in rows {
        let mut ours_media = local(PCMU);
        ours_media.direction = ours;
        let media = format!("m=audio 4000 RTP/AVP 0\na={theirs}\n");
        let session = format!("a={theirs}\nm=audio 4000 RTP/AVP 0\n");
        for body in [sdp(&media), sdp(&session)] {
            let (reply, agreed) = answer(&ours_media, &body).unwrap();
            assert!(
                text(&reply).contains(&format!("\r\na={written}\r\n")),
                "{theirs} {ours:?}"
            );
            let got = (agreed.send, agreed.receive, agreed.remote_hold);
            assert_eq!(got, (send, receive, hold), "{theirs} to {ours:?}");
            let accepted = accept(&ours_media, &body).unwrap();
            let got = (accepted.send, accepted.receive, accepted.remote_hold);
            assert_eq!(got, (send, receive, hold), "{theirs} accepted by {ours:?}");
        }
    }
}

#[test]
fn the_unspecified_address_is_hold_in_the_old_way() {
    for address in ["IP4 0.0.0.0", "IP6 ::"] {
        let body = sdp(&format!("m=audio 4000 RTP/AVP 0\nc=IN {address}\n"));
        let (reply, agreed) = answer(&local(PCMU), &body).unwrap();
        assert!(!agreed.send && agreed.receive && agreed.remote_hold);
        assert!(text(&reply).contains("a=recvonly"));
    }
}

#[test]
fn the_media_address_beats_the_sessions_and_rtcp_may_lie_elsewhere() {
    let body = sdp("m=audio 4000 RTP/AVP 0\nc=IN IP4 198.51.100.9\na=rtcp:4711\n");
    let (_, agreed) = answer(&local(PCMU), &body).unwrap();
    assert_eq!(agreed.remote_rtp, "198.51.100.9:4000".parse().unwrap());
    assert_eq!(agreed.remote_rtcp, "198.51.100.9:4711".parse().unwrap());
    let body = sdp("m=audio 4000 RTP/AVP 0\na=rtcp:4711 IN IP4 203.0.113.5\n");
    let (_, agreed) = answer(&local(PCMU), &body).unwrap();
    assert_eq!(agreed.remote_rtcp, "203.0.113.5:4711".parse().unwrap());
    let (_, agreed) = answer(&local(PCMU), &sdp("m=audio 4000 RTP/AVP 0\n")).unwrap();
    assert_eq!(agreed.remote_rtcp, "192.0.2.7:4001".parse().unwrap());
}

#[test]
fn multiplexing_needs_both_sides() {
    let with = sdp("m=audio 4000 RTP/AVP 0\na=rtcp-mux\n");
    let without = sdp("m=audio 4000 RTP/AVP 0\n");
    let mut ours = local(PCMU);
    for (ours_mux, body, agreed_mux) in [
        (true, &with, true),
        (true, &without, false),
        (false, &with, false),
    ] {
        ours.rtcp_mux = ours_mux;
        let (reply, agreed) = answer(&ours, body).unwrap();
        assert_eq!(agreed.rtcp_mux, agreed_mux);
        assert_eq!(text(&reply).contains("a=rtcp-mux"), agreed_mux);
        let port = if agreed_mux { 4_000 } else { 4_001 };
        assert_eq!(agreed.remote_rtcp.port(), port);
        assert_eq!(accept(&ours, body).unwrap().rtcp_mux, agreed_mux);
    }
}

#[test]
fn packets_are_as_long_as_the_peer_wants_where_the_codec_can() {
    // Codec, the peer's attributes, what is sent, warnings.
    let rows = [
        (CodecId::Pcmu, "", 20, 0),
        (CodecId::Pcmu, "a=ptime:30\n", 30, 0),
        (CodecId::Pcmu, "a=ptime:20\na=maxptime:10\n", 10, 0),
        (CodecId::Pcmu, "a=ptime:25\n", 20, 1),
        (CodecId::Pcmu, "a=ptime:2.5\n", 20, 1),
        (CodecId::Opus, "a=ptime:30\n", 20, 1),
        (CodecId::Opus, "a=ptime:60\n", 60, 0),
        (CodecId::Pcmu, "a=ptime:0\n", 20, 0),
        (CodecId::Pcmu, "a=ptime:4294967295\n", 20, 0),
    ];
    for (codec, attributes, expected, warnings) in rows {
        let media = format!("m=audio 4000 RTP/AVP 0 111\na=rtpmap:111 opus/48000/2\n{attributes}");
        let (_, agreed) = answer(&local(&[codec]), &sdp(&media)).unwrap();
        assert_eq!(agreed.ptime_ms, expected, "{codec:?} {attributes}");
        assert_eq!(agreed.warnings.len(), warnings, "{codec:?} {attributes}");
    }
}

#[test]
fn what_cannot_be_agreed_is_refused_with_a_sentence() {
    let rows: [(&str, &str); 9] = [
        (
            "m=audio 4000 RTP/AVP 18 97\n",
            "no codec in common: the peer has G729/8000, type 97 without rtpmap; we have PCMU",
        ),
        (
            "m=audio 0 RTP/AVP 0\n",
            "the peer refused the audio stream (port 0)",
        ),
        (
            "m=audio 4000 RTP/SAVPF 0\n",
            "the peer wants the profile RTP/SAVPF; only RTP/AVP (unencrypted) is supported",
        ),
        (
            "m=audio 4000 RTP/AVPF 0\n",
            "the peer wants the profile RTP/AVPF; only RTP/AVP (unencrypted) is supported",
        ),
        (
            "m=video 4000 RTP/AVP 96\n",
            "the peer's session description has no audio: video",
        ),
        (
            "",
            "the peer's session description has no audio: no media line at all",
        ),
        (
            "m=audio 4000 RTP/AVP 0\nc=IN IP4 pbx.example.com\n",
            "the peer's media address is not usable: c= has pbx.example.com, an IP address is needed",
        ),
        (
            "m=audio 4000 RTP/AVP 0\nc=IN IP4 224.2.1.1/127\n",
            "the peer's media address is not usable: c= has the multicast address 224.2.1.1",
        ),
        (
            "m=audio 4000 RTP/AVP 0\nc=IN IP6 2001:db8::1\n",
            "the peer's media address is not usable: it is 2001:db8::1, ours is 127.0.0.1: the families differ",
        ),
    ];
    for (media, sentence) in rows {
        assert_eq!(
            answer(&local(PCMU), &sdp(media)).unwrap_err().to_string(),
            sentence
        );
        assert_eq!(
            accept(&local(PCMU), &sdp(media)).unwrap_err().to_string(),
            sentence
        );
    }
    assert_eq!(
        answer(&local(PCMU), b" \r\n").unwrap_err(),
        NegotiationError::Missing
    );
    let large = vec![b'a'; 40_000];
    assert_eq!(
        accept(&local(PCMU), &large),
        Err(NegotiationError::TooLarge { octets: 40_000 })
    );
    assert!(matches!(
        accept(&local(PCMU), b"<xml/>"),
        Err(NegotiationError::NoAudio { .. } | NegotiationError::Unreadable { .. })
    ));
}

#[test]
fn usual_mistakes_are_repaired_and_reported() {
    let bodies: [&str; 5] = [
        "v=0\r\no=a b c 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio  4000  RTP/AVP  0\r\n",
        "v=0\r\no=- 1 99999999999999999999999 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n",
        "o=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=now\r\nm=audio 4000 RTP/AVP 0\r\n",
        "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=caf\u{e9}\r\nb=AS:many\r\nc=IN IP4 192.0.2.7 \r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n",
        "v=0\r\nc=IN IP4 192.0.2.7\r\nr=x\r\nt=\r\nm=audio 4000 RTP/AVP 0 \r\n",
    ];
    for body in bodies {
        let (_, agreed) = answer(&local(PCMU), body.as_bytes()).unwrap();
        assert_eq!(
            agreed.remote_rtp,
            "192.0.2.7:4000".parse().unwrap(),
            "{body}"
        );
        let found = agreed
            .warnings
            .iter()
            .any(|text| text.starts_with("peer SDP was invalid: "));
        assert!(found, "{body}: {:?}", agreed.warnings);
    }
}

#[test]
fn descriptions_with_lf_only_or_without_s_and_t_are_no_finding() {
    let body = b"v=0\no=- 1 1 IN IP4 192.0.2.7\nc=IN IP4 192.0.2.7\nm=audio 4000 RTP/AVP 0\n";
    let (_, agreed) = answer(&local(PCMU), body).unwrap();
    assert_eq!(agreed.warnings, Vec::<String>::new());
}

#[test]
fn mangled_descriptions_never_panic_and_never_lie_about_their_size() {
    let ours = local(&CodecId::ALL);
    let whole = sdp(
        "m=video 4100 RTP/AVP 96\na=rtpmap:96 H264/90000\nm=audio 4000 RTP/AVP 0 8 111 101\n\
         c=IN IP6 2001:db8::1\na=rtpmap:111 opus/48000/2\na=rtcp:4711 IN IP4 192.0.2.9\n\
         a=ptime:20\na=maxptime:60\na=sendonly\na=ssrc:1 cname:x\na=rtcp-xr:voip-metrics\n",
    );
    for cut in 0..=whole.len() {
        let _ = answer(&ours, &whole[..cut]);
        let _ = accept(&ours, &whole[..cut]);
    }
    for position in 0..whole.len() {
        for octet in [0, b' ', b'\n', b'=', b'/', 0xff, whole[position] ^ 0x20] {
            let mut mangled = whole.clone();
            mangled[position] = octet;
            let _ = answer(&ours, &mangled);
        }
    }
    for seed in 0..4_000u64 {
        let mutated = mutate(&whole, seed);
        let result =
            std::panic::catch_unwind(|| (answer(&ours, &mutated), accept(&ours, &mutated)));
        let (answered, _) = result.unwrap_or_else(|_| panic!("seed {seed} panics"));
        if let Ok((reply, agreed)) = answered {
            assert!(ours.codecs.contains(&agreed.codec), "seed {seed}");
            assert!(agreed.codec.supports_ptime(agreed.ptime_ms), "seed {seed}");
            // Our own answer must be readable, whatever it repeats of the offer.
            accept(&ours, &reply)
                .map_err(|error| format!("seed {seed}: {error}"))
                .unwrap();
        }
    }
}

/// Some octets replaced, removed or repeated, by seed.
fn mutate(whole: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let mut octets = whole.to_vec();
    for _ in 0..=next(6) {
        let at = next(octets.len());
        match next(4) {
            0 => octets[at] = next(256) as u8,
            1 => {
                octets.remove(at);
            }
            2 => {
                let end = (at + next(40)).min(octets.len());
                let piece = octets[at..end].to_vec();
                let to = next(octets.len());
                octets.splice(to..to, piece);
            }
            _ => octets.insert(at, b" \r\n=:/0"[next(7)]),
        }
    }
    octets
}
