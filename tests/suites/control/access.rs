//! Every route with every role, with no key, and with a foreign organization's ids: generated from
//! the OpenAPI document, so a route that is added is a row that is added.

use serde_json::{Value, json};
use shared::api::{CreatedApiKey, Registrar, SavedTest};
use tests::{Answer, Api, Service, alone};

use crate::fixture::{Tenant, wide};

/// One operation of the document.
#[derive(Debug)]
struct Route {
    method: String,
    path: String,
    /// `viewer` … `owner`, `operator`, `any` (every key) or `public`.
    role: String,
}

const ROLES: [&str; 5] = ["viewer", "tester", "editor", "admin", "owner"];

fn routes(api: &Api) -> Vec<Route> {
    let document: Value = api.read("openapi.json");
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            if !["get", "post", "put", "patch", "delete"].contains(&method.as_str()) {
                continue;
            }
            let role = operation["x-role"].as_str();
            let role = role.unwrap_or_else(|| panic!("{method} {path} has no x-role"));
            routes.push(Route {
                method: method.to_uppercase(),
                path: path.clone(),
                role: role.to_owned(),
            });
        }
    }
    assert!(routes.len() > 50, "{} routes", routes.len());
    routes
}

/// Everything that has an id, of one organization.
struct Things {
    ids: Vec<(&'static [&'static str], String)>,
}

impl Things {
    fn make(tenant: &Tenant, service: &Service) -> Self {
        let api = &tenant.api;
        let project = tenant.project.id.to_string();
        let registrar: Registrar = api.make(
            &format!("projects/{project}/registrars"),
            &json!({ "name": "pbx", "domain": "secret-domain.example", "host": "127.0.0.1", "port": 9 }),
        );
        let registrar = registrar.id.to_string();
        let account = api.make::<Value>(
            &format!("projects/{project}/registrars/{registrar}/accounts"),
            &json!({ "username": "secret-user", "password": "x" }),
        );
        let wav = std::fs::read(tests::write_sine(
            service.scratch(),
            "secret.wav",
            8_000,
            1,
            1,
        ))
        .unwrap();
        let media = api
            .raw("POST", &format!("projects/{project}/media?name=secret.wav"))
            .body("audio/wav", wav)
            .answer()
            .expect(201)
            .json();
        let test: SavedTest = tenant.waiting(&tenant.project, 2, "2s");
        let run = tenant.start(&test);
        tenant.ended(&run);
        let key: CreatedApiKey =
            api.make("keys", &json!({ "name": "secret-key", "role": "viewer" }));
        let node = service.api().read::<Value>("nodes")["items"][0]["name"].clone();
        let text = |value: &Value| value.as_str().expect("an id").to_owned();
        Self {
            ids: vec![
                (&["project", "project_id"], project),
                (&["registrar", "registrar_id"], registrar),
                (&["account", "account_id"], text(&account["id"])),
                (&["media", "media_id", "file"], text(&media["id"])),
                (&["test", "test_id"], test.id.to_string()),
                (&["run", "run_id"], run.id.to_string()),
                (&["key", "key_id"], key.key.id.to_string()),
                (
                    &["organization", "organization_id", "org"],
                    tenant.organization.id.to_string(),
                ),
                (&["plan", "plan_id"], tenant.plan.id.to_string()),
                (&["endpoint", "n", "number"], "0".to_owned()),
                (&["node", "name"], text(&node)),
            ],
        }
    }

    fn fill(&self, path: &str) -> String {
        let mut filled = path.to_owned();
        for (names, id) in &self.ids {
            for name in *names {
                filled = filled.replace(&format!("{{{name}}}"), id);
            }
        }
        assert!(
            !filled.contains('{'),
            "{path} has a parameter that nobody fills"
        );
        filled
    }
}

/// Asks without doing harm: a change is refused for its revision once it is allowed.
fn ask(api: &Api, route: &Route, path: &str) -> Answer {
    let path = if route.path.ends_with("/compare") {
        format!("{path}?ids=0000000000000001,0000000000000002")
    } else if route.method == "POST" && route.path.ends_with("/media") {
        format!("{path}?name=a.wav")
    } else {
        path.to_owned()
    };
    let asking = api
        .raw(&route.method, &path)
        .header("If-Match", "\"4294967295\"");
    match route.method.as_str() {
        "GET" | "DELETE" => asking.answer(),
        _ => asking.json(&json!({})).answer(),
    }
}

/// Streams are asked for, but not read to their end.
fn is_stream(route: &Route) -> bool {
    route.path.ends_with("/live")
}

