//! The listening sockets of the process, wherever they come from: bound here, passed by systemd, or handed over by the
//! process before this one. And what the process after this one gets.

use super::bound::{Bind, Bound, Listening, Place};
use super::systemd::Passed;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

#[derive(Debug, Default)]
pub struct Sockets {
    /// They stay here while their listeners come and go: systemd passes them once.
    systemd: Vec<Passed>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// From the process before this one, until a listener claims them.
    handed: Vec<Handed>,
    /// What was opened and may be closed since.
    open: Vec<Open>,
}

/// The sockets of one listener, from one process to the next.
#[derive(Debug)]
pub struct Handed {
    pub listener: String,
    /// As its configuration writes it.
    pub bind: String,
    pub sockets: Vec<OwnedFd>,
}

/// What the next process is offered of one listener.
#[derive(Debug)]
pub struct Offer {
    pub listener: String,
    pub bind: String,
    pub sockets: Vec<OwnedFd>,
}

#[derive(Debug)]
struct Open {
    listener: String,
    bind: Bind,
    place: Weak<Place>,
    sockets: Vec<Weak<Listening>>,
}

/// How a name says that systemd gave it.
const SYSTEMD: &str = "systemd:";

impl Sockets {
    /// With those that systemd passed to this process, or to one before it, and those of the process before this one.
    pub fn inherited(mut systemd: Vec<Passed>, handed: Vec<Handed>) -> Sockets {
        let mut others = Vec::new();
        for handed in handed {
            match handed.bind.strip_prefix(SYSTEMD).map(str::to_string) {
                Some(name) => {
                    let passed = |socket| Passed { name: name.clone(), socket: Ok(Arc::new(socket)) };
                    systemd.extend(handed.sockets.into_iter().map(passed));
                }
                None => others.push(handed),
            }
        }
        Sockets { systemd, table: Mutex::new(Table { handed: others, open: Vec::new() }) }
    }

    /// The sockets of a listener, for so many event loops that take them in turn.
    pub fn open(&self, listener: &str, bind: &Bind, loops: usize) -> io::Result<Vec<Bound>> {
        self.open_as(listener, bind, loops, || Bound::open(bind, loops))
    }

    /// The same where a socket that is not there yet is made like this.
    pub fn open_as(
        &self,
        listener: &str,
        bind: &Bind,
        loops: usize,
        make: impl FnOnce() -> io::Result<Vec<Bound>>,
    ) -> io::Result<Vec<Bound>> {
        let places = match bind {
            Bind::Systemd(name) => self.passed(name)?,
            bind => vec![match self.table().claim(listener, bind) {
                Some(handed) => Bound::adopt(handed.sockets)?,
                None => make()?,
            }],
        };
        let mut all = Vec::new();
        for sockets in places {
            self.table().note(listener, bind, &sockets);
            all.extend(Bound::for_loops(sockets, loops)?);
        }
        Ok(all)
    }

    /// One unit may pass several sockets under one name, each at a place of its own.
    fn passed(&self, name: &str) -> io::Result<Vec<Vec<Bound>>> {
        let mut places = Vec::new();
        for passed in self.systemd.iter().filter(|passed| passed.name == name) {
            let socket = passed.socket.as_ref().map_err(|why| io::Error::other(why.clone()))?;
            places.push(Bound::adopt(vec![socket.try_clone()?])?);
        }
        if places.is_empty() { Err(io::Error::other(self.not_passed(name))) } else { Ok(places) }
    }

    fn not_passed(&self, name: &str) -> String {
        let mut names: Vec<_> = self.systemd.iter().map(|passed| format!("{:?}", passed.name)).collect();
        names.dedup();
        if names.is_empty() {
            return "systemd passed no sockets to this process (LISTEN_FDS); it does so to what it starts itself, for \
                    a unit with a socket unit"
                .into();
        }
        let names = names.join(", ");
        format!(
            "systemd passed no socket named {name:?}, but {names}: FileDescriptorName= of the socket unit decides"
        )
    }

    /// Everything that the next process needs to go on listening.
    pub fn offer(&self) -> io::Result<Vec<Offer>> {
        let mut offers: Vec<Offer> = Vec::new();
        for passed in &self.systemd {
            if let Ok(socket) = &passed.socket {
                let (listener, bind) = (String::new(), format!("{SYSTEMD}{}", passed.name));
                offers.push(Offer { listener, bind, sockets: vec![socket.try_clone()?] });
            }
        }
        for open in &self.table().open {
            let sockets = open.sockets.iter().filter_map(Weak::upgrade).map(|socket| socket.copy());
            let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
            if !matches!(open.bind, Bind::Systemd(_)) && !sockets.is_empty() {
                offers.push(Offer { listener: open.listener.clone(), bind: open.bind.to_string(), sockets });
            }
        }
        Ok(offers)
    }

