//! The envelope round every message and every stored record: magic, version, checksum, bincode.
//!
//! The only place that knows bincode. One set of options for everything (varints, a limit, no
//! trailing octets), never the free functions of bincode, whose options differ. bincode is not
//! self-describing, so a changed type needs a new [`VERSION`].

use bincode::Options;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why a message cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// Fewer octets than the envelope itself has.
    #[error("message of {0} octets is shorter than its envelope")]
    TooShort(usize),
    /// More than [`MESSAGE_MAX`].
    #[error("message of {0} octets is longer than {MESSAGE_MAX}")]
    TooLong(u64),
    /// Not one of ours.
    #[error("message does not begin with our magic octets")]
    Magic,
    /// Another version of the wire format.
    #[error(
        "message has wire version {found}, this program has {VERSION}: all parts of a cluster must run one version"
    )]
    Version {
        /// The version it carries.
        found: u8,
    },
    /// The octets changed on their way.
    #[error("message checksum is {found:08x}, its octets give {computed:08x}")]
    Checksum {
        /// The checksum it carries.
        found: u32,
        /// The checksum of what came.
        computed: u32,
    },
    /// The envelope is whole, the content is not what was expected.
    #[error("message content: {0}")]
    Content(String),
}

/// Writes a message into an envelope.
///
/// Errors: [`EnvelopeError::TooLong`] past [`MESSAGE_MAX`]; [`EnvelopeError::Content`] where serde refuses.
pub fn encode<T: Serialize + ?Sized>(message: &T) -> Result<Bytes, EnvelopeError> {
    let size = options()
        .serialized_size(message)
        .map_err(|error| refused(&error))?;
    let capacity = usize::try_from(size).map_err(|_| EnvelopeError::TooLong(size))?;
    let mut out = Vec::with_capacity(HEAD + capacity);
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    out.extend_from_slice(&[0; 4]);
    options()
        .serialize_into(&mut out, message)
        .map_err(|error| refused(&error))?;
    let checksum = crc32fast::hash(out.get(HEAD..).unwrap_or_default()).to_be_bytes();
    if let Some(place) = out.get_mut(HEAD - 4..HEAD) {
        place.copy_from_slice(&checksum);
    }
    Ok(Bytes::from(out))
}

/// How many octets [`encode`] would write, without writing them.
///
/// Errors: as [`encode`].
pub fn encoded_len<T: Serialize + ?Sized>(message: &T) -> Result<usize, EnvelopeError> {
    let size = options()
        .serialized_size(message)
        .map_err(|error| refused(&error))?;
    let size = usize::try_from(size).map_err(|_| EnvelopeError::TooLong(size))?;
    Ok(HEAD + size)
}

/// Reads a message out of its envelope.
///
/// Errors: each variant of [`EnvelopeError`]. Never panics, whatever the octets.
/// Bounds: memory in proportion to `octets`, at most [`MESSAGE_MAX`] of content.
pub fn decode<T: DeserializeOwned>(octets: &[u8]) -> Result<T, EnvelopeError> {
    let (Some(head), Some(content)) = (octets.first_chunk::<HEAD>(), octets.get(HEAD..)) else {
        return Err(EnvelopeError::TooShort(octets.len()));
    };
    let [m0, m1, version, c0, c1, c2, c3] = *head;
    if [m0, m1] != MAGIC {
        return Err(EnvelopeError::Magic);
    }
    if version != VERSION {
        return Err(EnvelopeError::Version { found: version });
    }
    if content.len() as u64 > MESSAGE_MAX {
        return Err(EnvelopeError::TooLong(content.len() as u64));
    }
    let found = u32::from_be_bytes([c0, c1, c2, c3]);
    let computed = crc32fast::hash(content);
    if found != computed {
        return Err(EnvelopeError::Checksum { found, computed });
    }
    options()
        .deserialize(content)
        .map_err(|error| refused(&error))
}

fn options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_varint_encoding()
        .with_limit(MESSAGE_MAX)
        .reject_trailing_bytes()
}

fn refused(error: &bincode::Error) -> EnvelopeError {
    match **error {
        bincode::ErrorKind::SizeLimit => EnvelopeError::TooLong(MESSAGE_MAX),
        _ => EnvelopeError::Content(error.to_string()),
    }
}

/// Version of every type that travels or is stored. Grows with any change of one of them.
pub const VERSION: u8 = 3;
/// Most octets of content: a desired state with 100,000 accounts is about 8 MB. A bus with a smaller
/// limit (NATS: 1 MiB by default) splits before it publishes.
pub const MESSAGE_MAX: u64 = 64 << 20;
const MAGIC: [u8; 2] = *b"Ca";
/// Magic, version, CRC-32 (big-endian).
const HEAD: usize = MAGIC.len() + 1 + 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> (u32, String, Vec<f32>) {
        (7, "carillon".to_owned(), vec![1.5, f32::INFINITY])
    }

    #[test]
    fn a_message_comes_back_as_it_went() {
        let octets = encode(&message()).unwrap();
        assert_eq!(decode::<(u32, String, Vec<f32>)>(&octets), Ok(message()));
        assert_eq!(encoded_len(&message()), Ok(octets.len()));
    }

    #[test]
    fn every_cut_and_every_flipped_octet_is_an_error() {
        type Message = (u32, String, Vec<f32>);
        let octets = encode(&message()).unwrap();
        for length in 0..octets.len() {
            assert!(
                decode::<Message>(&octets[..length]).is_err(),
                "cut at {length}"
            );
        }
        for place in 0..octets.len() {
            for bit in 0..8 {
                let mut broken = octets.to_vec();
                broken[place] ^= 1 << bit;
                assert!(
                    decode::<Message>(&broken).is_err(),
                    "octet {place} bit {bit}"
                );
            }
        }
    }

    #[test]
    fn each_error_has_its_name() {
        let octets = encode(&1u8).unwrap().to_vec();
        assert_eq!(decode::<u8>(b""), Err(EnvelopeError::TooShort(0)));
        let mut other = octets.clone();
        other[0] = b'X';
        assert_eq!(decode::<u8>(&other), Err(EnvelopeError::Magic));
        let mut other = octets.clone();
        other[2] = 9;
        assert_eq!(
            decode::<u8>(&other),
            Err(EnvelopeError::Version { found: 9 })
        );
        let mut other = octets.clone();
        other[7] ^= 1;
        assert!(matches!(
            decode::<u8>(&other),
            Err(EnvelopeError::Checksum { .. })
        ));
        assert!(matches!(
            decode::<(u8, u8)>(&octets),
            Err(EnvelopeError::Content(_))
        ));
        assert!(matches!(
            decode::<()>(&octets),
            Err(EnvelopeError::Content(_))
        ));
    }
}
