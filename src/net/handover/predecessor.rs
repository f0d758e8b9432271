//! The new process's side: it takes the sockets of the one that started it, and says when it is ready, or why it cannot be.

use super::VARIABLE;
use super::wire::{self, Word};
use crate::net::sockets::Handed;
use rustix::net::SocketType;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_type};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The process before this one, which still serves.
#[derive(Debug)]
pub struct Predecessor {
    channel: OwnedFd,
}

/// How long it may take to say what is next. It has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(10);

impl Predecessor {
    /// Of this process, where there is one: then standard input leads to it. From here on that is `/dev/null`.
    pub fn find() -> Result<Option<Predecessor>, String> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let channel = Predecessor::take_stdin().map_err(|error| {
            format!(
                "{VARIABLE} is set, and standard input is not the way to a process before this one: {error}"
            )
        })?;
        Predecessor::over(channel).map(Some).map_err(|error| error.to_string())
    }

    fn take_stdin() -> io::Result<OwnedFd> {
        let channel = io::stdin().as_fd().try_clone_to_owned()?;
        if socket_type(&channel)? != SocketType::SEQPACKET {
            return Err(io::Error::other("it is a socket of another kind"));
        }
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Ok(channel)
    }

    fn over(channel: OwnedFd) -> io::Result<Predecessor> {
        set_socket_timeout(&channel, Timeout::Recv, Some(PATIENCE))?;
        Ok(Predecessor { channel })
    }

    /// The sockets that it listens on.
    pub fn sockets(&self) -> Result<Vec<Handed>, String> {
        let mut all: Vec<Handed> = Vec::new();
        loop {
            match wire::receive(&self.channel) {
                Ok((Word::Socket { listener, bind }, sockets)) => {
                    match all.last_mut().filter(|last| last.listener == listener && last.bind == bind) {
                        // What did not fit into one packet.
                        Some(last) => last.sockets.extend(sockets),
                        None => all.push(Handed { listener, bind, sockets }),
                    }
                }
                Ok((Word::All, _)) => return Ok(all),
                Ok((other, _)) => {
                    return Err(format!("the process before this one said {other:?} at the wrong time"));
                }
                Err(error) => return Err(format!("the sockets of the process before this one: {error}")),
            }
        }
    }

    /// Says why this process cannot take over; it ends then, and the other one goes on.
    pub fn refuse(&self, why: &str) {
        let _ = wire::send(&self.channel, &Word::Failed { why: why.into() }, &[]);
    }

    /// Everything is ready: takes over. From here on the other one accepts nothing any more.
    pub fn take_over(&self) -> Result<(), String> {
        let said = wire::send(&self.channel, &Word::Ready, &[]).and_then(|()| wire::receive(&self.channel));
        match said {
            Ok((Word::Yours, _)) => {
                // Until it hangs up the service manager knows this process for nobody.
                let _ = wire::receive(&self.channel);
                Ok(())
            }
            Ok((other, _)) => Err(format!("the process before this one said {other:?} at the wrong time")),
            Err(error) => Err(format!("the process before this one did not give its place away: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use wire::pair;

    fn say(channel: &OwnedFd, listener: &str, sockets: usize) {
        let listeners: Vec<_> = (0..sockets).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let sockets: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
        let word = Word::Socket { listener: listener.into(), bind: "127.0.0.1:0".into() };
        wire::send(channel, &word, &sockets).unwrap();
    }

    #[test]
    fn many_sockets_come_in_several_packets() {
        let (old, new) = pair();
        let predecessor = Predecessor::over(new).unwrap();
        for (listener, sockets) in [("a", 2), ("b", 64), ("b", 64), ("b", 3), ("c", 1)] {
            say(&old, listener, sockets);
        }
        wire::send(&old, &Word::All, &[]).unwrap();
        let handed = predecessor.sockets().unwrap();
        let counts: Vec<_> = handed.iter().map(|one| (one.listener.as_str(), one.sockets.len())).collect();
        assert_eq!(counts, [("a", 2), ("b", 131), ("c", 1)]);
    }

    #[test]
    fn nothing_is_taken_from_one_that_stops_half_way() {
        let (old, new) = pair();
        let predecessor = Predecessor::over(new).unwrap();
        say(&old, "a", 1);
        drop(old);
        predecessor.sockets().unwrap_err();
        // One that changed its mind, or is gone, when this one is ready.
        let (old, new) = pair();
        drop(old);
        Predecessor::over(new).unwrap().take_over().unwrap_err();
        let (old, new) = pair();
        wire::send(&old, &Word::All, &[]).unwrap();
        Predecessor::over(new).unwrap().take_over().unwrap_err();
    }

    #[test]
    fn it_waits_until_the_other_one_hangs_up() {
        let (old, new) = pair();
        let taking = std::thread::spawn(move || Predecessor::over(new).unwrap().take_over());
        assert_eq!(wire::receive(&old).unwrap().0, Word::Ready);
        wire::send(&old, &Word::Yours, &[]).unwrap();
        assert!(!taking.is_finished());
        drop(old);
        taking.join().unwrap().unwrap();
    }
}
