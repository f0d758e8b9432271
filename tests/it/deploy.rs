//! What `deploy/` says of the program: its configurations are ones, and its rules and dashboard ask for metrics that there
//! are. Everything else about those files is checked by `tests/deploy/run`.

use framegate::config::{ConfigError, load};
use framegate::observe::metrics::families::{self, Family, Kind};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The folders that the files name, each with what is in it where they are used.
const FOLDERS: [(&str, &str, &[&str]); 2] = [
    ("systemd", "/etc/framegate/", &["site.pem", "site.key", "ticket.keys"]),
    ("kubernetes", "/secrets/", &["tls.crt", "tls.key", "ticket.keys", "admin-token"]),
];

/// Text of 64 characters, which is long enough for keys and tokens.
const SECRET: &str = "dGhpcyBpcyBhIGtleSBmb3IgdGlja2V0cyB0aGF0IGlzIG5vdCByYW5kb20gYXQg";

#[test]
fn every_configuration_is_good() {
    let made = rcgen::generate_simple_self_signed(["site.test".to_string()]).unwrap();
    for (folder, from, files) in FOLDERS {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let text = match file.rsplit_once('.').map(|(_, end)| end) {
                Some("pem" | "crt") => made.cert.pem(),
                Some("key") => made.signing_key.serialize_pem(),
                _ => SECRET.to_string(),
            };
            let path = directory.path().join(file);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let text = fs::read_to_string(format!("deploy/{folder}/framegate.toml")).unwrap();
        assert!(text.contains(from), "{folder}");
        let copy = directory.path().join("framegate.toml");
        fs::write(&copy, text.replace(from, &format!("{}/", directory.path().display()))).unwrap();
        let said = load(&copy, &|_| None).map_or_else(|problems| problems, |loaded| loaded.warnings);
        assert!(said.is_empty(), "{folder}: {}", in_words(&said));
    }
}

fn in_words(said: &[ConfigError]) -> String {
    said.iter().map(|one| format!("{one}\n")).collect()
}

/// `tests/deploy/run` holds rules, dashboard and autoscaler to this list, and this holds the list to the program.
/// `UPDATE=1` rewrites it.
#[test]
fn the_list_of_metrics_is_the_programs() {
    let path = Path::new("tests/deploy/metrics.txt");
    let there = fs::read_to_string(path).unwrap();
    let head: String =
        there.lines().filter(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let wanted: String = families::ALL.iter().map(|family| format!("{}\n", as_a_line(family))).collect();
    let wanted = head + &wanted;
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, &wanted).unwrap();
    }
    assert_eq!(there, wanted, "UPDATE=1 rewrites {}", path.display());
}

fn as_a_line(family: &Family) -> String {
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge | Kind::Info => "gauge",
        Kind::Histogram => "histogram",
    };
    [&[kind, family.name], family.labels].concat().join(" ")
}
