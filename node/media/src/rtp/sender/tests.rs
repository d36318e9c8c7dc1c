use bytes::Bytes;

use super::*;
use crate::rtp::read;

const PTIME: Duration = Duration::from_millis(20);

fn sender(frames: u8) -> Sender {
    let frames = (0..frames).map(|n| Bytes::from(vec![n; 160])).collect();
    let clip = Arc::new(EncodedClip {
        frames,
        ptime_ms: 20,
        ticks_per_frame: 160,
    });
    let start = SenderStart {
        ssrc: 7,
        payload_type: 8,
        sequence: 65_535,
        timestamp: u32::MAX - 100,
        ptime: PTIME,
    };
    Sender::new(&start, Some(clip))
}

#[test]
fn packets_follow_each_other_and_the_clip_loops() {
    let mut sender = sender(3);
    let now = Instant::now();
    let mut buf = [0; 200];
    for n in 0..7_u32 {
        let length = sender.next_packet(now, &mut buf).expect("a packet");
        sender.sent(Duration::from_micros(u64::from(n)), n != 3);
        let packet = read(&buf[..length]).expect("our own packet");
        let header = packet.header;
        assert_eq!((length, header.ssrc, header.payload_type), (172, 7, 8));
        assert_eq!(header.marker, n == 0, "the first begins a talkspurt");
        assert_eq!(header.sequence_number, 65_535_u16.wrapping_add(n as u16));
        assert_eq!(header.timestamp, (u32::MAX - 100).wrapping_add(n * 160));
        assert_eq!(buf[12], (n % 3) as u8);
    }
    let second = sender.close_second();
    assert_eq!((second.packets, second.bytes, second.errors), (6, 960, 1));
    assert_eq!(second.late_max, Some(Duration::from_micros(6)));
    assert_eq!(sender.close_second(), Sent::default());
    assert_eq!(sender.total().packets, 6);
}

#[test]
fn skipped_slots_move_audio_and_time_but_not_the_sequence() {
    let mut sender = sender(5);
    let now = Instant::now();
    let mut buf = [0; 200];
    sender.next_packet(now, &mut buf);
    sender.sent(Duration::ZERO, true);
    sender.skip_slots(7);
    let length = sender.next_packet(now, &mut buf).expect("a packet");
    let header = read(&buf[..length]).expect("our own packet").header;
    assert_eq!((header.sequence_number, buf[12]), (0, 3));
    assert_eq!(header.timestamp, (u32::MAX - 100).wrapping_add(8 * 160));
    assert_eq!(sender.close_second().skipped, 7);
}

#[test]
fn a_buffer_too_small_is_an_error_and_no_packet() {
    let mut sender = sender(1);
    assert_eq!(sender.next_packet(Instant::now(), &mut [0; 171]), None);
    sender.sent(Duration::ZERO, true);
    assert_eq!(
        sender.total(),
        Sent {
            errors: 1,
            ..Sent::default()
        }
    );
}

#[test]
fn after_hold_a_talkspurt_begins_whose_timestamp_went_on() {
    let mut sender = sender(5);
    let start = Instant::now();
    let mut buf = [0; 200];
    sender.next_packet(start + Duration::from_millis(2), &mut buf);
    sender.sent(Duration::from_millis(2), true);
    assert_eq!(sender.anchor().map(|anchor| anchor.due), Some(start));
    sender.pause();
    assert_eq!(sender.next_packet(start + PTIME, &mut buf), None);
    assert!(!sender.is_active());
    sender.resume();
    let length = sender
        .next_packet(start + 500 * PTIME, &mut buf)
        .expect("a packet");
    let header = read(&buf[..length]).expect("our own packet").header;
    assert!(header.marker);
    assert_eq!(header.sequence_number, 0);
    assert_eq!(header.timestamp, (u32::MAX - 100).wrapping_add(500 * 160));
}

#[test]
fn without_a_clip_nothing_is_sent() {
    let start = SenderStart {
        ssrc: 1,
        payload_type: 0,
        sequence: 0,
        timestamp: 0,
        ptime: PTIME,
    };
    let mut sender = Sender::new(&start, None);
    assert_eq!(sender.next_packet(Instant::now(), &mut [0; 200]), None);
    sender.skip_slots(3);
    assert_eq!(sender.total(), Sent::default());
}
