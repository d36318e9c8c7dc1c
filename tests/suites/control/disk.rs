//! A data folder that is full, and one whose snapshots are torn (reliability, faults 22 and 24).

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use shared::api::{Project, Run, SavedTest};
use tests::{Answer, Scratch, Service, Setup, alone, until};

use crate::fixture::{PATIENCE, Tenant, audit_holds, wide};

/// A small file system of memory; unmounted on drop.
struct Tmpfs {
    path: PathBuf,
    _scratch: Scratch,
}

impl Tmpfs {
    /// None where this machine's user may not mount.
    fn mount(name: &str, megabytes: u32) -> Option<Self> {
        let scratch = Scratch::new(name);
        let path = scratch.path().join("disk");
        fs::create_dir_all(&path).unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&path)
            .status()
            .expect("mount");
        if !mounted.success() {
            assert!(
                std::env::var_os("CI").is_none(),
                "a tmpfs cannot be mounted"
            );
            println!("skipped: a tmpfs cannot be mounted (needs root)");
            return None;
        }
        Some(Self {
            path,
            _scratch: scratch,
        })
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Takes every octet that is left.
    fn fill(&self) {
        let path = self.filler();
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }
}

/// Fills the disk, also with what the coordinator frees for itself, until a start is refused.
fn refused_for_room(tenant: &Tenant, test: &SavedTest, disk: &Tmpfs) -> Answer {
    let path = format!("projects/{}/tests/{}/runs", test.project, test.id);
    until("a refusal for want of room", PATIENCE, || {
        disk.fill();
        let answer = tenant.api.post(&path, &json!({}));
        match answer.status {
            507 => Some(answer),
            202 => {
                let _ = tenant.stop(&answer.read::<Run>());
                None
            }
            _ => panic!("{answer}"),
        }
    })
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount")
            .arg("--lazy")
            .arg(&self.path)
            .status();
        if !unmounted.is_ok_and(|status| status.success()) {
            println!("{} stays mounted", self.path.display());
        }
    }
}

#[test]
fn a_full_disk_refuses_new_runs_ends_the_running_one_and_heals() {
    let _machine = alone();
    let Some(disk) = Tmpfs::mount("full-disk", 16) else {
        return;
    };
    let data = disk.path.join("data");
    let mut service = Setup::new("full-disk-service").data_dir(&data).start();
    let tenant = Tenant::new(&service, &wide("disk"), 10_000.0);
    let test = tenant.waiting(&tenant.project, 20, "10m");
    let run = tenant.start(&test);
    tenant.wait(&run, |run| run.began_unix_ms.is_some());

    disk.fill();
    let refused = refused_for_room(&tenant, &test, &disk);
    assert_eq!(refused.problem().code, "storage_full", "{refused}");
    let made = tenant.api.post("projects", &json!({ "name": "one more" }));
    assert_eq!(made.status, 507, "{made}");
    let _ = tenant
        .api
        .raw("POST", &format!("runs/{}/stop", run.id))
        .json(&json!({}))
        .answer();
    let ended = tenant.ended(&run);
    println!(
        "the running one: {} {} {}",
        ended.status, ended.reason, ended.sentence
    );
    assert!(ended.used.is_some());
    let ready = service.api().raw("GET", "/readyz").answer();
    assert_eq!(ready.status, 503, "{ready}");

    // It starts on the full disk, twice, and still knows everything.
    for _ in 0..2 {
        service.kill();
        service.launch();
        service.wait_until_alive();
        let tenant = tenant.at(&service);
        let kept = tenant.ended(&run);
        assert_eq!((kept.status, kept.used), (ended.status, ended.used));
        tenant.books();
        refused_for_room(&tenant, &test, &disk);
    }

    fs::remove_file(disk.filler()).unwrap();
    let here = tenant.at(&service);
    until("full service", PATIENCE, || {
        let ready = service.api().raw("GET", "/readyz").answer();
        (ready.status == 200).then_some(())
    });
    let _: Project = here.api.make("projects", &json!({ "name": "one more" }));
    let again = here.start(&test);
    here.wait(&again, |run| run.began_unix_ms.is_some());
    let _ = here.stop(&again);
    here.ended(&again);
    here.books();
    audit_holds(&service);
}

/// A service with things in it, killed; and their names.
fn filled(name: &str) -> (Service, Tenant, Vec<String>) {
    let mut service = Setup::new(name).start();
    let tenant = Tenant::new(&service, &wide(name), 10_000.0);
    let names: Vec<String> = (0..300).map(|number| format!("project {number}")).collect();
    for name in &names {
        let _: Project = tenant.api.make("projects", &json!({ "name": name }));
    }
    service.kill();
    (service, tenant, names)
}

fn all_there(service: &mut Service, tenant: &Tenant, names: &[String]) {
    service.start();
    let here = tenant.at(service);
    let found: shared::api::Page<Project> = here.api.read("projects?limit=500");
    for name in names {
        assert!(
            found.items.iter().any(|project| project.name == *name),
            "{name} is gone; the log says:\n{}",
            service.tail()
        );
    }
    here.books();
    audit_holds(service);
    service.kill();
}

fn snapshots(meta: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(meta).unwrap().flatten();
    let names = entries.map(|entry| entry.path());
    names
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("snap.")
        })
        .collect()
}

#[test]
fn cut_and_foreign_snapshots_lose_nothing() {
    let _machine = alone();
    let (mut service, tenant, names) = filled("torn");
    let meta = service.data_dir().join("meta");
    for part in [0, 1, 7, 50, 99] {
        for path in snapshots(&meta) {
            let octets = fs::read(&path).unwrap();
            fs::write(&path, &octets[..octets.len() * part / 100]).unwrap();
        }
        // One that was being made when the power went.
        fs::write(meta.join("snap.0000000000000042.generating"), b"half").unwrap();
        all_there(&mut service, &tenant, &names);
    }
}

#[test]
fn a_stale_snapshot_loses_nothing() {
    let _machine = alone();
    let (mut service, tenant, mut names) = filled("stale");
    let meta = service.data_dir().join("meta");
    service.start();
    service.stop(Duration::from_secs(30));
    let old: Vec<(PathBuf, Vec<u8>)> = snapshots(&meta)
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    service.start();
    let here = tenant.at(&service);
    for number in 0..300 {
        let name = format!("later {number}");
        let _: Project = here.api.make("projects", &json!({ "name": name }));
        if number < 100 {
            names.push(name);
        }
    }
    names.truncate(400);
    service.kill();
    for path in snapshots(&meta) {
        fs::remove_file(path).unwrap();
    }
    for (path, octets) in old {
        fs::write(path, octets).unwrap();
    }
    all_there(&mut service, &tenant, &names);
}

#[test]
fn a_second_coordinator_on_the_folder_says_so_and_goes() {
    let service = Service::start_new("first");
    let mut second = Setup::new("second").data_dir(service.data_dir()).prepare();
    second.launch();
    let status = second.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(1), "{}", second.tail());
    assert!(
        second.tail().contains("in use by another"),
        "{}",
        second.tail()
    );
    let _: shared::api::WhoAmI = service.api().read("whoami");
}
