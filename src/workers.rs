//! The event loops: a thread each, with a runtime, timers and listening sockets of its own. A connection stays on the loop
//! that accepted it: nothing moves from core to core, and no loop waits for another.

use crate::gateway::Gateway;
use crate::net::listen::{Bound, ListenerSettings};
use crate::observe::log;
use crate::serve::{Door, serve};
use rustls::ServerConfig;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A listener of the process, bound once for each loop.
pub struct Entrance {
    pub settings: Arc<ListenerSettings>,
    pub tls: Option<Arc<ServerConfig>>,
    pub bound: Vec<Bound>,
}

/// What all loops share.
#[derive(Clone)]
pub struct Duty {
    pub gateway: Arc<Gateway>,
    /// No more connections once it is cancelled.
    pub stop: CancellationToken,
    pub accepting: TaskTracker,
    pub connections: TaskTracker,
}

/// The running loops.
pub struct Workers {
    quit: CancellationToken,
    /// Hung up on when the last loop is over.
    over: Receiver<()>,
}

/// How often a loop looks up from its work.
const TICK: Duration = Duration::from_secs(1);

/// How long the end of all loops may take. A name look-up that hangs must not keep the process.
const LAST_MOMENT: Duration = Duration::from_millis(200);

impl Workers {
    /// Starts so many loops, each with a door to every entrance.
    pub fn start(count: usize, mut entrances: Vec<Entrance>, duty: &Duty) -> io::Result<Workers> {
        let quit = CancellationToken::new();
        let (alive, over) = mpsc::channel();
        for number in 0..count {
            let runtime = Builder::new_current_thread().on_thread_park(log::flush).enable_all().build()?;
            let doors = doors(&runtime, &mut entrances)?;
            let (duty, quit, alive) = (duty.clone(), quit.clone(), alive.clone());
            std::thread::Builder::new().name(format!("framegate-{number}")).spawn(move || {
                runtime.block_on(async {
                    for door in doors {
                        let Duty { gateway, stop, accepting, connections } = duty.clone();
                        tokio::spawn(accepting.track_future(serve(door, gateway, stop, connections)));
                    }
                    // Else a loop that is never idle would keep its log lines back.
                    while tokio::time::timeout(TICK, quit.cancelled()).await.is_err() {
                        duty.gateway.usher.tell_what_was_left_out();
                        log::flush();
                    }
                });
                runtime.shutdown_timeout(LAST_MOMENT);
                log::flush();
                drop(alive);
            })?;
        }
        Ok(Workers { quit, over })
    }

    /// Ends the loops. What still runs on them is dropped, and each session that is cut off says so.
    pub fn end(self) {
        self.quit.cancel();
        let _ = self.over.recv_timeout(LAST_MOMENT * 2);
    }
}

/// One loop's share of the entrances.
fn doors(runtime: &Runtime, entrances: &mut [Entrance]) -> io::Result<Vec<Door>> {
    let _context = runtime.enter();
    let mut doors = Vec::new();
    for Entrance { settings, tls, bound } in entrances {
        if let Some(bound) = bound.pop() {
            doors.push(Door { listener: bound.listen()?, settings: settings.clone(), tls: tls.clone() });
        }
    }
    Ok(doors)
}
