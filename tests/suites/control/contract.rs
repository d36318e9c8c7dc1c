//! An independent client reads the OpenAPI document and tries everything it allows, and much that it
//! forbids: no 5xx, no answer that the document does not describe.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tests::{Child, Setup, alone};

use crate::fixture::{Tenant, wide};

fn client() -> Option<PathBuf> {
    let path = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/contract/bin/st"
    ));
    if path.is_file() {
        return Some(path);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "the contract client is not installed (tests/run installs it)"
    );
    println!("skipped: the contract client is not installed (tests/run installs it)");
    None
}

#[test]
fn an_independent_client_finds_no_violation() {
    let _machine = alone();
    let Some(client) = client() else { return };
    // It tries many wrong keys, all from one address.
    let service = Setup::new("contract")
        .environment("CARILLON_HTTP_FAILED_AUTH_PER_MINUTE", "1000000")
        .start();
    let tenant = Tenant::new(&service, &wide("contract"), 1_000_000.0);
    // Something to find, so that more than refusals is seen.
    let test = tenant.waiting(&tenant.project, 2, "1s");
    let run = tenant.start(&test);
    tenant.ended(&run);
    let key: shared::api::CreatedApiKey = service.api().make(
        &format!("keys?organization={}", tenant.organization.id),
        &json!({ "name": "contract", "role": "owner", "operator": true }),
    );
    let mut command = Command::new(client);
    command
        .arg("run")
        .arg(format!("{}/api/v1/openapi.json", service.address()))
        .args(["--url", service.address()])
        .args(["--header", &format!("Authorization: Bearer {}", key.secret)])
        .args(["--checks", CHECKS])
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        // A live stream has no end that a client could wait for.
        .args(["--exclude-path-regex", "/live$"])
        // Its own key and organization must stay, and it cannot make WAV files.
        .args(["--exclude-operation-id", "revoke_key"])
        .args(["--exclude-operation-id", "delete_organization"])
        .args(["--exclude-operation-id", "upload_media"])
        .args([
            "--max-examples",
            &examples(),
            "--seed",
            &seed(),
            "--workers",
            "1",
        ])
        .args([
            "--request-timeout",
            "20",
            "--continue-on-failure",
            "--no-color",
        ])
        .args(["--generation-database", "none", "--warnings", "off"])
        .current_dir(service.scratch().path());
    let mut client = Child::start("contract-client", &mut command, service.scratch());
    let status = client.wait(Duration::from_secs(420));
    let output = client.output();
    let summary = output.lines().rev().take(25).collect::<Vec<_>>();
    for line in summary.iter().rev() {
        println!("{line}");
    }
    assert!(status.success(), "{output}\n{}", service.tail());
    assert!(!service.log().contains("panicked"), "{}", service.tail());
}

/// What the product promises. Whether each refusal was deserved is the other suites' matter.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
response_headers_conformance,response_schema_conformance";

fn examples() -> String {
    std::env::var("CARILLON_CONTRACT_EXAMPLES").unwrap_or_else(|_| "15".to_owned())
}

fn seed() -> String {
    let seed = std::env::var("CARILLON_SEED").unwrap_or_else(|_| std::process::id().to_string());
    println!("seed {seed}");
    seed
}