#[test]
fn no_route_leaks() {
    let _machine = alone();
    let service = Service::start_new("access");
    let own = Tenant::new(&service, &wide("own"), 10_000.0);
    let foreign = Tenant::new(&service, &wide("foreign"), 10_000.0);
    let mine = Things::make(&own, &service);
    let theirs = Things::make(&foreign, &service);
    let table = routes(&service.api());
    let mut wrong = Vec::new();
    let mut rows = 0;

    for (row, route) in table.iter().filter(|route| !is_stream(route)).enumerate() {
        let (path, other) = (mine.fill(&route.path), theirs.fill(&route.path));
        let public = route.role == "public";
        let nobody = own.api.with_key("");
        let unknown = own
            .api
            .with_key(&format!("clk_{}_{}", "0".repeat(16), "a".repeat(43)));
        for (who, api) in [("no key", &nobody), ("an unknown key", &unknown)] {
            let answer = ask(api, route, &path);
            rows += 1;
            // Guesses from one address are slowed down after a while.
            if !public && !matches!(answer.status, 401 | 429) {
                wrong.push(format!("{who}: {} {}: {answer}", route.method, route.path));
            }
        }
        for role in ROLES {
            // A key for each row: one that may be revoked by its own row is of no use to the next.
            let key: CreatedApiKey = own.api.make(
                "keys",
                &json!({ "name": format!("{role} {row}"), "role": role }),
            );
            let api = own.api.with_key(&key.secret);
            rows += 2;
            let answer = ask(&api, route, &path);
            if let Some(fault) = own_fault(route, role, &answer) {
                wrong.push(format!(
                    "{role}, own: {} {}: {fault}: {answer}",
                    route.method, route.path
                ));
            }
            let answer = ask(&api, route, &other);
            let changes_nothing_foreign = path == other || public || shared_by_all(&route.path);
            if !changes_nothing_foreign && !matches!(answer.status, 403 | 404) {
                wrong.push(format!(
                    "{role}, foreign: {} {}: {answer}",
                    route.method, route.path
                ));
            }
            if answer.text().contains("secret-") && path != other && !shared_by_all(&route.path) {
                wrong.push(format!(
                    "{role}, foreign, told: {} {}: {answer}",
                    route.method, route.path
                ));
            }
        }
    }
    println!("{rows} rows over {} routes", table.len());
    assert!(
        wrong.is_empty(),
        "{} of {rows} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Plans belong to the installation.
fn shared_by_all(path: &str) -> bool {
    path.contains("/plans/")
}

fn own_fault(route: &Route, role: &str, answer: &Answer) -> Option<&'static str> {
    if answer.status >= 500 {
        return Some("a failure");
    }
    let rank = |role: &str| ROLES.iter().position(|known| *known == role);
    let allowed = match route.role.as_str() {
        "public" | "any" => true,
        "operator" => false,
        needed => rank(role) >= Some(rank(needed).unwrap_or_else(|| panic!("role {needed}"))),
    };
    match (allowed, answer.status) {
        (true, 401 | 403) => Some("refused"),
        (false, 401 | 403 | 404) => None,
        (false, _) => Some("not refused"),
        (true, _) => None,
    }
}

#[test]
fn a_key_of_some_projects_sees_no_others() {
    let _machine = alone();
    let service = Service::start_new("access-projects");
    let tenant = Tenant::new(&service, &wide("own"), 10_000.0);
    let hidden = tenant.project("hidden");
    let test = tenant.waiting(&hidden, 2, "2s");
    let run = tenant.start(&test);
    tenant.ended(&run);
    let key: CreatedApiKey = tenant.api.make(
        "keys",
        &json!({ "name": "one", "projects": [{ "project": tenant.project.id, "role": "editor" }] }),
    );
    let api = tenant.api.with_key(&key.secret);
    let listed = api.get("projects").expect(200).text();
    assert!(
        listed.contains("lab") && !listed.contains("hidden"),
        "{listed}"
    );
    assert!(
        !api.get("runs")
            .expect(200)
            .text()
            .contains(&run.id.to_string())
    );
    for path in [
        format!("projects/{}", hidden.id),
        format!("projects/{}/tests", hidden.id),
        format!("projects/{}/tests/{}", hidden.id, test.id),
        format!("runs/{}", run.id),
        format!("runs/{}/endpoints", run.id),
        format!("runs/{}/live", run.id),
        // Through a project that it does see.
        format!("projects/{}/tests/{}", tenant.project.id, test.id),
    ] {
        assert_eq!(api.get(&path).status, 404, "{path}");
    }
    let unknown = api.get("runs/0000000000000001").expect(404);
    let known = api.get(&format!("runs/{}", run.id)).expect(404);
    let (mut one, mut other) = (unknown.problem(), known.problem());
    (one.instance, other.instance) = (String::new(), String::new());
    assert_eq!(one, other, "a foreign id is told from an unknown one");
    assert_eq!(
        api.delete(&format!("projects/{}", tenant.project.id))
            .status,
        403
    );
}

#[test]
fn a_revoked_and_an_expired_key_open_nothing() {
    let _machine = alone();
    let service = Service::start_new("access-keys");
    let tenant = Tenant::new(&service, &wide("own"), 10_000.0);
    let key: CreatedApiKey = tenant
        .api
        .make("keys", &json!({ "name": "one", "role": "viewer" }));
    let api = tenant.api.with_key(&key.secret);
    assert_eq!(api.get("whoami").status, 200);
    let gone = tenant.api.delete(&format!("keys/{}", key.key.id));
    assert!(gone.status < 300, "{gone}");
    assert_eq!(api.get("whoami").status, 401);
    let past = json!({ "name": "old", "role": "viewer", "expires_unix_ms": 1_000 });
    let answer = tenant.api.post("keys", &past);
    if answer.status == 201 {
        let key: CreatedApiKey = answer.read();
        assert_eq!(tenant.api.with_key(&key.secret).get("whoami").status, 401);
    } else {
        assert_eq!(answer.status, 422, "{answer}");
    }
    // Nobody gives more than he has.
    let viewer: CreatedApiKey = tenant
        .api
        .make("keys", &json!({ "name": "a", "role": "admin" }));
    let admin = tenant.api.with_key(&viewer.secret);
    for more in [
        json!({ "name": "b", "role": "owner" }),
        json!({ "name": "b", "role": "viewer", "operator": true }),
    ] {
        let answer = admin.post("keys", &more);
        assert_eq!(answer.status, 403, "{more}: {answer}");
    }
}
