use super::*;
use crate::torture;

/// A packet with two CSRCs, a one-byte extension of two elements and four octets of padding.
fn rich() -> Vec<u8> {
    let mut packet = vec![0xB2, 0x80, 0x00, 0x01, 0, 0, 0, 160, 0, 0, 0, 7];
    packet.extend([0, 0, 0, 1, 0, 0, 0, 2]);
    packet.extend([0xBE, 0xDE, 0, 2, 0x10, 0xAA, 0x00, 0x21, 1, 2, 0, 0]);
    packet.extend([9; 20]);
    packet.extend([0, 0, 0, 4]);
    packet
}

fn plain() -> Vec<u8> {
    let mut packet = vec![0x80, 0x00, 0x12, 0x34, 0, 0, 0, 160, 0, 0, 0, 7];
    packet.extend([0xFF; 160]);
    packet
}

fn two_byte() -> Vec<u8> {
    let mut packet = vec![0x90, 0x08, 0x12, 0x34, 0, 0, 0, 160, 0, 0, 0, 7];
    packet.extend([0x10, 0x00, 0, 2, 1, 0, 2, 3, 5, 6, 7, 0]);
    packet.extend([0xD5; 80]);
    packet
}

/// Reads it, and checks that what was accepted lies within the datagram.
fn try_one(datagram: &[u8]) {
    let class = classify(datagram);
    if let Ok(packet) = read(datagram) {
        assert!(packet.payload_offset + packet.payload_len <= datagram.len());
        assert_eq!(packet.header.version, 2);
        assert!(class != Class::Invalid, "{datagram:02X?}");
    }
}

#[test]
fn payload_and_header_of_sound_packets() {
    let packet = read(&plain()).expect("plain");
    assert_eq!((packet.payload_offset, packet.payload_len), (12, 160));
    assert_eq!(
        (packet.header.sequence_number, packet.header.ssrc),
        (0x1234, 7)
    );
    let packet = read(&rich()).expect("rich");
    assert_eq!((packet.payload_offset, packet.payload_len), (32, 20));
    assert_eq!(
        (packet.header.csrc.len(), packet.header.extensions.len()),
        (2, 2)
    );
    assert!(packet.header.marker);
    let packet = read(&two_byte()).expect("two-byte extension");
    assert_eq!((packet.payload_offset, packet.payload_len), (24, 80));
    assert_eq!(packet.header.extensions.len(), 2);
}

#[test]
fn each_rule_has_its_own_refusal() {
    let bent = |at: usize, value: u8| {
        let mut packet = rich();
        packet[at] = value;
        read(&packet).map(|_| ())
    };
    assert_eq!(read(&[]).map(|_| ()), Err(Malformed::Short));
    assert_eq!(bent(0, 0x72), Err(Malformed::Version));
    assert_eq!(read(&plain()[..11]).map(|_| ()), Err(Malformed::Short));
    assert_eq!(
        bent(23, 200),
        Err(Malformed::Short),
        "extension longer than the datagram"
    );
    assert_eq!(
        bent(27, 0x2F),
        Err(Malformed::Extension),
        "element longer than the extension"
    );
    assert_eq!(bent(55, 0), Err(Malformed::Padding));
    assert_eq!(
        bent(55, 25),
        Err(Malformed::Padding),
        "longer than the payload"
    );
    assert_eq!(bent(55, 24), Ok(()), "all of it padding");
    assert_eq!(
        bent(27, 0xF0),
        Ok(()),
        "id 15 ends the list (RFC 8285 §4.2)"
    );
}

#[test]
fn rtp_and_rtcp_on_one_port() {
    let class = |first, second, length| {
        let mut datagram = vec![0; length];
        datagram[0] = first;
        datagram[1] = second;
        classify(&datagram)
    };
    assert_eq!(class(0x80, 0, 172), Class::Rtp);
    assert_eq!(
        class(0x80, 0x80 | 63, 172),
        Class::Rtp,
        "191: marker and type 63"
    );
    assert_eq!(
        class(0x80, 0x80 | 96, 172),
        Class::Rtp,
        "224: marker and type 96"
    );
    for packet_type in [192, 200, 201, 202, 203, 204, 205, 206, 207, 223] {
        assert_eq!(class(0x81, packet_type, 8), Class::Rtcp);
    }
    assert_eq!(class(0x00, 0x01, 20), Class::Invalid, "STUN (RFC 5389)");
    assert_eq!(class(0x16, 0xFE, 40), Class::Invalid, "DTLS");
    assert_eq!(class(0x80, 0, 11), Class::Invalid);
    assert_eq!(
        (classify(&[]), classify(&[0x80])),
        (Class::Invalid, Class::Invalid)
    );
}

#[test]
fn the_torture_files_never_panic() {
    for (name, octets) in torture::files("rtp") {
        assert_eq!(
            read(&octets).map(|_| ()),
            Err(Malformed::Extension),
            "{name}"
        );
        torture::bend(&octets, try_one);
    }
    for packet in [plain(), rich(), two_byte()] {
        torture::bend(&packet, try_one);
    }
}

#[test]
fn mutated_packets_never_panic() {
    let mut seeds = vec![plain(), rich(), two_byte()];
    seeds.extend(torture::files("rtp").into_iter().map(|(_, octets)| octets));
    torture::mutate(&seeds, 200_000, |_, datagram| try_one(datagram));
}
