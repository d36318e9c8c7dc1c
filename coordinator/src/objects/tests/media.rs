//! Media files.

use bytes::Bytes;

use super::*;

/// A second of silence, 8 kHz mono.
pub(super) fn wav() -> Bytes {
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    file.extend(8_000_u32.to_le_bytes());
    file.extend(16_000_u32.to_le_bytes());
    file.extend([2, 0, 16, 0]);
    file.extend(b"data");
    file.extend(16_000_u32.to_le_bytes());
    file.extend([0; 16_000]);
    file.into()
}

fn files(directory: &Directory) -> usize {
    let Ok(folders) = fs::read_dir(directory.0.join("media")) else {
        return 0;
    };
    folders
        .flatten()
        .map(|folder| fs::read_dir(folder.path()).unwrap().count())
        .sum()
}

#[actix_rt::test]
async fn a_file_is_stored_described_served_and_deleted() {
    let directory = Directory::new();
    let bench = Bench::open(&directory);
    let (own, project, _) = bench.home().await;
    let name = || "hello.wav".to_owned();
    let made = bench
        .create_media(own, project, name(), wav(), None)
        .await
        .unwrap();
    assert_eq!(
        (made.sample_rate_hz, made.channels, made.duration_ms),
        (8_000, 1, 1_000)
    );
    assert_eq!((made.octets, made.sha256.len()), (wav().len() as u64, 64));
    let path = bench.media_content(own, project, made.id).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), wav());
    let again = bench
        .create_media(own, project, name(), wav(), Some(made.id))
        .await
        .unwrap();
    assert_eq!(again, made);
    let taken = bench
        .create_media(own, project, name(), wav(), None)
        .await
        .unwrap_err();
    assert_eq!(taken, ObjectError::NameTaken { field: "name" });
    assert_eq!(files(&directory), 1, "the file of the refused one is gone");
    for (name, octets, field) in [
        ("a.mp3", wav(), "name"),
        ("../a.wav", wav(), "name"),
        ("a.wav", Bytes::from_static(b"RIFF"), "body"),
        ("a.wav", vec![0; MEDIA_OCTETS_MAX + 1].into(), "body"),
    ] {
        let error = bench
            .create_media(own, project, name.to_owned(), octets, None)
            .await;
        assert_eq!(invalid(error.unwrap_err())[0].0, field);
    }
    bench
        .delete_media(own, project, made.id, None)
        .await
        .unwrap();
    assert!(!path.exists());
    let gone = bench.media_file(own, project, made.id).await;
    assert_eq!(gone.unwrap_err(), ObjectError::NotFound);
}

#[actix_rt::test]
async fn files_without_a_record_go_at_the_next_start_and_all_with_their_project() {
    let directory = Directory::new();
    let (own, project) = {
        let bench = Bench::open(&directory);
        let (own, project, _) = bench.home().await;
        let name = "hello.wav".to_owned();
        let made = bench
            .create_media(own, project, name, wav(), None)
            .await
            .unwrap();
        let path = bench.media_content(own, project, made.id).await.unwrap();
        fs::write(path.with_file_name("left.wav"), b"x").unwrap();
        fs::write(path.with_file_name("left.new"), b"x").unwrap();
        assert_eq!(files(&directory), 3);
        (own, project)
    };
    let bench = Bench::open(&directory);
    assert_eq!(files(&directory), 1);
    bench.delete_project(own, project, None, 0).await.unwrap();
    assert_eq!(files(&directory), 0);
}
