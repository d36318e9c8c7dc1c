//! The commands that ask a coordinator, as a user types them.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use lab::LabHandle;
use shared::api::{Node, Page, Registrar, Run};
use shared::phase::RunStatus;
use shared::result::{RunResult, Verdict};
use tests::{Carillon, Child, Finished, Service, assert_passed, until};

use super::target;

/// A coordinator, its target, and a user with a folder for credentials.
struct User {
    service: Service,
    lab: LabHandle,
    home: PathBuf,
}

impl User {
    fn new(name: &str) -> Self {
        let service = Service::start_new(name);
        let home = service.scratch().path().join("home");
        Self {
            service,
            lab: target(),
            home,
        }
    }

    fn launch(&self, name: &str, arguments: &[&str]) -> Child {
        let home = self.home.to_str().unwrap();
        let environment = [
            ("XDG_CONFIG_HOME", home),
            ("CARILLON_KEY", ""),
            ("CARILLON_API_KEY", ""),
            ("CARILLON_URL", ""),
        ];
        Carillon::beside(self.service.scratch(), name, arguments, &environment)
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        let mut child = self.launch("client", arguments);
        let status = child.wait(Duration::from_secs(60));
        Finished {
            code: status.code(),
            output: child.output(),
            result: None,
        }
    }

    /// Runs a command that must go well; returns what it printed.
    fn good(&self, arguments: &[&str]) -> String {
        let finished = self.run(arguments);
        assert_eq!(finished.code, Some(0), "{arguments:?}: {}", finished.output);
        finished.output
    }

    fn login(&self) {
        let printed = self.good(&["login", self.service.address(), "--key", self.service.key()]);
        assert!(printed.contains("logged in"), "{printed}");
        assert!(!printed.contains(self.service.key()), "{printed}");
    }

    /// Saves a test file with pairs of callers and callees at the target.
    fn save(&self, name: &str, pairs: u32, duration: &str) {
        let text = format!(
            r#"name = "{name}"
duration = "{duration}"
buildup = "1s"

[registrars.pbx]
domain = "127.0.0.1"
port = {}

[groups.callers]
registrar = "pbx"
accounts = {{ pattern = "caller{{01..{pairs:02}}}", password = "pw-{{username}}" }}
calls = {{ group = "callees" }}

[groups.callees]
registrar = "pbx"
accounts = {{ pattern = "callee{{01..{pairs:02}}}", password = "pw-{{username}}" }}
receives = true
"#,
            self.lab.sip_addr().port()
        );
        let file = self.service.scratch().write("test.toml", text);
        let printed = self.good(&["tests", "create", file.to_str().unwrap(), "--replace"]);
        assert!(
            printed.contains(&format!("saved the test {name}")),
            "{printed}"
        );
    }

    fn newest(&self) -> Run {
        let runs: Page<Run> = self.service.api().read("runs?sort=-created&limit=1");
        runs.items.into_iter().next().expect("a run")
    }
}

