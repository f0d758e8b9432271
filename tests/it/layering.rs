//! The module list in `lib.rs` is the layering: a module uses only what stands before it, and the pure layer knows
//! nothing of IO, clocks, logs or entropy.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What would bring the outside world into the pure layer.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "tracing",
    "std::net::Tcp",
    "std::net::Udp",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime",
    "fastrand",
    "getrandom",
    "println!",
    "eprintln!",
];

struct Module {
    name: String,
    layer: String,
    files: Vec<PathBuf>,
}

/// The modules of `lib.rs` in order, each with the layer named by the last `// WORD` line before it.
fn modules(src: &Path) -> Vec<Module> {
    let list = fs::read_to_string(src.join("lib.rs")).unwrap();
    let mut layer = String::new();
    let mut modules = Vec::new();
    for line in list.lines() {
        let comment =
            line.strip_prefix("// ").map(|comment| comment.split([':', ' ']).next().unwrap_or_default());
        if let Some(word) =
            comment.filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase()))
        {
            layer = word.to_string();
        }
        if let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            let name = name.to_string();
            let files = sources(src, &name);
            modules.push(Module { name, layer: layer.clone(), files });
        }
    }
    modules
}

fn sources(src: &Path, module: &str) -> Vec<PathBuf> {
    let mut found = vec![src.join(format!("{module}.rs"))];
    let mut folders = vec![src.join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().map_while(Result::ok) {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.retain(|path| path.extension().is_some_and(|ending| ending == "rs") && path.exists());
    assert!(!found.is_empty(), "lib.rs names {module}, but it has no file");
    found
}

/// The code of a file without its comments and its unit tests: those may use what they like.
fn code(path: &Path) -> String {
    if path.components().any(|part| part.as_os_str() == "tests") {
        return String::new();
    }
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| line.split(" // ").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Every module that `code` reaches through `crate::`, in `use` lines (nested ones too) and in paths.
fn reached(code: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            None => names.push(word(after)),
            Some(group) => {
                let (mut depth, mut start) = (0, true);
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && c.is_alphanumeric() => {
                            names.push(word(&group[at..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    names
}

/// What breaks the rules in `src`.
fn offences(src: &Path) -> Vec<String> {
    let modules = modules(src);
    let place: BTreeMap<&str, usize> =
        modules.iter().enumerate().map(|(place, module)| (module.name.as_str(), place)).collect();
    let mut offences = Vec::new();
    for (here, module) in modules.iter().enumerate() {
        for file in &module.files {
            let code = code(file);
            let shown = file.strip_prefix(src).unwrap().display().to_string();
            for name in reached(&code) {
                match place.get(name.as_str()) {
                    Some(there) if *there > here => {
                        offences.push(format!("{shown} uses {name}, which stands below it"))
                    }
                    _ => {}
                }
            }
            if module.layer == "PURE" {
                let found = IMPURE.iter().filter(|word| code.contains(**word));
                offences.extend(found.map(|word| format!("{shown} is pure and names {word}")));
            }
        }
    }
    offences
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn modules_use_only_what_stands_before_them() {
    assert_eq!(offences(&src()), Vec::<String>::new());
}

#[test]
fn the_layers_are_all_there() {
    let modules = modules(&src());
    let layer =
        |name: &str| modules.iter().find(|module| module.name == name).map(|module| module.layer.as_str());
    for pure in ["frame", "meter", "relay", "refusal", "handshake", "policy", "backend", "route"] {
        assert_eq!(layer(pure), Some("PURE"), "{pure}");
    }
    assert_eq!(layer("net"), Some("IO"));
    assert_eq!(layer("gateway"), Some("STORY"));
    assert_eq!(layer("cli"), Some("EDGE"));
}

/// The test above can fail: a copy of the tree with a forbidden import is told apart.
#[test]
fn a_forbidden_import_is_found() {
    for (file, line, expected) in [
        ("frame/mod.rs", "use crate::relay::Relay;", "frame/mod.rs uses relay, which stands below it"),
        ("route.rs", "use crate::{frame::Side, net::dial};", "route.rs uses net, which stands below it"),
        ("meter.rs", "use std::time::Instant;", "meter.rs is pure and names std::time::Instant"),
        ("relay/mod.rs", "use tokio::time;", "relay/mod.rs is pure and names tokio"),
        ("net/mod.rs", "use crate::gateway::Gateway;", "net/mod.rs uses gateway, which stands below it"),
    ] {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(&src(), copy.path());
        let path = copy.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{line}\n{text}")).unwrap();
        let found = offences(copy.path());
        assert!(found.iter().any(|offence| offence == expected), "{file} with {line}: {found:?}");
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for module in modules(&src()) {
        for file in module.files {
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("//!"), "{} does not open with //!", file.display());
        }
    }
}

/// rustls-pemfile is archived: replacing it has to stay a change of one file.
#[test]
fn pemfile_is_known_to_one_file() {
    let knowing: Vec<_> = modules(&src())
        .into_iter()
        .flat_map(|module| module.files)
        .filter(|file| code(file).contains("rustls_pemfile"))
        .collect();
    assert_eq!(knowing, [src().join("net/pem.rs")]);
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map_while(Result::ok) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
