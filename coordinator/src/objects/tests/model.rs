//! Names, references and revisions against a plain model in memory, and races.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use shared::api::{UpdateOrganization, UpdatePlan, UpdateProject};

use super::*;
use crate::testing::Random;

#[derive(Default)]
struct Model {
    /// Name, revision.
    plans: BTreeMap<PlanId, (String, u64)>,
    /// Name, plan, revision.
    organizations: BTreeMap<OrganizationId, (String, PlanId, u64)>,
    projects: BTreeMap<ProjectId, (OrganizationId, String, u64)>,
}

fn pick<K: Copy, V>(random: &mut Random, map: &BTreeMap<K, V>) -> Option<K> {
    let length = u32::try_from(map.len()).unwrap();
    map.keys().nth(random.below(length) as usize).copied()
}

fn taken(error: &ObjectError) -> bool {
    matches!(error, ObjectError::NameTaken { field: "name" })
}

impl Model {
    async fn plan_step(&mut self, bench: &Bench, random: &mut Random) {
        let name = format!("n{}", random.below(6));
        let used = self.plans.values().any(|(other, _)| *other == name);
        match (random.below(3), pick(random, &self.plans)) {
            (0, Some(plan)) => {
                let in_use = self.organizations.values().any(|own| own.1 == plan);
                let answer = bench.delete_plan(plan, None).await;
                assert_eq!(matches!(answer, Err(ObjectError::InUse { .. })), in_use);
                assert_eq!(answer.is_ok(), !in_use);
                if !in_use {
                    self.plans.remove(&plan);
                }
            }
            (1, Some(plan)) => {
                let own = self.plans.get_mut(&plan).unwrap();
                let expected = own.1 + u64::from(random.below(2));
                let change = UpdatePlan {
                    name: Some(name.clone()),
                    ..UpdatePlan::default()
                };
                let answer = bench.update_plan(plan, change, Some(expected)).await;
                match answer {
                    Err(ObjectError::RevisionMismatch { current }) => {
                        assert_eq!(current, own.1);
                        assert_ne!(expected, own.1);
                    }
                    Err(error) => assert!(taken(&error) && used && own.0 != name, "{error}"),
                    Ok(now) => {
                        assert!(expected == own.1 && (!used || own.0 == name));
                        *own = (name, own.1 + 1);
                        assert_eq!(now.revision, own.1);
                    }
                }
            }
            _ => match bench.plan_named(&name).await {
                Ok(id) => {
                    assert!(!used);
                    self.plans.insert(id, (name, 1));
                }
                Err(error) => assert!(taken(&error) && used, "{error}"),
            },
        }
    }

    async fn organization_step(&mut self, bench: &Bench, random: &mut Random) {
        let name = format!("n{}", random.below(6));
        let used = self.organizations.values().any(|own| own.0 == name);
        let Some(plan) = pick(random, &self.plans) else {
            return;
        };
        match (random.below(3), pick(random, &self.organizations)) {
            (0, Some(id)) => {
                let in_use = self.projects.values().any(|own| own.0 == id);
                let answer = bench.delete_organization(id, None).await;
                assert_eq!(answer.is_ok(), !in_use, "{answer:?}");
                if !in_use {
                    self.organizations.remove(&id);
                }
            }
            (1, Some(id)) => {
                let own = self.organizations.get_mut(&id).unwrap();
                let change = UpdateOrganization {
                    name: Some(name.clone()),
                    plan: Some(plan),
                };
                match bench.update_organization(id, change, None).await {
                    Ok(_) => *own = (name, plan, own.2 + 1),
                    Err(error) => assert!(taken(&error) && used && own.0 != name, "{error}"),
                }
            }
            _ => match bench.organization_named(&name, plan).await {
                Ok(id) => {
                    assert!(!used);
                    self.organizations.insert(id, (name, plan, 1));
                }
                Err(error) => assert!(taken(&error) && used, "{error}"),
            },
        }
    }

    async fn project_step(&mut self, bench: &Bench, random: &mut Random) {
        let name = format!("n{}", random.below(6));
        let Some(owner) = pick(random, &self.organizations) else {
            return;
        };
        let used = |owner, projects: &BTreeMap<_, (OrganizationId, String, u64)>| {
            projects.values().any(|own| own.0 == owner && own.1 == name)
        };
        match (random.below(3), pick(random, &self.projects)) {
            (0, Some(id)) => {
                let own = self.projects.remove(&id).unwrap().0;
                bench.delete_project(own, id, None, 0).await.unwrap();
            }
            (1, Some(id)) => {
                let (own, before, revision) = self.projects.get(&id).unwrap().clone();
                let change = UpdateProject {
                    name: Some(name.clone()),
                    retention: None,
                };
                match bench.update_project(own, id, change, Some(revision)).await {
                    Ok(_) => {
                        self.projects.insert(id, (own, name, revision + 1));
                    }
                    Err(error) => {
                        assert!(taken(&error) && used(own, &self.projects) && before != name);
                    }
                }
            }
            _ => match bench.project_named(owner, &name).await {
                Ok(id) => {
                    assert!(!used(owner, &self.projects));
                    self.projects.insert(id, (owner, name, 1));
                }
                Err(error) => assert!(taken(&error) && used(owner, &self.projects), "{error}"),
            },
        }
    }

