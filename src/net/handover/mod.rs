//! Hand-over: another process takes over the listening sockets, and no connection attempt is refused in between.
//!
//! The running process starts the program anew, with one end of a socket pair as its standard input, and sends its
//! listening sockets along (unix(7), `SCM_RIGHTS`). What they say to each other, old to new and back:
//!
//! | old | new |
//! |---|---|
//! | `socket`: a listener's name, its `bind`, some of its sockets; as often as it takes | |
//! | `all` | |
//! | | `ready`, with everything bound and every thread started, or `failed` and why |
//! | `yours`, and from here on the old one accepts nothing | |
//! | hangs up, once the service manager knows which process it is now | accepts, from here on |
//!
//! Whatever else happens, before `yours` the old one goes on as if nothing had been and the new one is ended; connections
//! that come meanwhile wait in the kernel's queues, which belong to the sockets and to neither process. Both sides are
//! kept apart, for they are two versions of the program: [`successor`] is what the old one does, [`predecessor`] the new.

pub mod predecessor;
pub mod successor;
mod wire;

use super::sockets::Sockets;
use super::systemd;
use predecessor::Predecessor;

/// What a process was started with.
#[derive(Debug, Default)]
pub struct Inherited {
    pub sockets: Sockets,
    /// That which started it, to be replaced.
    pub predecessor: Option<Predecessor>,
}

impl Inherited {
    /// From systemd alone.
    pub fn from_systemd() -> Inherited {
        Inherited { sockets: Sockets::inherited(systemd::take_passed(), Vec::new()), predecessor: None }
    }

    /// From systemd and, where there is one, from the process before this one. To be called before there is a second
    /// thread.
    pub fn take() -> Result<Inherited, String> {
        let passed = systemd::take_passed();
        let predecessor = Predecessor::find()?;
        let handed = match &predecessor {
            Some(predecessor) => predecessor.sockets().inspect_err(|why| predecessor.refuse(why))?,
            None => Vec::new(),
        };
        Ok(Inherited { sockets: Sockets::inherited(passed, handed), predecessor })
    }
}

/// Says to a process that its standard input is the way to the one before it.
const VARIABLE: &str = "FRAMEGATE_HANDOVER";
