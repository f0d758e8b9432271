//! The event loops: a thread each, with a runtime, timers and listening sockets of its own. A connection stays on the loop
//! that accepted it: nothing moves from core to core, and no loop waits for another.

use crate::clock;
use crate::gateway::Gateway;
use crate::latest::Latest;
use crate::net::listen::Bound;
use crate::observe::log;
use crate::serve::{Door, Terms, serve};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What all loops share.
#[derive(Clone)]
pub struct Duty {
    pub gateways: Arc<Latest<Gateway>>,
    pub accepting: TaskTracker,
    pub connections: TaskTracker,
}

/// A listening socket for a loop that is to serve it.
struct Entrance {
    bound: Bound,
    terms: Arc<Latest<Terms>>,
    stop: CancellationToken,
}

/// The running loops.
pub struct Workers {
    quit: CancellationToken,
    /// To each loop. Few ever come: an operator adds listeners.
    entrances: Vec<UnboundedSender<Entrance>>,
    /// Hung up on when the last loop is over.
    over: Receiver<()>,
}

/// How often a loop looks up from its work.
const TICK: Duration = Duration::from_secs(1);

/// How long the end of all loops may take. A name look-up that hangs must not keep the process.
const LAST_MOMENT: Duration = Duration::from_millis(200);

impl Workers {
    /// Starts so many loops.
    pub fn start(count: usize, duty: &Duty) -> io::Result<Workers> {
        let quit = CancellationToken::new();
        let (alive, over) = mpsc::channel();
        let mut entrances = Vec::new();
        for number in 0..count {
            let runtime = Builder::new_current_thread().on_thread_park(log::flush).enable_all().build()?;
            let (duty, quit, alive) = (duty.clone(), quit.clone(), alive.clone());
            let (to_loop, to_serve) = unbounded_channel();
            entrances.push(to_loop);
            std::thread::Builder::new().name(format!("framegate-{number}")).spawn(move || {
                runtime.block_on(work(duty, to_serve, quit));
                runtime.shutdown_timeout(LAST_MOMENT);
                log::flush();
                drop(alive);
            })?;
        }
        Ok(Workers { quit, entrances, over })
    }

    /// Has a listener served: a socket of it by each loop, until `stop`.
    pub fn serve(&self, bound: Vec<Bound>, terms: &Arc<Latest<Terms>>, stop: &CancellationToken) {
        for (bound, entrance) in bound.into_iter().zip(self.entrances.iter().cycle()) {
            // A loop that is over serves nobody.
            let _ = entrance.send(Entrance { bound, terms: terms.clone(), stop: stop.clone() });
        }
    }

    /// Ends the loops. What still runs on them is dropped, and each session that is cut off says so.
    pub fn end(self) {
        self.quit.cancel();
        let _ = self.over.recv_timeout(LAST_MOMENT * 2);
    }
}

/// What a loop does until it is told to quit.
async fn work(duty: Duty, mut to_serve: UnboundedReceiver<Entrance>, quit: CancellationToken) {
    let lag = duty.gateways.get().metrics().new_loop();
    let mut tick = tokio::time::interval(TICK);
    // A loop that was held up for long is late once.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = quit.cancelled() => return,
            Some(entrance) = to_serve.recv() => open(entrance, &duty),
            // Else a loop that is never idle would keep its log lines back.
            due = tick.tick() => {
                let now = clock::now();
                lag.looked_up(clock::moment(due), now);
                lag.expect(now + TICK);
                duty.gateways.get().lasting.usher.tell_what_was_left_out();
                log::flush();
            }
        }
    }
}

fn open(entrance: Entrance, duty: &Duty) {
    let Entrance { bound, terms, stop } = entrance;
    let at = bound.at().to_string();
    match bound.listen() {
        Ok(listener) => {
            // One of this loop's own: each connection locks it four times over, and loops do not wait for each other.
            let door = Door { listener, terms, stop: stop.child_token() };
            let serving = serve(door, duty.gateways.clone(), duty.connections.clone());
            tokio::spawn(duty.accepting.track_future(serving));
        }
        Err(error) => tracing::error!(bind = at.as_str(), %error, "a loop cannot serve this listener"),
    }
}