#[test]
fn a_test_is_saved_started_watched_and_listed() {
    let user = User::new("client");
    user.login();
    let file = user.home.join("carillon/credentials.toml");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    user.good(&["projects", "create", "first"]);
    assert!(user.good(&["projects"]).contains("first"));
    user.save("pair", 2, "5s");
    // Again: the same test, nothing twice.
    user.save("pair", 2, "5s");
    let listed = user.good(&["tests"]);
    assert_eq!(listed.matches("pair").count(), 1, "{listed}");
    let shown = user.good(&["tests", "show", "pair"]);
    assert!(
        shown.contains("\"callers\"") && !shown.contains("password"),
        "{shown}"
    );

    let json = user.service.scratch().path().join("result.json");
    let junit = user.service.scratch().path().join("report.xml");
    let started = user.run(&[
        "start",
        "pair",
        "--label",
        "build 7",
        "--json",
        json.to_str().unwrap(),
        "--junit",
        junit.to_str().unwrap(),
    ]);
    let result: RunResult =
        serde_json::from_str(&user.service.scratch().read("result.json")).unwrap();
    assert_passed(&result);
    let (code, verdict) = match result.verdict {
        Verdict::Passed => (0, "PASSED"),
        _ => (98, "NOT VALID"),
    };
    let printed = &started.output;
    assert_eq!(started.code, Some(code), "{printed}");
    // The same lines of progress and the same summary as of `carillon run`.
    for expected in ["RUNNING", "registered 4/4", verdict] {
        assert!(
            printed.contains(expected),
            "{expected} is not in:\n{printed}"
        );
    }
    let run = user.newest();
    assert_eq!(
        (run.label.as_str(), run.verdict),
        ("build 7", Some(result.verdict))
    );
    assert_eq!(
        (result.run, result.endpoints.len()),
        (run.id.to_string(), 4)
    );
    assert!(
        user.service
            .scratch()
            .read("report.xml")
            .contains("<testsuite")
    );

    let id = run.id.to_string();
    let listed = user.good(&["runs"]);
    assert!(
        listed.contains(&id) && listed.contains("build 7"),
        "{listed}"
    );
    let shown = user.good(&["runs", "show", &id]);
    assert!(
        shown.contains("COMPLETED") && shown.contains(verdict),
        "{shown}"
    );
    // An ended run is watched to its end at once.
    assert!(user.run(&["watch", &id]).output.contains(verdict));
    user.good(&["runs", "delete", &id]);
    assert!(!user.good(&["runs"]).contains(&id));
    user.good(&["tests", "delete", "pair"]);
}

#[test]
fn an_interrupt_stops_what_was_started_and_leaves_what_is_watched() {
    let user = User::new("interrupts");
    user.login();
    user.good(&["projects", "create", "first"]);
    user.save("long", 2, "10m");
    let mut start = user.launch("start", &["start", "long"]);
    start.wait_for_output("in call 4", Duration::from_secs(30));
    let id = user.newest().id.to_string();
    let mut watch = user.launch("watch", &["watch", &id]);
    watch.wait_for_output("RUNNING", Duration::from_secs(10));
    watch.signal("INT");
    assert_eq!(watch.wait(Duration::from_secs(5)).code(), Some(130));
    assert_eq!(
        user.newest().status,
        RunStatus::Running,
        "it was only watched"
    );
    let mut second = user.launch("second", &["watch", &id]);
    second.wait_for_output("RUNNING", Duration::from_secs(10));
    start.signal("INT");
    let status = start.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(130), "{}", start.output());
    assert!(start.output().contains("INTERRUPTED"), "{}", start.output());
    assert_eq!(user.newest().status, RunStatus::Completed);
    // Who only watched sees the end of it too.
    second.wait(Duration::from_secs(10));
    assert!(second.output().contains("COMPLETED"), "{}", second.output());
    assert_eq!(user.lab.stats().sip.registered_now, 0);

    let id = user.good(&["start", "long", "--no-watch"]);
    let stopped = user.good(&["stop", id.trim()]);
    assert!(stopped.contains(id.trim()), "{stopped}");
    until("the stopped run's end", Duration::from_secs(20), || {
        user.newest().status.is_terminal().then_some(())
    });
}

