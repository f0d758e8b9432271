//! What the operator reads: each file in `tests/config/invalid` produces exactly the text beside it, and the files in
//! `tests/config/valid` and `config` none. `UPDATE=1` rewrites the texts; read every one that changed.

use crate::support::{Authority, Signer, jwks};
use framegate::config::{ConfigError, load};
use jsonwebtoken::Algorithm;
use std::fs;
use std::path::{Path, PathBuf};

fn toml_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|it| it == "toml")).collect();
    files.sort();
    files
}

/// The files see no environment but this.
fn env(name: &str) -> Option<String> {
    (name == "CHAT_HOST").then(|| "chat.example.com".into())
}

/// What is shown, as if the command had been run in the file's directory.
fn shown(errors: &[ConfigError], directory: &Path) -> String {
    let prefix = format!("{}/", directory.display());
    errors.iter().map(|error| format!("{error}\n").replace(&prefix, "")).collect()
}

#[test]
fn every_invalid_file_is_explained() {
    let directory = Path::new("tests/config/invalid");
    let files = toml_files(directory);
    let update = std::env::var_os("UPDATE").is_some();
    let mut differences = String::new();
    for file in &files {
        let text = match load(file, &env) {
            Ok(_) => format!("{} loads, but should not\n", file.display()),
            Err(errors) => shown(&errors, directory),
        };
        let expected = file.with_extension("txt");
        if update {
            fs::write(&expected, &text).unwrap();
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        if text != wanted {
            differences += &format!("---- {}\nwanted:\n{wanted}got:\n{text}\n", file.display());
        }
    }
    assert!(differences.is_empty(), "{differences}UPDATE=1 rewrites the expected texts");
    assert!(files.len() >= 30);
}

/// A message that names no place, no reason or no way out is a bug in the message.
#[test]
fn every_message_has_a_place_a_reason_and_a_hint() {
    for file in toml_files(Path::new("tests/config/invalid")) {
        let errors = load(&file, &env).unwrap_err();
        assert!(!errors.is_empty(), "{}", file.display());
        for error in &errors {
            assert!(error.position.is_some(), "{error}");
            assert!(!error.problem.is_empty(), "{error}");
            assert!(error.hint.as_ref().is_some_and(|hint| !hint.is_empty()), "{error}");
        }
        let positions: Vec<_> = errors.iter().map(|error| error.position).collect();
        assert!(positions.is_sorted(), "{}: {positions:?}", file.display());
    }
}

#[test]
fn every_valid_file_loads_without_a_word() {
    let files = toml_files(Path::new("tests/config/valid"));
    assert!(!files.is_empty());
    for file in files {
        match load(&file, &env) {
            Ok(loaded) => assert!(loaded.warnings.is_empty(), "{}: {:?}", file.display(), loaded.warnings),
            Err(errors) => panic!("{}", shown(&errors, Path::new("tests/config/valid"))),
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let problems = |path: &Path| shown(&load(path, &env).unwrap_err(), directory.path());
    let missing = problems(&directory.path().join("no.toml"));
    assert!(missing.starts_with("no.toml: cannot be read: No such file"), "{missing}");
    let binary = directory.path().join("binary.toml");
    fs::write(&binary, [0xFF, 0xFE, 0x00]).unwrap();
    assert!(problems(&binary).starts_with("binary.toml: is not a text file"), "{}", problems(&binary));
}

/// With the certificates that `certs/make-dev` makes, the files we ship load as they are.
#[test]
fn the_shipped_files_load_without_a_word() {
    let certificates = Certificates::make();
    let root = certificates.directory.path();
    let shipped = toml_files(Path::new("config"));
    assert!(shipped.len() >= 2);
    fs::create_dir(root.join("certs")).unwrap();
    fs::create_dir(root.join("config")).unwrap();
    fs::write(root.join("certs/jwks.json"), jwks(&Signer::new(Algorithm::ES256, "dev"))).unwrap();
    write_key(&root.join("certs/tickets.key"), TICKET_KEY, 0o600);
    for made in ["site.pem", "site.key"] {
        fs::rename(root.join(made), root.join("certs").join(made)).unwrap();
    }
    for file in shipped {
        let copy = root.join(&file);
        fs::copy(&file, &copy).unwrap();
        match load(&copy, &env) {
            Ok(loaded) => assert!(loaded.warnings.is_empty(), "{}", shown(&loaded.warnings, root)),
            Err(errors) => panic!("{}", shown(&errors, root)),
        }
    }
}

/// The certificate of one name, and of another with another key, in a directory of their own.
struct Certificates {
    directory: tempfile::TempDir,
}

impl Certificates {
    fn make() -> Certificates {
        let directory = tempfile::tempdir().unwrap();
        for name in ["site", "other"] {
            let made = rcgen::generate_simple_self_signed([format!("{name}.test")]).unwrap();
            fs::write(directory.path().join(format!("{name}.pem")), made.cert.pem()).unwrap();
            write_key(
                &directory.path().join(format!("{name}.key")),
                &made.signing_key.serialize_pem(),
                0o600,
            );
        }
        fs::write(directory.path().join("empty.pem"), "nothing in here\n").unwrap();
        Certificates { directory }
    }

    /// What is said of a listener with these lines in its tls section: the problems, or else the warnings.
    fn said_of(&self, tls: &str) -> String {
        let file = self.directory.path().join("site.toml");
        let text = format!(
            "[[route]]\nbackend = \"ws://127.0.0.1:9000\"\n[[listener]]\nbind = \"0.0.0.0:443\"\n[listener.tls]\n{tls}"
        );
        fs::write(&file, text).unwrap();
        let errors = load(&file, &env).map_or_else(|errors| errors, |loaded| loaded.warnings);
        shown(&errors, self.directory.path())
    }
}

fn write_key(path: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_certificate_files_are_looked_at() {
    let certificates = Certificates::make();
    let check = |tls: &str, expected: &str| {
        let said = certificates.said_of(tls);
        if expected.is_empty() {
            assert_eq!(said, "", "{tls}");
        } else {
            assert!(said.contains(expected) && said.matches("hint:").count() == 1, "{tls}: {said}");
        }
    };
    check("cert = \"site.pem\"\nkey = \"site.key\"", "");
    check("certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\nclient_ca = \"other.pem\"", "");
    check(
        "cert = \"site.pem\"\nkey = \"other.key\"",
        ":6:8: listener[1].tls.cert: the key in other.key is not that of",
    );
    check("cert = \"empty.pem\"\nkey = \"site.key\"", ":6:8: listener[1].tls.cert: empty.pem holds no");
    check("cert = \"site.pem\"\nkey = \"empty.pem\"", ":7:7: listener[1].tls.key: empty.pem holds no");
    check(
        "client_ca = \"empty.pem\"\ncert = \"site.pem\"\nkey = \"site.key\"",
        "listener[1].tls.client_ca: ",
    );
    check(
        "cert = \"no.pem\"\nkey = \"site.key\"",
        ":6:8: listener[1].tls.cert: cannot read no.pem: No such file",
    );
}

/// What `openssl rand -base64 48` writes, but not at random.
const TICKET_KEY: &str = "dGhpcyBpcyBhIGtleSBmb3IgdGlja2V0cyB0aGF0IGlzIG5vdCByYW5kb20gYXQgYWxs\n";

#[test]
fn the_keys_for_tickets_are_looked_at() {
    let certificates = Certificates::make();
    let keys = certificates.directory.path().join("tickets.key");
    let said_of = |text: &str, mode| {
        write_key(&keys, text, mode);
        certificates.said_of("cert = \"site.pem\"\nkey = \"site.key\"\nticket_keys = \"tickets.key\"")
    };
    let place = "site.toml:8:15: listener[1].tls.ticket_keys:";
    assert_eq!(said_of(TICKET_KEY, 0o600), "");
    assert_eq!(
        said_of(TICKET_KEY, 0o644),
        format!("{place} tickets.key is open to other users (mode 644)\n  hint: chmod 600 tickets.key\n")
    );
    let hint = "  hint: a line for each key: openssl rand -base64 48\n";
    for (text, problem) in [
        ("", "holds no key"),
        ("secret!", "has a line 1 that is not base64"),
        ("dG9vIHNob3J0", "has a key of 9 bytes in line 1; 48 are the least"),
    ] {
        assert_eq!(said_of(text, 0o600), format!("{place} tickets.key {problem}\n{hint}"));
    }
    fs::remove_file(&keys).unwrap();
    let said = certificates.said_of("cert = \"site.pem\"\nkey = \"site.key\"\nticket_keys = \"tickets.key\"");
    assert!(said.contains("ticket_keys: cannot read tickets.key: No such file"), "{said}");
}

#[test]
fn a_certificate_that_runs_out_is_a_warning() {
    let authority = Authority::new();
    let said_of = |name: &str| {
        let file = authority.path("site.toml");
        let listener = "[[route]]\nbackend = \"ws://127.0.0.1:9000\"\n[[listener]]\nbind = \"127.0.0.1:1\"\n";
        fs::write(&file, format!("{listener}tls = {{ cert = \"{name}.pem\", key = \"{name}.key\" }}"))
            .unwrap();
        let loaded =
            load(&file, &env).unwrap_or_else(|errors| panic!("{}", shown(&errors, authority.dir.path())));
        shown(&loaded.warnings, authority.dir.path())
    };
    let hint = "  hint: renew it; a running gateway takes the new one without a restart\n";
    let check = |name: &str, problem: &str| {
        let place = "site.toml:5:16: listener[1].tls.cert:";
        assert_eq!(said_of(name), format!("{place} {name}.pem {problem}\n{hint}"));
    };
    authority.sign_expired("old.test");
    check("old.test", "has expired: clients refuse it");
    for (days, left) in [(13, "in 13 days"), (1, "in 1 day"), (0, "in less than a day")] {
        authority.sign_for_days("soon.test", days);
        check("soon.test", &format!("expires {left}"));
    }
    authority.sign_for_days("far.test", 14);
    assert_eq!(said_of("far.test"), "");
}

/// The file that `jwt.jwks_file` names is read as it will be when the gateway runs.
#[test]
fn the_keys_for_tokens_are_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let (file, keys) = (directory.path().join("a.toml"), directory.path().join("jwks.json"));
    let text = "[[listener]]\nbind = \"127.0.0.1:1\"\n[[route]]\nbackend = \"ws://a:1\"\n\
                access = { jwt = { jwks_file = \"jwks.json\" } }";
    fs::write(&file, text).unwrap();
    let said_of = |set: &str, mode| {
        write_key(&keys, set, mode);
        let errors = load(&file, &env).map_or_else(|errors| errors, |loaded| loaded.warnings);
        shown(&errors, directory.path())
    };
    let public = Signer::new(Algorithm::ES256, "public");
    let secret = Signer::new(Algorithm::HS256, "secret");
    assert_eq!(said_of(&jwks(&public), 0o644), "");
    assert_eq!(said_of(&jwks(&secret), 0o600), "");
    let place = "a.toml:5:32: route[1].access.jwt.jwks_file: ";
    let expect = |set: &str, expected: &str| {
        let said = said_of(set, 0o644);
        assert!(said.starts_with(&format!("{place}{expected}")), "{said}");
        assert_eq!(said.matches("hint:").count(), 1, "{said}");
    };
    expect(&jwks(&secret), "jwks.json is open to other users (mode 644)");
    expect("{}", "jwks.json is not a JWK set");
    expect("{ \"keys\": [] }", "jwks.json holds no key");
    let odd = jwks(&public).replace("[", "[{ \"kty\": \"EC\", \"kid\": \"odd\" }, ");
    expect(
        &odd,
        "jwks.json: key 1 (\"odd\") is not oct, RSA, EC with P-256 or OKP with Ed25519; it is not used",
    );
}

#[test]
fn a_key_that_others_can_read_is_a_warning() {
    let certificates = Certificates::make();
    let key = certificates.directory.path().join("site.key");
    let text = fs::read_to_string(&key).unwrap();
    write_key(&key, &text, 0o644);
    let said = certificates.said_of("cert = \"site.pem\"\nkey = \"site.key\"");
    assert_eq!(
        said,
        "site.toml:7:7: listener[1].tls.key: site.key is open to other users (mode 644)\n  hint: chmod 600 site.key\n"
    );
}
