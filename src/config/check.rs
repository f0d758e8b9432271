//! What only the system can tell: whether the files a configuration names are there, readable, and what they should be,
//! and whether there are descriptors for its connections.

use super::Plan;
use super::error::Complaint;
use super::source::{Needed, Place, Source};
use crate::net::admin::read_token;
use crate::net::descriptors::Descriptors;
use crate::net::tickets;
use crate::net::tls::{check_pair, read_certificates, read_key};
use crate::net::validity::{Expiry, Validity};
use crate::{clock, keyring};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

pub fn check(source: &Source<'_>, plan: Option<&Plan>) {
    for needed in source.take_needed() {
        match needed {
            Needed::Pair { files, cert_at, key_at } => {
                let chain = "it should be the site's certificate and its chain, in PEM";
                let cert = readable(source, &files.cert, &cert_at, read_certificates, chain);
                let key = "it should be the certificate's private key, in PEM";
                let key = readable(source, &files.key, &key_at, read_key, key);
                if key {
                    warn_of_readers(source, &files.key, &key_at);
                }
                // A pair is judged when both halves are sound.
                match (cert && key).then(|| check_pair(&files)) {
                    Some(Ok(validity)) => warn_of_expiry(source, &files.cert, &validity, &cert_at),
                    Some(Err(problem)) => {
                        let hint = "cert and key have to be made together; the site's certificate comes first in cert";
                        source.problem(&cert_at, Complaint::new(problem).hint(hint));
                    }
                    None => {}
                }
            }
            Needed::Authorities { path, at } => {
                let roots = "it should be the certificate of at least one authority, in PEM";
                readable(source, &path, &at, read_certificates, roots);
            }
            Needed::Keys { path, at } => check_keys(source, &path, &at),
            Needed::TicketKeys { path, at } => {
                let wanted = "a line for each key: openssl rand -base64 48";
                if readable(source, &path, &at, tickets::check, wanted) {
                    warn_of_readers(source, &path, &at);
                }
            }
            Needed::AdminToken { path, at } => {
                let wanted = "it should be one line of at least 16 characters: openssl rand -hex 32";
                if readable(source, &path, &at, read_token, wanted) {
                    warn_of_readers(source, &path, &at);
                }
            }
            Needed::Descriptors { connections, at } => {
                if let Some(plan) = plan {
                    warn_of_few_descriptors(source, plan.descriptors(), connections, &at);
                }
            }
        }
    }
}

fn check_keys(source: &Source<'_>, path: &Path, at: &Place) {
    let wanted = "it should be the issuer's keys as a JWK set: { \"keys\": [...] }";
    if !readable(source, path, at, keyring::read, wanted) {
        return;
    }
    let Ok(set) = keyring::read(path) else { return };
    for why in &set.ignored {
        let complaint = Complaint::new(format!("{}: {why}; it is not used", path.display()));
        source.warning(at, complaint.hint("tokens signed with it are refused; leave it out of the file"));
    }
    if set.holds_secret() {
        warn_of_readers(source, path, at);
    }
}

fn warn_of_expiry(source: &Source<'_>, cert: &Path, validity: &Validity, at: &Place) {
    let (shown, hint) = (cert.display(), "renew it; a running gateway takes the new one without a restart");
    let complaint = match validity.expiry(clock::since_1970()) {
        Expiry::Far => return,
        Expiry::Soon { days: 0 } => format!("{shown} expires in less than a day"),
        Expiry::Soon { days: 1 } => format!("{shown} expires in 1 day"),
        Expiry::Soon { days } => format!("{shown} expires in {days} days"),
        Expiry::Over => format!("{shown} has expired: clients refuse it"),
    };
    source.warning(at, Complaint::new(complaint).hint(hint));
}

/// Reads the file and throws away what it holds. `wanted` is the hint for one that holds something else.
fn readable<T>(
    source: &Source<'_>,
    path: &Path,
    at: &Place,
    read: fn(&Path) -> Result<T, String>,
    wanted: &str,
) -> bool {
    let Err(problem) = read(path) else {
        return true;
    };
    let hint = match File::open(path) {
        Ok(_) => wanted,
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_relative() => {
            "relative paths count from the directory of this file"
        }
        Err(error) if error.kind() == ErrorKind::NotFound => "check the spelling",
        Err(_) => "the user that framegate runs as must be able to read it",
    };
    source.problem(at, Complaint::new(problem).hint(hint));
    false
}

/// The limit may be another one where the service runs: no problem of the file, but worth a look.
fn warn_of_few_descriptors(source: &Source<'_>, descriptors: Descriptors, connections: u32, at: &Place) {
    let Some((needed, limit)) = descriptors.lacking_for(connections) else { return };
    let complaint = Complaint::new(format!(
        "{connections} connections need {needed} descriptors, and a process may have {limit} here"
    ));
    let hint = format!(
        "raise the limit (LimitNOFILE={needed} in systemd, or ulimit -n {needed}), or lower the number"
    );
    source.warning(at, complaint.hint(hint));
}

/// Who can read a private key can pose as the site; who can read a shared secret can make tokens, or read tickets; who
/// has the admin token can do everything.
fn warn_of_readers(source: &Source<'_>, key: &Path, at: &Place) {
    let Ok(metadata) = std::fs::metadata(key) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if is_open(mode, metadata.uid() == 0) {
        let shown = key.display();
        let complaint = Complaint::new(format!("{shown} is open to other users (mode {mode:03o})"));
        source.warning(at, complaint.hint(format!("chmod 600 {shown}")));
    }
}

/// A group may read what is root's: so a service of another user gets its keys (Kubernetes does it with `fsGroup`), and
/// only root can have said which group.
const fn is_open(mode: u32, is_roots: bool) -> bool {
    mode & (if is_roots { 0o037 } else { 0o077 }) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_may_read_what_is_roots() {
        for (mode, is_roots, expected) in [
            (0o600, false, false),
            (0o400, true, false),
            (0o640, false, true),
            (0o640, true, false),
            (0o440, true, false),
            (0o660, true, true),
            (0o644, true, true),
            (0o604, true, true),
            (0o610, true, true),
        ] {
            assert_eq!(is_open(mode, is_roots), expected, "{mode:o} {is_roots}");
        }
    }
}