    async fn check(&self, bench: &Bench) {
        let query = ListQuery {
            limit: Some(LIMIT_MAX),
            ..ListQuery::default()
        };
        let plans = bench.plans(&query).await.unwrap().items;
        let plans: Vec<_> = plans
            .into_iter()
            .map(|p| (p.id, (p.name, p.revision)))
            .collect();
        assert_eq!(plans, Vec::from_iter(self.plans.clone()));
        let own = bench.organizations(&query).await.unwrap().items;
        let own: Vec<_> = own
            .into_iter()
            .map(|o| (o.id, (o.name, o.plan, o.revision)))
            .collect();
        assert_eq!(own, Vec::from_iter(self.organizations.clone()));
        for organization in self.organizations.keys() {
            let projects = bench.projects(*organization, &query, |_| true).await;
            let projects: Vec<_> = projects
                .unwrap()
                .items
                .into_iter()
                .map(|p| (p.id, (p.organization, p.name, p.revision)))
                .collect();
            let wanted = self.projects.clone().into_iter();
            let wanted: Vec<_> = wanted.filter(|(_, own)| own.0 == *organization).collect();
            assert_eq!(projects, wanted);
        }
    }
}

#[actix_rt::test]
async fn names_references_and_revisions_are_those_of_the_model() {
    for seed in 0..4 {
        println!("seed {seed}");
        let directory = Directory::new();
        let mut random = Random::new(seed);
        let mut model = Model::default();
        for _ in 0..3 {
            let bench = Bench::open(&directory);
            model.check(&bench).await;
            for _ in 0..60 {
                match random.below(3) {
                    0 => model.plan_step(&bench, &mut random).await,
                    1 => model.organization_step(&bench, &mut random).await,
                    _ => model.project_step(&bench, &mut random).await,
                }
            }
            model.check(&bench).await;
        }
    }
}

#[actix_rt::test]
async fn of_many_that_want_a_name_at_once_one_has_it() {
    let directory = Directory::new();
    let bench = Bench::open(&directory);
    let plan = bench.plan_named("plan").await.unwrap();
    let own = bench.organization_named("own", plan).await.unwrap();
    let names: Vec<String> = (0..90).map(|n| format!("n{}", n % 30)).collect();
    let answers = join_all(names.iter().map(|name| bench.project_named(own, name))).await;
    let made = answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
    assert_eq!(made, 30);
    assert!(refused.into_iter().all(taken));
    let answer = bench.delete_organization(own, None).await;
    let Err(ObjectError::InUse { what }) = answer else {
        panic!("{answer:?}");
    };
    assert!(what.contains("30 projects"), "{what}");
}

#[actix_rt::test]
async fn a_deletion_and_what_needs_the_deleted_do_not_miss_each_other() {
    let directory = Directory::new();
    let bench = Bench::open(&directory);
    for round in 0..20 {
        let plan = bench.plan_named("plan").await.unwrap();
        let name = format!("o{round}");
        let (made, deleted) = tokio::join!(
            bench.organization_named(&name, plan),
            bench.delete_plan(plan, None)
        );
        assert_ne!(made.is_ok(), deleted.is_ok(), "{made:?} {deleted:?}");
        if let Ok(own) = made {
            let (made, deleted) = tokio::join!(
                bench.project_named(own, "p"),
                bench.delete_organization(own, None)
            );
            assert_ne!(made.is_ok(), deleted.is_ok(), "{made:?} {deleted:?}");
            if let Ok(project) = made {
                bench.delete_project(own, project, None, 0).await.unwrap();
                bench.delete_organization(own, None).await.unwrap();
            }
            bench.delete_plan(plan, None).await.unwrap();
        }
    }
}

#[actix_rt::test]
async fn the_same_planned_id_makes_one_object() {
    let directory = Directory::new();
    let bench = Bench::open(&directory);
    let (own, project, _) = bench.home().await;
    let id = Some(RegistrarId(77));
    let first = bench
        .create_registrar(own, project, registrar("a"), id)
        .await;
    let again = bench
        .create_registrar(own, project, registrar("a"), id)
        .await;
    assert_eq!(first.unwrap(), again.unwrap());
    let other = bench
        .create_registrar(own, project, registrar("a"), None)
        .await;
    assert_eq!(other.unwrap_err(), ObjectError::NameTaken { field: "name" });
}

#[actix_rt::test]
async fn every_bad_field_is_told_and_foreign_ids_are_not_there() {
    let directory = Directory::new();
    let bench = Bench::open(&directory);
    let (own, project, pbx) = bench.home().await;
    let mut bad = registrar("a b");
    bad.domain = "sip:example.com".to_owned();
    bad.host = Some("host:5060".to_owned());
    bad.port = Some(0);
    bad.outbound_proxy = Some("://".to_owned());
    bad.expires_s = 9;
    let error = bench.create_registrar(own, project, bad, None).await;
    let fields: Vec<String> = invalid(error.unwrap_err())
        .into_iter()
        .map(|p| p.0)
        .collect();
    let wanted = [
        "name",
        "domain",
        "host",
        "port",
        "outbound_proxy",
        "expires_s",
    ];
    assert_eq!(fields, wanted);
    let long = "n".repeat(129);
    assert_eq!(
        invalid(bench.plan_named(&long).await.unwrap_err())[0].1,
        "too_long"
    );
    assert_eq!(
        invalid(bench.plan_named("a\nb").await.unwrap_err())[0].1,
        "invalid"
    );
    let stranger = OrganizationId(own.0 + 1);
    let there = [
        bench.project(stranger, project).await.err(),
        bench.registrar(stranger, project, pbx).await.err(),
        bench.registrar(own, ProjectId(1), pbx).await.err(),
        bench
            .create_registrar(own, ProjectId(1), registrar("x"), None)
            .await
            .err(),
        bench
            .create_account(own, ProjectId(1), pbx, account("a", "p"), None)
            .await
            .err(),
        bench.project_named(stranger, "x").await.err(),
    ];
    assert!(
        there
            .iter()
            .all(|error| *error == Some(ObjectError::NotFound)),
        "{there:?}"
    );
}
