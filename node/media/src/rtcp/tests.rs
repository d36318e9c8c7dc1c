use ::rtcp::extended_report::VoIPMetricsReportBlock;
use ::rtcp::reception_report::ReceptionReport;
use ::rtcp::sender_report::SenderReport;

use super::*;
use crate::torture;

/// Everything that a compound of ours can hold.
fn full() -> Vec<u8> {
    let report = OwnReport {
        ssrc: 1,
        cname: "alice@clock",
        sender: Some(SenderReport {
            ntp_time: 0x1111_2222_3333_4444,
            rtp_time: 160,
            packet_count: 50,
            octet_count: 8_000,
            ..SenderReport::default()
        }),
        block: Some(ReceptionReport {
            ssrc: 2,
            fraction_lost: 25,
            jitter: 80,
            ..Default::default()
        }),
        reference_ntp: Some(0x5555_6666_7777_8888),
        last_reference: Some(Reference {
            ssrc: 2,
            last: 99,
            delay: 65_536,
        }),
        voip: Some(VoIPMetricsReportBlock {
            ssrc: 2,
            mos_cq: 43,
            ..Default::default()
        }),
        bye: Bye::Leave,
    };
    let mut buf = [0; crate::stream::RTCP_MAX];
    let length = write(report, &mut buf).expect("room");
    buf[..length].to_vec()
}

fn names(datagram: &[u8]) -> Result<Vec<String>, Malformed> {
    let mut names = Vec::new();
    read(datagram, |item| {
        names.push(match item {
            Item::Sender(report) => format!("SR {} {}", report.ssrc, report.packet_count),
            Item::Block(block) => format!("block {} {}", block.ssrc, block.fraction_lost),
            Item::Cname { ssrc, name } => format!("{ssrc} {}", String::from_utf8_lossy(name)),
            Item::Bye { ssrc } => format!("BYE {ssrc}"),
            Item::Extended => "XR".into(),
            Item::ReferenceTime { ssrc, ntp } => format!("RRTR {ssrc} {ntp:x}"),
            Item::LastReference { ssrc, last, delay } => format!("DLRR {ssrc} {last} {delay}"),
            Item::Voip(metrics) => format!("VoIP {} {}", metrics.ssrc, metrics.mos_cq),
        });
    })?;
    Ok(names)
}

#[test]
fn what_is_written_is_read_back() {
    let datagram = full();
    assert_eq!(
        names(&datagram).expect("our own"),
        [
            "SR 1 50",
            "block 2 25",
            "1 alice@clock",
            "XR",
            "RRTR 1 5555666677778888",
            "DLRR 2 99 65536",
            "VoIP 2 43",
            "BYE 1",
        ]
    );
    let types: Vec<u8> = check::parts(&datagram)
        .map(|part| part.packet_type)
        .collect();
    assert_eq!(types, [200, 202, 207, 203]);
    assert_eq!(
        datagram[datagram.len() - 8..],
        [0x81, 203, 0, 1, 0, 0, 0, 1],
        "no padding"
    );
    assert_eq!(datagram.len() % 4, 0);
}

#[test]
fn the_least_compound_is_an_empty_rr_with_a_cname() {
    let mut buf = [0; 64];
    let report = OwnReport {
        ssrc: 9,
        cname: "x",
        ..OwnReport::default()
    };
    let length = write(report, &mut buf).expect("room");
    assert_eq!(names(&buf[..length]).expect("our own"), ["9 x"]);
    assert_eq!(
        buf[..length],
        [
            [0x80, 201, 0, 1, 0, 0, 0, 9],
            [0x81, 202, 0, 2, 0, 0, 0, 9],
            [1, 1, b'x', 0, 0, 0, 0, 0],
        ]
        .concat()[..20]
    );
    assert_eq!(write(OwnReport::default(), &mut [0; 11]), None, "no room");
}

#[test]
fn a_cname_longer_than_its_length_octet_is_cut() {
    let mut buf = [0; 512];
    let long = "x".repeat(400);
    let report = OwnReport {
        ssrc: 9,
        cname: &long,
        ..OwnReport::default()
    };
    let length = write(report, &mut buf).expect("room");
    assert_eq!(
        names(&buf[..length]).expect("our own"),
        [format!("9 {}", &long[..255])]
    );
}

