//! What the span of an upgrade says where no session came of it. Its backend may have been told of the span, which must
//! not be missing then.

use super::Visit;
use super::reach::{Reached, Tried};
use crate::refusal::Refused;
use crate::route::Route;
use crate::spans::{CameTo, Told, Traced};

impl Visit<'_> {
    /// A session has its span end when it does.
    pub(super) fn end_without_session(
        &self,
        traced: &Traced,
        route: &Route,
        reached: &Result<Reached, Refused>,
    ) {
        let came_to = match reached {
            Ok(Reached { tried: Tried::Switched { .. }, .. }) => return,
            Ok(Reached { tried: Tried::Answered(response), .. }) => {
                CameTo::Answer(response.status().as_u16())
            }
            Err(refused) => CameTo::Refusal(refused.refusal.cause_word()),
        };
        let (id, listener, client) = (self.id, &*self.connection.listener, self.seen.client);
        traced.end(&Told { id, route, listener, client, came_to });
    }
}
