//! The page at the admin address, as far as it can be told without a browser; `tests/dashboard` has one.

use crate::support::*;
use std::collections::BTreeSet;

/// What the page and its parts name in quotes, so far as it is a path.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.split(['"', '\'']).skip(1).step_by(2).filter(|quoted| quoted.starts_with(['/', '.']))
}

/// As a browser would: from the page to what it names, and so on.
#[test]
fn the_page_has_all_its_parts() {
    let bench = Bench::new(ADMIN);
    let admin = Admin::of(&bench.gateway);
    let page = admin.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, vec!["text/html; charset=utf-8"]));
    let mut wanted: Vec<String> = page
        .body
        .lines()
        .flat_map(named)
        .filter(|path| path.starts_with("/dashboard/"))
        .map(String::from)
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(path) = wanted.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let part = admin.get(&path);
        let content_type = match path.rsplit_once('.').unwrap().1 {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!((part.status, part.header("content-type")), (200, vec![content_type]), "{path}");
        assert_eq!(part.header("x-content-type-options"), ["nosniff"], "{path}");
        if path.ends_with(".js") {
            let imports =
                part.body.lines().filter(|line| line.starts_with("import ") || line.starts_with("} from "));
            let imports = imports.flat_map(named).filter_map(|name| name.strip_prefix("./"));
            wanted.extend(imports.map(|name| format!("/dashboard/{name}")));
        }
    }
    assert!(seen.len() > 10, "{seen:?}");
    assert_eq!(admin.get("/dashboard/page.html").status, 404, "the page has one address");
}

/// Not even by accident, and not through a style sheet: the page works where there is no other network.
#[test]
fn the_page_names_nobody_else() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/dashboard");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // A name of a language, and not an address.
        let text = std::fs::read_to_string(&path).unwrap().replace("http://www.w3.org/2000/svg", "");
        for foreign in [
            "http://",
            "https://",
            "\"//",
            "'//",
            "url(",
            "@import",
            "innerHTML",
            "insertAdjacentHTML",
            "style=",
        ] {
            assert!(!text.contains(foreign), "{} has {foreign}", path.display());
        }
    }
}

#[test]
fn the_page_is_held_to_its_own_address() {
    let bench = Bench::new(ADMIN);
    let page = Admin::of(&bench.gateway).get("/");
    let policy = page.header("content-security-policy");
    let [policy] = policy[..] else { panic!("{policy:?}") };
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    for allowed in policy.split("; ").skip(1) {
        let (what, whom) = allowed.split_once(' ').unwrap();
        let expected = match what {
            "script-src" | "style-src" | "img-src" | "connect-src" => "'self'",
            "require-trusted-types-for" => "'script'",
            _ => "'none'",
        };
        assert_eq!(whom, expected, "{what}");
    }
}
