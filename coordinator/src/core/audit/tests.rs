//! Every invariant, broken by hand.

use shared::api::Credits;
use shared::phase::RunStatus;

use super::*;
use crate::testing;

const ORG: OrganizationId = OrganizationId(7);

fn entry(sequence: u64, kind: TransferKind, run: Option<u64>, amounts: (u64, u64)) -> LedgerEntry {
    LedgerEntry {
        id: run.map_or_else(String::new, |run| entry_id(kind, RunId(run))),
        sequence,
        organization: ORG,
        kind,
        run: run.map(RunId),
        amount: Credits::new(amounts.0),
        returned: Credits::new(amounts.1),
        at_unix_ms: 1,
        note: String::new(),
        balance: shared::api::Balance::default(),
    }
}

fn balance(entry: &mut LedgerEntry, available: u64, reserved: u64, spent: u64) {
    let amounts = Amounts {
        available,
        reserved,
        spent,
    };
    entry.balance = amounts.balance();
}

/// Granted 100, run 1 reserved 60.
fn books() -> Vec<LedgerEntry> {
    let mut grant = entry(1, TransferKind::Grant, None, (100, 0));
    balance(&mut grant, 100, 0, 0);
    let mut reserve = entry(2, TransferKind::Reserve, Some(1), (60, 0));
    balance(&mut reserve, 40, 60, 0);
    vec![grant, reserve]
}

fn live() -> RunRecord {
    let mut record = testing::record(RunId(1));
    record.organization = ORG;
    record.accepted = true;
    record.reserved_endpoint_ms = 60;
    record
}

fn broken(entries: &[LedgerEntry], live: &[RunRecord], now: u64) -> Vec<String> {
    let mut replay = Replay::default();
    for entry in entries {
        replay.add(entry);
    }
    let seen = Seen {
        live: live.iter().collect(),
        ..Seen::default()
    };
    let report = report(now, &BTreeMap::from([(ORG, replay)]), &seen);
    assert_eq!(report.invariants.len(), 8);
    let broken = report.invariants.iter().filter(|i| !i.holds);
    broken.map(|i| i.name[..2].to_owned()).collect()
}

#[test]
fn right_books_hold() {
    assert_eq!(broken(&books(), &[live()], 1_000), Vec::<String>::new());
    assert_eq!(live().status(), RunStatus::Pending);
}

#[test]
fn each_mistake_breaks_its_invariant() {
    let mut twice = books();
    twice.push(entry(3, TransferKind::Reserve, Some(1), (40, 0)));
    balance(&mut twice[2], 0, 100, 0);
    assert!(broken(&twice, &[live()], 0).contains(&"I3".to_owned()));

    let mut gap = books();
    gap[1].sequence = 3;
    assert_eq!(broken(&gap, &[live()], 0), ["I7"]);

    let mut too_much = books();
    too_much[1].amount = Credits::new(101);
    assert!(broken(&too_much, &[], 0).contains(&"I2".to_owned()));

    let mut used = books();
    used.push(entry(3, TransferKind::Settle, Some(1), (70, 0)));
    assert!(broken(&used, &[], 0).contains(&"I8".to_owned()));

    let mut unknown = books();
    unknown.push(entry(3, TransferKind::Settle, Some(2), (10, 0)));
    balance(&mut unknown[2], 40, 50, 10);
    let found = broken(&unknown, &[live()], 0);
    assert_eq!(found, ["I3", "I4"], "nothing was reserved for run 2");

    let mut false_balance = books();
    balance(&mut false_balance[1], 41, 60, 0);
    assert_eq!(broken(&false_balance, &[live()], 0), ["I7"]);

    assert_eq!(broken(&books(), &[], 0), ["I4"], "a reservation leaked");
    let mut other = live();
    other.id = RunId(9);
    assert_eq!(broken(&books(), &[live(), other], 0), ["I4"]);

    let mut old = live();
    old.began_unix_ms = Some(5);
    let late = 5 + old.duration_ms + OVERTIME_MS;
    assert_eq!(broken(&books(), &[old.clone()], late), Vec::<String>::new());
    assert_eq!(broken(&books(), &[old], late + 1), ["I6"]);
}

#[test]
fn what_is_broken_stops_new_runs_and_says_so() {
    let mut gap = books();
    gap[1].sequence = 3;
    let mut replay = Replay::default();
    gap.iter().for_each(|entry| replay.add(entry));
    let record = live();
    let mut seen = Seen {
        live: vec![&record],
        ..Seen::default()
    };
    let found = report(0, &BTreeMap::from([(ORG, replay)]), &seen);
    assert!(found.stops_new_runs().unwrap().starts_with("I7"));
    seen.live.clear();
    seen.slots = vec!["one too many".to_owned()];
    let found = report(0, &BTreeMap::new(), &seen);
    assert!(!found.invariants[4].holds);
    assert_eq!(
        found.stops_new_runs(),
        None,
        "I5 is said, but stops nothing"
    );
}
