//! Rules about the repository as a test, with the standard library only: layout, seams, citations,
//! and what must not stand in a file. Source: DESIGN, docs/ARCHITECTURE.md.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use tests::{Repository, SourceFile};

fn sources() -> Vec<SourceFile> {
    let files = Repository::find().files(".rs");
    assert!(
        files.len() > 30,
        "only {} source files were found",
        files.len()
    );
    files
}

/// Fails with all findings at once.
fn report(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

/// Lines of the product's code, with numbers, without comments.
fn code(file: &SourceFile) -> impl Iterator<Item = (usize, &str)> {
    file.product()
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn no_file_is_longer_than_500_lines_without_its_tests() {
    let findings: Vec<String> = sources()
        .iter()
        // The metric catalogue is one table of data, the place where every metric is written once.
        .filter(|file| file.path != "shared/src/metric/catalogue.rs")
        .map(|file| (file, file.product().lines().count()))
        .filter(|(_, lines)| *lines > 500)
        .map(|(file, lines)| format!("{}: {lines} lines", file.path))
        .collect();
    report("500 lines are the most", &findings);
}

#[test]
fn every_file_says_first_what_it_is() {
    let findings: Vec<String> = sources()
        .iter()
        // The header of the module above is theirs.
        .filter(|file| !file.path.ends_with("/tests.rs"))
        .filter(|file| {
            // A `#!` line or an inner attribute may stand above.
            let first = file
                .text
                .lines()
                .find(|line| !line.trim().is_empty())
                .unwrap_or_default();
            !first.starts_with("//! ") || first.len() < 12
        })
        .map(|file| file.path.clone())
        .collect();
    report("a header `//! …` is missing or says nothing", &findings);
}

/// A word that may stand in some places only.
struct Seam {
    words: &'static [&'static str],
    /// Where it applies: prefixes of paths.
    within: &'static [&'static str],
    /// Where it is allowed all the same.
    except: &'static [&'static str],
    why: &'static str,
}

const PURE: &[&str] = &[
    "node/sip/src/",
    "node/media/src/",
    "node/src/core/",
    "coordinator/src/core/",
    "lab/src/core/",
    "shared/src/",
];

const SEAMS: &[Seam] = &[
    Seam {
        words: &["actix_web"],
        within: &[""],
        except: &["coordinator/src/http/"],
        why: "coordinator/src/http is the only place that knows actix-web",
    },
    Seam {
        words: &["sled::"],
        within: &[""],
        except: &["coordinator/src/store"],
        why: "coordinator/src/store is the only place that knows sled",
    },
    Seam {
        words: &["Instant::now", "SystemTime::now"],
        within: PURE,
        except: &[],
        why: "a core is told the time",
    },
    Seam {
        words: &[
            "std::thread",
            "thread::spawn",
            "thread::sleep",
            "std::fs",
            "File::open",
            "std::env::",
        ],
        within: PURE,
        except: &["shared/src/bus"],
        why: "a core has no thread, file or environment",
    },
    Seam {
        words: &[
            "UdpSocket",
            "TcpStream",
            "TcpListener",
            "socket2::",
            "libc::",
            "nix::",
        ],
        within: PURE,
        except: &[],
        why: "a core has no socket",
    },
    Seam {
        words: &["tokio", "actix"],
        within: PURE,
        except: &["shared/src/bus/nats/"],
        why: "a core has no runtime",
    },
    Seam {
        words: &["unsafe {", "unsafe fn", "unsafe impl"],
        within: &[""],
        except: &["node/src/net/"],
        why: "only node/src/net may use unsafe code, with a safety comment",
    },
    Seam {
        words: &["async_nats::"],
        within: &[""],
        except: &["shared/src/bus"],
        why: "shared/src/bus is the only place that knows NATS",
    },
];

#[test]
fn the_seams_of_the_design_hold() {
    let mut findings = Vec::new();
    for file in &sources() {
        for seam in SEAMS {
            let applies = seam
                .within
                .iter()
                .any(|prefix| file.path.starts_with(prefix))
                && !seam
                    .except
                    .iter()
                    .any(|prefix| file.path.starts_with(prefix));
            if !applies {
                continue;
            }
            for (number, line) in code(file) {
                if let Some(word) = seam.words.iter().find(|word| line.contains(**word)) {
                    findings.push(format!("{}:{number}: `{word}`: {}", file.path, seam.why));
                }
            }
        }
    }
    report("a seam of DESIGN is broken", &findings);
}

