//! Clients that mean no good, or know no better: the others are served, and memory stays bounded
//! (reliability, faults 17 and 44).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use tests::{Api, Service, Setup, alone};

use crate::fixture::{Tenant, wide};

fn connect(service: &Service) -> TcpStream {
    let address = service.address().trim_start_matches("http://").to_owned();
    let stream = TcpStream::connect(address).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(40)))
        .unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(40)))
        .unwrap();
    stream
}

/// The status of an answer on a raw connection; 0 where it was closed without one.
fn status(stream: &mut TcpStream) -> u16 {
    let mut head = Vec::new();
    let mut octet = [0; 1];
    while !head.ends_with(b"\r\n") && head.len() < 4_096 {
        match stream.read(&mut octet) {
            Ok(1) => head.push(octet[0]),
            _ => break,
        }
    }
    let text = String::from_utf8_lossy(&head);
    text.split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

/// Resident octets of the coordinator.
fn resident(service: &mut Service) -> u64 {
    let id = service.process_mut().id();
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).expect("its status");
    let line = text
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS");
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes << 10
}

/// What other clients see meanwhile: the median and the worst of some requests.
fn others(api: &Api, requests: usize) -> (Duration, Duration) {
    let mut times: Vec<Duration> = (0..requests)
        .map(|_| {
            let begun = Instant::now();
            let _ = api.get("whoami").expect(200);
            begun.elapsed()
        })
        .collect();
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}

/// The bound of reliability fault 44 with room for a machine of two cores that builds beside.
fn served(what: &str, (median, worst): (Duration, Duration)) {
    println!("{what}: median {median:?}, worst {worst:?}");
    assert!(
        median < Duration::from_millis(200),
        "{what}: median {median:?}"
    );
    assert!(worst < Duration::from_secs(5), "{what}: worst {worst:?}");
}

