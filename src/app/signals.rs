//! What a signal asks for.

use tokio::signal::unix::{Signal, SignalKind, signal};

pub enum Signalled {
    Leave,
    Reload,
    HandOver,
}

pub struct Signals {
    term: Signal,
    int: Signal,
    hangup: Signal,
    second_user: Signal,
}

impl Signals {
    pub fn listen() -> Result<Signals, String> {
        let on = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        Ok(Signals {
            term: on(SignalKind::terminate())?,
            int: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
            second_user: on(SignalKind::user_defined2())?,
        })
    }

    pub async fn next(&mut self) -> Signalled {
        let Signals { term, int, hangup, second_user } = self;
        tokio::select! {
            _ = term.recv() => Signalled::Leave,
            _ = int.recv() => Signalled::Leave,
            _ = hangup.recv() => Signalled::Reload,
            _ = second_user.recv() => Signalled::HandOver,
        }
    }
}
