//! The admin address through the life of the process: opened, moved, given another token, closed, as the configuration
//! says.

use super::desk::Desk;
use super::server::{Entrance, Serving, open_token};
use crate::net::admin::{AdminSettings, TokenFile};
use crate::net::sockets::Sockets;
use std::sync::Arc;

/// At most one address.
pub struct Office {
    desk: Arc<Desk>,
    open: Option<Open>,
}

struct Open {
    settings: AdminSettings,
    serving: Serving,
}

/// What a configuration makes of it, with everything done that can fail.
pub enum Next {
    Off,
    /// The address stays.
    Stays(AdminSettings, Option<TokenFile>),
    Opens(AdminSettings, Entrance),
}

impl Next {
    /// Where nothing is open yet.
    pub fn opening(settings: Option<&AdminSettings>, sockets: &Sockets) -> Result<Next, String> {
        let opens =
            |settings| Ok(Next::Opens(AdminSettings::clone(settings), Entrance::open(settings, sockets)?));
        settings.map_or(Ok(Next::Off), opens)
    }
}

impl Office {
    pub fn new(desk: Arc<Desk>) -> Office {
        Office { desk, open: None }
    }

    /// The error says what the operator has to mend.
    pub fn prepare(&self, settings: Option<&AdminSettings>, sockets: &Sockets) -> Result<Next, String> {
        match (&self.open, settings) {
            (Some(open), Some(settings)) if open.settings.bind == settings.bind => {
                Ok(Next::Stays(settings.clone(), open_token(settings)?))
            }
            _ => Next::opening(settings, sockets),
        }
    }

    /// To be called on the event loop that is to serve it.
    pub fn follow(&mut self, next: Next) {
        match (next, &mut self.open) {
            (Next::Stays(settings, token), Some(open)) => {
                open.serving.ask_for(token);
                open.settings = settings;
            }
            (Next::Opens(settings, entrance), _) => {
                let serving = entrance.serve(self.desk.clone());
                let before = self.open.replace(Open { settings, serving });
                close(before);
            }
            (Next::Off | Next::Stays(..), _) => close(self.open.take()),
        }
    }

    /// Another process has the address now. Answers that are under way are given.
    pub fn close(&mut self) {
        close(self.open.take());
    }

    /// At the end of the process: answers that are under way get a moment.
    pub async fn end(&mut self) {
        if let Some(open) = self.open.take() {
            open.serving.end().await;
        }
        self.desk.refusals.tell_what_was_left_out();
    }
}

/// Who asked for it may be waiting for an answer there.
fn close(open: Option<Open>) {
    if let Some(Open { settings, serving }) = open {
        tracing::info!(bind = %settings.bind, "admin no longer listening");
        tokio::spawn(serving.end());
    }
}