    /// From here on the sockets are this process's alone. What nobody claimed is closed, and every file of a unix socket
    /// goes when it is listened on no more.
    pub fn settle(&self) {
        let mut table = self.table();
        for handed in std::mem::take(&mut table.handed) {
            tracing::info!(listener = handed.listener, bind = handed.bind, "no longer listening");
            // So its file goes with it.
            if let Ok(sockets) = Bound::adopt(handed.sockets) {
                sockets.iter().for_each(|socket| socket.place().keep_file(false));
            }
        }
        table.keep_files(false);
    }

    /// Another process listens on everything from here on. `false`: it does not, after all.
    pub fn leave(&self, is_left: bool) {
        self.table().keep_files(is_left);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic while the lock was held left nothing half done.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn claim(&mut self, listener: &str, bind: &Bind) -> Option<Handed> {
        let wanted = bind.to_string();
        let is_any_port = matches!(bind, Bind::Tcp(address) if address.port() == 0);
        let at = self.handed.iter().position(|handed| {
            // Of the listeners on a port of the system's choice each has its own.
            handed.bind == wanted && (!is_any_port || handed.listener == listener)
        });
        let at = at.or_else(|| self.handed.iter().position(|handed| handed.listens_at(bind)));
        at.map(|at| self.handed.remove(at))
    }

    fn note(&mut self, listener: &str, bind: &Bind, sockets: &[Bound]) {
        self.open.retain(|open| open.place.strong_count() > 0);
        let Some(first) = sockets.first() else { return };
        self.open.push(Open {
            listener: listener.into(),
            bind: bind.clone(),
            place: Arc::downgrade(first.place()),
            sockets: sockets.iter().map(|bound| Arc::downgrade(bound.socket())).collect(),
        });
    }

    fn keep_files(&self, keep: bool) {
        // What systemd bound is systemd's.
        for open in self.open.iter().filter(|open| !matches!(open.bind, Bind::Systemd(_))) {
            if let Some(place) = open.place.upgrade() {
                place.keep_file(keep);
            }
        }
    }
}

impl Handed {
    /// Where it really listens, which is another address than it was configured with where the port was left to the system.
    fn listens_at(&self, bind: &Bind) -> bool {
        let Bind::Tcp(wanted) = bind else { return false };
        let at = self.sockets.first().map(socket2::SockRef::from).and_then(|socket| socket.local_addr().ok());
        at.and_then(|at| at.as_socket()) == Some(*wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    fn tcp(port: u16) -> Bind {
        Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn address(bound: &[Bound]) -> SocketAddr {
        let Bind::Tcp(at) = *bound[0].at() else { panic!("no TCP") };
        at
    }

    /// What the next process gets of this offer.
    fn carry(offers: Vec<Offer>) -> Vec<Handed> {
        let carried =
            |offer: Offer| Handed { listener: offer.listener, bind: offer.bind, sockets: offer.sockets };
        offers.into_iter().map(carried).collect()
    }

    fn handed_over(from: &Sockets) -> Sockets {
        Sockets::inherited(Vec::new(), carry(from.offer().unwrap()))
    }

    /// A socket, known by what it is in the kernel, whatever process has it.
    fn identity(bound: &Bound) -> u64 {
        rustix::net::sockopt::socket_cookie(bound.socket().copy().unwrap()).unwrap()
    }

    fn identities(bound: &[Bound]) -> Vec<u64> {
        let mut found: Vec<_> = bound.iter().map(identity).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn each_loop_serves_and_each_socket_is_served() {
        for (before, after) in [(1, 1), (3, 3), (4, 2), (5, 2), (2, 5), (1, 4)] {
            let old = Sockets::default();
            let served = old.open("a", &tcp(0), before).unwrap();
            assert_eq!((served.len(), identities(&served).len()), (before, before));
            let new = handed_over(&old);
            let bound = new.open("a", &tcp(0), after).unwrap();
            assert_eq!(address(&bound), address(&served), "port 0 keeps its port");
            assert_eq!(identities(&bound), identities(&served), "{before} and {after}");
            assert!(bound.len() >= after, "{before} and {after}");
            for number in 0..after {
                // No loop gets one twice: a poller knows a socket once.
                let mut own: Vec<_> = bound.iter().skip(number).step_by(after).map(identity).collect();
                own.sort_unstable();
                assert!(
                    !own.is_empty() && own.windows(2).all(|two| two[0] != two[1]),
                    "{before} and {after}"
                );
            }
        }
    }

    #[test]
    fn a_listener_that_is_gone_is_not_offered() {
        let sockets = Sockets::default();
        let (first, second) =
            (sockets.open("a", &tcp(0), 2).unwrap(), sockets.open("b", &tcp(0), 2).unwrap());
        assert_eq!(sockets.offer().unwrap().len(), 2);
        let gone = address(&first);
        drop(first);
        TcpStream::connect(gone).unwrap_err();
        let offers = sockets.offer().unwrap();
        assert_eq!((offers.len(), offers[0].listener.as_str(), offers[0].sockets.len()), (1, "b", 2));
        drop(second);
    }

    #[test]
    fn listeners_find_their_own() {
        let old = Sockets::default();
        let (a, b) = (old.open("a", &tcp(0), 1).unwrap(), old.open("b", &tcp(0), 1).unwrap());
        let new = handed_over(&old);
        // In another order, under a new name with the port spelled out, and one that was not there before.
        let new_b = new.open("b", &tcp(0), 1).unwrap();
        let other = new.open("c", &tcp(0), 1).unwrap();
        let new_a = new.open("renamed", &tcp(address(&a).port()), 1).unwrap();
        assert_eq!((identities(&new_a), identities(&new_b)), (identities(&a), identities(&b)));
        assert!(![identities(&a), identities(&b)].contains(&identities(&other)));
    }

    #[test]
    fn what_nobody_claims_is_closed_at_the_end_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let old = Sockets::default();
        let (unix, tcp_shares) =
            (old.open("u", &Bind::Unix(path.clone()), 2).unwrap(), old.open("t", &tcp(0), 2).unwrap());
        let at = address(&tcp_shares);
        let new = handed_over(&old);
        old.leave(true);
        drop((unix, tcp_shares));
        // They wait for somebody who has yet to take them.
        UnixStream::connect(&path).unwrap();
        TcpStream::connect(at).unwrap();
        new.settle();
        assert!(!path.exists());
        UnixStream::connect(&path).unwrap_err();
        TcpStream::connect(at).unwrap_err();
    }

    /// A process that claimed the file and then could not start must not take it along.
    #[test]
    fn a_file_belongs_to_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let bind = Bind::Unix(path.clone());
        let old = Sockets::default();
        let served = old.open("u", &bind, 2).unwrap();
        let new = handed_over(&old);
        drop(new.open("u", &bind, 2).unwrap());
        assert!(path.exists(), "not its file yet");
        let new = handed_over(&old);
        let successor = new.open("u", &bind, 2).unwrap();
        old.leave(true);
        new.settle();
        drop(served);
        assert!(path.exists(), "not its file any more");
        UnixStream::connect(&path).unwrap();
        drop(successor);
        assert!(!path.exists(), "the last one tidies up");

        let alone = old.open("u", &bind, 1).unwrap();
        old.leave(true);
        old.leave(false);
        drop(alone);
        assert!(!path.exists(), "nobody came, after all");
    }

    fn from_systemd(name: &str, socket: impl Into<OwnedFd>) -> Passed {
        Passed { name: name.into(), socket: Ok(Arc::new(socket.into())) }
    }

    fn systemd(name: &str) -> Bind {
        Bind::Systemd(name.into())
    }

    #[test]
    fn by_the_name_that_systemd_gave() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let (v4, unix) =
            (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
        let at = v4.local_addr().unwrap();
        let passed = vec![from_systemd("web", v4), from_systemd("web", unix)];
        let sockets = Sockets::inherited(passed, Vec::new());
        let bound = sockets.open("w", &systemd("web"), 3).unwrap();
        let places: Vec<_> = bound.iter().map(Bound::at).collect();
        let (v4, unix) = (&Bind::Tcp(at), &Bind::Unix(path.clone()));
        assert_eq!(places, [v4, v4, v4, unix, unix, unix]);
        assert_eq!(identities(&bound).len(), 2);
        // A listener that goes and comes back finds them again; systemd's file is not ours to remove.
        drop(bound);
        sockets.open("w", &systemd("web"), 1).unwrap();
        sockets.settle();
        assert!(path.exists());
        // And they go on to the next process, used or not.
        let next = handed_over(&sockets);
        drop(sockets);
        assert_eq!(address(&next.open("w", &systemd("web"), 1).unwrap()), at);
        next.settle();
        TcpStream::connect(at).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_systemd_did_not_pass() {
        let none = Sockets::default().open("w", &systemd("web"), 1).unwrap_err();
        assert!(none.to_string().contains("passed no sockets to this process"), "{none}");
        let dir = tempfile::tempdir().unwrap();
        let connected = UnixStream::pair().unwrap().0;
        let datagrams = std::os::unix::net::UnixDatagram::bind(dir.path().join("d")).unwrap();
        let pipe = Passed { name: "pipe".into(), socket: Err("fd 5 is not a socket".into()) };
        let passed = vec![from_systemd("one", connected), from_systemd("dgram", datagrams), pipe];
        let sockets = Sockets::inherited(passed, Vec::new());
        for (name, expected) in [
            ("web", "named \"web\", but \"one\", \"dgram\", \"pipe\": FileDescriptorName="),
            ("one", "Accept=no"),
            ("dgram", "ListenStream="),
            ("pipe", "fd 5 is not a socket"),
        ] {
            let error = sockets.open("w", &systemd(name), 1).unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }
}
