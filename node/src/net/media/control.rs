//! The control messages (`cmsg(3)`) beside a datagram, read by plain slicing.

/// What the kernel says beside a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Controls {
    /// `CLOCK_REALTIME` at which it took the datagram.
    pub real_ns: Option<u64>,
    /// Datagrams the socket has dropped since it was made.
    pub dropped: Option<u32>,
}

impl Controls {
    /// Walks control messages: a `cmsghdr` is length, level and type, then comes the value.
    pub(super) fn read(mut control: &[u8]) -> Self {
        let mut controls = Self::default();
        while let Some((header, _)) = control.split_at_checked(HEADER) {
            let length = ne_u64(header).map_or(0, |length| length as usize);
            let (level, kind) = (ne_i32(header, 8), ne_i32(header, 12));
            let Some(value) = control.get(HEADER..length) else {
                return controls;
            };
            match (level, kind) {
                (Some(libc::SOL_SOCKET), Some(libc::SCM_TIMESTAMPNS)) => {
                    controls.real_ns = timestamp_ns(value);
                }
                (Some(libc::SOL_SOCKET), Some(libc::SO_RXQ_OVFL)) => {
                    controls.dropped = ne_i32(value, 0).map(i32::cast_unsigned);
                }
                _ => {}
            }
            let step = length.next_multiple_of(8);
            match control.get(step..) {
                Some(rest) => control = rest,
                None => return controls,
            }
        }
        controls
    }
}

fn timestamp_ns(value: &[u8]) -> Option<u64> {
    let (seconds, nanoseconds) = value.split_at_checked(8)?;
    ne_u64(seconds)?
        .checked_mul(1_000_000_000)?
        .checked_add(ne_u64(nanoseconds)?)
}

fn ne_u64(octets: &[u8]) -> Option<u64> {
    octets.first_chunk().map(|chunk| u64::from_ne_bytes(*chunk))
}

fn ne_i32(octets: &[u8], at: usize) -> Option<i32> {
    octets
        .get(at..)?
        .first_chunk()
        .map(|chunk| i32::from_ne_bytes(*chunk))
}

/// Octets of a `cmsghdr` on 64-bit Linux, where its length is 8 octets wide.
const HEADER: usize = size_of::<libc::cmsghdr>();

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: i32, value: &[u8]) -> Vec<u8> {
        let length = HEADER + value.len();
        let mut octets = (length as u64).to_ne_bytes().to_vec();
        octets.extend(libc::SOL_SOCKET.to_ne_bytes());
        octets.extend(kind.to_ne_bytes());
        octets.extend(value);
        octets.resize(length.next_multiple_of(8), 0);
        octets
    }

    #[test]
    fn timestamp_and_drop_count_are_read_in_any_order() {
        let mut time = 7u64.to_ne_bytes().to_vec();
        time.extend(5u64.to_ne_bytes());
        let time = message(libc::SCM_TIMESTAMPNS, &time);
        let drops = message(libc::SO_RXQ_OVFL, &9u32.to_ne_bytes());
        let both = Controls {
            real_ns: Some(7_000_000_005),
            dropped: Some(9),
        };
        assert_eq!(
            Controls::read(&[time.clone(), drops.clone()].concat()),
            both
        );
        assert_eq!(Controls::read(&[drops, time].concat()), both);
    }

    #[test]
    fn cut_or_lying_messages_end_the_walk() {
        let drops = message(libc::SO_RXQ_OVFL, &9u32.to_ne_bytes());
        for cut in 0..HEADER + 4 {
            assert_eq!(Controls::read(&drops[..cut]), Controls::default());
        }
        let mut empty = drops.clone();
        empty[..8].copy_from_slice(&0u64.to_ne_bytes());
        assert_eq!(Controls::read(&empty), Controls::default());
        let mut endless = drops;
        endless[..8].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert_eq!(Controls::read(&endless), Controls::default());
    }
}
