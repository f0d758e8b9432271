//! All figures of the gateway as they are now, for those who ask.

use super::Gateway;
use crate::clock;
use crate::net::certificates::Certificate;
use crate::observe::metrics::{Dialect, Metrics, Scene, StandingFigures};
use crate::registry::Survey;
use std::sync::Arc;

impl Gateway {
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.lasting.sessions.metrics()
    }

    /// All metrics as text; [`Dialect::content_type`] goes with it.
    pub fn exposition(&self, standing: StandingFigures, dialect: Dialect) -> String {
        let survey = self.lasting.sessions.survey();
        self.metrics().write(dialect, &self.scene(standing, survey))
    }

    /// The certificates in use, each with its listener's name.
    pub fn certificates(&self) -> Vec<(Arc<str>, Certificate)> {
        let served = self.lasting.served.get();
        let of_each = served.iter().flat_map(|(listener, tls)| {
            tls.certificates().into_iter().map(|certificate| (listener.clone(), certificate))
        });
        of_each.collect()
    }

    /// What is read where it is. `survey`: of our own sessions.
    fn scene(&self, standing: StandingFigures, survey: Survey) -> Scene {
        let now = clock::now();
        let Survey { traffic, waiting_bytes, endpoints, .. } = survey;
        let mut scene = Scene { standing, traffic, waiting_bytes, ..Scene::default() };
        for (listener, Certificate { file, not_after, .. }) in self.certificates() {
            scene.certificates.insert((listener, file.to_string_lossy().into()), not_after);
        }
        for upstream in &self.backends {
            upstream.pool().endpoints().iter().for_each(|endpoint| scene.add_server(endpoint, now));
        }
        for (endpoint, live) in &endpoints {
            scene.add_sessions(endpoint, *live, now);
        }
        scene
    }
}