#[test]
fn unsafe_code_says_why_it_is_sound() {
    let mut findings = Vec::new();
    for file in sources()
        .iter()
        .filter(|file| file.path.starts_with("node/src/net/"))
    {
        let lines: Vec<&str> = file.text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let unsafe_code = line.contains("unsafe {") || line.contains("unsafe impl");
            if unsafe_code && !line.trim_start().starts_with("//") {
                let before = &lines[index.saturating_sub(6)..index];
                if !before
                    .iter()
                    .any(|line| line.to_ascii_uppercase().contains("SAFETY"))
                {
                    findings.push(format!("{}:{}", file.path, index + 1));
                }
            }
        }
    }
    report("no SAFETY comment", &findings);
}

#[test]
fn nothing_is_left_for_later_or_commented_out() {
    let marks = ["TO", "FIX", "XX", "HA"]
        .iter()
        .zip(["DO", "ME", "X", "CK"]);
    let marks: Vec<String> = marks.map(|(one, two)| format!("{one}{two}")).collect();
    let mut findings = Vec::new();
    for file in &sources() {
        for (index, line) in file.text.lines().enumerate() {
            let place = || format!("{}:{}: {}", file.path, index + 1, line.trim());
            if words(line).any(|word| marks.iter().any(|mark| mark == word)) {
                findings.push(place());
            }
            if line.trim() == "#[ignore]" || line.trim_start().starts_with("#[ignore =") {
                findings.push(place());
            }
            if line.trim_start().starts_with("#[allow(") && !allow_has_reason(&file.text, index) {
                findings.push(format!("{} (no reason)", place()));
            }
            if looks_like_code(line) {
                findings.push(format!("{} (commented out?)", place()));
            }
        }
    }
    report("left for later, switched off or commented out", &findings);
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_alphanumeric())
}

/// A reason in the attribute, or a comment above or behind it.
fn allow_has_reason(text: &str, index: usize) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let end = (index..lines.len())
        .find(|at| lines[*at].contains(")]"))
        .unwrap_or(index);
    let above = index.checked_sub(1).map_or("", |at| lines[at]).trim_start();
    lines[index..=end]
        .iter()
        .any(|line| line.contains("reason") || line.contains("//"))
        || above.starts_with("// ")
}

fn looks_like_code(line: &str) -> bool {
    let Some(comment) = line.trim_start().strip_prefix("// ") else {
        return false;
    };
    let comment = comment.trim();
    let starts = [
        "let ", "use ", "pub ", "fn ", "impl ", "struct ", "if ", "for ", "match ", "return ",
    ];
    let ends = comment.ends_with(';') || comment.ends_with('{') || comment.ends_with(");");
    ends && (starts.iter().any(|start| comment.starts_with(start)) || comment.ends_with(");"))
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    // Put together here, so that this file does not name them either.
    let names: Vec<String> = [
        ("/wo", "rk/"),
        ("/tm", "p/"),
        (".lib", "rary"),
        ("/ro", "ot/"),
        ("/fa", "rm/"),
    ]
    .iter()
    .map(|(one, two)| format!("{one}{two}"))
    .collect();
    let mut findings = Vec::new();
    for file in Repository::find().files("") {
        for (index, line) in file.text.lines().enumerate() {
            if names.iter().any(|name| line.contains(name.as_str())) {
                findings.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    report("a path of somebody's machine", &findings);
}

/// A citation: the RFC's number and, where one is given, the section.
type Citation = (u32, Option<String>);

fn citations(text: &str) -> Vec<(usize, Citation)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("RFC ")) {
        let start = from + at;
        let rest = &text[start + 4..];
        from = start + 4;
        let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let Ok(parsed) = number.parse() else { continue };
        let mut rest = &rest[number.len()..];
        let mut any = false;
        // `RFC 3264 §6, §6.1`: further sections belong to the same RFC.
        while let Some(section) = rest
            .strip_prefix([',', ' '])
            .unwrap_or(rest)
            .trim_start()
            .strip_prefix('§')
        {
            let name: String = section
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '.')
                .collect();
            rest = &section[name.len()..];
            found.push((start, (parsed, Some(name.trim_end_matches('.').to_owned()))));
            any = true;
        }
        if !any {
            found.push((start, (parsed, None)));
        }
    }
    found
}

