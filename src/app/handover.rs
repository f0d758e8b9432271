//! The end of a process that another one replaces: it gives its listeners away, and only then stops taking connections.

use super::Main;
use super::signals::{Signalled, Signals};
use crate::net::handover::successor::Successor;
use rustix::process::{Pid, Signal, kill_process};

/// What became of it.
pub enum HandOver {
    /// To the process of this id.
    Done(u32),
    /// Everything is as it was.
    Not,
    /// This process was told to leave meanwhile.
    Leave,
}

impl Main {
    /// Starts the program anew and gives it the listeners once it is ready. Whatever goes wrong is logged, and changes
    /// nothing.
    pub(super) async fn hand_over(&mut self, signals: &mut Signals) -> HandOver {
        let mut reload = false;
        let prepared = {
            let preparing = self.prepare();
            tokio::pin!(preparing);
            loop {
                tokio::select! {
                    prepared = &mut preparing => break prepared,
                    asked = signals.next() => match asked {
                        Signalled::Leave => return HandOver::Leave,
                        Signalled::Reload => reload = true,
                        Signalled::HandOver => tracing::warn!("SIGUSR2: a hand-over is under way already"),
                    },
                }
            }
        };
        match prepared.and_then(|successor| self.give(successor)) {
            Ok(pid) => {
                // The other one may have read the file before it was changed.
                let pid_of_it = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|_| reload);
                let _ = pid_of_it.map(|pid| kill_process(pid, Signal::HUP));
                HandOver::Done(pid)
            }
            Err(problem) => {
                tracing::error!(problem, "not handed over; this process goes on");
                if reload {
                    let _ = self.reload();
                }
                HandOver::Not
            }
        }
    }

    async fn prepare(&self) -> Result<Successor, String> {
        if self.file.is_none() {
            return Err(
                "there is no configuration file to start anew from; this is for `framegate run`".into()
            );
        }
        let program = self.program.as_ref().map_err(|error| format!("this program's own path: {error}"))?;
        let patience = self.running.gateways.get().shutdown.handover_timeout;
        tracing::info!(program = %program.path().display(), ?patience, "handing over: starting the program anew");
        let offers =
            self.running.sockets.offer().map_err(|error| format!("the listening sockets: {error}"))?;
        Successor::prepare(program, &offers, patience).await
    }

    fn give(&self, successor: Successor) -> Result<u32, String> {
        let pid = successor.pid().ok_or("the new process ended after all")?;
        self.running.sockets.leave(true);
        let waiting = successor.give().inspect_err(|_| self.running.sockets.leave(false))?;
        self.notifier.handed_over_to(pid);
        drop(waiting);
        Ok(pid)
    }
}
