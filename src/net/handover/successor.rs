//! The old process's side: it starts the program anew and gives its sockets away, once the new one is ready and not before.

use super::VARIABLE;
use super::wire::{self, AT_ONCE, Word};
use crate::net::sockets::Offer;
use crate::net::systemd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

/// The program as this process was started.
#[derive(Debug)]
pub struct Program {
    /// Not `/proc/self/exe`, which is the file that it was then, and by now may have been replaced.
    path: PathBuf,
    arguments: Vec<OsString>,
}

/// A process that is about to take over. Ended when dropped before it was given the sockets.
#[derive(Debug)]
pub struct Successor {
    child: Child,
    /// Of packets, and with an end that is noticed: not of datagrams, though it is driven like one of those.
    channel: UnixDatagram,
    is_given: bool,
}

/// How long a process that hung up may take to end by itself.
const LAST_MOMENT: Duration = Duration::from_secs(1);

impl Program {
    /// To be called early: before the file can have been replaced.
    pub fn started() -> io::Result<Program> {
        let arguments: Vec<_> = std::env::args_os().collect();
        let running = std::env::current_exe()?;
        let called = arguments.first().map(PathBuf::from).unwrap_or_default();
        // What stands in the place of a name may be anything; a path that does lead here is the operator's own, and may go
        // over a link that leads elsewhere tomorrow.
        let leads_here = |path: &PathBuf| {
            path.canonicalize().is_ok_and(|found| Some(found) == running.canonicalize().ok())
        };
        let candidates = match called.components().count() {
            1 if !called.has_root() && !called.starts_with(".") => {
                let folders = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&folders).map(|folder| folder.join(&called)).collect()
            }
            _ => vec![called],
        };
        let path = candidates.into_iter().find(leads_here).unwrap_or(running);
        Ok(Program { path: std::path::absolute(path)?, arguments })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.arg0(self.arguments.first().unwrap_or(&OsString::new())).args(self.arguments.iter().skip(1));
        command.env(VARIABLE, "1");
        // They name this process, and sockets that reach the other one in another way.
        for name in systemd::VARIABLES.iter().chain(&["WATCHDOG_PID"]) {
            command.env_remove(name);
        }
        command
    }
}

impl Successor {
    /// Starts the program, offers it the sockets, and waits until it is ready, for as long as that. The error is the
    /// operator's: why there is no other process now.
    pub async fn prepare(
        program: &Program,
        offers: &[Offer],
        patience: Duration,
    ) -> Result<Successor, String> {
        if std::process::id() == 1 {
            return Err(
                "this is process 1 of its container, which would end with it: replace the container".into()
            );
        }
        let mut successor = Successor::start(program)
            .map_err(|error| format!("cannot start {}: {error}", program.path.display()))?;
        let said = tokio::time::timeout(patience, successor.offer(offers)).await;
        match said.map_err(|_| format!("no word from the new process within {patience:?}"))? {
            Ok(Word::Ready) => Ok(successor),
            Ok(Word::Failed { why }) => Err(why),
            Ok(other) => Err(format!("the new process said {other:?} at the wrong time")),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(format!("the new process: {error}"))
            }
            // Its end may be noticed while writing or while reading.
            Err(_) => Err(successor.how_it_ended().await),
        }
    }

    fn start(program: &Program) -> io::Result<Successor> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let channel = UnixDatagram::from_std(ours.into())?;
        // The command holds their end until it is dropped, and with it the news that they hung up.
        let child = program.command().stdin(Stdio::from(theirs)).spawn()?;
        Ok(Successor { child, channel, is_given: false })
    }

    async fn offer(&self, offers: &[Offer]) -> io::Result<Word> {
        for Offer { listener, bind, sockets } in offers {
            let word = Word::Socket { listener: listener.clone(), bind: bind.clone() };
            for some in sockets.chunks(AT_ONCE) {
                let some: Vec<_> = some.iter().map(|socket| socket.as_fd()).collect();
                self.say(&word, &some).await?;
            }
        }
        self.say(&Word::All, &[]).await?;
        let (word, _) = self.channel.async_io(Interest::READABLE, || wire::receive(&self.channel)).await?;
        Ok(word)
    }

    async fn say(&self, word: &Word, beside: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.channel.async_io(Interest::WRITABLE, || wire::send(&self.channel, word, beside)).await
    }

    async fn how_it_ended(&mut self) -> String {
        match tokio::time::timeout(LAST_MOMENT, self.child.wait()).await {
            Ok(Ok(status)) => format!("the new process ended before it was ready ({status})"),
            Ok(Err(error)) => format!("the new process is gone: {error}"),
            Err(_) => "the new process hung up without a word".into(),
        }
    }

    /// `None`: it ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Gives it the sockets: from here on it accepts, and this process must not. It waits until what is returned is
    /// dropped, so that the service manager can be told first.
    pub fn give(mut self) -> Result<impl Sized, String> {
        // It may have lost patience since.
        match wire::receive(&self.channel) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok((Word::Failed { why }, _)) => return Err(why),
            Ok(_) | Err(_) => return Err("the new process ended after all".into()),
        }
        if let Err(error) = wire::send(&self.channel, &Word::Yours, &[]) {
            return Err(format!("the new process ended after all: {error}"));
        }
        self.is_given = true;
        Ok(self)
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.is_given {
            // The runtime buries it.
            let _ = self.child.start_kill();
        }
    }
}