#[test]
fn slow_and_huge_requests_are_ended() {
    let _machine = alone();
    let mut service = Service::start_new("abuse");
    let api = service.api();
    let key = service.key().to_owned();
    let before = resident(&mut service);

    // Slow loris: a head that never ends, an octet at a time.
    let mut slow: Vec<TcpStream> = (0..400).map(|_| connect(&service)).collect();
    for stream in &mut slow {
        stream
            .write_all(b"GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nX-")
            .unwrap();
    }
    let begun = Instant::now();
    served("beside 400 half heads", others(&api, 50));
    for stream in &mut slow {
        let code = status(stream);
        assert!(matches!(code, 0 | 408), "{code}");
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(30), "half heads lived {took:?}");

    // A body that never ends.
    let mut stuck: Vec<TcpStream> = (0..100).map(|_| connect(&service)).collect();
    for stream in &mut stuck {
        let head = format!(
            "POST /api/v1/projects HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).unwrap();
    }
    served("beside 100 half bodies", others(&api, 50));
    for stream in &mut stuck {
        let code = status(stream);
        assert!(matches!(code, 0 | 408), "{code}");
    }

    // A gigabyte, announced and not.
    for framing in ["Content-Length: 1073741824", "Transfer-Encoding: chunked"] {
        let mut stream = connect(&service);
        let head = format!(
            "POST /api/v1/projects HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\n{framing}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let block = vec![b' '; 1 << 16];
        let mut sent = 0_u64;
        while sent < 1 << 30 {
            let part = if framing.starts_with('T') {
                [format!("{:x}\r\n", block.len()).as_bytes(), &block, b"\r\n"].concat()
            } else {
                block.clone()
            };
            if stream.write_all(&part).is_err() {
                break;
            }
            sent += block.len() as u64;
        }
        let _ = stream.shutdown(Shutdown::Write);
        let code = status(&mut stream);
        assert!(matches!(code, 0 | 413), "{framing}: {code}");
        println!("{framing}: {sent} octets were taken and dropped, then {code}");
    }
    let too_long = api
        .raw("POST", "projects")
        .body("application/json", vec![b' '; 8 << 20]);
    assert_eq!(too_long.answer().problem().status, 413);

    // Depth.
    for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        let answer = api
            .raw("POST", "projects")
            .body("application/json", deep.clone())
            .answer();
        assert_eq!(answer.problem().status, 400, "{answer}");
        let bulk = format!("{{\"name\": {deep}");
        let answer = api
            .raw("POST", "projects")
            .body("application/json", bulk)
            .answer();
        assert_eq!(answer.problem().status, 400, "{answer}");
    }
    // Many keys, a long path, a long header, a long query.
    let keys: Vec<String> = (0..50_000).map(|n| format!("\"k{n}\":1")).collect();
    let many = format!("{{{}}}", keys.join(","));
    let answer = api
        .raw("POST", "projects")
        .body("application/json", many)
        .answer();
    assert!(matches!(answer.status, 400 | 422), "{answer}");
    let long = api
        .raw("GET", &format!("projects?cursor={}", "a".repeat(20_000)))
        .send();
    assert!(long.is_ok_and(|answer| (400..500).contains(&answer.status)));

    served("afterwards", others(&api, 50));
    let after = resident(&mut service);
    println!("resident: {before} before, {after} after");
    assert!(after < before + (64 << 20), "{before} -> {after}");
    assert!(!service.log().contains("panicked"), "{}", service.tail());
}

#[test]
fn a_thousand_slow_readers_hold_nobody_up() {
    let _machine = alone();
    let mut service = Setup::new("slow-readers").start();
    let tenant = Tenant::new(&service, &wide("readers"), 1_000_000.0);
    let test = tenant.waiting(&tenant.project, 500, "10m");
    let run = tenant.start(&test);
    tenant.wait(&run, |run| run.began_unix_ms.is_some());
    let before = resident(&mut service);
    let mut readers: Vec<TcpStream> = (0..1_000)
        .map(|_| {
            let mut stream = connect(&service);
            let head = format!(
                "GET /api/v1/runs/{}/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
                run.id,
                tenant.api.key()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    for stream in &mut readers {
        assert_eq!(status(stream), 200);
    }
    // Ten seconds at a kilobyte a second each.
    let mut octets = [0; 1_000];
    for _ in 0..10 {
        let second = Instant::now();
        for stream in &mut readers {
            let read = stream.read(&mut octets).expect("an open stream");
            assert!(read > 0, "a stream ended");
        }
        served("beside 1,000 slow readers", others(&tenant.api, 20));
        if let Some(left) = Duration::from_secs(1).checked_sub(second.elapsed()) {
            // The readers' pace is the subject.
            std::thread::sleep(left);
        }
    }
    let after = resident(&mut service);
    println!("resident: {before} before, {after} with 1,000 readers");
    assert!(after < before + (128 << 20), "{before} -> {after}");
    // A reader that keeps up sees every second beside them.
    let mut events = tenant.api.events(&format!("runs/{}/live", run.id));
    for _ in 0..3 {
        assert!(events.next(Duration::from_secs(10)).is_some());
    }
    drop(readers);
    let _ = tenant.stop(&run);
    tenant.ended(&run);
}

#[test]
fn the_rate_of_a_key_is_bounded() {
    let _machine = alone();
    let service = Setup::new("rate")
        .environment("CARILLON_HTTP_REQUESTS_PER_SECOND", "20")
        .environment("CARILLON_HTTP_REQUESTS_BURST", "40")
        .start();
    let api = service.api();
    let refused = (0..400).find_map(|_| {
        let answer = api.get("whoami");
        (answer.status != 200).then_some(answer)
    });
    let refused = refused.expect("no limit on requests");
    assert_eq!(refused.problem().status, 429, "{refused}");
    let wait: u64 = refused
        .header("retry-after")
        .parse()
        .expect("Retry-After in seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    // Guessing keys is bounded too, by address.
    let guess = api.with_key(&format!("clk_{}_{}", "0".repeat(16), "b".repeat(43)));
    let codes: Vec<u16> = (0..300).map(|_| guess.get("whoami").status).collect();
    assert!(codes.contains(&429), "300 guesses were all answered");
    assert!(
        codes.iter().all(|code| matches!(code, 401 | 429)),
        "{codes:?}"
    );
}
