//! The README's quick start, word for word, against a coordinator of this test.

use std::process::Command;
use std::time::Duration;

use shared::api::{Page, Run};
use shared::phase::RunStatus;
use tests::{Child, Repository, Service, assert_passed, peers};

use super::target;

/// The code blocks of the README's section about the service, in order.
fn blocks() -> Vec<String> {
    let readme = Repository::find().read("README.md");
    let section = readme
        .split("\n## ")
        .find(|section| section.starts_with("As a service"))
        .expect("the section `As a service`");
    let blocks = section.split("```").skip(1).step_by(2);
    let blocks = blocks.filter_map(|block| block.strip_prefix("sh\n"));
    blocks.map(str::to_owned).collect()
}

#[test]
fn the_quick_start_of_the_readme_works_word_for_word() {
    if !peers(&["curl", "bash"]) {
        return;
    }
    let blocks = blocks();
    assert_eq!(blocks.len(), 3, "how it starts, the API, the command line");
    assert!(blocks[0].contains("carillon coordinator"), "{}", blocks[0]);
    let lab = target();
    let service = Service::start_new("quick-start");
    // What a reader puts in: the key, and here also the ports of this test.
    let script = blocks[1]
        .replace("clk_…", service.key())
        .replace("http://127.0.0.1:8080", service.address())
        .replace(
            r#""domain":"127.0.0.1""#,
            &format!(r#""domain":"127.0.0.1","port":{}"#, lab.sip_addr().port()),
        );
    assert!(script.contains(service.key()) && script.contains(service.address()));
    assert!(script.contains(&lab.sip_addr().port().to_string()));
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &script]);
    command.current_dir(service.scratch().path());
    let mut bash = Child::start("quick-start", &mut command, service.scratch());
    let status = bash.wait(Duration::from_secs(120));
    let printed = bash.output();
    assert!(status.success(), "{status}:\n{printed}\n{}", service.tail());
    assert!(!printed.contains("urn:carillon:problem"), "{printed}");
    for expected in ["event:", "\"phase\":", "\"seconds\":", "REGISTER sip:"] {
        assert!(
            printed.contains(expected),
            "{expected} is not in:\n{printed}"
        );
    }
    let history: Page<Run> = service.api().read("runs?sort=-created");
    let [again, first] = &history.items[..] else {
        panic!("two runs: {history:#?}");
    };
    assert_eq!(first.status, RunStatus::Completed, "{first:#?}");
    assert!(
        first
            .history
            .iter()
            .any(|step| step.status == RunStatus::Stopping),
        "{first:#?}"
    );
    assert_eq!(again.rerun_of, Some(first.id));
    assert_passed(&service.api().read(&format!("runs/{}/result", again.id)));
    drop(lab.shutdown());
}