#[test]
fn accounts_are_imported_from_a_file() {
    let user = User::new("import");
    user.login();
    user.good(&["projects", "create", "first"]);
    user.save("pair", 1, "5s");
    let mut csv = "username;password\n".to_owned();
    for number in 0..2_000 {
        csv.push_str(&format!("imported{number:04};\"pass;word\"\n"));
    }
    let file = user.service.scratch().write("accounts.csv", csv);
    let import = [
        "accounts",
        "import",
        file.to_str().unwrap(),
        "--registrar",
        "pbx",
    ];
    let printed = user.good(&import).replace('\u{202f}', "");
    assert!(printed.contains("2000 new, 0 updated"), "{printed}");
    let printed = user.good(&import).replace('\u{202f}', "");
    assert!(printed.contains("0 new, 2000 updated"), "{printed}");
    let api = user.service.api();
    let project = user.service.api().get("projects").json()["items"][0]["id"].clone();
    let path = format!("projects/{}/registrars", project.as_str().unwrap());
    let registrars: Page<Registrar> = api.read(&path);
    assert_eq!(registrars.items[0].accounts, 2_002);
    let wrong = user
        .service
        .scratch()
        .write("wrong.csv", "username,password\n\"a b\",x\nalice@x,y\n");
    let finished = user.run(&[
        "accounts",
        "import",
        wrong.to_str().unwrap(),
        "--registrar",
        "pbx",
    ]);
    assert_eq!(finished.code, Some(2), "{}", finished.output);
    let registrars: Page<Registrar> = api.read(&path);
    assert_eq!(registrars.items[0].accounts, 2_002, "all of it or nothing");
}

#[test]
fn what_goes_wrong_is_told_with_what_to_do() {
    let user = User::new("wrong");
    let nobody = user.run(&["runs"]);
    assert_eq!(nobody.code, Some(1), "{}", nobody.output);
    assert!(
        nobody.output.contains("carillon login"),
        "{}",
        nobody.output
    );
    let refused = user.run(&["login", user.service.address(), "--key", "clk_wrong"]);
    assert_eq!(refused.code, Some(1), "{}", refused.output);
    assert!(!user.home.join("carillon/credentials.toml").exists());
    user.login();
    let none = user.run(&["tests"]);
    assert_eq!(none.code, Some(1));
    assert!(
        none.output.contains("carillon projects create"),
        "{}",
        none.output
    );
    user.good(&["projects", "create", "first"]);
    let unknown = user.run(&["start", "nonsense"]);
    assert_eq!(unknown.code, Some(1), "{}", unknown.output);
    assert!(
        unknown.output.contains("no test `nonsense`"),
        "{}",
        unknown.output
    );
    let unknown = user.run(&["watch", "0000000000000000"]);
    assert_eq!(unknown.code, Some(1), "{}", unknown.output);
    let twice = user.run(&["projects", "create", "first"]);
    assert!(twice.output.contains("name"), "{}", twice.output);
    // A test that cannot run: the run says why, with the exit code of `carillon run`.
    user.save("pair", 2, "5s");
    let text = user
        .service
        .scratch()
        .read("test.toml")
        .replace("port = ", "port = 9 # ");
    let text = text.replace(
        "name = \"pair\"",
        "name = \"broken\"\nthresholds = [\"mos > 3\"]",
    );
    let file = user.service.scratch().write("broken.toml", text);
    let broken = user.run(&["tests", "create", file.to_str().unwrap()]);
    assert_eq!(broken.code, Some(2), "{}", broken.output);
    assert!(
        broken.output.contains("broken.toml:2:"),
        "{}",
        broken.output
    );
    let gone = user.run(&["login", "http://127.0.0.1:9", "--key", user.service.key()]);
    assert_eq!(gone.code, Some(1));
    assert!(gone.output.contains("does not answer"), "{}", gone.output);
}

#[test]
fn an_operator_sees_and_drains_nodes() {
    let user = User::new("nodes");
    user.login();
    let shows = |state: &str| {
        until("the node's state", Duration::from_secs(10), || {
            let printed = user.good(&["nodes"]);
            let line = printed.lines().find(|line| line.starts_with("local"))?;
            line.contains(state).then_some(())
        });
    };
    shows("ONLINE");
    let nodes: Vec<Node> = serde_json::from_str(&user.good(&["nodes", "--json"])).unwrap();
    assert_eq!(nodes.len(), 1, "{nodes:#?}");
    assert_eq!(nodes[0].name, "local");
    user.good(&["nodes", "drain", "local"]);
    shows("DRAINING");
    user.good(&["nodes", "undrain", "local"]);
    shows("ONLINE");
    let nobody = user.run(&["nodes", "drain", "nobody"]);
    assert_eq!(nobody.code, Some(1), "{}", nobody.output);
}
