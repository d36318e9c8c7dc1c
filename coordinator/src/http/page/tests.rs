use actix_web::test::TestRequest;

use super::*;

fn list(query: &str) -> Result<ListQuery, ApiError> {
    let request = TestRequest::with_uri(&format!("/things?{query}")).to_http_request();
    ListQuery::of(&request, &["created", "name"], &["colour"])
}

fn place(item: &(u32, &str)) -> After {
    After {
        value: item.1.to_owned(),
        id: format!("{:04}", item.0),
    }
}

#[test]
fn what_a_route_does_not_know_is_named() {
    let error = list("limit=3&colur=red&Limit=3").expect_err("two unknown parameters");
    assert_eq!(error.status, StatusCode::BAD_REQUEST);
    let fields: Vec<&str> = error.errors.iter().map(|e| e.field.as_str()).collect();
    assert_eq!(fields, ["colur", "Limit"]);
    let error = list("limit=3&limit=4").expect_err("given twice");
    assert_eq!(error.errors[0].code, "repeated_parameter");
}

#[test]
fn limits_outside_their_range_are_refused() {
    for bad in ["0", "501", "-1", "x", "", "99999999999999999999999"] {
        let error = list(&format!("limit={bad}")).expect_err(bad);
        assert_eq!(error.errors[0].field, "limit");
    }
    assert_eq!(list("").map(|list| list.limit), Ok(LIMIT_DEFAULT));
    assert_eq!(list("limit=500").map(|list| list.limit), Ok(LIMIT_MAX));
}

#[test]
fn pages_have_every_item_once_in_order() {
    let items: Vec<(u32, &str)> = (0..57)
        .map(|i| (i, ["b", "a", "c"][(i % 3) as usize]))
        .collect();
    for sort in ["name", "-name"] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        for _ in 0..20 {
            let page = list(&format!("limit=5&sort={sort}{cursor}"))
                .expect("a good query")
                .cut(items.clone(), place);
            seen.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let mut expected = items.clone();
        expected.sort_by_key(|&(id, name)| (name, id));
        if sort.starts_with('-') {
            expected.reverse();
        }
        assert_eq!(seen, expected);
    }
}

#[test]
fn what_goes_meanwhile_shifts_no_page() {
    let items: Vec<(u32, &str)> = (0..10).map(|i| (i, "same")).collect();
    let first = list("limit=4").expect("query").cut(items.clone(), place);
    let next = first.next_cursor.expect("there is more");
    let left: Vec<(u32, &str)> = items.into_iter().filter(|item| item.0 != 3).collect();
    let second = list(&format!("limit=4&cursor={next}"))
        .expect("query")
        .cut(left, place);
    let ids: Vec<u32> = second.items.iter().map(|item| item.0).collect();
    assert_eq!(ids, [4, 5, 6, 7]);
}

#[test]
fn a_page_that_ends_the_list_has_no_cursor() {
    let items = vec![(1, "a"), (2, "b")];
    assert_eq!(
        list("limit=2")
            .expect("query")
            .take(items.clone(), place)
            .next_cursor,
        None
    );
    assert!(
        list("limit=1")
            .expect("query")
            .take(items, place)
            .next_cursor
            .is_some()
    );
}

#[test]
fn cursors_of_elsewhere_and_broken_ones_are_refused() {
    let page = list("limit=1&colour=red")
        .expect("query")
        .cut(vec![(1, "a"), (2, "b")], place);
    let cursor = page.next_cursor.expect("there is more");
    assert!(list(&format!("limit=9&colour=red&cursor={cursor}")).is_ok());
    for bad in [
        format!("colour=blue&cursor={cursor}"),
        format!("colour=red&sort=name&cursor={cursor}"),
        format!("colour=red&cursor={}", &cursor[..cursor.len() - 3]),
        format!("colour=red&cursor={}", "A".repeat(2_000)),
        "cursor=".to_owned(),
        "cursor=%00".to_owned(),
    ] {
        let error = list(&bad).expect_err(&bad);
        assert_eq!(error.code, "bad_cursor", "{bad}");
    }
}

#[test]
fn orders_that_a_list_does_not_have_are_refused() {
    for bad in ["size", "--name", "-", ""] {
        assert!(list(&format!("sort={bad}")).is_err(), "{bad}");
    }
}
