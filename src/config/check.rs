//! What only the disk can tell: whether the files a configuration names are there, readable, and what they should be.

use super::error::Complaint;
use super::source::{Needed, Place, Source};
use crate::net::tls::{check_pair, read_certificates};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub fn check(source: &Source<'_>) {
    for needed in source.take_needed() {
        match needed {
            Needed::Pair { files, cert_at, key_at } => {
                let cert_opens = opens(source, &files.cert, &cert_at);
                let key_opens = opens(source, &files.key, &key_at);
                if key_opens {
                    warn_of_readers(source, &files.key, &key_at);
                }
                if cert_opens
                    && key_opens
                    && let Err(problem) = check_pair(&files)
                {
                    let hint = "cert is the PEM certificate with its chain, key its PEM private key";
                    source.problem(&cert_at, Complaint::new(problem).hint(hint));
                }
            }
            Needed::Authorities { path, at } => {
                if opens(source, &path, &at)
                    && let Err(problem) = read_certificates(&path)
                {
                    let hint = "a PEM file with the certificate of at least one authority";
                    source.problem(&at, Complaint::new(problem).hint(hint));
                }
            }
        }
    }
}

fn opens(source: &Source<'_>, path: &Path, at: &Place) -> bool {
    let hint = match File::open(path) {
        Ok(_) => return true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.is_relative() => {
            (error, "relative paths count from the directory of this file")
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (error, "check the spelling"),
        Err(error) => (error, "the user that framegate runs as must be able to read it"),
    };
    let (error, hint) = hint;
    source.problem(at, Complaint::new(format!("cannot open {}: {error}", path.display())).hint(hint));
    false
}

/// Who can read a private key can pose as the site.
fn warn_of_readers(source: &Source<'_>, key: &Path, at: &Place) {
    let mode = std::fs::metadata(key).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        let complaint =
            Complaint::new(format!("{} is open to other users (mode {:03o})", key.display(), mode & 0o777));
        source.warning(at, complaint.hint(format!("chmod 600 {}", key.display())));
    }
}
