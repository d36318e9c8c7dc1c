//! What a run needs beside its test goes with the command to prepare, by node: the SIP passwords of
//! its share, sealed to it, and media files where it does not see the coordinator's disk.

use std::path::Path;

use bytes::Bytes;
use shared::definition::{Media, Test};
use shared::id::NodeId;
use shared::wire::{Desired, LifeId, MediaFile, Share, seal};

use crate::core::cluster::Cluster;

/// Completes the command for the life of a node. False: it cannot be sent, which was told.
pub(super) fn equip(nodes: &Cluster, node: &NodeId, life: LifeId, desired: &mut Desired) -> bool {
    let status = nodes.status(node, life);
    let key = status.map(|status| status.seal_key).unwrap_or_default();
    if status.is_some_and(|status| status.wants_media) {
        desired.media = media(&desired.test, &desired.shares);
    }
    match seal(desired, &key) {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(%node, run = %desired.run, %error, "passwords cannot be sealed");
            false
        }
    }
}

/// The files of the groups in these shares, as long as they fit. Of one that cannot be read or does
/// not fit the node says that it is missing.
fn media(test: &Test, shares: &[Share]) -> Vec<MediaFile> {
    let mut files: Vec<MediaFile> = Vec::new();
    let mut room = MEDIA_MAX;
    for share in shares {
        let group = test.groups.get(share.group.index());
        let Some(Media::Wav { path }) = group.map(|group| &group.media) else {
            continue;
        };
        if files.iter().any(|file| file.path == *path) {
            continue;
        }
        match read(Path::new(path), room) {
            Ok(octets) => {
                room -= octets.len();
                let path = path.clone();
                files.push(MediaFile { path, octets });
            }
            Err(error) => tracing::error!(path, %error, "a media file cannot be sent to a node"),
        }
    }
    files
}

fn read(path: &Path, room: usize) -> std::io::Result<Bytes> {
    let length = usize::try_from(std::fs::metadata(path)?.len()).unwrap_or(usize::MAX);
    if length > room {
        let why =
            format!("{length} octets do not fit into the {room} that are left of {MEDIA_MAX}");
        return Err(std::io::Error::other(why));
    }
    std::fs::read(path).map(Bytes::from)
}

/// Octets of all media files of one run that go to a node: with the test they fit into one message.
const MEDIA_MAX: usize = 48 << 20;

#[cfg(test)]
mod tests {
    use shared::id::GroupIndex;

    use super::*;
    use crate::testing;

    #[test]
    fn files_of_its_groups_go_along_once_and_only_where_they_fit() {
        let folder = std::env::temp_dir().join(format!("carillon-equip-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |name: &str, length: usize| {
            let path = folder.join(name);
            std::fs::write(&path, vec![7; length]).unwrap();
            let path = path.display().to_string();
            Media::Wav { path }
        };
        let mut test = testing::pair_test(4, 4);
        test.groups[0].media = file("a.wav", 1_000);
        test.groups[1].media = file("b.wav", 2_000);
        let share = |group: u16, first: u32| Share {
            group: GroupIndex(group),
            first,
            count: 1,
        };
        let sent = |test: &Test, shares: &[Share]| -> Vec<usize> {
            let files = media(test, shares);
            files.iter().map(|file| file.octets.len()).collect()
        };
        assert_eq!(sent(&test, &[share(0, 0), share(0, 2)]), [1_000]);
        assert_eq!(sent(&test, &[share(0, 0), share(1, 2)]), [1_000, 2_000]);
        test.groups[0].media = file("large.wav", MEDIA_MAX - 1_999);
        assert_eq!(sent(&test, &[share(1, 0), share(0, 0)]), [2_000]);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(sent(&test, &[share(1, 0)]), [0; 0]);
    }
}