#[test]
fn the_voip_metrics_block_lies_as_rfc_3611_has_it() {
    let voip = VoIPMetricsReportBlock {
        ssrc: 0x0102_0304,
        loss_rate: 5,
        discard_rate: 6,
        burst_density: 7,
        gap_density: 8,
        burst_duration: 0x090A,
        gap_duration: 0x0B0C,
        round_trip_delay: 0x0D0E,
        end_system_delay: 0x0F10,
        signal_level: 0x11,
        noise_level: 0x12,
        rerl: 0x13,
        gmin: 16,
        rfactor: 0x15,
        ext_rfactor: 0x16,
        mos_lq: 0x17,
        mos_cq: 0x18,
        rx_config: 0xF0,
        reserved: 0,
        jb_nominal: 0x1B1C,
        jb_maximum: 0x1D1E,
        jb_abs_max: 0x1F20,
    };
    let mut buf = [0; 128];
    let report = OwnReport {
        ssrc: 9,
        cname: "x",
        voip: Some(voip),
        ..OwnReport::default()
    };
    let length = write(report, &mut buf).expect("room");
    let block = &buf[length - 36..length];
    let mut want = vec![7, 0, 0, 8];
    want.extend(1..=0x13);
    want.extend([16, 0x15, 0x16, 0x17, 0x18, 0xF0, 0]);
    want.extend(0x1B..=0x20);
    assert_eq!(block, want);
}

#[test]
fn each_rule_has_its_own_refusal() {
    let sender = full();
    let bent = |at: usize, value: u8| {
        let mut datagram = sender.clone();
        datagram[at] = value;
        check(&datagram)
    };
    assert_eq!(check(&[]), Err(Malformed::Length));
    assert_eq!(check(&sender[..sender.len() - 4]), Err(Malformed::Length));
    assert_eq!(bent(0, 0x41), Err(Malformed::Version));
    assert_eq!(
        bent(0, 0x9F),
        Err(Malformed::Count),
        "31 blocks in 52 octets"
    );
    assert_eq!(
        bent(0, 0xA1),
        Err(Malformed::Padding),
        "padding before the last packet"
    );
    assert_eq!(check(&[0x80, 201, 0, 0].repeat(65)), Err(Malformed::Count));
    assert_eq!(
        check(&[0x80, 204, 0, 0].repeat(65)),
        Err(Malformed::Packets)
    );
    assert_eq!(check(&[0x80, 204, 0, 0].repeat(64)), Ok(()));
    let padded = |count| [&[0xA1, 203, 0, 2, 0, 0, 0, 5, 0, 0, 0], &[count][..]].concat();
    assert_eq!(
        names(&padded(4)),
        Ok(vec!["BYE 5".to_owned()]),
        "a BYE alone (RFC 5506)"
    );
    assert_eq!(check(&padded(0)), Err(Malformed::Padding));
    assert_eq!(
        names(&padded(3)),
        Ok(vec!["BYE 5".to_owned()]),
        "as pion pads it"
    );
    assert_eq!(
        check(&padded(12)),
        Err(Malformed::Padding),
        "the head is not padding"
    );
    assert_eq!(
        check(&padded(8)),
        Err(Malformed::Count),
        "it takes the source along"
    );
}

#[test]
fn a_cut_xr_block_ends_the_reading_of_its_packet_only() {
    let mut datagram = vec![0x80, 207, 0, 4, 0, 0, 0, 1];
    datagram.extend([4, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
    datagram.extend([0x81, 203, 0, 1, 0, 0, 0, 1]);
    assert_eq!(names(&datagram).expect("well-framed"), ["XR", "BYE 1"]);
}

#[test]
fn feedback_messages_are_stepped_over() {
    for packet_type in [204, 205, 206] {
        let datagram = [0xA4 & 0xDF, packet_type, 0, 1, 1, 2, 3, 4];
        assert_eq!(names(&datagram), Ok(Vec::new()));
    }
}

#[test]
fn the_torture_files_never_panic() {
    for (name, octets) in torture::files("rtcp") {
        if let Ok(names) = names(&octets) {
            assert!(names.is_empty(), "{name}: {names:?}");
        }
        torture::bend(&octets, |datagram| drop(names(datagram)));
    }
    torture::bend(&full(), |datagram| drop(names(datagram)));
}

#[test]
fn mutated_compounds_never_panic() {
    let mut seeds = vec![full(), full()];
    seeds.extend(torture::files("rtcp").into_iter().map(|(_, octets)| octets));
    torture::mutate(&seeds, 200_000, |_, datagram| drop(names(datagram)));
}