/// The table of docs/RFC.md: sections by RFC; `all` stands for every one.
fn table() -> BTreeMap<u32, BTreeSet<String>> {
    let mut table: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for line in Repository::find().read("docs/RFC.md").lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", rfc, sections, _, _, _, ""] = cells[..] else {
            continue;
        };
        let Ok(number) = rfc.parse() else { continue };
        let sections = sections
            .split([',', ' '])
            .map(|name| name.trim_start_matches('§'));
        table
            .entry(number)
            .or_default()
            .extend(sections.filter(|name| !name.is_empty()).map(str::to_owned));
    }
    table
}

#[test]
fn every_citation_stands_in_the_rfc_table() {
    let table = table();
    assert!(table.len() > 20, "docs/RFC.md has {} RFCs", table.len());
    let mut findings = BTreeSet::new();
    for file in sources()
        .iter()
        .filter(|file| !file.path.starts_with("tests/"))
    {
        for (at, (number, section)) in citations(&file.text) {
            let known = table.get(&number).is_some_and(|sections| {
                section
                    .as_ref()
                    .is_none_or(|section| covered(section, sections))
            });
            if !known {
                let section = section.map_or(String::new(), |section| format!(" §{section}"));
                findings.insert(format!(
                    "RFC {number}{section} ({}:{})",
                    file.path,
                    file.line_of(at)
                ));
            }
        }
    }
    let findings: Vec<String> = findings.into_iter().collect();
    report("cited, but not in docs/RFC.md", &findings);
}

/// A section is covered by itself, by a section it lies in, and by `all`.
fn covered(section: &str, sections: &BTreeSet<String>) -> bool {
    sections.contains("all")
        || sections.iter().any(|have| {
            section
                .strip_prefix(have.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
}

#[test]
fn the_files_that_documents_point_to_exist() {
    let repository = Repository::find();
    let mut findings = Vec::new();
    for line in repository.read("docs/RFC.md").lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", rfc, _, _, file, test, ""] = cells[..] else {
            continue;
        };
        if rfc.parse::<u32>().is_err() {
            continue;
        }
        for path in [file, test]
            .iter()
            .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        {
            if !repository.root().join(path).exists() {
                findings.push(format!("docs/RFC.md: RFC {rfc}: `{path}`"));
            }
        }
    }
    for document in repository.files(".md") {
        let folder = document
            .path
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        for target in links(&document.text) {
            let path = target.split('#').next().unwrap_or_default();
            let outside =
                target.contains("://") || target.starts_with('#') || target.starts_with("mailto:");
            if !outside && !repository.root().join(folder).join(path).exists() {
                findings.push(format!("{}: ({target})", document.path));
            }
        }
    }
    report("a document points to a file that is not there", &findings);
}

/// Targets of `[text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
}

#[test]
fn decisions_are_numbered_without_gap() {
    let mut numbers: Vec<u32> = Repository::find()
        .files(".md")
        .iter()
        .filter_map(|file| file.path.strip_prefix("docs/adr/"))
        .filter_map(|name| name.split_once('-')?.0.parse().ok())
        .collect();
    numbers.sort_unstable();
    let expected: Vec<u32> = (1..=u32::try_from(numbers.len()).unwrap()).collect();
    assert_eq!(numbers, expected, "docs/adr/NNNN-title.md, from 0001");
}

#[test]
fn the_rules_find_what_they_look_for() {
    assert!(looks_like_code("    // let x = 1;"));
    assert!(looks_like_code("// self.call(a, b);"));
    assert!(!looks_like_code("// for each of them; then"));
    let text = "RFC 3264 §6, §6.1 and RFC 3550 (RTP), RFC 3261 §17.1.1.2.";
    let found: Vec<Citation> = citations(text)
        .into_iter()
        .map(|(_, citation)| citation)
        .collect();
    let section = |number, name: &str| (number, Some(name.to_owned()));
    let expected = [
        section(3264, "6"),
        section(3264, "6.1"),
        (3550, None),
        section(3261, "17.1.1.2"),
    ];
    assert_eq!(found, expected);
    let sections = BTreeSet::from(["17.1".to_owned()]);
    assert!(covered("17.1.1.2", &sections) && covered("17.1", &sections));
    assert!(!covered("17", &sections) && !covered("17.10", &sections));
}
